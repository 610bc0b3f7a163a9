"""The catalogue under the rules of the lists, and conditions that are none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from refit.candidates.eligibility import ALLOWED, RULES, EligibleCatalogue, judge_items
from refit.config import Lists
from refit.errors import ConfigurationError

Tell = Callable[[str, str], None]
AS_OF = datetime(2026, 1, 5, tzinfo=UTC)
BEFORE, AFTER = datetime(2026, 1, 4, 23, 59, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC)
COLUMNS = (
    "item_id string, title string, category string, price double, available boolean, listed_at timestamp, brand string"
)


@pytest.fixture(scope="module")
def catalogue(spark: SparkSession) -> DataFrame:
    """Not in the order of ids, with whatever may be missing."""
    rows: list[tuple[Any, ...]] = [
        ("soon", "Soon", "cup", 9.0, True, AFTER, "x"),
        ("now", "Now", "cup", 9.0, True, AS_OF, "x"),
        ("mug", "Mug", "cup", 4.0, True, BEFORE, "x"),
        ("tea", "Tea", "tea", 2.5, True, None, None),
        ("gift", "Gift", None, None, True, BEFORE, "y"),
        ("gone", "Gone", "tea", 3.0, False, BEFORE, "y"),
        ("limbo", "Limbo", "tea", 3.0, None, BEFORE, "y"),
    ]
    return spark.createDataFrame(rows, COLUMNS).repartition(3)


def off(judged: EligibleCatalogue) -> dict[str, str]:
    """Return item -> what keeps it off, without those that nothing does."""
    pairs = zip(judged.items.to_pylist(), judged.kept_off, strict=True)
    return {item: RULES[number] for item, number in pairs if number != ALLOWED}


ALWAYS = {"soon": "unlisted", "now": "unlisted", "gone": "unavailable", "limbo": "unavailable"}
"""An item listed at the very instant is not yet there, and one whose availability is not known is not shown."""


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {}),
        ({"deny": ("mug", "gone")}, {"mug": "deny"}),
        ({"allow": ("mug", "soon")}, {"tea": "allow", "gift": "allow"}),
        ({"where": "price >= 3 AND category <> 'tea'"}, {"tea": "where", "gift": "where"}),
        ({"where": "brand <> 'x'"}, {"mug": "where", "tea": "where"}),
        ({"where": "coalesce(brand, '') <> 'x'"}, {"mug": "where"}),
        ({"where": "listed_at > as_of - INTERVAL 1 DAY"}, {"tea": "where"}),
        ({"where": "true -- everything"}, {}),
        ({"min_price": 3}, {"tea": "min_price", "gift": "min_price"}),
        ({"min_price": 2.5}, {"gift": "min_price"}),
        ({"min_price": 0}, {"gift": "min_price"}),
        ({"deny": ("tea",), "where": "price < 4", "min_price": 3}, {"tea": "deny", "mug": "where", "gift": "where"}),
    ],
)
def test_an_item_is_kept_off_by_the_first_rule_that_does(
    catalogue: DataFrame, settings: dict[str, Any], expected: dict[str, str]
) -> None:
    """A condition that is null lets nothing pass, and neither does a limit on a price that is not known."""
    judged = judge_items(catalogue, Lists(**settings), AS_OF)
    assert judged.items.to_pylist() == ["gift", "gone", "limbo", "mug", "now", "soon", "tea"]
    assert judged.categories.to_pylist() == [None, "tea", "tea", "cup", "cup", "cup", "tea"]
    assert off(judged) == ALWAYS | expected
    assert judged.warnings == ()


def test_boosts_that_fit_multiply_and_null_does_not_fit(catalogue: DataFrame) -> None:
    boosts = (
        {"where": "category = 'tea'", "factor": 3},
        {"where": "price < 3", "factor": 0.5},
        {"where": "brand = 'y'", "factor": 2},
    )
    judged = judge_items(catalogue, Lists.model_validate({"boosts": boosts}), AS_OF)
    found = dict(zip(judged.items.to_pylist(), judged.boosts.tolist(), strict=True))
    assert found == {"gift": 2.0, "gone": 6.0, "limbo": 6.0, "mug": 1.0, "now": 1.0, "soon": 1.0, "tea": 1.5}
    assert judged.warnings == ()


NO_CONDITIONS = {
    "prise >= 2": "there is no column prise; the columns are item_id, title, category, price, available, listed_at, ",
    "price >": "Syntax error at or near end of input",
    "price > 1; drop table items": "Syntax error at or near ';'",
    "price > 1) OR (true": "Syntax error at or near ')'",
    "  ": "it is empty",
    "price": "it gives double and not true or false",
    "max(price) > 2": "it must look at one row at a time, without aggregates, windows and generators",
    "sum(price) OVER () > 2": "it must look at one row at a time, without aggregates, windows and generators",
    "explode(array(true))": "it must look at one row at a time, without aggregates, windows and generators",
    "nofunc(price)": "Cannot resolve routine `nofunc` on search path",
    "rand() < 0.5": "it gives another answer each time it is asked",
    "listed_at > current_date() - 30": "it asks the clock or the session; as_of is the instant of the lists",
    "title = current_user()": "it asks the clock or the session; as_of is the instant of the lists",
    "EXISTS (SELECT 1)": "it reads another table; add a column to sources/items.sql instead",
}


@pytest.mark.parametrize("text", NO_CONDITIONS)
def test_what_is_no_condition_on_an_item_is_refused_with_its_reason(
    catalogue: DataFrame, tell: Tell, text: str
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        judge_items(catalogue, Lists(where=text), AS_OF)
    assert str(refusal.value).startswith(f"lists.where = {text!r}: {NO_CONDITIONS[text]}")
    assert str(refusal.value).endswith("; correct it in shop.toml")
    assert "\n" not in str(refusal.value)
    tell(f"lists.where = {text!r}", str(refusal.value))


def test_a_condition_that_fails_on_an_item_is_named_among_several(catalogue: DataFrame, tell: Tell) -> None:
    settings: dict[str, Any] = {
        "where": "price > 0 OR price IS NULL",
        "boosts": [{"where": "price < 3", "factor": 2}, {"where": "CAST(title AS INT) = 1", "factor": 2}],
    }
    with pytest.raises(ConfigurationError) as refusal:
        judge_items(catalogue.where("item_id = 'gift'"), Lists.model_validate(settings), AS_OF)
    assert str(refusal.value) == (
        "lists.boosts.1.where = 'CAST(title AS INT) = 1': it fails on a row: The value 'Gift' of the type \"STRING\" "
        'cannot be cast to "INT" because it is malformed; correct it in shop.toml'
    )
    tell("a condition that fails on an item", str(refusal.value))
    settings["boosts"][0]["where"] = "colour = 'red'"
    with pytest.raises(ConfigurationError, match=r"^lists\.boosts\.0\.where = \"colour = 'red'\": there is no column"):
        judge_items(catalogue, Lists.model_validate(settings), AS_OF)


def test_a_rule_that_changes_nothing_is_told(spark: SparkSession, catalogue: DataFrame) -> None:
    policy = Lists.model_validate(
        {
            "deny": ("mug", "nothing", "no"),
            "allow": ("tea", "what"),
            "boosts": [{"where": "price > 1e9", "factor": 2}],
            "cap_per_category": 3,
        }
    )
    bare = catalogue.selectExpr("*").drop("category").selectExpr("*", "CAST(NULL AS STRING) AS category")
    assert judge_items(bare, policy, AS_OF).warnings == (
        "lists.deny names 2 of 3 ids that the catalogue does not know, such as 'nothing', 'no'; they change nothing; "
        "correct them or take them out",
        "lists.allow names 1 of 2 ids that the catalogue does not know, such as 'what'; they change nothing; "
        "correct them or take them out",
        "lists.boosts fits no item with where = 'price > 1e9'; correct it or take it out",
        "lists.cap_per_category caps nothing, because no item of the catalogue has a category",
    )


def test_boosts_that_multiply_to_something_absurd_are_refused(catalogue: DataFrame) -> None:
    boosts = [{"where": "category = 'cup'", "factor": 1000}, {"where": "price > 3", "factor": 1000.0}]
    assert max(judge_items(catalogue, Lists.model_validate({"boosts": boosts}), AS_OF).boosts) == 1e6
    with pytest.raises(ConfigurationError) as refusal:
        judge_items(catalogue, Lists.model_validate({"boosts": [*boosts, {"where": "true", "factor": 2}]}), AS_OF)
    assert str(refusal.value) == (
        "lists.boosts multiply to 2e+06 for item 'mug', 1e-06 to 1e+06 are possible; correct the factors in shop.toml"
    )


def test_an_empty_catalogue_is_an_empty_assortment(catalogue: DataFrame) -> None:
    judged = judge_items(catalogue.where("false"), Lists(where="price > 1", min_price=1, deny=("a",)), AS_OF)
    assert (len(judged.items), len(judged.kept_off), len(judged.boosts), len(judged.categories)) == (0, 0, 0, 0)
