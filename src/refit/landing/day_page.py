"""The data page of one day: row counts, checks, and the events that were quarantined, removed or altered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from markupsafe import Markup

from refit.interfaces import Check
from refit.landing.day_ledger import DayLedger, Example
from refit.rendering.charts import line_chart, stacked_bar, swatch
from refit.rendering.document import Section, badge, join, number, page, percent, shorten, table, tag

_DAYS = 60
"""Days of history in the chart of volumes."""
_EXAMPLES = 5
"""Examples shown for each reason."""
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_KINDS = {
    "exact_repeats": "Equal to another event of the day in every column; one of them is kept.",
    "keyed_repeats": "Told more than once, by the columns that name an event; one of them is kept.",
    "cancelled": "Orders that were taken back in full on the same day, and the cancellations that did so.",
    "bots": "From people whose day looks like that of a program by its rate, breadth and regularity.",
    "outliers": "With a value far beyond those of the day's other events of the same type.",
    "over_the_cap": "Beyond the number of events that one person may have in a day; the newest are kept.",
    "capped_values": "A value far above the day's others was lowered to a high quantile of them.",
    "partly_cancelled": "A part was taken back on the same day; the value is what is left of it.",
    "imputed": "Missing context was filled with what is typical of the day.",
    "normalised": "Spellings or units were brought to one form.",
}
"""Kind of cleaning -> what it does, for readers who do not know the shop's configuration."""


def data_page(
    *,
    shop_title: str,
    ledger: DayLedger,
    history: Sequence[DayLedger],
    checks: Sequence[Check],
    examples: Sequence[Example],
    whys: Mapping[str, str],
    landing: str,
    refused: Sequence[str] = (),
) -> str:
    """
    Return the report of one day as an HTML document.

    *history* holds the ledgers of the days before, oldest first; the chart shows its last 60 days, with a gap for a day
    without a ledger. *examples* of other days are ignored, and the first five of each reason are shown. *whys* explains
    row rules; for a kind of cleaning it overrides the built-in explanation. *landing* is the id of the landing that
    wrote the day. *refused* gives the reasons why the day did not become visible; a broken critical check refuses it
    too. Counts that do not add up and a day without any check are shown as warnings.
    """
    day = date.fromisoformat(ledger.day)
    broken = [check for check in checks if not check.passed]
    reasons = [*refused] or [_sentence(check) for check in broken if check.severity == "critical"]
    missing = ledger.rows_in - ledger.quarantined - sum(ledger.removed.values()) - ledger.kept
    own = [example for example in examples if example.day == ledger.day]
    if reasons:
        verdict = badge("refused", "refused")
    elif broken or missing or not checks:
        verdict = badge("landed with warnings", "warning")
    else:
        verdict = badge("landed", "good")
    sections = [
        Section("Where every row went", _row_counts(ledger, missing, bool(reasons))),
        Section("Volume over time", _volumes(ledger, day, history)),
        Section("What was checked", _checked(checks)),
        Section("What was set apart", _set_apart(ledger, own, whys)),
        Section("What cleaning left out or altered", _cleaned(ledger, own, whys)),
    ]
    if reasons:
        sections.insert(0, Section("Why it is refused", _refusal(reasons)))
    return page(
        f"{_WEEKDAYS[day.weekday()]}, {day.day} {_MONTHS[day.month - 1]} {day.year}",
        sections,
        summary=_summary(ledger, checks, bool(reasons)),
        kicker=f"{shop_title} · data of one day",
        verdict=verdict,
        foot=join(
            ["Landing ", tag("code", landing), ". Days are those of the shop's clock. People appear under pseudonyms."]
        ),
    )


def _summary(ledger: DayLedger, checks: Sequence[Check], is_refused: bool) -> str:
    share = f" ({percent(ledger.kept, ledger.rows_in)})" if ledger.rows_in else ""
    if is_refused:
        outcome = f"{ledger.rows_in:,} events were read; nothing of the day became visible."
    else:
        outcome = f"{ledger.rows_in:,} events were read, {ledger.kept:,} are kept{share}."
    failed = sum(not check.passed for check in checks)
    if not checks:
        return f"{outcome} Nothing was checked."
    if not failed:
        return f"{outcome} {len(checks):,} of {len(checks):,} checks passed."
    return f"{outcome} {failed:,} of {len(checks):,} checks {'is' if failed == 1 else 'are'} broken."


def _refusal(reasons: Sequence[str]) -> Markup:
    return tag(
        "div",
        tag("ul", *(tag("li", reason) for reason in reasons)),
        tag("p", "Nothing of the day became visible; what was landed before still serves."),
        class_="notice refused",
    )


def _row_counts(ledger: DayLedger, missing: int, is_refused: bool) -> Markup:
    kept = "would be kept" if is_refused else "kept"
    groups = {kept: ledger.kept, "set apart": ledger.quarantined}
    groups.update({_name(kind): count for kind, count in ledger.removed.items()})
    always = (kept, "set apart")
    terms = [f"{count:,} {name}" for name, count in groups.items() if count or name in always]
    rows = [
        [join([swatch(position), name]), f"{count:,}", percent(count, ledger.rows_in)]
        for position, (name, count) in enumerate(groups.items())
    ]
    total = [tag("b", "read"), tag("b", f"{ledger.rows_in:,}"), tag("b", percent(ledger.rows_in, ledger.rows_in))]
    parts = [tag("p", f"{ledger.rows_in:,} read = {' + '.join(terms)}", class_="lead")]
    if missing:
        sentence = f"This does not add up: {abs(missing):,} {'missing' if missing > 0 else 'too many'}."
        parts = [tag("p", f"{ledger.rows_in:,} read ≠ {' + '.join(terms)}", class_="lead"), _warning(sentence)]
    parts.append(stacked_bar(groups, title="Events by what became of them", legend=False))
    parts.append(table(["Events", "Rows", "Share"], [*rows, total], numeric={1, 2}))
    return join(parts)


def _volumes(ledger: DayLedger, day: date, history: Sequence[DayLedger]) -> Markup:
    weekday = _WEEKDAYS[day.weekday()]
    median = ledger.weekday_median
    if median is None:
        sentence = f"There are too few {weekday}s before this one to say what is usual."
    else:
        share = f"{percent(ledger.kept, median)} of " if median else "against "
        sentence = f"{ledger.kept:,} events are {share}the median of the {weekday}s before, {number(median)}."
    oldest = day - timedelta(days=_DAYS)
    before = {date.fromisoformat(past.day): past for past in history}
    known = {when: past for when, past in before.items() if oldest <= when < day}
    if not known:
        return join([tag("p", sentence), tag("p", "There is no earlier day to draw.", class_="note")])
    known[day] = ledger
    days = [min(known) + timedelta(days=n) for n in range((day - min(known)).days + 1)]
    found = [known.get(when) for when in days]
    series: dict[str, list[float | None]] = {
        "kept": [past.kept if past else None for past in found],
        "set apart": [past.quarantined if past else None for past in found],
    }
    medians = [past.weekday_median if past else None for past in found]
    if any(value is not None for value in medians):
        series["median of the weekday"] = medians
    names = [f"{when.day} {_MONTHS[when.month - 1][:3]}" for when in days]
    chart = line_chart(names, series, title="Events per day", marked=len(days) - 1)
    return join([tag("p", sentence), chart])


def _checked(checks: Sequence[Check]) -> Markup:
    if not checks:
        return _warning("Nothing was checked.")
    rows = []
    # Broken checks come first, critical before warnings; otherwise the order of the suite is kept.
    for check in sorted(checks, key=lambda check: (check.passed, not check.passed and check.severity != "critical")):
        subject = tag("span", f" {check.suite} · {check.column or 'whole table'} · {check.severity}", class_="muted")
        what = join([tag("code", check.name), subject, tag("p", _as_sentence(check.why), class_="note")])
        # A rule about the whole table has no breaking rows, and row counts are not collected where every rule passes.
        found = f"{check.unexpected:,} of {check.rows:,}" if check.rows else ("none" if check.passed else "—")
        rows.append([what, _outcome(check), found, shorten("" if check.observed == "[]" else check.observed, 80)])
    return table(["Rule, table, column and severity", "Result", "Broken by", "Seen"], rows, numeric={2})


def _outcome(check: Check) -> Markup:
    # A page full of green pills would hide the red one.
    if check.passed:
        return tag("span", "✓ passed", class_="passed")
    return badge("broken", "refused" if check.severity == "critical" else "warning")


def _set_apart(ledger: DayLedger, examples: Sequence[Example], whys: Mapping[str, str]) -> Markup:
    cleaning = {*ledger.removed, *ledger.changed}
    unknown = {example.reason: 0 for example in examples if example.reason not in cleaning | set(ledger.broken)}
    blocks = _reasons({**ledger.broken, **unknown}, ledger.rows_in, examples, whys)
    if not blocks:
        return tag("p", "No event broke a rule about single rows.")
    share = percent(ledger.quarantined, ledger.rows_in)
    explanation = f"{ledger.quarantined:,} events ({share}) are in quarantine, where they can be mended and replayed."
    if sum(ledger.broken.values()) > ledger.quarantined:
        explanation += " An event that breaks two rules is listed under both."
    return join([tag("p", explanation), *blocks])


def _cleaned(ledger: DayLedger, examples: Sequence[Example], whys: Mapping[str, str]) -> Markup:
    parts = []
    left_out = _reasons(ledger.removed, ledger.rows_in, examples, whys)
    if left_out:
        total = sum(ledger.removed.values())
        parts += [tag("p", f"{total:,} events ({percent(total, ledger.rows_in)}) were left out."), *left_out]
    altered = _reasons(ledger.changed, ledger.rows_in, examples, whys)
    if altered:
        times = sum(ledger.changed.values())
        parts += [tag("p", f"Events that are kept were altered {times:,} times.", class_="next"), *altered]
    return join(parts) if parts else tag("p", "Nothing was left out and nothing was altered.")


def _reasons(
    counts: Mapping[str, int], rows: int, examples: Sequence[Example], whys: Mapping[str, str]
) -> list[Markup]:
    """Return one block per reason that occurred, most frequent first: count, explanation and examples."""
    blocks = []
    for reason, count in sorted(counts.items(), key=lambda pair: -pair[1]):
        own = [example.row for example in examples if example.reason == reason]
        if not count and not own:
            continue
        many = tag(
            "span", f" · {count:,} {'event' if count == 1 else 'events'}, {percent(count, rows)}", class_="muted"
        )
        why = whys.get(reason) or _what_it_does(reason) or "nobody has said why"
        blocks.append(join([tag("h3", _name(reason), many), tag("p", _as_sentence(why)), _example_table(own, count)]))
    return blocks


def _example_table(rows: Sequence[Mapping[str, Any]], count: int) -> Markup:
    if not rows:
        return join([])
    shown = rows[:_EXAMPLES]
    columns = list(dict.fromkeys(column for row in shown for column in row))
    numeric = {
        position
        for position, column in enumerate(columns)
        if all(isinstance(row.get(column), int | float) and not isinstance(row.get(column), bool) for row in shown)
    }
    cells = [[_value(row[column]) if column in row else "" for column in columns] for row in shown]
    note = tag("p", f"{len(shown):,} of {max(count, len(rows)):,}, as read.", class_="note")
    return join([table(columns, cells, numeric=numeric), note])


def _value(value: Any) -> Markup:
    """Return a JSON value as it was read, with invisible characters such as tabs escaped."""
    if value is None or value == "":
        return tag("span", "null" if value is None else "empty text", class_="muted")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    seen = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)
    return tag("code", shorten(f'"{seen}"' if isinstance(value, str) and seen != seen.strip() else seen, 28))


def _sentence(check: Check) -> str:
    broken = f"{check.unexpected:,} of {check.rows:,} rows break it" if check.unexpected else "it is broken"
    return f"{check.name}: {broken}, seen {shorten(check.observed, 80)} ({check.why})"


def _name(reason: str) -> str:
    """Return a kind of cleaning in words; an unknown kind keeps its name, so that it can be searched for."""
    return reason.replace("_", " ") if reason in _KINDS else reason


def _what_it_does(reason: str) -> str | None:
    """Return the explanation of a kind of cleaning; `imputed_country` is the kind `imputed` applied to a column."""
    return next((does for kind, does in _KINDS.items() if reason == kind or reason.startswith(f"{kind}_")), None)


def _as_sentence(why: str) -> str:
    return f"{why[:1].upper()}{why[1:].rstrip('.')}."


def _warning(sentence: str) -> Markup:
    return tag("div", tag("p", sentence), class_="notice warning")
