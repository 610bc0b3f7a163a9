"""Cleaning: what each kind leaves out or mends, on days whose answer is known."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.cleaning import clean, without_cancelled
from refit.config import Bots, Cleaning, Events, Normalise, Outliers
from refit.errors import ConfigurationError

EVENTS = Events(
    weights={"purchase": 1.0, "view": 0.1},
    relevant=("purchase",),
    key=("order_id",),
    cancellation="cancellation",
    cancels=("purchase",),
)
OFF = Cleaning(exact_repeats=False, max_events_per_person=None)
MORNING = datetime(2026, 1, 5, 8, tzinfo=UTC)
COLUMNS = "user_id string, item_id string, event_type string, event_time timestamp, value double, order_id string"

Event = tuple[Any, ...]


def event(
    user: str = "ann",
    item: str = "tea",
    kind: str = "purchase",
    *,
    minutes: float = 0,
    value: float = 1.0,
    order: str | None = "1",
) -> Event:
    return (user, item, kind, MORNING + timedelta(minutes=minutes), float(value), order)


def intake(spark: SparkSession, events: list[Event], broken: tuple[int, ...] = ()) -> DataFrame:
    """Return the events as an intake; those at the places *broken* break a rule."""
    rows = [
        (*row, row[3].astimezone(UTC).date(), None, None, True, ["a_rule"] if place in broken else None)
        for place, row in enumerate(events)
    ]
    aside = "event_date date, local_time string, source_day date, item_known boolean, broken array<string>"
    return spark.createDataFrame(rows, f"{COLUMNS}, {aside}")


def cleaned(
    spark: SparkSession, events: list[Event], cleaning: Cleaning, *, broken: tuple[int, ...] = (), days: int = 1
) -> list[Any]:
    frame = clean(intake(spark, events, broken), rows=len(events), days=days, cleaning=cleaning, events=EVENTS)
    return frame.orderBy("event_time", "user_id", "item_id", "fate").collect()


def fates(rows: list[Any]) -> Counter[str]:
    return Counter(row["fate"] for row in rows)


def test_without_cleaning_everything_that_keeps_the_rules_is_kept(spark: SparkSession) -> None:
    rows = cleaned(spark, [event(), event(), event(minutes=1)], OFF, broken=(2,))
    assert fates(rows) == {"kept": 2, "quarantined": 1}
    assert [row["changed"] for row in rows] == [None] * 3


def test_of_events_equal_in_every_column_one_is_kept(spark: SparkSession) -> None:
    """Three equal ones, one of another order, one of another person, and equal ones with nulls."""
    same = [event(), event(), event()]
    unknown = [event(item="mug", order=None), event(item="mug", order=None)]
    others = [event(order="2"), event(user="ben")]
    rows = cleaned(spark, same + unknown + others, Cleaning())
    assert fates(rows) == {"kept": 4, "exact_repeats": 3}


def test_a_repeat_of_a_quarantined_event_is_no_repeat(spark: SparkSession) -> None:
    """Whatever breaks a rule takes no part: it cannot push a good event out."""
    rows = cleaned(spark, [event(), event(), event(minutes=1)], Cleaning(), broken=(0, 1))
    assert fates(rows) == {"kept": 1, "quarantined": 2}


@pytest.mark.parametrize(("which", "value"), [("newest", 3.0), ("oldest", 1.0)])
def test_of_a_persons_events_with_one_key_the_newest_or_oldest_stays(
    spark: SparkSession, which: str, value: float
) -> None:
    """Order 1 of ann is told three times; ben's order 1 is another one; what has no key repeats nothing."""
    told = [event(minutes=n, value=n + 1.0) for n in range(3)]
    others = [event(user="ben"), event(order=None), event(order=None, minutes=5)]
    rows = cleaned(spark, told + others, OFF.model_copy(update={"keyed_repeats": which}))
    assert fates(rows) == {"kept": 4, "keyed_repeats": 2}
    assert [row["value"] for row in rows if row["user_id"] == "ann" and row["order_id"] and row["fate"] == "kept"] == [
        value
    ]


def cancel(**given: Any) -> Event:
    return event(kind="cancellation", **given)


CANCELLED = [
    pytest.param(
        [event(value=5), cancel(minutes=1, value=5)], {"cancelled": 2}, [], id="an order and its cancellation vanish"
    ),
    pytest.param(
        [event(value=5), cancel(minutes=1, value=2)],
        {"kept": 1, "cancelled": 1},
        [("purchase", 3.0, ["partly_cancelled"])],
        id="a part of an order is taken back",
    ),
    pytest.param(
        [event(value=5), event(minutes=1, value=4), cancel(minutes=2, value=6)],
        {"kept": 1, "cancelled": 2},
        [("purchase", 3.0, ["partly_cancelled"])],
        id="the latest order is taken back first",
    ),
    pytest.param(
        [cancel(value=2), event(minutes=1, value=5)],
        {"kept": 2},
        [("cancellation", 2.0, None), ("purchase", 5.0, None)],
        id="nothing later is taken back; what waits stays for the days before",
    ),
    pytest.param(
        [event(value=1), cancel(minutes=1, value=4), event(minutes=2, value=10), cancel(minutes=3, value=3)],
        {"kept": 2, "cancelled": 2},
        [("cancellation", 3.0, ["partly_cancelled"]), ("purchase", 7.0, ["partly_cancelled"])],
        id="each cancellation takes back what was ordered before it",
    ),
    pytest.param([event(value=5), cancel(value=5)], {"cancelled": 2}, [], id="at one moment the order comes first"),
    pytest.param(
        [event(value=5), cancel(minutes=1, value=5, item="mug"), cancel(minutes=1, value=5, user="ben")],
        {"kept": 3},
        [("purchase", 5.0, None), ("cancellation", 5.0, None), ("cancellation", 5.0, None)],
        id="another item and another person are not meant",
    ),
    pytest.param(
        [event(kind="view", value=5), cancel(minutes=1, value=5)],
        {"kept": 2},
        [("view", 5.0, None), ("cancellation", 5.0, None)],
        id="a view is not taken back",
    ),
]


@pytest.mark.parametrize(("events", "expected", "left"), CANCELLED)
def test_cancellations_take_back_earlier_orders_of_the_day(
    spark: SparkSession, events: list[Event], expected: dict[str, int], left: list[tuple[str, float, Any]]
) -> None:
    rows = cleaned(spark, events, OFF.model_copy(update={"cancellations": True}))
    assert fates(rows) == expected
    kept = [(row["event_type"], row["value"], row["changed"]) for row in rows if row["fate"] == "kept"]
    assert kept == left


def test_what_was_taken_back_later_is_not_in_the_history_as_of_then(spark: SparkSession) -> None:
    """
    5 ordered on Monday, 3 taken back on Friday, 4 ordered on the Monday after.

    Read before Friday the order is whole; read after it 2 are left; the cancellation itself is never an event.
    """
    day = 24 * 60
    events = [event(value=5), cancel(minutes=4 * day, value=3), event(minutes=7 * day, value=4)]
    frame = spark.createDataFrame(events, COLUMNS)
    friday = MORNING + timedelta(days=4)
    before = without_cancelled(frame.where(F.col("event_time") < F.lit(friday)), EVENTS)
    assert [(row["event_type"], row["value"]) for row in before.collect()] == [("purchase", 5.0)]
    after = without_cancelled(frame, EVENTS).orderBy("event_time")
    assert [(row["event_type"], row["value"]) for row in after.collect()] == [("purchase", 2.0), ("purchase", 4.0)]


def test_an_order_taken_back_in_full_is_no_history(spark: SparkSession) -> None:
    events = [event(value=5), cancel(minutes=9_999, value=7)]
    assert without_cancelled(spark.createDataFrame(events, COLUMNS), EVENTS).collect() == []


def test_a_cancellation_takes_back_nothing_but_what_it_cancels(spark: SparkSession) -> None:
    """Views, a free item and an order without a quantity stay as they are, beside an order that is taken back."""
    events = [
        event(kind="view"),
        event(minutes=1, value=0),
        event(minutes=2, value=5),
        event(minutes=3, value=2),
        cancel(minutes=4, value=2),
        event("ben", minutes=5, kind="view"),
        event("cem", minutes=6, value=0),
    ]
    frame = spark.createDataFrame(events, COLUMNS)
    nameless = spark.createDataFrame(
        [(*event(minutes=9)[:4], None, "1"), (*cancel(minutes=10)[:4], None, "1")], COLUMNS
    )
    left = without_cancelled(frame.union(nameless), EVENTS).orderBy("event_time")
    assert [(row["user_id"], row["event_type"], row["value"]) for row in left.collect()] == [
        ("ann", "view", 1.0),
        ("ann", "purchase", 0.0),
        ("ann", "purchase", 5.0),
        ("ben", "view", 1.0),
        ("cem", "purchase", 0.0),
        ("ann", "purchase", None),
    ]


def test_a_shop_without_cancellations_reads_what_it_landed(spark: SparkSession) -> None:
    frame = spark.createDataFrame([event()], COLUMNS)
    assert without_cancelled(frame, Events(weights={"purchase": 1.0}, relevant=("purchase",))) is frame


BOTS = Bots(min_events=50, max_moments_per_hour=100, max_items=40, min_gap_variation=0.2)


def clicks(user: str, count: int, gap: float, items: int, jitter: tuple[float, ...] = (0.0,)) -> list[Event]:
    """Return *count* views, *gap* minutes apart, give or take *jitter*, of *items* items in turn."""
    return [
        event(user, f"i{n % items}", "view", minutes=n * gap + jitter[n % len(jitter)], order=None)
        for n in range(count)
    ]


def test_a_program_is_told_by_two_of_rate_breadth_and_regularity(spark: SparkSession) -> None:
    """
    A crawler is fast and broad, a scraper broad and regular, a poller fast and regular.

    A reader is broad only, a clock slow and regular only; a wholesaler's 60 lines of one order are one moment; a
    scraper of 49 events is left alone.
    """
    wholesale = [event("wholesaler", f"i{n}", order="9") for n in range(60)]
    days = [
        *clicks("crawler", 150, 0.3, 150, jitter=(0.0, 0.25, 0.05, 0.28)),
        *clicks("scraper", 60, 5, 60),
        *clicks("poller", 150, 0.2, 1),
        *clicks("reader", 60, 5, 60, jitter=(0.0, 4.0, 1.0, 3.9, 2.0)),
        *clicks("clock", 60, 5, 2),
        *clicks("small", 49, 5, 49),
        *wholesale,
    ]
    rows = cleaned(spark, days, OFF.model_copy(update={"bots": BOTS}))
    left_out = {row["user_id"] for row in rows if row["fate"] == "bots"}
    assert left_out == {"crawler", "scraper", "poller"}
    assert fates(rows)["bots"] == 150 + 60 + 150


def test_a_persons_bot_day_does_not_condemn_the_other_days(spark: SparkSession) -> None:
    tomorrow = [event("scraper", "tea", "view", minutes=24 * 60 + n, order=None) for n in range(3)]
    rows = cleaned(spark, clicks("scraper", 60, 5, 60) + tomorrow, OFF.model_copy(update={"bots": BOTS}), days=2)
    assert fates(rows) == {"bots": 60, "kept": 3}


def values(*given: float) -> list[Event]:
    return [event(f"u{n}", value=value, order=None) for n, value in enumerate(given)]


def test_a_value_beyond_the_robust_z_score_is_left_out(spark: SparkSession) -> None:
    """ln(1 + v) has a median of ln 7 and a median deviation of ln 10 - ln 7; 6 times 1.4826 of it end at v = 166."""
    settings = OFF.model_copy(update={"outliers": Outliers(method="robust_z", min_events=5)})
    rows = cleaned(spark, values(1, 2, 3, 4, 5, 6, 7, 8, 9, 150, 1e6), settings)
    assert [row["value"] for row in rows if row["fate"] == "outliers"] == [1e6]
    assert fates(rows) == {"kept": 10, "outliers": 1}


def test_where_most_values_are_equal_the_mean_deviation_says_what_is_far(spark: SparkSession) -> None:
    """Ninety-nine times 1 and once a million: the median deviation is 0, the mean deviation is not."""
    settings = OFF.model_copy(update={"outliers": Outliers(method="robust_z")})
    rows = cleaned(spark, values(*[1.0] * 99, 1e6), settings)
    assert fates(rows) == {"kept": 99, "outliers": 1}


def test_where_all_values_are_equal_nothing_is_far(spark: SparkSession) -> None:
    settings = OFF.model_copy(update={"outliers": Outliers(method="robust_z")})
    assert fates(cleaned(spark, values(*[1.0] * 120), settings)) == {"kept": 120}


def test_too_few_events_have_no_outliers(spark: SparkSession) -> None:
    settings = OFF.model_copy(update={"outliers": Outliers(method="robust_z", min_events=12)})
    assert fates(cleaned(spark, values(1, 2, 3, 4, 5, 6, 7, 8, 9, 150, 1e6), settings)) == {"kept": 11}


def test_a_value_above_the_quantile_is_lowered_to_it_and_kept(spark: SparkSession) -> None:
    """The 0.9 quantile of 0..10 in steps of 1 is 9; what is told as changed is the one above."""
    settings = OFF.model_copy(update={"outliers": Outliers(method="quantile_cap", quantile=0.9, min_events=5)})
    rows = cleaned(spark, values(*[float(n) for n in range(10)], 1e6), settings)
    assert fates(rows) == {"kept": 11}
    changed = [(row["value"], row["changed"]) for row in rows if row["changed"]]
    assert changed == [(pytest.approx(9.0, rel=1e-3), ["capped_values"])]


def test_the_newest_events_of_an_endless_person_are_kept(spark: SparkSession) -> None:
    settings = OFF.model_copy(update={"max_events_per_person": 3})
    endless = [event(minutes=n, order=str(n)) for n in range(10)]
    rows = cleaned(spark, [*endless, *[event("ben", minutes=n) for n in range(3)]], settings)
    assert fates(rows) == {"kept": 6, "over_the_cap": 7}
    kept = [row["order_id"] for row in rows if row["user_id"] == "ann" and row["fate"] == "kept"]
    assert kept == ["7", "8", "9"]


def test_what_is_left_out_for_another_reason_takes_nobodys_place_under_the_cap(spark: SparkSession) -> None:
    """
    Three real events of a morning, then a newest one that is told in nine forms: equal, with an equal key, cancelled at
    once, or absurd. A cap of four has room for all that is real.
    """
    settings = EVERYTHING.model_copy(update={"max_events_per_person": 4, "bots": None})
    real = [event(item=f"i{n}", minutes=n, order=f"o{n}") for n in range(3)]
    last = event(item="last", minutes=50, order="last")
    told_again = [last, last, last, event(item="last", minutes=49, order="last")]
    taken_back = [event(item="back", minutes=60, order="b"), cancel(item="back", minutes=61, order="c")]
    absurd = event(item="absurd", minutes=70, value=1e9, order="absurd")
    others = [event(f"u{n}", minutes=n, value=1 + n % 5, order=f"u{n}") for n in range(30)]
    rows = cleaned(spark, [*real, last, *told_again, *taken_back, absurd, *others], settings)
    assert [row["item_id"] for row in rows if row["user_id"] == "ann" and row["fate"] == "kept"] == [
        "i0", "i1", "i2", "last",
    ]  # fmt: skip
    assert "over_the_cap" not in fates(rows)
    assert fates(rows)["outliers"] == 1


def test_values_that_are_missing_are_not_enough_to_judge_by(spark: SparkSession) -> None:
    """Five events of which two have a value say as little as two."""
    settings = OFF.model_copy(update={"outliers": Outliers(method="quantile_cap", quantile=0.6, min_events=3)})
    frame = intake(spark, values(1.0, 9.0, 2.0, 3.0, 4.0)).withColumn(
        "value", F.when(F.col("value").isin(1.0, 9.0), F.col("value"))
    )
    told = clean(frame, rows=5, days=1, cleaning=settings, events=EVENTS).collect()
    assert sorted(row["value"] for row in told if row["value"] is not None) == [1.0, 9.0]


def test_missing_context_is_filled_with_what_is_typical_of_the_day(spark: SparkSession) -> None:
    """Orders a, a and b on Monday; on Tuesday nobody has one, so nobody gets one."""
    settings = OFF.model_copy(update={"impute": {"order_id": "mode"}})
    monday = [event(minutes=n, order=order) for n, order in enumerate(["a", "b", "a", None])]
    tuesday = [event(minutes=24 * 60, order=None)]
    rows = cleaned(spark, monday + tuesday, settings, days=2)
    assert [row["order_id"] for row in rows] == ["a", "b", "a", "a", None]
    assert [row["changed"] for row in rows] == [None, None, None, ["imputed_order_id"], None]


def test_a_missing_number_is_filled_with_the_median(spark: SparkSession) -> None:
    frame = intake(spark, [event(minutes=n) for n in range(4)]).withColumn(
        "price", F.when(F.minute("event_time") < 3, F.minute("event_time").cast("double"))
    )
    told = clean(frame, rows=4, days=1, cleaning=OFF.model_copy(update={"impute": {"price": "median"}}), events=EVENTS)
    assert [row["price"] for row in told.orderBy("event_time").collect()] == [0.0, 1.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("impute", "sentence"),
    [
        ({"colour": "mode"}, "fills 'colour' by its mode, but the mapped interactions have no such column"),
        ({"order_id": "median"}, "fills 'order_id' by its median, but the mapped interactions have it as string"),
    ],
)
def test_what_cannot_be_filled_is_named(spark: SparkSession, impute: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        cleaned(spark, [event()], OFF.model_copy(update={"impute": impute}))


def test_spellings_and_units_are_brought_to_one_form_before_repeats_are_sought(spark: SparkSession) -> None:
    settings = Cleaning(normalise=Normalise(text=("order_id",), divide_value_by={"view": 60.0}))
    events = [event(order=" A  1 "), event(order="A 1"), event(kind="view", minutes=1, value=120.0)]
    rows = cleaned(spark, events, settings)
    assert fates(rows) == {"kept": 2, "exact_repeats": 1}
    kept = [(row["event_type"], row["order_id"], row["value"]) for row in rows if row["fate"] == "kept"]
    assert kept == [("purchase", "A 1", 1.0), ("view", "1", 2.0)]


EVERYTHING = Cleaning(
    keyed_repeats="newest",
    cancellations=True,
    bots=BOTS,
    outliers=Outliers(method="robust_z", min_events=20),
    max_events_per_person=100,
    impute={"order_id": "mode"},
    normalise=Normalise(text=("order_id",)),
)


def test_days_landed_together_come_out_as_days_landed_alone(spark: SparkSession) -> None:
    """Three days with something for every kind; also the number of tasks has no say."""
    days = []
    for day in range(3):
        base = day * 24 * 60
        busy = [event("endless", f"i{n % 3}", "view", minutes=base + n * n * 7 % 900, order=f"{n}") for n in range(130)]
        some = [
            event(f"u{n}", f"i{n % 7}", minutes=base + n, value=1.0 + n % 4, order=f" {n // 3} " if n % 5 else None)
            for n in range(40)
        ]
        odd = [
            cancel(user="u1", item="i1", minutes=base + 300, value=2.0, order="x"),
            event("rich", minutes=base, value=1e9),
            event("u3", "i3", minutes=base + 50, order="1"),
        ]
        scraper = [event("scraper", f"i{n}", "view", minutes=base + 5 * n, order=None) for n in range(60)]
        days.append([*busy, *some, *some[:5], *odd, *scraper])

    def told(rows: list[Any]) -> list[tuple[Any, ...]]:
        return sorted(
            (str(row["event_time"]), row["user_id"], row["item_id"], row["fate"], row["value"], str(row["order_id"]))
            for row in rows
        )

    together = cleaned(spark, [row for day in days for row in day], EVERYTHING, days=3)
    alone = [row for day in days for row in cleaned(spark, day, EVERYTHING)]
    assert told(together) == told(alone)
    assert set(fates(together)) == {
        "kept", "exact_repeats", "keyed_repeats", "cancelled", "bots", "outliers", "over_the_cap",
    }  # fmt: skip
