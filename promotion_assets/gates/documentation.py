"""Documentation: do a model card and a dataset card exist, complete for the risk class?

The model card is looked for in the artifact (``MODEL_CARD.md``), in the version's description, and
in its tag ``model_card``; the dataset card of the training data in the artifact
(``DATASET_CARD.md``) and where the policy says. What the platform measures itself (evaluation,
evaluation dataset) is filled from the evidence and not asked of the author.

Sections follow M. Mitchell et al., Model Cards for Model Reporting (FAT* 2019), and T. Gebru et
al., Datasheets for Datasets (CACM 64, 2021).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from promotion_assets.canonical import digest_bytes
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.scores import Scores
from promotion_assets.gates.contract import Gate, GateResult, GateSettings, Measurement, Outcome
from promotion_assets.gates.model_card import Card, read_card, read_card_file, section
from promotion_assets.gates.verdict import conclude
from promotion_assets.policy.model import RiskClass

NAME = "documentation"

REQUIRED: dict[RiskClass, tuple[str, ...]] = {
    "low": ("intended use", "limitations"),
    "medium": ("intended use", "limitations", "training data", "owner"),
    "high": (
        "intended use",
        "out of scope",
        "limitations",
        "training data",
        "fairness",
        "human oversight",
        "owner",
    ),
}
DATASET_SECTIONS = ("source", "limitations")
CARD_FILES = ("MODEL_CARD.md", "model_card.md", "README.md")
DATASET_CARD_FILES = ("DATASET_CARD.md", "dataset_card.md")
# The evidence says these better than an author could.
GENERATED = frozenset({"evaluation"})


class SignOff(BaseModel):
    """A regulatory sign-off.

    Attributes:
        by: who gave it.
        reference: where it is filed.
        until: the day through which it holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str = Field(min_length=1)
    reference: str = Field(min_length=1)
    until: date


class DocumentationSettings(GateSettings):
    """Settings of the documentation gate.

    Attributes:
        sections: required sections of the model card; by the risk class where not given.
        dataset_sections: required sections of the dataset card.
        dataset_card: whether one is required; by default for the risk class ``high``.
        dataset_card_path: where it is, relative to the policy's folder.
        min_words: fewer words than this are not a section.
        regulatory_sign_off: whether one is required.
        sign_off: the sign-off, where one was given.
    """

    sections: tuple[str, ...] | None = None
    dataset_sections: tuple[str, ...] = DATASET_SECTIONS
    dataset_card: Literal["required", "optional", "by_risk"] = "by_risk"
    dataset_card_path: str | None = None
    min_words: int = Field(default=5, ge=1)
    regulatory_sign_off: Literal["required", "not_required"] = "not_required"
    sign_off: SignOff | None = None


def evaluate(evidence: Evidence, settings: DocumentationSettings) -> GateResult:
    """Look for the cards and hold their sections against what is required."""
    risk = evidence.policy.risk_class
    required = settings.sections if settings.sections is not None else REQUIRED[risk]
    card, data_card = model_card_of(evidence.candidate), _dataset_card(evidence, settings)
    measurements = [
        _judged("model card", card, required, settings),
        *_data(data_card, risk, settings),
        *_signed(evidence, settings),
    ]
    inputs = {}
    if card:
        inputs["model_card"] = digest_bytes(card.text.encode())
    if data_card:
        inputs["dataset_card"] = digest_bytes(data_card.text.encode())
    return conclude(
        NAME,
        measurements,
        passed_reason=f"the {card.where if card else 'card'} is complete for risk class {risk}",
        details={
            "risk_class": risk,
            "required_sections": list[JsonValue](required),
            "model_card": card.where if card else None,
            "dataset_card": data_card.where if data_card else None,
            "generated": _generated(evidence),
            "sign_off": settings.sign_off.model_dump(mode="json") if settings.sign_off else None,
        },
        inputs=inputs,
    )


def model_card_of(candidate: Candidate) -> Card | None:
    """Return the version's model card, or ``None`` where it has none."""
    if candidate.artifact_dir is not None:
        for name in CARD_FILES:
            card = read_card_file(candidate.artifact_dir / name, name)
            if card is not None:
                return card
    if candidate.description.strip():
        return read_card("version's description", candidate.description)
    text = candidate.tags.get("model_card", "")
    return read_card("tag model_card", text) if text.strip() else None


def _dataset_card(evidence: Evidence, settings: DocumentationSettings) -> Card | None:
    candidate = evidence.candidate
    if candidate.artifact_dir is not None:
        for name in DATASET_CARD_FILES:
            card = read_card_file(candidate.artifact_dir / name, name)
            if card is not None:
                return card
    if settings.dataset_card_path is None:
        return None
    path = Path(evidence.policy.base) / settings.dataset_card_path
    return read_card_file(path, settings.dataset_card_path)


def _judged(
    what: str, card: Card | None, required: tuple[str, ...], settings: DocumentationSettings
) -> Measurement:
    if card is None:
        file = CARD_FILES[0] if what == "model card" else DATASET_CARD_FILES[0]
        faults = [f"there is none. Next: put {file} into the artifact"]
    else:
        asked = [name for name in required if name not in GENERATED]
        found = {name: section(card, name, settings.min_words) for name in asked}
        faults = [f"section {name!r} {why}" for name, why in found.items() if why]
    reason = ""
    if faults:
        where = f" ({card.where})" if card else ""
        reason = f"{what}{where}: {'; '.join(faults)}"
    return Measurement(
        name="missing_sections",
        subject=what,
        observed=float(len(faults)),
        limit=0.0,
        direction="max",
        outcome=Outcome.FAILED if faults else Outcome.PASSED,
        reason=reason,
    )


def _data(
    card: Card | None, risk: RiskClass, settings: DocumentationSettings
) -> Iterator[Measurement]:
    by_risk = settings.dataset_card == "by_risk" and risk == "high"
    if settings.dataset_card == "required" or by_risk:
        yield _judged("dataset card", card, settings.dataset_sections, settings)


def _signed(evidence: Evidence, settings: DocumentationSettings) -> Iterator[Measurement]:
    if settings.regulatory_sign_off == "not_required":
        return
    sign_off, today = settings.sign_off, evidence.as_of
    fault = ""
    if sign_off is None:
        fault = "there is none. Next: record who signed, the reference, and until when"
    elif today is None:
        fault = "the time of judgement is not known, so nobody can say whether it still holds"
    elif today.date() > sign_off.until:
        fault = (
            f"{sign_off.reference} of {sign_off.by} held until {sign_off.until.isoformat()}. "
            "Next: have it renewed"
        )
    yield Measurement(
        name="sign_off",
        subject="regulatory sign-off",
        outcome=Outcome.FAILED if fault else Outcome.PASSED,
        reason=f"regulatory sign-off: {fault}" if fault else "",
    )


def _generated(evidence: Evidence) -> dict[str, JsonValue]:
    """Return the parts of a card that the evidence fills."""
    generated: dict[str, JsonValue] = {
        "model": evidence.model,
        "version": evidence.version,
        "author": evidence.candidate.author,
        "owner": evidence.policy.owner,
        "task": evidence.policy.task,
        "risk_class": evidence.policy.risk_class,
        "digest": evidence.candidate.digest,
    }
    if evidence.dataset is not None:
        summary = evidence.dataset.summary
        generated["evaluation_dataset"] = {
            "digest": summary.digest,
            "rows": summary.rows,
            "label_rate": summary.label_rate,
            "time_range": list(summary.time_range) if summary.time_range else None,
        }
    if isinstance(evidence.candidate_scores, Scores):
        generated["scored_rows"] = len(evidence.candidate_scores.values)
    return generated


GATE = Gate(
    name=NAME,
    question="Are its model card and dataset card complete?",
    settings=DocumentationSettings,
    evaluate=evaluate,
)
