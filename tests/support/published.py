"""Batches of a few people, staged, refused, published, or pointed to by hand, for tests of whoever reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from refit.batches.part_files import PartFile
from refit.batches.pointer import LIVE, NO_FENCE, Pointer, Target
from refit.batches.schema import SCHEMA
from refit.digests import canonical_json, sha256
from refit.interfaces import ModelVersion
from refit.publication import Attempt, Published, new_attempt, order, publish, write_commit, write_manifest
from refit.publication.read import batch_prefix, read_live_batch
from refit.storage.object_store import ObjectStore
from refit.testing import FakeObjectStore

DAY = "2026-01-05"
AS_OF = f"{DAY}T00:00:00+00:00"
GOOD_UNTIL = "2026-01-07T00:00:00+00:00"
MODEL = {"name": "shop", "version": 3, "digest": "ab" * 32, "cutoff": "2026-01-01T00:00:00+00:00"}
CHAMPION = ModelVersion(model_id="m-1", run_id="r-1", tags={}, **MODEL)  # type: ignore[arg-type]
CREATED = datetime(2026, 1, 5, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
NEXT_DAY = "2026-01-06"


def row(user_id: str, run_date: str = DAY) -> dict[str, Any]:
    """Return the row of one person, with two recommendations."""
    entries = [
        {"item_id": f"{user_id}-{place}", "score": 1.0 / place, "source": "factors", "reasons": []} for place in (1, 2)
    ]
    known = {"user_id": user_id, "recommendations": entries, "model_version": 3, "run_date": run_date}
    return {name: known.get(name) for name in SCHEMA.names}


def score(
    store: ObjectStore,
    batch: str,
    files: Sequence[Sequence[str]],
    *,
    run_date: str = DAY,
    created: datetime = CREATED,
    logical_run: str = "",
    champion: ModelVersion = CHAMPION,
    facts: Mapping[str, Any] | None = None,
) -> tuple[str, dict[str, Any]]:
    """Write a batch as scoring would, a file for each sequence of people in order; return its prefix and commit."""
    prefix = batch_prefix(run_date, batch)
    parts = []
    for number, people in enumerate(files):
        file = PartFile()
        rows = [row(user_id, run_date) for user_id in people]
        file.write_group(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
        content, described = file.close()
        key = f"{prefix}/part-{number:05d}.parquet"
        store.create(key, content)
        parts.append({"key": key, **described})
    made_by = Attempt(batch=batch, logical_run=logical_run or batch, ordered_at=order(created), code="tests")
    made_from = {"as_of": f"{run_date}T00:00:00+00:00"}
    return prefix, write_commit(store, prefix, made_by, champion, parts, made_from, facts or {})


def stage(
    store: ObjectStore, batch: str, files: Sequence[Sequence[str]], *, run_date: str = DAY, decision: str = "publish"
) -> Target:
    """Write a judged batch and return it as a pointer would name it; nothing points to it yet."""
    prefix, commit = score(store, batch, files, run_date=run_date)
    return Target(
        batch=batch,
        run_date=run_date,
        as_of=commit["as_of"],
        good_until=GOOD_UNTIL,
        manifest=f"{prefix}/manifest.json",
        manifest_sha256=write_manifest(store, prefix, commit, {"decision": decision}, good_until=GOOD_UNTIL),
        index=f"{prefix}/index.json",
        index_sha256=sha256(canonical_json(commit)),
        model=MODEL,
    )


def point(store: ObjectStore, target: Target | None, generation: int, *, key: str = LIVE, horizon: str = "") -> None:
    """Let the pointer *key* name *target*, whatever it named before."""
    pointer = Pointer(
        generation=generation, target=target, horizon=horizon, highest=NO_FENCE, current=NO_FENCE, history=()
    )
    before = store.get(key)
    store.swap(key, pointer.to_json(), expected=before.etag if before else None)


def go_live(
    store: ObjectStore,
    created: datetime,
    files: Sequence[Sequence[str]],
    *,
    run_date: str = DAY,
    logical_run: str = "",
    champion: ModelVersion = CHAMPION,
) -> tuple[str, Published]:
    """Score and publish a batch that was begun at *created*; return its id and what became of it."""
    batch = new_attempt(logical_run=logical_run, ordered_at=created, created=created, code="tests").batch
    prefix, commit = score(
        store, batch, files, run_date=run_date, created=created, logical_run=logical_run, champion=champion
    )
    return batch, publish_again(store, prefix, commit)


def publish_again(store: ObjectStore, prefix: str, commit: Mapping[str, Any]) -> Published:
    """Publish a scored batch, for the first time or once more."""
    return publish(
        store,
        prefix,
        commit,
        {"decision": "publish"},
        good_until=GOOD_UNTIL,
        withdrawn=lambda version: None,
        at=AS_OF,
    )


def live(store: FakeObjectStore, *people: str, at: datetime = CREATED, **more: Any) -> tuple[str, Published]:
    """Publish a batch of *people*, one file each, by a run named after them."""
    return go_live(store, at, [[name] for name in people], logical_run=" ".join(people), **more)


def people(store: FakeObjectStore) -> list[str]:
    """Return everybody whose list is live, in order."""
    names: list[str] = read_live_batch(store)["user_id"].to_pylist()
    return names


def document(store: FakeObjectStore, key: str = LIVE) -> dict[str, Any]:
    """Return what a pointer says, as it is stored."""
    found: dict[str, Any] = json.loads(store.objects[key])
    return found
