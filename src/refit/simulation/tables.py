"""The three tables of a simulated shop as Spark frames, computed row by row: no shuffle, join or UDF."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.simulation.laws import Chance, activity_stratum, chosen, looked_up, zipf_rank
from refit.simulation.shop import SimulatedShop
from refit.simulation.volume import numbered_events
from refit.simulation.words import ADJECTIVES, CATEGORIES, MATERIALS

_ACTIONS = (("view", 0.70), ("cart", 0.18), ("purchase", 0.12))
_TASTE_BY_ACTION = (("view", 0.90), ("cart", 0.95), ("purchase", 1.0))
"""Factors on the shop's taste_share: viewing follows a person's taste a little less than buying."""
_DEVICES = (("mobile", 0.58), ("desktop", 0.32), ("tablet", 0.10))
_HOURS = (9, 5, 3, 2, 2, 5, 12, 25, 38, 46, 50, 53, 58, 56, 52, 51, 54, 60, 72, 86, 92, 80, 56, 33)
"""Events per hour of the day, out of a thousand."""
_SECONDS_A_DAY = 86_400


def events(spark: SparkSession, shop: SimulatedShop, *, tasks: int) -> DataFrame:
    """
    Return one row per event. *tasks* is the number of partitions and does not affect the rows.

    Events are numbered by day, so that each task holds neighbouring days and writes few files.
    """
    chance = Chance(shop.seed)
    number, day, person, item = F.col("number"), F.col("day_number"), F.col("person"), F.col("item")
    second, action, category, slot = F.col("second"), F.col("action"), F.col("category"), F.col("slot")
    drifted = day >= F.lit(_drift_day_number(shop))

    hours = [hour for hour, count in enumerate(_HOURS) for _ in range(count)]
    hour = looked_up(hours, F.floor(chance.uniform("hour", number) * F.lit(len(hours))))
    dated = numbered_events(spark, shop, tasks=tasks).select(
        number,
        day,
        (hour * F.lit(3600) + F.floor(chance.uniform("second", number) * F.lit(3600))).alias("second"),
        chosen(chance.uniform("action", number), _ACTIONS).alias("action"),
    )
    peopled = dated.withColumn("person", _person(shop, chance, number, day, second))
    tasted = peopled.withColumn("category", _category(shop, chance, number, person, action, drifted))
    shelved = tasted.withColumn("slot", _slot(shop, chance, number, category, drifted))
    listed = shelved.withColumn("item", slot * F.lit(shop.categories) + category).withColumn(
        "item",
        # Until a new product is listed its older neighbour sells instead, so that categories keep their shares.
        F.when(
            _listed_second(shop, chance, item) > day * F.lit(_SECONDS_A_DAY) + second,
            item - F.lit(shop.categories),
        ).otherwise(item),
    )
    factor = F.when(drifted, F.lit(shop.drift_price_factor)).otherwise(F.lit(1.0))
    noise = F.lit(0.98) + F.lit(0.04) * chance.uniform("price of the day", item, day)
    own_device = chance.uniform("own device", person)
    return listed.select(
        _label("e", number, shop.events, 10).alias("event_id"),
        _customer(shop, chance, person).alias("customer"),
        _sku(shop, chance, item).alias("sku"),
        action,
        F.timestamp_seconds(F.lit(_epoch(shop.first_day)) + day * F.lit(_SECONDS_A_DAY) + second).alias("happened_at"),
        F.when(action == F.lit("view"), F.lit(1)).otherwise(_quantity(chance, number)).alias("quantity"),
        _in_cents(_exact_price(shop, chance, item) * factor * noise).alias("unit_price"),
        _country(shop, chance, person, drifted).alias("country"),
        chosen(
            F.when(chance.uniform("at hand", number) < F.lit(0.8), own_device).otherwise(
                chance.uniform("any device", number)
            ),
            _DEVICES,
        ).alias("device"),
        F.date_add(F.lit(shop.first_day), day.cast("int")).alias("day"),
    )


def products(spark: SparkSession, shop: SimulatedShop) -> DataFrame:
    """Return one row per product as of today: prices are those after the drift."""
    chance = Chance(shop.seed)
    item = F.col("item")
    category = item % F.lit(shop.categories)
    word = (category % F.lit(len(CATEGORIES)) + F.lit(1)).cast("int")
    again = F.floor(category / F.lit(len(CATEGORIES))) + F.lit(1)
    suffix = F.when(again > F.lit(1), F.concat(F.lit(" "), again.cast("string"))).otherwise(F.lit(""))
    factor = 1.0 if shop.drift_day is None else shop.drift_price_factor
    return _numbered(spark, shop.items, "item").select(
        _sku(shop, chance, item).alias("sku"),
        F.concat_ws(
            " ",
            _any_of(ADJECTIVES, chance.uniform("adjective", item)),
            _any_of(MATERIALS, chance.uniform("material", item)),
            F.concat(F.element_at(F.lit([one for _, one in CATEGORIES]), word), suffix),
            _number_of_sku(shop, chance, item),
        ).alias("name"),
        F.concat(F.element_at(F.lit([many for many, _ in CATEGORIES]), word), suffix).alias("category"),
        _in_cents(_exact_price(shop, chance, item) * F.lit(factor)).alias("price"),
        (chance.uniform("out of stock", item) >= F.lit(shop.out_of_stock_share)).alias("in_stock"),
        F.timestamp_seconds(F.lit(_epoch(shop.first_day)) + _listed_second(shop, chance, item)).alias("listed_on"),
    )


def customers(spark: SparkSession, shop: SimulatedShop) -> DataFrame:
    """Return one row per registered person, with the country before any drift."""
    chance = Chance(shop.seed)
    person = F.col("person")
    arrival = F.when(person < F.lit(shop.shoppers), person / F.lit(float(shop.shoppers))).otherwise(
        chance.uniform("silent arrival", person)
    )
    old = 1.0 - shop.newcomer_share
    before = F.floor((arrival / F.lit(old) - F.lit(1.0)) * F.lit(_days_before(shop.newcomer_share, shop.days)))
    # The epsilon keeps a rounding error from moving a registration past midnight, behind the first event.
    during = F.floor((arrival - F.lit(old)) / F.lit(max(shop.newcomer_share, 1e-9)) * F.lit(shop.days) - F.lit(1e-6))
    registered = F.when(arrival < F.lit(old), before).otherwise(F.greatest(during, F.lit(0)))
    return _numbered(spark, shop.people, "person").select(
        _customer(shop, chance, person).alias("customer"),
        (chance.uniform("consent", person) < F.lit(shop.consent_share)).alias("consent"),
        _country(shop, chance, person, F.lit(False)).alias("country"),
        F.date_add(F.lit(shop.first_day), registered.cast("int")).alias("registered_on"),
    )


def _person(shop: SimulatedShop, chance: Chance, number: Column, day: Column, second: Column) -> Column:
    """
    Return the person who acts at a moment.

    Shoppers are numbered by arrival. At any moment those in a sliding window of (1 - newcomer_share) of all numbers are
    present: one arrives, the oldest leaves, and the process is stationary. A person's activity is the number modulo the
    strata, so a draw takes two closed forms: stratum, then member.
    """
    strata = max(1, min(100, shop.shoppers // 5))
    stratum = activity_stratum(chance.uniform("activity", number), strata, shop.activity_exponent)
    time = (day + second / F.lit(float(_SECONDS_A_DAY))) / F.lit(float(shop.days))
    window = F.lit(shop.newcomer_share) * time + F.lit(1.0 - shop.newcomer_share) * chance.uniform("person", number)
    newest = F.least(window * F.lit(float(shop.shoppers)), F.lit(shop.shoppers - 1e-6))
    turn = F.greatest(F.floor((newest - stratum) / F.lit(strata)), F.lit(0))
    return turn * F.lit(strata) + stratum


def _category(
    shop: SimulatedShop, chance: Chance, number: Column, person: Column, action: Column, drifted: Column
) -> Column:
    """Return a favourite category (the first with 50 %, the second with 30 %, the third with 20 %) or any category."""
    faithful = F.lit(shop.taste_share * dict(_TASTE_BY_ACTION)["view"])
    for name, weight in _TASTE_BY_ACTION[1:]:
        faithful = F.when(action == F.lit(name), F.lit(shop.taste_share * weight)).otherwise(faithful)
    which = chance.uniform("which favourite", number)
    favourite = F.when(which < F.lit(0.5), F.lit(1)).when(which < F.lit(0.8), F.lit(2)).otherwise(F.lit(3))
    if shop.drift_day is not None:
        fickle = chance.uniform("fickle", person) < F.lit(shop.drift_taste_share)
        favourite = F.when(drifted & fickle, favourite + F.lit(3)).otherwise(favourite)
    u = F.when(chance.uniform("by taste", number) < faithful, chance.uniform("favourite", person, favourite)).otherwise(
        chance.uniform("any category", number)
    )
    return zipf_rank(u, shop.categories, shop.category_exponent)


def _slot(shop: SimulatedShop, chance: Chance, number: Column, category: Column, drifted: Column) -> Column:
    """Return the slot of the product in its category; before the drift this is its popularity rank."""
    each, extra = divmod(shop.items, shop.categories)
    # Two constants instead of one column, so that powers of the sizes are computed once and not per event.
    u = chance.uniform("item", number)
    rank = zipf_rank(u, each, shop.item_exponent)
    size = F.lit(each)
    if extra:
        larger = category < F.lit(extra)
        rank = F.when(larger, zipf_rank(u, each + 1, shop.item_exponent)).otherwise(rank)
        size = F.when(larger, F.lit(each + 1)).otherwise(size)
    if shop.drift_day is None:
        return rank
    opposite = size - F.lit(1) - rank
    swapped = chance.uniform("swapped", category, F.least(rank, opposite)) < F.lit(shop.drift_popularity_share)
    return F.when(drifted & swapped, opposite).otherwise(rank)


def _listed_second(shop: SimulatedShop, chance: Chance, item: Column) -> Column:
    """Return the seconds from the first day to an item's listing; of two neighbours only one is ever new."""
    odd = F.floor(item / F.lit(shop.categories)) % F.lit(2) == F.lit(1)
    when = chance.uniform("listed", item)
    # The odd half arrives at a constant rate before and during the history, so the first weeks have new items too.
    late = 2 * shop.new_item_share
    earlier = (when - F.lit(late)) * F.lit(-_days_before(late, shop.days) / max(1 - late, 1e-9))
    during = when * F.lit(shop.days / max(late, 1e-9))
    long_ago = when * F.lit(-730.0) - F.lit(365.0)
    days = F.when(odd & (when < F.lit(late)), during).when(odd, earlier).otherwise(long_ago)
    return F.floor(days * F.lit(_SECONDS_A_DAY))


def _days_before(share_during: float, days: int) -> float:
    """Return over how many earlier days the rest arrived if *share_during* arrives in *days*; at most ten years."""
    return min(3650.0, days * (1 - share_during) / share_during) if share_during > 0 else 3650.0


def _quantity(chance: Chance, number: Column) -> Column:
    """Return a quantity: mostly 1, rarely more, at most 12."""
    return F.least(F.floor(F.lit(1.0) - F.log1p(-chance.uniform("quantity", number)) / F.lit(1.2)), F.lit(12)).cast(
        "int"
    )


def _exact_price(shop: SimulatedShop, chance: Chance, item: Column) -> Column:
    level = chance.normal("price of a category", item % F.lit(shop.categories)) * F.lit(0.4)
    own = chance.normal("price", item) * F.lit(shop.price_spread)
    return F.exp(level + own + F.lit(math.log(shop.price_median)))


def _in_cents(price: Column) -> Column:
    # F.round uses BigDecimal, which would take a third of the time of an event.
    return F.greatest(F.floor(price * F.lit(100.0) + F.lit(0.5)), F.lit(1)) / F.lit(100.0)


def _country(shop: SimulatedShop, chance: Chance, person: Column, drifted: Column) -> Column:
    # Sort, so that the order of countries in the configuration does not matter.
    shares = sorted(shop.countries.items(), key=lambda entry: (-entry[1], entry[0]))
    home = chosen(chance.uniform("country", person), shares)
    if shop.drift_day is None:
        return home
    moved = chance.uniform("moved", person) < F.lit(shop.drift_country_share)
    mirrored = [(name, share) for (name, _), (_, share) in zip(shares, reversed(shares), strict=True)]
    return F.when(drifted & moved, chosen(chance.uniform("new country", person), mirrored)).otherwise(home)


def _number_of_sku(shop: SimulatedShop, chance: Chance, item: Column) -> Column:
    return _padded(chance.permuted("sku", item, shop.items), shop.items, 5)


def _customer(shop: SimulatedShop, chance: Chance, person: Column) -> Column:
    return _label("c", chance.permuted("customer", person, shop.people), shop.people, 7)


def _sku(shop: SimulatedShop, chance: Chance, item: Column) -> Column:
    return F.concat(F.lit("p"), _number_of_sku(shop, chance, item))


def _label(prefix: str, number: Column, size: int, width: int) -> Column:
    return F.concat(F.lit(prefix), _padded(number, size, width))


def _padded(number: Column, size: int, width: int) -> Column:
    return F.lpad(number.cast("string"), max(width, len(str(size - 1))), "0")


def _any_of(words: tuple[str, ...], u: Column) -> Column:
    return F.element_at(F.lit(list(words)), (F.floor(u * F.lit(len(words))) + F.lit(1)).cast("int"))


def _numbered(spark: SparkSession, size: int, name: str) -> DataFrame:
    # One file per million rows.
    return spark.range(0, size, 1, math.ceil(size / 1_000_000)).withColumnRenamed("id", name)


def _drift_day_number(shop: SimulatedShop) -> int:
    return shop.days if shop.drift_day is None else (shop.drift_day - shop.first_day).days


def _epoch(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
