"""The page of a replay: what each drift policy would have done on past weeks, and what that was worth."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from refit.pages.charts import line_chart
from refit.pages.html import Section, page, table
from refit.replays import Score

HEADS = ("policy", "checks", "retrained", "refused", "needless", "missed", "judged", "metric", "seconds", "saved")
STEP_HEADS = ("as of", "champion trained at", "decision", "gain of a new model", "reasons")


def score_rows(scores: Sequence[Score]) -> list[tuple[str, ...]]:
    """Return one row of text per score, in the order of `HEADS`."""
    return [
        (
            score.policy,
            f"{score.steps}",
            f"{score.retrained}",
            f"{score.refused}",
            f"{score.needless}",
            f"{score.missed}",
            f"{score.judged}",
            f"{score.quality:.4f}",
            f"{score.seconds:.0f}",
            f"{score.saved:.0%}",
        )
        for score in scores
    ]


def as_csv(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """Return a table for spreadsheets."""
    text = io.StringIO()
    csv.writer(text).writerows([heads, *rows])
    return text.getvalue().encode()


def replay_page(
    title: str,
    scores: Sequence[Score],
    labels: Sequence[str],
    lines: Mapping[str, Sequence[float | None]],
    steps: Sequence[Sequence[str]],
    *,
    metric: str,
    margin: float,
    days: int,
) -> str:
    """Return the page; *lines* are the *metric* of the served model at each of *labels*, *steps* the rows below it."""
    legend = (
        f"A retraining is needless when {metric} over the {days} days that follow gains less than {margin:.0%} of the "
        "champion's, and missed when it would have gained more and was not done; judged are the checks with days "
        "enough after them. Seconds are those of training, saved is against a retraining at every check."
    )
    return page(
        title,
        [
            Section("Policies", table(HEADS, score_rows(scores), numeric=range(1, len(HEADS)))),
            Section("The served model", line_chart(labels, lines, title=f"{metric} on the days after each check")),
            Section("Check by check", table(STEP_HEADS, steps, numeric={3})),
        ],
        kicker="Replay of the drift gate",
        summary=legend,
    )
