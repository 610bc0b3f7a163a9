"""
Step: register a challenger, with its evidence, for a person to judge.

Reads:  the files of the offered model, the promotion verdict of its judged twin.
Writes: a version of the challengers' registered model, tagged with its evidence, `approval=pending` and how to answer.
Re-run: safe; a registered model keeps its version, and one that was judged again needs a new answer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines import wiring
from pipelines.parameters import Evaluation, ModelDigest, ModelId, Refitted, RequestedBy, RunId, TrainingSet
from refit.governance.approvals import ANCHOR_TAG, decision_line
from refit.interfaces import ModelRegistry, Tracker
from refit.model.item_factors import verified
from refit.rendering.markdown import markdown_text


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    version: int
    name: str
    proposed: bool
    summary: str
    """The text that the approver reads first."""


def run(
    training_set: str,
    run_id: str,
    model_id: str,
    digest: str,
    evaluation: dict[str, Any],
    requested_by: str = "",
    refitted: dict[str, Any] | None = None,
    *,
    code: str,
    now: datetime,
    registry: ModelRegistry,
    tracker: Tracker,
) -> Receipt:
    """
    Register *model_id*, whose training *requested_by* asked for.

    *evaluation* is the receipt of the judgement, of this model or of its twin: *refitted* is then the receipt of
    `refit_model`.
    """
    facts = verified(tracker.model_files(model_id), digest, f"challenger {model_id}").facts
    judged_run, offer = evaluation["run_id"], refitted or {}
    judged_address = tracker.run_address(judged_run)
    dossier = f"{judged_address}/artifacts/{evaluation['dossier']}"
    alone = tracker.file_address(judged_run, evaluation["dossier"])
    evidence = {
        "digest": digest,
        "cutoff": str(facts["cutoff"]),
        "as_of": evaluation["as_of"],
        "training_set": training_set,
        "evaluation_run": judged_run,
        **({"twin": offer["twin"]} if offer.get("refitted") else {}),
        "dossier": dossier,
        "verdict": "propose" if evaluation["proposed"] else "refuse",
        "reasons": "; ".join(evaluation["reasons"])[:4_000] or "none",
        "judged_against": str(evaluation["champion"] or "none"),
        **({ANCHOR_TAG: evaluation["anchor"]} if evaluation.get("anchor") else {}),
    }
    asked = {"approval": "pending", "registered_at": now.isoformat(timespec="seconds")}
    made = {"code": code, **({"requested_by": requested_by} if requested_by else {})}
    version = registry.register(model_id=model_id, run_id=run_id, tags={**evidence, **asked, **made})
    tag, line = decision_line(version.version, digest)
    changes = {"how_to_answer": f"in Airflow, or by the tag {tag} of the model that serves: {line}"}
    if {name: version.tags.get(name) for name in evidence} != evidence:
        changes |= {
            **evidence,
            **asked,
        }  # judged again, e.g. against another champion: answers to the old evidence are void
    registry.tag(version, changes)
    cutoff = str(facts["cutoff"])[:10]
    return Receipt(
        version=version.version,
        name=version.name,
        proposed=bool(evaluation["proposed"]),
        summary="\n".join(
            [
                # Reasons contain cohort names, which come from data.
                *[f"- {markdown_text(reason)}" for reason in evaluation["reasons"]],
                "",
                *([f"Offered is {markdown_text(offer['offered'])}.", ""] if offer.get("offered") else []),
                f"**[Dossier]({dossier})**, to be read in two minutes ([the page alone]({alone}), as a file). "
                f"Trained on data before {cutoff}; judged{_twin(offer)} by {evaluation['judged']:,} people"
                f"{_of_everybody(evaluation)}. Digest `{digest[:16]}`. [Run]({tracker.run_address(run_id)})",
                "",
                *_table(evaluation),
                "",
                f"To answer in MLflow instead, set the tag `{tag}` of the registered model that serves to `{line}`, "
                "or to the same with `reject`.",
            ]
        ),
    )


def _twin(offer: dict[str, Any]) -> str:
    return f" was its twin, digest `{offer['twin'][:16]}`," if offer.get("refitted") else ""


def _of_everybody(evaluation: dict[str, Any]) -> str:
    left_out = evaluation.get("left_out", "")
    return f" ({markdown_text(left_out)})" if left_out else ""


def _table(evaluation: dict[str, Any]) -> list[str]:
    """Return the metrics as a table, over the judged people and, if counted, over all people."""
    k, everybody = evaluation["k"], evaluation.get("everybody") or {}
    ours, *others = sorted(evaluation["metrics"].items(), key=lambda row: (row[0] != "challenger", -row[1]["ndcg"]))
    heads = ["model", *(f"{_SPELT[name]}@{k}" for name in _SHOWN)]
    if everybody:
        heads.append(f"ndcg@{k} over everybody")
    rows = []
    for model, row in (ours, *others):
        cells = [markdown_text(model.replace("_", " ")), *(f"{row[name]:.4f}" for name in _SHOWN)]
        rows.append([*cells, f"{everybody[model]['ndcg']:.4f}"] if everybody else cells)
    first, *body = (f"| {' | '.join(cells)} |" for cells in (heads, *rows))
    return [first, f"|{'---|' * len(heads)}", *body]


_SPELT = {"recall": "recall", "capped_recall": "capped recall", "ndcg": "ndcg", "hit_rate": "hit rate"}
_SHOWN = tuple(_SPELT)


def main(
    training_set: TrainingSet,
    run_id: RunId,
    model_id: ModelId,
    digest: ModelDigest,
    evaluation: Evaluation,
    requested_by: RequestedBy = "",
    refitted: Refitted = None,
) -> dict[str, Any]:
    """Register with the real collaborators; the clock only sets the deadline of the approval."""
    receipt = run(
        training_set,
        run_id,
        model_id,
        digest,
        evaluation,
        requested_by,
        refitted,
        code=wiring.code(),
        now=datetime.now(UTC),
        registry=wiring.registry(),
        tracker=wiring.tracker(),
    )
    return asdict(receipt)
