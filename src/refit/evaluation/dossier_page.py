"""The dossier of a challenger: a page that the approver reads in two minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup

from refit.config import Promotion
from refit.evaluation.comparison import Cohort, Comparison
from refit.evaluation.dossier_lists import model_name, people_drawn, what_lists_show
from refit.evaluation.holdout_lists import CHALLENGER, CHAMPION, Judged
from refit.evaluation.intervals import Interval
from refit.evaluation.list_examples import Example
from refit.evaluation.metrics import METRICS
from refit.evaluation.promotion_gate import Standing, comparison_verdict
from refit.rendering.charts import line_chart
from refit.rendering.document import Kind, Section, badge, join, number, page, shorten, table, tag
from refit.rendering.interval_chart import Line, interval_chart
from refit.training.holdout_coverage import describe_coverage
from refit.verdicts import Verdict

DOSSIER_FILE = "dossier.html"
"""File name of the page in the challenger's run."""

_DECISIONS: dict[str, Kind] = {"propose": "good", "refuse": "refused"}
_BADGES: dict[Standing, Kind] = {"better": "good", "not worse": "good", "worse": "refused", "unclear": "warning"}
_NAMES = {"capped_recall": "capped recall", "map": "MAP", "ndcg": "NDCG", "mrr": "MRR", "hit_rate": "hit rate"}


@dataclass(frozen=True, kw_only=True)
class Dossier:
    """Everything that the page shows."""

    shop: str
    """Title of the shop."""
    verdict: Verdict
    compared: Comparison
    judged: Judged
    policy: Promotion
    champion: int | None
    facts: Mapping[str, Any]
    """Training facts of the challenger."""
    people: Sequence[int]
    """Number of people in the training set who touched each item."""
    examples: Sequence[Example] = ()
    notes: Sequence[str] = ()
    tuning: Sequence[Mapping[str, Any]] = ()
    """Trials in order, each with number, kind, values, scores and state."""
    stopped: str = ""
    """Why fewer trials than planned were run; empty if all were."""
    drift: Mapping[str, Any] = field(default_factory=dict)
    """Result of the drift check before training: decision, reasons, statistics and address."""
    offered: str = ""
    """Sentence on the model that a person is asked about; empty if it is the one on this page."""


def dossier_page(dossier: Dossier) -> str:
    """Return the page as self-contained HTML."""
    compared = dossier.compared
    sections = []
    if compared.people:
        sections = [
            Section("Every model", _models(dossier)),
            *([Section("Against the champion", _champion(dossier))] if CHAMPION in compared.against else []),
            *([Section("Cohorts", _cohorts(dossier))] if compared.cohorts else []),
            Section("What the lists show", what_lists_show(compared, dossier.judged, dossier.people)),
        ]
    if dossier.examples:
        sections.append(Section(f"{len(dossier.examples)} people, drawn by chance", people_drawn(dossier.examples)))
    if dossier.tuning:
        sections.append(Section("Tuning", _tuning(dossier.tuning, dossier.stopped)))
    if learnt := _learning(dossier.facts):
        sections.append(Section("Learning", learnt))
    sections.append(Section("Data", _data(dossier)))
    cutoff = str(dossier.facts.get("cutoff", ""))[:10]
    rival = f"champion version {dossier.champion}" if dossier.champion else "no champion yet"
    return page(
        f"Challenger trained before {cutoff}",
        sections,
        kicker=dossier.shop,
        verdict=badge(dossier.verdict.decision, _DECISIONS.get(dossier.verdict.decision, "neutral")),
        summary=_top(
            dossier.verdict.reasons,
            [f"{compared.people:,} people judged · lists of {compared.k} · {rival}", dossier.offered],
        ),
        foot="Intervals are of means over people. Definitions: metrics, beyond_accuracy, cohorts in refit.evaluation.",
    )


def _top(reasons: Sequence[str], below: Sequence[str]) -> Markup:
    lines = tag("ul", *(tag("li", reason[:1].upper() + reason[1:]) for reason in reasons))
    return join([lines, *(tag("p", line, class_="note") for line in below if line)])


def _spelt(metric: str) -> str:
    name, _, k = metric.partition("@")
    return f"{_NAMES.get(name, name)}@{k}" if k else _NAMES.get(name, name)


def _models(dossier: Dossier) -> Markup:
    compared, metric = dossier.compared, f"{dossier.policy.metric}@{dossier.compared.k}"
    order = sorted(compared.metrics, key=lambda name: (name != CHALLENGER, -compared.metrics[name][metric].mean))
    lines = [
        Line(model_name(name), found.low, found.mean, found.high, "good" if name == CHALLENGER else "neutral")
        for name in order
        for found in [compared.metrics[name][metric]]
    ]
    kinds = sorted({key.split("@")[0] for key in compared.metrics[CHALLENGER]}, key=list(METRICS).index)
    heads = ["model", *(_spelt(f"{kind}@{compared.k}") for kind in kinds)]
    rows = [
        [
            _bold(model_name(name), name == CHALLENGER),
            *(f"{compared.metrics[name][f'{kind}@{compared.k}'].mean:.4f}" for kind in kinds),
        ]
        for name in order
    ]
    return join(
        [
            interval_chart(lines, title=_spelt(metric), unit=f"{compared.level:.0%} intervals"),
            table(heads, rows, numeric=set(range(1, len(heads)))),
            _everybody(compared, order),
            _ratings(compared),
            _lengths(compared),
        ]
    )


def _everybody(compared: Comparison, order: Sequence[str]) -> Markup:
    found = compared.everybody
    if not found:
        return join([])
    heads = ["model", *(_spelt(f"{metric}@{compared.k}") for metric in METRICS)]
    rows = [
        [
            _bold(model_name(name), name == CHALLENGER),
            *(f"{found.metrics[name][f'{metric}@{compared.k}']:.4f}" for metric in METRICS),
        ]
        for name in order
    ]
    note = f"{describe_coverage(found.asked, found.judges)}. Over everybody, what no model knows counts as missed."
    title = tag("h3", f"Over everybody: {number(found.people)} people")
    return join([title, table(heads, rows, numeric=set(range(1, len(heads)))), tag("p", note, class_="note")])


def _ratings(compared: Comparison) -> Markup:
    found = compared.ratings
    if not found:
        return join([])
    rows = [
        (
            _bold(model_name(name), name == CHALLENGER),
            _between(errors["rmse"], ".4f"),
            _between(errors["mae"], ".4f"),
            _between(found.against[name]["rmse"], "+.4f") if name in found.against else "",
        )
        for name, errors in found.errors.items()
    ]
    note = f"{number(found.ratings)} ratings by {number(found.people)} people; less is better"
    heads = ("predicted ratings", "RMSE", "MAE", "RMSE of the challenger less that")
    return join([table(heads, rows, numeric={1, 2, 3}), tag("p", note, class_="note")])


def _between(found: Interval, spelt: str) -> str:
    return f"{found.mean:{spelt}} ({found.low:{spelt}} to {found.high:{spelt}})"


def _lengths(compared: Comparison) -> Markup:
    lengths = sorted({int(key.split("@")[1]) for key in compared.metrics[CHALLENGER]})
    if len(lengths) < 2:
        return join([])
    names = [name for name in (CHALLENGER, CHAMPION) if name in compared.metrics]
    heads = ["shorter lists", *(f"{model_name(name)}@{k}" for k in lengths for name in names)]
    rows = [
        [_spelt(metric), *(f"{compared.metrics[name][f'{metric}@{k}'].mean:.4f}" for k in lengths for name in names)]
        for metric in METRICS
    ]
    return table(heads, rows, numeric=set(range(1, len(heads))))


def _champion(dossier: Dossier) -> Markup:
    compared, policy = dossier.compared, dossier.policy
    lines = []
    for key, found in compared.against[CHAMPION].items():
        metric, _, k = key.partition("@")
        base = compared.metrics[CHAMPION][key].mean
        if int(k) == compared.k and base:
            margin = policy.margin if metric == policy.metric else None
            lines.append(_relative(_spelt(key), found, base, margin, policy.min_differing))
    title = "Challenger against champion, of the champion's value"
    unit = f"{compared.level:.0%} intervals, paired; the dashed mark is the loss that is tolerated"
    return interval_chart(lines, title=title, unit=unit, percent=True)


def _relative(name: str, found: Interval, base: float, margin: float | None, min_differing: int) -> Line:
    kind: Kind = "good" if found.above_zero else "refused" if found.below_zero else "neutral"
    if margin is not None:
        kind = _BADGES[comparison_verdict(found, margin * base, least=min_differing)]
    limit = None if margin is None else -margin
    return Line(name, found.low / base, found.mean / base, found.high / base, kind, limit)


def _cohorts(dossier: Dossier) -> Markup:
    compared, policy = dossier.compared, dossier.policy
    lines, rows = [], []
    for name, cohort in compared.cohorts.items():
        found = cohort.differences.get(policy.metric)
        result = badge(f"too small, needs {policy.cohort_people:,}", "neutral")
        if found is not None:
            if cohort.rival_mean:
                lines.append(_relative(name, found, cohort.rival_mean, policy.cohort_margin, policy.min_differing))
            outcome = comparison_verdict(found, policy.cohort_margin * cohort.rival_mean, least=policy.min_differing)
            result = badge("cannot be told" if outcome == "unclear" else outcome, _BADGES[outcome])
        rows.append((shorten(name), number(cohort.people), f"{cohort.rival_mean:.4f}", _difference(found), result))
    rival = model_name(_rival(compared.cohorts))
    metric = _spelt(f"{policy.metric}@{compared.k}")
    heads = ("cohort", "people", f"{metric} of {rival}", "difference", "")
    unit = f"{compared.cohort_level:.1%} intervals, so that all hold at {compared.level:.0%}"
    return join(
        [
            interval_chart(lines, title=f"{metric} against {rival}, of its value", unit=unit, percent=True),
            table(heads, rows, numeric={1, 2, 3}),
        ]
    )


def _rival(cohorts: Mapping[str, Cohort]) -> str:
    return next(iter(cohorts.values())).rival


def _difference(found: Interval | None) -> str:
    return "" if found is None else f"{found.mean:+.4f}"


def _tuning(trials: Sequence[Mapping[str, Any]], stopped: str) -> Markup:
    scored = [(trial, float(np.mean(trial["scores"]))) for trial in trials if trial.get("scores")]
    worth = [score if trial.get("state") == "done" else None for trial, score in scored]
    best: list[float | None] = []
    for value in worth:
        known = [each for each in (*best, value) if each is not None]
        best.append(max(known) if known else None)
    chart = line_chart(
        [str(trial.get("number", n)) for n, (trial, _) in enumerate(scored)],
        {"best so far": best, "this trial": worth},
        title="Trials",
        unit="mean of the metric over time-ordered folds",
    )
    leading = sorted((pair for pair in scored if pair[0].get("state") == "done"), key=lambda pair: -pair[1])[:5]
    rows = [
        (str(trial.get("number", "")), str(trial.get("kind", "")), _values(trial.get("values", {})), f"{score:.4f}")
        for trial, score in leading
    ]
    note = [tag("p", f"{stopped}.", class_="note")] if stopped else []
    return join([chart, table(("trial", "kind", "settings", "mean"), rows, numeric={3}), *note])


def _learning(facts: Mapping[str, Any]) -> Markup | None:
    """Return a chart of the objective by iteration; None for a model trained without iterations."""
    left = facts.get("learning")
    if left:
        return line_chart(
            [str(n) for n in range(len(left) + 1)],
            {"challenger": [1.0, *left]},
            title="What is left of the objective",
            unit="weighted squared error and penalty on the training set after each iteration; 1 without factors",
        )
    if facts.get("engine", {}).get("name") == "mllib":
        return tag("p", "MLlib shows no factors between its iterations, so there is no curve.", class_="note")
    return None


def _values(values: Mapping[str, Any]) -> str:
    parts = (f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items())
    return ", ".join(parts) or "as in shop.toml"


def _data(dossier: Dossier) -> Markup:
    facts = dossier.facts
    rows = [(label, _fact(facts[name])) for name, label in _FACTS.items() if name in facts]
    parts: list[Markup] = [table(("", ""), rows)]
    if dossier.drift:
        reasons = [tag("li", str(reason)) for reason in dossier.drift.get("reasons", ())]
        decision = str(dossier.drift.get("decision", ""))
        parts += [tag("p", "Drift before this training: ", badge(decision, "neutral")), tag("ul", *reasons)]
    if dossier.notes:
        parts.append(tag("ul", *(tag("li", note) for note in dossier.notes), class_="note"))
    return join(parts)


_FACTS = {
    "since": "events since",
    "cutoff": "trained before",
    "as_of": "judged by the days before",
    "pairs": "pairs of a person and an item",
    "people": "people",
    "items": "items",
    "judges": "people who judge",
    "training_set": "training set",
}


def _fact(value: Any) -> str:
    if isinstance(value, int | float):
        return number(value)
    # The day is enough for an instant, and the first digits for a digest.
    return str(value)[:10] if str(value)[4:5] == "-" else str(value)[:16]


def _bold(text: str, chosen: bool) -> str:
    return tag("b", text) if chosen else text
