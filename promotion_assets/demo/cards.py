"""The model cards of the demo's versions: what their authors say of them."""

from __future__ import annotations

CARD = """\
# {title}

{summary}

## Intended use

Ranks credit-card customers by the risk that they miss the next payment, so that an adviser can
call the riskiest. Not for granting or refusing credit.

## Training data

{training}

## Evaluation

Cross-validated on the training rows; ROC AUC, average precision and Brier score are logged with
the run.

## Limitations

One bank, one country, six months of 2005. Education codes 0, 4, 5 and 6 have few customers. No
figure is claimed for customers without a payment history.

## Ethical considerations

Sex, age and marital status are not given to the model. Education is, so its groups want a look.
"""
WHOLE = "15,000 customers (UCI Default of Credit Card Clients, CC BY 4.0), 22 % of them default."
OLD = "Customers with a limit of up to 100,000 only: the portfolio before limits were raised."


def card(title: str, summary: str, training: str = WHOLE) -> str:
    """Return a model card in Markdown."""
    return CARD.format(title=title, summary=summary, training=training)
