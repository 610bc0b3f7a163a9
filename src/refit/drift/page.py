"""The page of one drift check: the decision, every number with its limit, and one chart per feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from markupsafe import Markup

from refit.config import Drift
from refit.drift.features import WEEKDAY
from refit.drift.policy import Window, judged, rows_needed
from refit.drift.profiles import MISSING, DailyCounts, Profile
from refit.drift.statistics import DECILES, Sides, deciles, newcomers, sides
from refit.rendering.charts import paired_bars
from refit.rendering.document import Kind, Section, badge, join, number, page, table, tag
from refit.verdicts import Measure, Verdict

_EPOCH = date(1970, 1, 1)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_KINDS: dict[str, Kind] = {"skip": "good", "retrain": "warning", "refuse": "refused"}
_MOST_BARS = 24
_MEANINGS = {
    "ks": "largest distance of the cumulated shares",
    "psi": "population stability index",
    "missing": "change of the share of missing values",
    "new": "rise of the share that the model's data do not have",
}


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The inputs of a drift check."""

    shop: str
    """Title of the shop."""
    champion: int
    cutoff: datetime
    as_of: datetime
    reference: Profile
    daily: DailyCounts
    windows: Sequence[Window]


def drift_page(verdict: Verdict, checked: Checked, drift: Drift, notes: Sequence[str] = ()) -> str:
    """Return the page; *notes* are additional sentences, for example on where another report is."""
    sections = [Section("Why", _list(verdict.reasons)), Section("What was compared", _compared(checked, drift))]
    newest = checked.windows[0] if checked.windows else None
    if newest is not None:
        sections.append(Section("Every number", _numbers(verdict.measures, newest, drift)))
        sections.append(Section("Feature by feature", _pictures(checked, newest)))
    older = [_older(verdict.measures, window, n) for n, window in enumerate(checked.windows) if n]
    if older:
        heads = ("days", "features beyond", "share", "limit")
        sections.append(Section("Windows before it", table(heads, older, numeric={2, 3})))
    if notes:
        sections.append(Section("Beside this page", _list(notes)))
    return page(
        f"Drift as of {checked.as_of.date()}",
        sections,
        kicker=checked.shop,
        verdict=badge(verdict.decision, _KINDS.get(verdict.decision, "neutral")),
        summary=verdict.reasons[0] if len(verdict.reasons) == 1 else "",
    )


def _list(sentences: Sequence[str]) -> Markup:
    return tag("ul", *(tag("li", sentence) for sentence in sentences))


def _compared(checked: Checked, drift: Drift) -> Markup:
    start = checked.cutoff.date() - timedelta(days=drift.reference_days)
    rows = [
        ("champion", f"version {checked.champion}"),
        ("reference", f"{start} to {checked.cutoff.date()} (not included), stored with the champion"),
        *[("window" if n == 0 else f"window before ({n})", _span(window)) for n, window in enumerate(checked.windows)],
        ("retrain when", _rule(drift)),
    ]
    return table(("", ""), rows)


def _rule(drift: Drift) -> str:
    windows = f"{drift.moved_windows} of the last {drift.windows} windows of {drift.window_days} days"
    return (
        f"at least {drift.share_limit:.0%} of the features are beyond a limit in {windows}, or the champion's training "
        f"ended more than {drift.max_age_days} days ago"
    )


def _span(window: Window) -> str:
    return f"{_EPOCH + timedelta(days=window.first)} to {_EPOCH + timedelta(days=window.last)} (included)"


def _numbers(measures: Sequence[Measure], newest: Window, drift: Drift) -> Markup:
    by_name = {feature.name: feature for feature in newest.features}
    rows: list[Sequence[str]] = []
    for measure in measures:
        name, _, statistic = measure.name.partition(".")
        if statistic not in _MEANINGS or name not in by_name:
            continue
        feature = by_name[name]
        if judged(feature, drift):
            state = badge("within", "good") if measure.passed else badge("beyond", "warning")
        else:
            state = badge(f"not judged, needs {rows_needed(feature, drift):,}", "neutral")
        value = "none" if measure.value is None else f"{measure.value:.4f}"
        limit = "" if measure.limit is None else f"{measure.limit:g}"
        rows.append((name, statistic, value, limit, number(measure.n), state))
    heads = ("feature", "statistic", "value", "limit", "n", "")
    legend = "; ".join(f"{name}: {meaning}" for name, meaning in _MEANINGS.items())
    return join([table(heads, rows, numeric={2, 3, 4}), tag("p", f"{legend}. n is the smaller side.", class_="note")])


def _older(measures: Sequence[Measure], window: Window, back: int) -> tuple[str, str, str, str]:
    mine = [measure for measure in measures if measure.name.endswith(f".{back}")]
    share = next(measure for measure in mine if measure.name == f"share_moved.{back}")
    names = sorted({m.name.split(".")[0] for m in mine if not m.passed and m.value is not None and m is not share})
    shown = "cannot be told" if share.value is None else f"{share.value:.3f}"
    return _span(window), ", ".join(names) or "none", shown, f"{share.limit:g}"


def _pictures(checked: Checked, newest: Window) -> Markup:
    window = {day: counts for day, counts in checked.daily.items() if newest.first <= day <= newest.last}
    cutoff = (checked.cutoff.date() - _EPOCH).days
    drawn = []
    for feature in newest.features:
        left = "reference"
        if feature.name in checked.reference.tenure:
            both = newcomers(checked.reference, window, feature.name, cutoff=cutoff)
            left = "expected at this age"
        else:
            both = sides(checked.reference, window, feature.name)
        if both is None:
            drawn.append(tag("p", f"{feature.name}: nothing to draw, one side has no row", class_="note"))
            continue
        labels, before, after = picture(checked.reference, feature.name, both)
        drawn.append(
            paired_bars(labels, before, after, left_name=left, right_name="window", title=f"{feature.name} (shares)")
        )
    return join(drawn)


def picture(reference: Profile, feature: str, both: Sides) -> tuple[list[str], list[float], list[float]]:
    """Return labels and shares of both sides in few enough groups to draw, without groups that are empty on both."""
    if feature in reference.tenure:
        bars = list(zip(("known", "new"), both.reference, both.current, strict=True))
    elif feature == WEEKDAY:
        names = [_WEEKDAYS[code] for code in both.places]
        bars = list(zip(names, both.reference, both.current, strict=True))
    elif feature in reference.ruler.edges:
        bars = _number_bars(reference.ruler.edges[feature], both)
    else:
        bars = _category_bars(reference, feature, both)
    shown = [bar for bar in bars if bar[1] > 0 or bar[2] > 0]
    return [bar[0] for bar in shown], [float(bar[1]) for bar in shown], [float(bar[2]) for bar in shown]


def _number_bars(edges: Sequence[float], both: Sides) -> list[tuple[str, float, float]]:
    if len(edges) <= _MOST_BARS:
        names = [_name_of_bin(edges, code) for code in both.places]
        return list(zip(names, both.reference, both.current, strict=True))
    group = deciles(both.places, both.reference)
    before, after = (np.bincount(group, side, DECILES + 1) for side in (both.reference, both.current))
    names = []
    for tenth in range(DECILES):
        inside = [code for code, of in zip(both.places, group, strict=True) if of == tenth]
        last = edges[min(inside[-1] // 2, len(edges) - 1)] if inside else 0.0
        names.append(f"over {number(edges[-1])}" if inside and inside[-1] == 2 * len(edges) else f"to {number(last)}")
    return list(zip([*names, "missing"], before, after, strict=True))


def _name_of_bin(edges: Sequence[float], code: int) -> str:
    """Return the name of a bin; bins alternate between the range before an edge and the edge itself."""
    if code == MISSING:
        return "missing"
    edge, itself = divmod(code, 2)
    if itself:
        return number(edges[edge])
    if not edges:
        return "any"
    if edge == 0:
        return f"under {number(edges[0])}"
    if edge == len(edges):
        return f"over {number(edges[-1])}"
    return f"{number(edges[edge - 1])} to {number(edges[edge])}"


def _category_bars(reference: Profile, feature: str, both: Sides) -> list[tuple[str, float, float]]:
    bars = [
        (reference.ruler.label(feature, code), float(left), float(right))
        for code, left, right in zip(both.places, both.reference, both.current, strict=True)
    ]
    named, rest = bars[:-2], bars[-2:]
    # Show the categories that moved most, in the order of the reference.
    kept = sorted(range(len(named)), key=lambda n: -abs(named[n][1] - named[n][2]))[: _MOST_BARS - 3]
    left_out = [named[n] for n in range(len(named)) if n not in set(kept)]
    merged = [("the rest", sum(bar[1] for bar in left_out), sum(bar[2] for bar in left_out))] if left_out else []
    return [*[named[n] for n in sorted(kept)], *merged, *rest]
