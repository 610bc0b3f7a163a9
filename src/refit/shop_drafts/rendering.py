"""Writes the files of a shop from its draft."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterable
from datetime import timedelta

from refit.config.data import Validation
from refit.shop_drafts.drafting import Draft
from refit.shop_drafts.mappings import Mapped
from refit.shop_drafts.tables import Table, as_option

_WIDTH = 110
_LONG_ENOUGH = 8
"""Weeks of history that are enough for the default holdout."""
_DEFAULTS = Validation()


def files(draft: Draft, name: str, data: str) -> dict[str, str]:
    """Return path relative to the shop's folder -> content; *data* is where the tables were found."""
    written = {
        "shop.toml": shop_toml(draft, name, data),
        "sources/interactions.sql": _sql(draft.interactions, "Who did what to which item, and when."),
        "sources/items.sql": _sql(draft.items, "What can be recommended, as of :until."),
    }
    if draft.users:
        written["sources/users.sql"] = _sql(draft.users, "Who may be served.")
    return written


def questions(draft: Draft) -> list[str]:
    """Return every question in the files."""
    asked = [*draft.interactions.questions, *draft.items.questions, *(draft.users.questions if draft.users else ())]
    return [
        *_clock_questions(draft),
        *_gap_questions(draft),
        *_people_questions(draft),
        *_rating_questions(draft),
        *asked,
    ]


def shop_toml(draft: Draft, name: str, data: str) -> str:
    """Return shop.toml."""
    days, first_run = draft.measures, draft.measures.last + timedelta(days=1)
    seed = int(days.first.strftime("%Y%m%d"))
    parts = [
        f"# A first draft, read off {len(days.days):,} days of data. What begins with `# Question` wants an "
        "answer; delete it then.\n# docs/data.md explains the mappings, src/refit/config/ every key.",
        f"title = {json.dumps(f'The shop {name}')}",
        _calendar(draft),
        "# History before this day is landed in one interval, and the first model is trained as of it.\n"
        f"[first_run]\nas_of = {first_run}",
        *[_source(draft, table) for table in draft.sources],
        _events(draft),
        *_ratings(draft),
        *_training(draft),
        f"[als]\n# Any number; the same one gives the same model.\nseed = {seed}",
        f"[evaluation]\nseed = {seed}" + (f"\ncohorts = [{json.dumps(draft.segment)}]" if draft.segment else ""),
        _drift(draft),
        _validation(draft),
        *(["[cleaning]\ncancellations = true"] if draft.events.types.cancellation else []),
    ]
    return "\n\n".join(parts) + "\n"


def _calendar(draft: Draft) -> str:
    days = draft.measures
    lines = ["[calendar]", f"first_day = {days.first}"]
    lines += ["# Delete this line for a shop that is alive.", f"last_day = {days.last}"]
    lines += _comments(_clock_questions(draft))
    lines += [f"time_zone = {json.dumps(draft.events.time_zone)}"]
    if days.closed_weekdays:
        lines += ["# Nothing ever happened on these.", f"closed_weekdays = {_list(days.closed_weekdays)}"]
    if days.has_usual_gaps:
        lines += [*_comments(_gap_questions(draft)), "empty_days_are_normal = true"]
    elif days.closed_days:
        lines += [
            f"# Nothing happened on these {len(days.closed_days)} days, which must be told from days that are lost."
        ]
        lines += [f"closed_days = [\n{_wrapped(map(str, days.closed_days))}\n]"]
    return "\n".join(lines)


def _clock_questions(draft: Draft) -> list[str]:
    zone = draft.events.time_zone
    if draft.events.has_clock:
        return [
            f"The data do not say the zone of their times, taken as {zone}: whose clock are they, e.g. Europe/London?"
        ]
    return [f"Days are cut by the clock of {zone}: what is the zone of the shop, e.g. Europe/London?"]


def _gap_questions(draft: Draft) -> list[str]:
    if not draft.measures.has_usual_gaps:
        return []
    empty, first, last = len(draft.measures.closed_days), draft.measures.first, draft.measures.last
    return [
        f"Nothing happened on {empty:,} of the {(last - first).days + 1:,} days from {first} to {last}: are such days "
        "normal, or are days lost?"
    ]


def _people_questions(draft: Draft) -> list[str]:
    if draft.users:
        return []
    return ["No table says who consents, so everybody is served: is consent needed? Then add sources/users.sql."]


def _source(draft: Draft, table: Table) -> str:
    lines = [f"[sources.{table.name}]", f'format = "{table.format}"']
    lines += [f"path = {json.dumps(table.path)}"] if table.path else []
    if ddl := draft.schemas.get(table.name):
        lines.append(f"columns = {json.dumps(ddl, ensure_ascii=False)}")
    if "encoding" in table.options:
        lines += _comments(["The files are no UTF-8, so they are read as windows-1252: is that how they are written?"])
    lines += [f"options = {as_option(table.options)}"] if table.options else []
    if draft.events.time_column and table == draft.events.looked.table:
        lines += [
            "# Only the asked interval crosses the wire.",
            f"time_column = {json.dumps(draft.events.time_column)}",
        ]
    return "\n".join(lines)


def _events(draft: Draft) -> str:
    types = draft.events.types
    weights = ", ".join(f"{name} = {weight}" for name, weight in types.weights.items())
    lines = ["[events]"]
    lines += _comments([f"How much wanting does {' or '.join(types.unknown)} show?"] if types.unknown else [])
    lines += [f"weights = {{ {weights} }}", f"relevant = {_list(types.relevant)}"]
    lines += [f"bought = {_list(types.bought)}"] if types.bought and "rating" not in types.weights else []
    lines += ['key = ["event_id"]'] if "event" in draft.events.looked.roles else []
    if types.cancellation:
        taken = types.bought or types.relevant
        lines += [f'cancellation = "{types.cancellation}"', f"cancels = {_list(taken)}"]
    return "\n".join(lines)


def _rating_questions(draft: Draft) -> list[str]:
    if "rating" not in draft.events.types.weights:
        return []
    return ["These are ratings, and every one counts as wanting: shall the model predict them instead?"]


def _ratings(draft: Draft) -> list[str]:
    asked = _rating_questions(draft)
    if not asked:
        return []
    then = ['Then write the next three lines, and preferences = "explicit" below [als]:']
    lines = ["[confidence]", 'value = "linear"', 'combine = "latest"']
    return ["\n".join([*_comments(asked), *[f"# {line}" for line in [*then, *lines]]])]


def _training(draft: Draft) -> list[str]:
    days = (draft.measures.last - draft.measures.first).days + 1
    if days >= 7 * _LONG_ENOUGH:
        return []
    return [
        f"[training]\n# The history is short: its last quarter judges the models.\nholdout_days = {max(1, days // 4)}"
    ]


def _drift(draft: Draft) -> str:
    found = draft.events.looked.roles
    numbers = [*(["value"] if "value" in found else []), *(["price"] if draft.most_price else [])]
    timed = "time" in found and found["time"].time and not found["time"].time.whole_days
    numbers += ["hour"] if timed else []
    types = ["event_type"] if len(draft.events.types.weights) > 1 else []
    categories = ["weekday", *types, *([draft.segment] if draft.segment else []), "top_item"]
    return f"[drift]\nnumbers = {_list(numbers)}\ncategories = {_list(categories)}"


def _validation(draft: Draft) -> str:
    days = draft.measures
    lines = ["# Read off the data, with room: a day that is further from what was seen is refused.", "[validation]"]
    lines += [f"min_rows_per_open_day = {max(1, days.fewest // 2)}", f"max_value = {_above(days.most_value)}"]
    if draft.most_price and draft.most_price > 0:
        lines += [f"max_price = {_above(draft.most_price)}"]
    if (lost := 2 * days.lost) > _DEFAULTS.max_lost_share:
        asked = f"On its worst day {days.lost:.1%} of the rows break a rule; the page of the day will say which: why?"
        lines += [*_comments([asked]), f"max_lost_share = {_up(min(0.95, lost))}"]
    if (repeated := 2 * days.repeated) > _DEFAULTS.max_removed_share:
        asked = f"On its worst day {days.repeated:.1%} of the rows repeat another one: why?"
        lines += [*_comments([asked]), f"max_removed_share = {_up(min(0.95, repeated))}"]
    if ratios := days.ratios(_DEFAULTS.weekday_weeks):
        least, most = math.floor(ratios[0] * 50) / 100, math.ceil(ratios[1] * 20) / 10
        lines += [f"# Days had {ratios[0]:.2f} to {ratios[1]:.2f} times the median of their weekday."]
        lines += [f"min_weekday_ratio = {max(0.0, min(least, 0.5))}"]
        lines += [f"warn_weekday_ratio = {max(0.0, min(round(1.6 * least, 2), 0.7))}"]
        lines += [f"max_weekday_ratio = {max(most, _DEFAULTS.max_weekday_ratio)}"]
    return "\n".join(lines)


def _above(number: float) -> int:
    """Return the power of ten above twice *number*, as the largest plausible value."""
    return int(10 ** max(1, math.ceil(math.log10(2 * max(number, 1)))))


def _up(share: float) -> float:
    return math.ceil(share * 100) / 100


def _sql(mapping: Mapped, title: str) -> str:
    lines = [f"-- {title} See docs/data.md.", *[line.replace("# ", "-- ", 1) for line in _comments(mapping.questions)]]
    return "\n".join([*lines, mapping.sql]) + "\n"


def _comments(asked: Iterable[str]) -> list[str]:
    """Return *asked* as comments of TOML."""
    wrapped = [textwrap.wrap(f"Question: {question}", _WIDTH, subsequent_indent="  ") for question in asked]
    return [f"# {line}" for lines in wrapped for line in lines]


def _list(words: Iterable[str]) -> str:
    return "[" + ", ".join(json.dumps(word) for word in words) + "]"


def _wrapped(words: Iterable[str]) -> str:
    return textwrap.fill(", ".join(words) + ",", _WIDTH, initial_indent="  ", subsequent_indent="  ")
