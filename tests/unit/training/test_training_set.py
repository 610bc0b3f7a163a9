"""A training set names what it was made from, and can be made again from exactly that."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from support.corner import Corner, day

from pipelines import build_training_set, rebuild_training_set
from pipelines.addresses import Addresses
from refit.errors import DataRefusedError, NotFoundError
from refit.lake.lake import Lake

SMALL = """
[training]
holdout_days = 1
min_interactions = 1
min_people = 1
min_items = 1
"""
PLACES = Addresses("corner", "lake", "refit")


@pytest.fixture(name="corner")
def _without_suites(corner: Corner) -> Corner:
    """Give the corner shop without suites: what is landed is as good as it looks."""
    return corner.lenient()


def lines(number: int, people: int = 6) -> list[str]:
    return [f"u{n},{'tea' if n % 2 else 'mug'},2026-01-{number:02d} 10:{n:02d}:00,1" for n in range(people)]


@pytest.fixture
def built(spark: SparkSession, lake: Lake, corner: Corner) -> build_training_set.Receipt:
    """Give the set made of 5 to 7 January, judged by the 8th, on which people buy what they did not have."""
    for number in (5, 6, 7):
        corner.write(f"2026-01-{number:02d}", lines(number))
    corner.write("2026-01-08", [f"u{n},{'mug' if n % 2 else 'tea'},2026-01-08 10:{n:02d}:00,1" for n in range(6)])
    corner.land(day(5), day(9), shop=corner.shop(SMALL))
    return build_training_set.run(None, shop=corner.shop(SMALL), spark=spark, lake=lake, addresses=PLACES)


def test_a_set_whose_rows_are_gone_is_restored_to_the_last_bit(
    spark: SparkSession, lake: Lake, corner: Corner, built: build_training_set.Receipt
) -> None:
    """Tuesday was landed again meanwhile, with other events: the set is made from what Tuesday was, and says so."""
    assert (built.built, built.pairs, built.judges) == (True, 6, 6)
    place = Path(lake.path(PLACES.training_set(built.training_set)))
    before = sorted(spark.read.parquet(f"{place}/pairs").collect())
    corner.write("2026-01-06", lines(6, people=2))
    corner.land(day(6), day(7), shop=corner.shop(SMALL))
    shutil.rmtree(place / "pairs")

    again = rebuild_training_set.run(built.training_set, spark=spark, lake=lake, addresses=PLACES)
    assert (again.changed, again.restored, again.days) == (["2026-01-06"], True, 4)
    assert sorted(spark.read.parquet(f"{place}/pairs").collect()) == before
    left = sorted(path.name for path in place.iterdir() if not path.name.startswith("."))
    assert left == [
        "holdout",
        "left_out",
        "manifest.json",
        "pairs",
        *(name for name in left if name.startswith("profile-")),
    ]
    assert not rebuild_training_set.run(built.training_set, spark=spark, lake=lake, addresses=PLACES).restored

    anew = build_training_set.run(None, shop=corner.shop(SMALL), spark=spark, lake=lake, addresses=PLACES)
    assert anew.training_set != built.training_set


def test_a_set_whose_inputs_are_gone_is_not_made_from_others(
    spark: SparkSession, lake: Lake, built: build_training_set.Receipt
) -> None:
    (tuesday,) = lake.days("interactions", day(6), day(7))
    shutil.rmtree(lake.path(tuesday.path))
    with pytest.raises(
        NotFoundError, match=r"made from versions of 2026-01-06 \(1 in all\) that the lake does not hold"
    ):
        rebuild_training_set.run(built.training_set, spark=spark, lake=lake, addresses=PLACES)


def test_files_that_were_changed_in_place_do_not_pass_for_the_set(
    spark: SparkSession, lake: Lake, built: build_training_set.Receipt
) -> None:
    """Somebody has overwritten what never changes: Tuesday's file is Thursday's."""
    _, tuesday, _, thursday = lake.days("interactions", day(5), day(9))
    shutil.rmtree(lake.path(tuesday.path))
    shutil.copytree(lake.path(thursday.path), lake.path(tuesday.path))
    with pytest.raises(DataRefusedError, match="came out different"):
        rebuild_training_set.run(built.training_set, spark=spark, lake=lake, addresses=PLACES)
