"""Reading one person: the pointer, the index and two ranges, whatever the size of the batch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.published import CHAMPION, publish_again

from pipelines import read_person as step
from refit.batches.part_files import PartFile
from refit.batches.schema import SCHEMA
from refit.digests import canonical_json, sha256
from refit.errors import DamagedBatchError, NothingPublishedError
from refit.lake.pseudonyms import PseudonymKey
from refit.publication import LIVE, read_commit, read_live_batch, read_live_person, write_commit
from refit.publication.commit import Attempt
from refit.storage.object_store import StoredObject
from refit.testing import FakeObjectStore

PREFIX = "batches/run_date=2026-01-05/batch=a"


def row(user_id: str, items: int = 20) -> dict[str, Any]:
    """A list like a real one, so that it does not compress to nothing."""
    drawn = np.random.default_rng(list(user_id.encode()))
    scores = np.sort(drawn.random(items, dtype=np.float32))[::-1]
    reasons = [{"item_id": f"item-{drawn.integers(9_999):04d}", "contribution": 0.25}]
    entries = [
        {"item_id": f"item-{drawn.integers(9_999):04d}", "score": float(score), "source": "factors", "reasons": reasons}
        for score in scores
    ]
    known: dict[str, Any] = {
        "user_id": user_id,
        "recommendations": entries,
        "model_version": 3,
        "run_date": "2026-01-05",
    }
    return {name: known.get(name) for name in SCHEMA.names}


def part(store: FakeObjectStore, name: str, people: list[str], per_group: int) -> dict[str, Any]:
    """Write one part file of *people*, in order, and return its commit record."""
    file = PartFile()
    for start in range(0, len(people), per_group):
        rows = [row(user_id) for user_id in people[start : start + per_group]]
        file.write_group(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    content, described = file.close()
    key = f"{PREFIX}/{name}.parquet"
    store.create(key, content)
    return {"key": key, **described}


def publish(store: FakeObjectStore, parts: list[dict[str, Any]]) -> None:
    made_by = Attempt(batch="a", logical_run="a", ordered_at="2026-01-05", code="tests")
    commit = write_commit(store, PREFIX, made_by, CHAMPION, parts, {"as_of": "2026-01-05T00:00:00+00:00"}, {})
    publish_again(store, PREFIX, commit)


@dataclass(eq=False)
class CountingStore(FakeObjectStore):
    """Remembers every request and how many bytes it moved."""

    requests: list[tuple[str, str, int]] = field(default_factory=list)

    def get(self, key: str) -> StoredObject | None:
        found = super().get(key)
        self.requests.append(("get", key, len(found.content) if found else 0))
        return found

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        found = super().get_range(key, start, length)
        self.requests.append(("get_range", key, len(found or b"")))
        return found


PEOPLE = [f"u{n:05d}" for n in range(0, 8_000, 2)]


@pytest.fixture(scope="module")
def published() -> dict[str, bytes]:
    """4,000 people, the even numbers below 8,000, in four files of five row groups."""
    store = FakeObjectStore()
    publish(store, [part(store, f"part-{n}", PEOPLE[n * 1000 : (n + 1) * 1000], 200) for n in range(4)])
    return store.objects


@pytest.fixture
def store(published: dict[str, bytes]) -> CountingStore:
    return CountingStore(objects=dict(published))


@pytest.mark.parametrize("user_id", [PEOPLE[0], PEOPLE[199], PEOPLE[200], PEOPLE[2345], PEOPLE[-1]])
def test_one_person_costs_two_small_requests_and_two_ranges(store: CountingStore, user_id: str) -> None:
    """The first and the last of a row group are found in it as well as those in the middle."""
    assert read_live_person(store, user_id) == row(user_id)

    number = PEOPLE.index(user_id)
    assert [request[:2] for request in store.requests] == [
        ("get", LIVE),
        ("get", f"{PREFIX}/index.json"),
        ("get_range", f"{PREFIX}/places.jsonl"),
        ("get_range", f"{PREFIX}/part-{number // 1000}.parquet"),
    ]
    moved = sum(request[2] for request in store.requests)
    batch = sum(len(content) for key, content in store.objects.items() if key.endswith(".parquet"))
    line = store.objects[f"{PREFIX}/places.jsonl"].splitlines(keepends=True)[number // 1000]
    assert store.requests[2][2] == len(line)
    assert store.requests[3][2] == json.loads(line)["groups"][number % 1000 // 200]["bytes"] < batch / 20
    assert moved < batch / 10


def test_the_reader_of_one_and_the_reader_of_all_see_the_same(store: CountingStore) -> None:
    whole = {found["user_id"]: found for found in read_live_batch(store).to_pylist()}
    assert sorted(whole) == PEOPLE
    for user_id in PEOPLE[::371]:
        assert read_live_person(store, user_id) == whole[user_id]


@pytest.mark.parametrize(
    ("user_id", "requests"),
    [("u00001", 4), ("u00399", 3), ("u01999", 2), ("u07999", 2), ("a", 2), ("", 2), ("žofie", 2)],
    ids=[
        "inside a row group",
        "between two",
        "between two parts",
        "after the last",
        "before the first",
        "empty",
        "another script",
    ],
)
def test_somebody_who_has_no_list_is_none(store: CountingStore, user_id: str, requests: int) -> None:
    """A range is fetched only where the person could be."""
    assert read_live_person(store, user_id) is None
    assert len(store.requests) == requests


@settings(max_examples=25)
@given(
    people=st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=40, unique=True),
    files=st.integers(1, 3),
    per_group=st.integers(1, 7),
    asked=st.text(max_size=6),
)
def test_everybody_is_found_and_nobody_else(people: list[str], files: int, per_group: int, asked: str) -> None:
    """Whatever the ids, the files and the row groups; ids of any script are ordered by code point."""
    people = sorted(people)
    store = FakeObjectStore()
    size = -(-len(people) // files)
    blocks = [people[start : start + size] for start in range(0, len(people), size)]
    publish(store, [part(store, f"part-{n}", block, per_group) for n, block in enumerate(blocks)])
    for user_id in {*people, asked}:
        found = read_live_person(store, user_id)
        assert (found["user_id"] if found else None) == (user_id if user_id in people else None)


def test_the_manifest_stays_small_and_names_the_index(store: CountingStore) -> None:
    manifest = json.loads(store.objects[f"{PREFIX}/manifest.json"])
    index = store.objects[f"{PREFIX}/index.json"]
    assert manifest["index"] == {"key": f"{PREFIX}/index.json", "bytes": len(index), "sha256": sha256(index)}
    assert [set(entry) for entry in manifest["parts"]] == [{"key", "rows", "bytes", "sha256", "content"}] * 4
    live = json.loads(store.objects[LIVE])
    assert (live["index"], live["index_sha256"]) == (f"{PREFIX}/index.json", sha256(index))


def test_nothing_is_read_before_something_is_published() -> None:
    with pytest.raises(NothingPublishedError, match=r"there is no live\.json$"):
        read_live_person(FakeObjectStore(), "u00000")


def test_row_groups_that_share_people_are_refused() -> None:
    """A reader could look for a person in the wrong one."""
    store = FakeObjectStore()
    parts = [part(store, "part-0", ["ann", "dia"], 2), part(store, "part-1", ["cem", "eve"], 2)]
    with pytest.raises(DamagedBatchError, match=r"part-1\.parquet begin before those of .*part-0\.parquet end"):
        publish(store, parts)
    assert f"{PREFIX}/manifest.json" not in store.objects


def test_an_index_that_was_changed_is_noticed(store: CountingStore) -> None:
    store.objects[f"{PREFIX}/index.json"] += b" "
    with pytest.raises(DamagedBatchError, match=r"index\.json differs from its SHA-256"):
        read_live_person(store, PEOPLE[0])


def test_bytes_that_were_changed_are_noticed(store: CountingStore) -> None:
    """Also where Parquet itself would not mind: one bit of the middle of the row group."""
    key = f"{PREFIX}/part-2.parquet"
    content = bytearray(store.objects[key])
    group = json.loads(store.objects[f"{PREFIX}/places.jsonl"].splitlines()[2])["groups"][1]
    content[group["offset"] + group["bytes"] // 2] ^= 1
    store.objects[key] = bytes(content)
    assert read_live_person(store, PEOPLE[2000]) == row(PEOPLE[2000])
    with pytest.raises(DamagedBatchError, match=r"part-2\.parquet differ from their SHA-256 in the index; publish"):
        read_live_person(store, PEOPLE[2200])


def test_a_part_file_that_is_cut_short_or_gone_is_noticed(store: CountingStore) -> None:
    key = f"{PREFIX}/part-3.parquet"
    store.objects[key] = store.objects[key][:1000]
    with pytest.raises(DamagedBatchError, match=r"part-3\.parquet differ from their SHA-256"):
        read_live_person(store, PEOPLE[-1])
    del store.objects[key]
    with pytest.raises(DamagedBatchError, match=r"part-3\.parquet is gone although a live index names it; publish"):
        read_live_person(store, PEOPLE[-1])


def test_a_footer_of_another_file_is_noticed() -> None:
    """It points to bytes that were not fetched."""
    store = FakeObjectStore()
    one, other = part(store, "part-0", PEOPLE[:9], 3), part(store, "part-1", PEOPLE[100:2000], 1900)
    publish(store, [{**one, "footer": other["footer"]}])
    with pytest.raises(
        DamagedBatchError, match=r"row group 0 of .*part-0\.parquet does not fit its footer in the index: "
    ):
        read_live_person(store, PEOPLE[0])


def test_the_package_and_the_step_read_one_person_of_a_bucket(s3_endpoint: str) -> None:
    """`refit.read_person` takes the pseudonym, the step the id of the shop."""
    import refit
    from refit.adapters.s3 import S3ObjectStore

    key = PseudonymKey(b"a key for these tests", "k1")
    fake = FakeObjectStore()
    ann, ben = sorted([key.pseudonym("ann"), key.pseudonym("ben")])
    publish(fake, [part(fake, "part-0", [ann, ben], 1)])
    bucket = S3ObjectStore.connect("s3://refit/one-person", endpoint=s3_endpoint)
    for name, content in fake.objects.items():
        bucket.create(name, content)
    assert refit.read_person("s3://refit/one-person", ann, endpoint=s3_endpoint) == row(ann)
    assert refit.read_person("s3://refit/one-person", "k1-nobody", endpoint=s3_endpoint) is None
    receipt = step.run("ann", key=key, store=bucket)
    assert (receipt.id, receipt.pseudonym, receipt.live) == ("ann", key.pseudonym("ann"), row(key.pseudonym("ann")))
    assert canonical_json(step.run("cem", key=key, store=bucket).live) == b"null"


def test_places_that_were_changed_or_are_gone_are_noticed(store: CountingStore) -> None:
    """Those of another part do not matter."""
    key = f"{PREFIX}/places.jsonl"
    content = store.objects[key]
    store.objects[key] = content.replace(PEOPLE[1000].encode(), PEOPLE[1001].encode())
    assert read_live_person(store, PEOPLE[0]) == row(PEOPLE[0])
    with pytest.raises(
        DamagedBatchError, match=r"places\.jsonl differ from their SHA-256 in the index; publish again$"
    ):
        read_live_person(store, PEOPLE[1000])
    del store.objects[key]
    with pytest.raises(
        DamagedBatchError, match=r"places\.jsonl is gone although a live index names it; publish again$"
    ):
        read_live_person(store, PEOPLE[0])


def test_what_is_read_of_the_index_grows_with_the_parts_and_not_with_the_people() -> None:
    """Two parts of two row groups, and of two hundred; only a line of the places is longer."""
    few, many = CountingStore(), CountingStore()
    names = [f"u{n:05d}" for n in range(800)]
    for made, per_group in ((few, 200), (many, 2)):
        publish(made, [part(made, f"part-{n}", names[n * 400 : (n + 1) * 400], per_group) for n in range(2)])
        made.requests.clear()
        assert read_live_person(made, names[401]) == row(names[401])
    sizes = [[size for _, _, size in made.requests] for made in (few, many)]
    assert [len(made) for made in sizes] == [4, 4]
    assert sizes[1][1] - sizes[0][1] < 30, "some numbers have more digits"
    assert sizes[1][2] > 10 * sizes[0][2]


def with_an_index_of_before(store: FakeObjectStore, prefix: str = PREFIX) -> CountingStore:
    """Return what `refit-index/2` and its pointer were: every row group of every part in one object, and no places."""
    index = json.loads(store.objects[f"{prefix}/index.json"])
    lines = store.objects[f"{prefix}/places.jsonl"].splitlines()
    bulky = {"first", "last", "row_groups", "places"}
    parts = [
        {**{name: value for name, value in entry.items() if name not in bulky}, **json.loads(line)}
        for entry, line in zip(index["parts"], lines, strict=True)
    ]
    old = canonical_json(
        {**{k: v for k, v in index.items() if k != "places"}, "format": "refit-index/2", "parts": parts}
    )
    pointer = {**json.loads(store.objects[LIVE]), "index_sha256": sha256(old)}
    kept = {key: content for key, content in store.objects.items() if not key.endswith("places.jsonl")}
    return CountingStore(objects={**kept, f"{prefix}/index.json": old, LIVE: canonical_json(pointer)})


def test_a_batch_with_an_index_of_before_is_read_as_ever(store: CountingStore) -> None:
    """With one request less, since the one index holds everything."""
    before = with_an_index_of_before(store)
    for user_id in PEOPLE[::371]:
        before.requests.clear()
        assert read_live_person(before, user_id) == row(user_id)
        assert len(before.requests) == 3
    assert read_live_person(before, "u00399") is None
    assert sorted(found["user_id"] for found in read_live_batch(before).to_pylist()) == PEOPLE


def test_a_batch_that_was_scored_before_can_be_published_and_read() -> None:
    """An index of before waits for its pointers when a new Refit comes."""
    store = FakeObjectStore()
    publish(store, [part(store, f"part-{n}", PEOPLE[n * 100 : (n + 1) * 100], 20) for n in range(2)])
    waiting = FakeObjectStore(
        objects={key: kept for key, kept in with_an_index_of_before(store).objects.items() if "manifest" not in key}
    )
    del waiting.objects[LIVE], waiting.objects["dates/run_date=2026-01-05.json"]
    assert publish_again(waiting, PREFIX, read_commit(waiting, PREFIX)).live.outcome == "published"
    manifest = json.loads(waiting.objects[f"{PREFIX}/manifest.json"])
    assert [set(entry) for entry in manifest["parts"]] == [{"key", "rows", "bytes", "sha256", "content"}] * 2
    assert read_live_person(waiting, PEOPLE[150]) == row(PEOPLE[150])
