"""Reading `shop.toml`: what is wrong is named, with the remedy."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter

from pipelines.settings import REPOSITORY
from refit.config import Calendar, Shop, load_shop
from refit.errors import ConfigurationError

ShopWriter = Callable[..., Path]
REAL_DAYS = REPOSITORY.parent / "shared" / "data" / "online_retail" / "by_day"


def test_a_shop_is_read_with_its_defaults(write_shop: ShopWriter) -> None:
    shop = load_shop(write_shop(), "corner")
    assert (shop.name, shop.title) == ("corner", "A corner shop")
    assert shop.calendar.first_day == date(2026, 1, 1)
    assert shop.events.weights == {"purchase": 1.0}
    assert (shop.als.rank, shop.als.seed, shop.lists.k) == (32, 1, 20)
    assert shop.training.window == timedelta(days=365)
    assert shop.mapping("users") is None
    assert "FROM stock" in (shop.mapping("items") or "")


@pytest.mark.parametrize("name", sorted(path.parent.name for path in REPOSITORY.glob("shops/*/shop.toml")))
def test_the_shops_of_the_repository_are_valid(name: str) -> None:
    assert load_shop(REPOSITORY / "shops", name).name == name


@pytest.mark.skipif(not REAL_DAYS.is_dir(), reason="the real days of online_retail lie beside the checkout")
def test_the_calendar_of_the_real_shop_ends_with_a_whole_day() -> None:
    """On the same weekday of the weeks before hardly anything came after the last order of the last day."""
    shop = load_shop(REPOSITORY / "shops", "online_retail")
    last = shop.calendar.last_day
    assert last is not None

    def times(day: date) -> list[str]:
        with gzip.open(REAL_DAYS / f"{day}.csv.gz", "rt", encoding="utf-8", newline="") as lines:
            return [line["InvoiceDate"][11:] for line in csv.DictReader(lines)]

    ends = max(times(last))
    before = [at for weeks in range(1, 5) for at in times(last - timedelta(weeks=weeks))]
    later = sum(at > ends for at in before)
    assert later <= shop.validation.max_silent_share * len(before)


def test_an_unknown_shop_is_refused_with_the_known_ones(write_shop: ShopWriter) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load_shop(write_shop(), "cornr")
    assert str(refusal.value).startswith("there is no shop 'cornr' in ")
    assert str(refusal.value).endswith("; known shops are corner; set REFIT_SHOP")


def test_a_folder_without_shops_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="known shops are none; set REFIT_SHOP"):
        load_shop(tmp_path, "corner")


@pytest.mark.parametrize(
    ("replace", "append", "parts"),
    [
        ({"title =": "titel ="}, "", ["it knows no titel; did you mean title?; then mend title"]),
        ({'title = "A corner shop"': ""}, "", ['has no title; write at its top, for example, title = "A corner shop"']),
        ({}, "rnak = 8", ["[evaluation] knows no rnak; known are baselines, cohorts, k, "]),
        ({}, "[alss]\nseed = 1", ["knows no alss; did you mean als?"]),
        ({"[als]\nseed = 1": ""}, "", ["has no table [als]; add [als] with, for example, seed = 20260101"]),
        ({"[als]\nseed = 1": "[als]"}, "", ["[als] has no seed; write below [als], for example, seed = 20260101"]),
        ({"[als]": "[als]\nrank = 0"}, "", ["[als] rank = 0 must be 1 or more; for example rank = 32"]),
        ({"[als]": '[als]\nrank = "big"'}, "", ['[als] rank = "big" must be a whole number; for example rank = 32']),
        ({"[als]": "[als]\nregularisation = -0.1"}, "", ["[als] regularisation = -0.1 must be more than 0"]),
        ({"[als]": "[als]\nengine = true"}, "", ["[als] engine = true must be 'auto', 'mllib' or 'implicit'"]),
        ({"[als]": "[als]\nnonnegative = 7"}, "", ["[als] nonnegative = 7 must be true or false"]),
        ({'"sunday"': '"Sonntag"'}, "", ["[calendar] closed_weekdays = \"Sonntag\" must be 'monday', "]),
        ({'["sunday"]': '"sunday"'}, "", ['[calendar] closed_weekdays = "sunday" must be a list']),
        ({"2026-01-01": '"New Year"'}, "", ['[calendar] first_day = "New Year" must be a day written YYYY-MM-DD']),
        (
            {},
            "[promotion]\nmin_people = 100",
            ["promotion.min_people = 100", "training.min_people = 50", "raise training.min_people or lower"],
        ),
        (
            {"[evaluation]": "[evaluation]\nmax_people = 30"},
            "[promotion]\nmin_people = 40",
            ["promotion.min_people = 40", "evaluation.max_people = 30"],
        ),
        (
            {},
            "[promotion]\nmargin = 0.2",
            ["promotion", "margin = 0.2", "max_total_loss = 0.1 in all; raise max_total_loss or lower margin"],
        ),
        ({"2026-01-01": "2026-02-30"}, "", ["is not valid TOML"]),
        ({'title = "A': "title = A"}, "", ["is not valid TOML"]),
        ({"{ purchase = 1.0 }": "{ purchase = 0.0 }"}, "", ["[events] weights.purchase = 0.0 must be more than 0"]),
        ({"{ purchase = 1.0 }": "1.0"}, "", ["[events] weights = 1.0 must be a table", "weights = { purchase = 1.0 }"]),
        (
            {'relevant = ["purchase"]': 'relevant = ["sale"]'},
            "",
            ["[events] cannot be used: event types ['sale'] have no entry in events.weights"],
        ),
        (
            {'format = "csv"\npath = "{DATA}/orders': 'path = "{DATA}/orders'},
            "",
            ['[sources.orders] has no format; write below [sources.orders], for example, format = "csv"'],
        ),
        ({}, "[sources.more]\nformat = 1", ["[sources.more] format = 1 must be text in quotes"]),
        ({}, '[promotion]\nmetric = "auc"', ["[promotion] metric = \"auc\" must be 'ndcg'"]),
        ({}, "[lists.gate]\nmin_filled = 1.5", ["[lists.gate] min_filled = 1.5 must be 1 or less"]),
        ({}, "[lists]\nboosts = [{ factor = 2.0 }]", ["[lists.boosts] has no where; write below [lists.boosts], for "]),
        ({}, "[cleaning]\nbots = true", ["[cleaning.bots] = true must be a table"]),
        ({}, '[tuning.space.als]\nrank = { low = "a" }', ['[tuning.space.als.rank] low = "a" must be a number']),
        (
            {},
            "[simulation]\nseed = 1\nfirst_day = 2026-01-01\ndays = 0",
            ["simulated shop: days = 0 must be more than 0"],
        ),
    ],
)
def test_what_is_wrong_is_named_with_what_to_write(
    write_shop: ShopWriter, replace: dict[str, str], append: str, parts: list[str]
) -> None:
    shops = write_shop(replace=replace, append=append)
    with pytest.raises(ConfigurationError) as refusal:
        load_shop(shops, "corner")
    message = str(refusal.value)
    assert message.startswith(f"{shops / 'corner' / 'shop.toml'}")
    assert [part for part in parts if part not in message] == []
    assert "\n" not in message
    assert not re.search(r"[Ii]nput|[Ff]ield required|not permitted|\bvalid (?!TOML)|[Vv]alue error", message), message


def parts_of(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every table that a shop.toml may have, with its name."""
    yield above or "top", model
    for name, field in model.model_fields.items():
        for part in tables_in(field.annotation):
            yield from parts_of(part, f"{above}.{name}".lstrip("."))


def tables_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for inner in get_args(annotation) for part in tables_in(inner)]


@pytest.mark.parametrize(("name", "part"), [pytest.param(*pair, id=pair[0]) for pair in parts_of(Shop)])
def test_whatever_must_be_written_has_an_example_that_can_be_used(name: str, part: type[BaseModel]) -> None:
    """An example that a validator would refuse sends people in circles."""
    for key, field in part.model_fields.items():
        if not field.is_required() or key in ("name", "folder") or tables_in(field.annotation):
            continue  # the folder says name and folder; of a table its values are examples
        assert field.examples, f"[{name}] {key} has no example"
        wanted: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        TypeAdapter(wanted).validate_python(field.examples[0])


def test_whoever_writes_what_each_sentence_says_ends_with_a_shop(write_shop: ShopWriter) -> None:
    """Beginning with an empty file."""
    shops = write_shop()
    file = shops / "corner" / "shop.toml"
    tables: dict[str, list[str]] = {"": []}
    while len(tables) < 7:
        lines = [line for name, values in tables.items() for line in [f"[{name}]" if name else "", *values]]
        file.write_text("\n".join(lines), encoding="utf-8")
        with pytest.raises(ConfigurationError) as refusal:
            load_shop(shops, "corner")
        said = re.search(r"(?:at its top|add \[(\S+)\]).* for example, (.+?)(?:; then|$)", str(refusal.value))
        assert said, str(refusal.value)
        table = (said[1] or "").replace("NAME", "orders")
        assert not tables.get(table), f"asked for twice: {refusal.value}"
        tables[table] = said[2].split(" and ")
    lines = [line for name, values in tables.items() for line in [f"[{name}]" if name else "", *values]]
    file.write_text("\n".join(lines), encoding="utf-8")
    assert load_shop(shops, "corner").sources["orders"].format == "csv"


@pytest.mark.parametrize("table", ["interactions", "items"])
def test_a_shop_maps_interactions_and_items(write_shop: ShopWriter, table: str) -> None:
    shops = write_shop(sources={table: None})
    with pytest.raises(ConfigurationError, match=rf"sources/{table}\.sql; every shop maps {table}$"):
        load_shop(shops, "corner")


def test_a_simulation_spans_the_days_of_the_calendar(write_shop: ShopWriter) -> None:
    shops = write_shop(append="[simulation]\nseed = 1\nfirst_day = 2026-01-01\ndays = 10")
    with pytest.raises(ConfigurationError, match="the simulation spans 2026-01-01 to 2026-01-10, the calendar"):
        load_shop(shops, "corner")


def test_settings_cannot_be_changed_after_they_are_read(write_shop: ShopWriter) -> None:
    shop = load_shop(write_shop(), "corner")
    with pytest.raises(ValueError, match="frozen"):
        shop.als.rank = 8


def test_open_days_leave_out_closed_weekdays_and_closed_days() -> None:
    """1 January 2026 is a Thursday; the 4th is a Sunday; the end of the interval is not part of it."""
    calendar = Calendar(
        first_day=date(2026, 1, 1), closed_weekdays=("sunday",), closed_days=(date(2026, 1, 1), date(2026, 1, 6))
    )
    assert calendar.open_days(date(2026, 1, 1), date(2026, 1, 8)) == [
        date(2026, 1, 2),
        date(2026, 1, 3),
        date(2026, 1, 5),
        date(2026, 1, 7),
    ]
    assert calendar.open_days(date(2026, 1, 8), date(2026, 1, 8)) == []
    assert calendar.open_days(date(2026, 1, 9), date(2026, 1, 8)) == []
