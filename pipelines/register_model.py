"""
Step: register a challenger, with its evidence, for a person to judge.

Reads:  the files of the model, the promotion verdict.
Writes: a version of the challengers' registered model, tagged with digest, cutoff, verdict and `approval=pending`.
Re-run: safe; a model that is registered keeps its version.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pipelines import wiring
from refit.factors import verified
from refit.interfaces import ModelRegistry, Tracker


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    version: int
    name: str
    proposed: bool
    summary: str
    """What the person who approves reads first."""


def run(
    training_set: str,
    run_id: str,
    model_id: str,
    digest: str,
    evaluation: dict[str, Any],
    *,
    registry: ModelRegistry,
    tracker: Tracker,
) -> Receipt:
    """Register *model_id* with the receipt of its *evaluation*."""
    facts = verified(tracker.model_files(model_id), digest, f"challenger {model_id}").facts
    proposed = bool(evaluation["proposed"])
    version = registry.register(
        model_id=model_id,
        run_id=run_id,
        tags={
            "digest": digest,
            "cutoff": str(facts["cutoff"]),
            "training_set": training_set,
            "verdict": "propose" if proposed else "refuse",
            "reasons": "; ".join(evaluation["reasons"])[:4_000],
            "judged_against": str(evaluation["champion"] or "none"),
            "approval": "pending",
        },
    )
    return Receipt(
        version=version.version,
        name=version.name,
        proposed=proposed,
        summary=_summary(evaluation, str(facts["cutoff"]), digest, tracker.run_address(run_id)),
    )


def _summary(evaluation: dict[str, Any], cutoff: str, digest: str, address: str) -> str:
    k = evaluation["k"]
    ours, *others = sorted(evaluation["metrics"].items(), key=lambda row: (row[0] != "challenger", -row[1]["ndcg"]))
    rows = [
        f"| {model.replace('_', ' ')} | {row['recall']:.4f} | {row['ndcg']:.4f} | {row['hit_rate']:.4f} |"
        for model, row in (ours, *others)
    ]
    return "\n".join(
        [
            *[f"- {reason}" for reason in evaluation["reasons"]],
            "",
            f"**[Dossier]({address}/artifacts/{evaluation['dossier']})**, to be read in two minutes. "
            f"Trained on data before {cutoff[:10]}, judged by {evaluation['judged']:,} people. "
            f"Digest `{digest[:16]}`. [Run]({address})",
            "",
            f"| model | recall@{k} | ndcg@{k} | hit rate@{k} |",
            "|---|---|---|---|",
            *rows,
        ]
    )


def main(training_set: str, run_id: str, model_id: str, digest: str, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Register with the real collaborators."""
    receipt = run(
        training_set,
        run_id,
        model_id,
        digest,
        evaluation,
        registry=wiring.registry(),
        tracker=wiring.tracker(),
    )
    return asdict(receipt)
