"""The page of a replay: what each drift policy would have done on past weeks, with its cost and quality."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from refit.backtest.replay import ALWAYS, Played, Score
from refit.rendering.charts import line_chart
from refit.rendering.document import Section, page, table

HEADS = (
    "policy",
    "checks",
    "retrained",
    "promoted",
    "refused",
    "needless",
    "missed",
    "judged",
    "metric",
    "training s",
    "tuning s",
    "saved",
)
STEP_HEADS = ("as of", "champion trained at", "decision", "promotion gate", "gain of a new model", "reasons")
WEEKS = ("all", "first half", "second half")


def score_rows(scores: Sequence[Score]) -> list[tuple[str, ...]]:
    """Return one row of text per score, in the order of `HEADS`."""
    return [
        (
            score.policy,
            f"{score.steps}",
            f"{score.retrained}",
            f"{score.promoted}",
            f"{score.refused}",
            f"{score.needless}",
            f"{score.missed}",
            f"{score.judged}",
            f"{score.quality:.4f}",
            f"{score.training_seconds:.0f}",
            f"{score.tuning_seconds:.0f}",
            f"{score.saved:.0%}",
        )
        for score in scores
    ]


def policy_rows(played: Played) -> list[tuple[str, ...]]:
    """Return the rows of all weeks, the first half and the second half, each prefixed with its name."""
    parts = zip(WEEKS, (played.scores, played.first, played.second), strict=True)
    return [(weeks, *row) for weeks, scores in parts for row in score_rows(scores)]


def choice_of(played: Played) -> str:
    """Return a sentence: the policy chosen on the first half of the weeks, and its result on the second."""
    if played.chosen is None:
        return "There are too few weeks to choose a policy on one half of them and to report it on the other."
    found = next(score for score in played.second if score.policy == played.chosen)
    always = next(score for score in played.second if score.policy == ALWAYS)
    share = f", {found.quality / always.quality:.1%} of what retraining always reaches" if always.quality else ""
    return (
        f"The first half of the weeks chooses the policy {played.chosen!r}; on the second half it retrains at "
        f"{found.retrained} of {found.steps} checks, saves {found.saved:.0%} and ends at {found.quality:.4f}{share}."
    )


def as_csv(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """Return a table as CSV."""
    text = io.StringIO()
    csv.writer(text).writerows([heads, *rows])
    return text.getvalue().encode()


def replay_page(
    title: str,
    played: Played,
    labels: Sequence[str],
    lines: Mapping[str, Sequence[float | None]],
    steps: Sequence[Sequence[str]],
    *,
    metric: str,
    margin: float,
    days: int,
) -> str:
    """Return the page; *lines* holds the *metric* of the served model at each of *labels*, *steps* the table rows."""
    legend = (
        f"A retraining is needless when the promotion gate refuses the new model or {metric} over the {days} days that "
        f"follow gains no more than {margin:.0%} of the champion's, and missed when it would have been proposed and "
        "gained more and was not done; judged are the checks with days enough after them. Seconds are those of "
        "training and of tuning, saved is against a retraining at every check. Every model that the promotion gate "
        f"proposes is promoted. {choice_of(played)}"
    )
    numeric = range(1, len(HEADS))
    halves = [
        Section(f"The {name} of the weeks", table(HEADS, score_rows(scores), numeric=numeric))
        for name, scores in zip(WEEKS[1:], (played.first, played.second), strict=True)
        if scores
    ]
    return page(
        title,
        [
            Section("Policies", table(HEADS, score_rows(played.scores), numeric=numeric)),
            *halves,
            Section("The served model", line_chart(labels, lines, title=f"{metric} on the days after each check")),
            Section("Check by check", table(STEP_HEADS, steps, numeric={4})),
        ],
        kicker="Replay of the drift gate",
        summary=legend,
    )
