"""Which part of an evidence bundle answers which rule: the order in which its page is written.

The texts meant are Regulation (EU) 2024/1689 (EU AI Act), the interagency revised guidance on
model risk management of April 2026 (SR 26-2, which replaced SR 11-7; its themes are named, as it
is principles-based), NIST AI 100-1 (AI RMF 1.0) and 21 CFR part 11. A bundle supports an answer
to them; it is not legal advice, and conformity is more than these records.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One part of the bundle.

    Attributes:
        section: its heading on the page.
        fields: where it lies in the bundle's files.
        rules: what it supports, by text.
    """

    section: str
    fields: str
    eu_ai_act: str
    sr_26_2: str
    nist_ai_rmf: str
    cfr_11: str


ROWS = (
    Row(
        "What was judged",
        "manifest.json: model, version; evidence.json: candidate, champion",
        "Art. 11; Annex IV(1)(c), (2)(b)",
        "Model inventory and documentation",
        "MAP 2.1",
        "11.10(a)",
    ),
    Row(
        "Verdict and gates",
        "decision.json: verdict, reason, results",
        "Annex IV(2)(g), (3), (4)",
        "Validation; outcomes analysis",
        "MEASURE 2.3, 2.5, 2.11; MANAGE 1.1",
        "11.10(a)",
    ),
    Row(
        "Evaluation data",
        "decision.json: pins.dataset_digest; evidence.json: dataset; answers.parquet",
        "Annex IV(2)(d), (2)(g)",
        "Data quality and relevance",
        "MAP 2.3; MEASURE 2.1",
        "11.10(b)",
    ),
    Row(
        "Champion then",
        "evidence.json: champion; decision.json: results (baseline)",
        "Annex IV(2)(g), (4)",
        "Benchmarking",
        "MEASURE 1.1, 2.4",
        "",
    ),
    Row(
        "Shadow",
        "explain.json: shadow",
        "Annex IV(2)(g), (3)",
        "Ongoing monitoring",
        "MEASURE 2.4; MANAGE 4.1",
        "",
    ),
    Row(
        "Human review",
        "explain.json: reviews (who, when, which answers, on which evidence)",
        "Art. 14; Annex IV(2)(e)",
        "Effective challenge; governance",
        "GOVERN 2.1, 3.2; MAP 3.5",
        "11.50, 11.70, 11.100",
    ),
    Row(
        "Timeline",
        "explain.json: timeline; entries/",
        "Art. 12, 17(1)(k); Annex IV(6)",
        "Governance, policies and controls",
        "GOVERN 1.4; MANAGE 2.4, 4.3",
        "11.10(e), (k)",
    ),
    Row(
        "Integrity",
        "manifest.dsse.json, checkpoint.txt, proofs.json, entries/",
        "Art. 12, 17(1)(k); Annex IV(2)(g)",
        "Governance, policies and controls",
        "MEASURE 2.8",
        "11.10(c), (e), 11.70",
    ),
)

HEADINGS = ("Part", "Fields", "EU AI Act", "SR 26-2 (theme)", "NIST AI RMF", "21 CFR 11")


def table() -> str:
    """Return the table in Markdown, as ``docs/evidence.md`` has it."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    lines += [
        f"| {r.section} | {r.fields} | {r.eu_ai_act} | {r.sr_26_2} | {r.nist_ai_rmf} | {r.cfr_11} |"
        for r in ROWS
    ]
    return "\n".join(lines)
