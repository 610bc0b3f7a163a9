"""Landing a corner shop from its raw files to the lake: all of a good day, nothing of a bad one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from support.corner import Lenient

from pipelines.land_interactions import Receipt, run
from pipelines.settings import REPOSITORY
from refit.adapters.expectations import GreatExpectations
from refit.adapters.folder import FolderObjectStore
from refit.config import load_shop
from refit.errors import ConfigurationError, DataRefusedError, RefitError, SourceError
from refit.interfaces import Validator
from refit.lake.lake import Lake
from refit.lake.pseudonyms import PseudonymKey
from refit.sources import Warehouse

KEY = PseudonymKey(b"a key for these tests", "k1")
PEOPLE = """
[sources.people]
format = "csv"
path = "{DATA}/people.csv"
columns = "customer STRING, agrees STRING"
options = { header = "true", mode = "FAILFAST" }
"""
USERS = "SELECT customer AS user_id, try_cast(agrees AS BOOLEAN) AS consent FROM people"

MONDAY = [
    "ann-secret,tea,2026-01-05 10:00:00,2",
    "ben-secret,mug,2026-01-05 11:30:00,1",
    "cem-secret,tea,2026-01-05 12:00:00,1",
]
TUESDAY = ["ann-secret,mug,2026-01-06 09:00:00,1"]

Corner = Callable[..., Receipt]


def day(number: int) -> datetime:
    """Return the first moment of a day of January 2026; the 4th is a Sunday, on which the shop is closed."""
    return datetime(2026, 1, number, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    root = tmp_path / "lake" / "corner"
    return Lake(root=str(root), catalog="catalog.json", store=FolderObjectStore(root))


@pytest.fixture
def land(
    spark: SparkSession, lake: Lake, write_shop: Callable[..., Path], write_orders: Callable[..., Path], tmp_path: Path
) -> Corner:
    """Give what lands days of the corner shop with the real validation; ben does not consent, dia never came."""

    def land(
        since: int,
        until: int,
        files: dict[str, list[str]],
        *,
        people: bool = False,
        settings: str = "",
        validator: Validator | None = None,
        key: PseudonymKey = KEY,
    ) -> Receipt:
        data = tmp_path / "data"
        for name, lines in files.items():
            write_orders(name, lines)
        if people:
            lines = ["customer,agrees", "ann-secret,true", "ben-secret,false", "cem-secret,true", "dia-secret,true", ""]
            (data / "people.csv").write_text("\n".join(lines))
        shops = write_shop(append=settings + (PEOPLE if people else ""), sources={"users": USERS} if people else None)
        shop = load_shop(shops, "corner")
        return run(
            day(since),
            day(until),
            shop=shop,
            warehouse=Warehouse(spark, shop, str(data)),
            key=key,
            suites=REPOSITORY / "expectations",
            spark=spark,
            lake=lake,
            validator=validator or GreatExpectations(),
        )

    return land


def seen(spark: SparkSession, lake: Lake) -> set[tuple[str, str, int]]:
    """Return person, item and day of the month of every landed event."""
    frame = lake.read(spark, "interactions", lake.days("interactions", day(1), day(31)))
    return {(row["user_id"], row["item_id"], row["event_time"].day) for row in frame.collect()}


def data_files(lake: Lake) -> list[Path]:
    """Return every file with data; the page that tells why a day was refused is none."""
    files = [path for path in Path(lake.root).rglob("*") if path.is_file() and not path.name.startswith((".", "_"))]
    return [path for path in files if "reports" not in path.parts]


def names(*people: str) -> list[str]:
    return [KEY.pseudonym(f"{name}-secret") for name in people]


def test_a_good_day_is_landed_with_its_catalogue(spark: SparkSession, lake: Lake, land: Corner) -> None:
    receipt = land(5, 6, {"2026-01-05": MONDAY})
    assert (receipt.rows, receipt.items, receipt.people, receipt.withheld) == (3, 2, None, 0)
    assert (receipt.open_days, receipt.warnings) == (1, [])
    assert receipt.checks == 22 + 9 + 9
    assert (receipt.rows_in, receipt.quarantined, receipt.removed, receipt.broken) == (3, 0, {}, {})
    ann, ben, cem = names("ann", "ben", "cem")
    assert seen(spark, lake) == {(ann, "tea", 5), (ben, "mug", 5), (cem, "tea", 5)}
    snapshot = lake.snapshot("items", day(6))
    assert snapshot is not None
    titles = {row["item_id"]: row["title"] for row in lake.read(spark, "items", [snapshot]).collect()}
    assert titles == {"tea": "Green tea", "mug": "Größter Becher"}


def test_landing_tells_how_far_it_is_and_nobody_else_talks(
    lake: Lake, land: Corner, caplog: pytest.LogCaptureFixture
) -> None:
    """Great Expectations would tell of a temporary folder of documents that nobody has asked for."""
    odd = ["ann-secret,tea,2026-01-05 10:00:00,-1", MONDAY[0]]
    with caplog.at_level(logging.INFO):
        receipt = land(5, 6, {"2026-01-05": MONDAY + odd}, settings="\n[validation]\nmax_lost_share = 0.9\n")
    assert [record.getMessage() for record in caplog.records if record.name == "refit.landing.staging"] == [
        *["reading items", "read items: 2 rows", "reading events", "read events: 5 rows of 1 days; cleaning them"],
        "cleaned: 3 rows kept, 1 set apart, 1 left out; judging 1 days",
        "judged: nothing is refused, 0 warnings; writing the pages",
        f"committing landing {receipt.landing}",
    ]
    assert "secret" not in caplog.text
    assert [record.name for record in caplog.records if record.name.startswith("great_expectations")] == []


def test_people_without_consent_are_not_landed_and_nobody_by_name(
    spark: SparkSession, lake: Lake, land: Corner
) -> None:
    """ben is withheld; dia is known although she has bought nothing; no file holds a raw id in any column."""
    receipt = land(5, 6, {"2026-01-05": MONDAY}, people=True, validator=Lenient("users"))
    assert (receipt.rows, receipt.people, receipt.withheld) == (2, 3, 1)
    assert {user for user, _, _ in seen(spark, lake)} == set(names("ann", "cem"))
    snapshot = lake.snapshot("users", day(6))
    assert snapshot is not None
    users = {row["user_id"] for row in lake.read(spark, "users", [snapshot]).collect()}
    assert users == set(names("ann", "cem", "dia"))

    tables = [path for path in data_files(lake) if path.suffix == ".parquet"]
    assert {path.relative_to(lake.root).parts[0] for path in tables} == {"interactions", "items", "users"}
    for path in tables:
        for column in pq.ParquetFile(path).read().columns:
            assert not [value for value in column.to_pylist() if "secret" in str(value)]
    for path in Path(lake.root).rglob("*"):
        if path.is_file():
            assert b"secret" not in path.read_bytes()
            assert KEY.secret not in path.read_bytes()


def test_landing_again_replaces_exactly_that_day(spark: SparkSession, lake: Lake, land: Corner) -> None:
    """The same files have the same digest; a corrected file replaces its own day and no other one."""
    both = land(5, 7, {"2026-01-05": MONDAY, "2026-01-06": TUESDAY}, validator=Lenient())
    again = land(5, 7, {}, validator=Lenient())
    assert again.digest == both.digest
    assert again.landing != both.landing

    corrected = land(5, 6, {"2026-01-05": MONDAY[:1]}, validator=Lenient())
    assert corrected.rows == 1
    (ann,) = names("ann")
    assert seen(spark, lake) == {(ann, "tea", 5), (ann, "mug", 6)}


def test_an_old_day_keeps_its_catalogue_and_another_key_is_refused(
    spark: SparkSession, lake: Lake, land: Corner, tmp_path: Path
) -> None:
    """Monday is landed again when the shop has other prices: who looks back at Monday sees those of Monday."""
    first = land(5, 6, {"2026-01-05": MONDAY}, people=True, validator=Lenient())
    later = land(6, 7, {"2026-01-06": TUESDAY}, people=True, validator=Lenient())
    assert first.not_filed == later.not_filed == []
    files = set(data_files(lake))
    then = [lake.snapshot(table, day(6)) for table in ("items", "users")]
    again = land(5, 6, {"2026-01-05": MONDAY[:1]}, people=True, validator=Lenient())
    assert (again.rows, again.not_filed) == (1, ["items", "users"])
    assert [lake.snapshot(table, day(6)) for table in ("items", "users")] == then
    new = {path.relative_to(lake.root).parts[0] for path in set(data_files(lake)) - files}
    assert new == {"catalog", "interactions"}
    assert {day for _, _, day in seen(spark, lake)} == {5, 6}
    before = data_files(lake)
    with pytest.raises(ConfigurationError, match="the pseudonym key 'k1' is not the one with which"):
        land(7, 8, {}, key=PseudonymKey(b"another key for these tests", "k1"))
    assert data_files(lake) == before


def test_only_the_interval_is_landed_whatever_the_files_hold(spark: SparkSession, lake: Lake, land: Corner) -> None:
    """A file of a local day holds events of two days of UTC."""
    land(
        5,
        6,
        {"2026-01-05": [*MONDAY[:1], "ann-secret,mug,2026-01-06 00:00:00,1", "ann-secret,mug,2026-01-04 23:59:59,1"]},
        validator=Lenient(),
    )
    assert {number for _, _, number in seen(spark, lake)} == {5}


BAD = ["ann-secret,tea,2026-01-05 10:00:00,two", "ann-secret,tea,5 January,1", ",tea,2026-01-05 10:00:00,1"]
REFUSED = [
    pytest.param(
        {"2026-01-05": MONDAY[:1], "2026-01-06": []},
        DataRefusedError,
        [
            "2026-01-05 to 2026-01-07 is refused, nothing of it became visible: ",
            "days: 1 of 2 days break open_day_has_events (at least 1): 2026-01-06 has 0 events (",
            "/2026-01-06.html)",
        ],
        id="an empty day",
    ),
    pytest.param(
        {"2026-01-05": [*MONDAY, *BAD], "2026-01-06": TUESDAY},
        DataRefusedError,
        [
            "days: 1 of 2 days break share_lost (at most 1%): of 2026-01-05 3 of 6 events break rules, 50.0%: "
            "time_present 1, user_present 1, value_present 1 (",
            "/2026-01-05.html)",
        ],
        id="nobody, a time that is none and a value that is no number",
    ),
    pytest.param(
        {"2026-01-05": [*MONDAY, "ann-secret,tea"], "2026-01-06": TUESDAY},
        SourceError,
        ["a row does not have the declared columns in file:", "2026-01-05.csv of source 'orders'; mend the file"],
        id="a row cut short",
    ),
]


@pytest.mark.parametrize(("files", "kind", "sentences"), REFUSED)
def test_nothing_of_a_bad_interval_becomes_visible_or_stays(
    spark: SparkSession,
    lake: Lake,
    land: Corner,
    files: dict[str, list[str]],
    kind: type[RefitError],
    sentences: list[str],
) -> None:
    with pytest.raises(kind) as refusal:
        land(5, 7, files)
    assert [part for part in sentences if part not in str(refusal.value)] == []
    assert "\n" not in str(refusal.value)
    assert lake.days("interactions", day(1), day(31)) == []
    assert lake.snapshot("items", day(31)) is None
    assert data_files(lake) == []


def test_consent_does_not_hide_an_event_of_nobody(lake: Lake, land: Corner) -> None:
    with pytest.raises(DataRefusedError, match=r"1 of 3 events break rules, 33\.3%: user_present 1"):
        land(5, 6, {"2026-01-05": [*MONDAY, ",tea,2026-01-05 10:00:00,1"]}, people=True)
    assert data_files(lake) == []


def test_a_closed_day_is_nothing_and_no_error(lake: Lake, land: Corner) -> None:
    receipt = land(4, 5, {"2026-01-06": TUESDAY})
    assert (receipt.rows, receipt.open_days, receipt.digest) == (0, 0, "")
    assert receipt.warnings == ["the shop is closed on every day of the interval, and nothing has happened"]
    assert data_files(lake) == []


@pytest.mark.parametrize(
    ("since", "until"),
    [(day(5), day(5)), (day(6), day(5)), (day(5).replace(hour=1), day(6)), (day(5), day(6).replace(microsecond=1))],
)
def test_an_interval_is_whole_days(
    spark: SparkSession, lake: Lake, write_shop: Callable[..., Path], since: datetime, until: datetime
) -> None:
    shop = load_shop(write_shop(), "corner")
    with pytest.raises(ConfigurationError, match=r"do not span whole days of UTC; give two dates; the second one"):
        run(
            since,
            until,
            shop=shop,
            warehouse=Warehouse(spark, shop, ""),
            key=KEY,
            suites=REPOSITORY / "expectations",
            spark=spark,
            lake=lake,
            validator=GreatExpectations(),
        )
