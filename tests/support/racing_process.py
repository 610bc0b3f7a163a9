"""A process that publishes again and again, or reads until it is told to stop, beside others like it."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from support.published import publish_again, score

from refit.adapters.s3 import S3ObjectStore
from refit.errors import DamagedBatchError, NothingPublishedError
from refit.publication import new_attempt
from refit.publication.read import PointerState, follow, read_named

ORDERED = datetime(2026, 1, 5, tzinfo=UTC)
PEOPLE = 3


def write(store: S3ObjectStore, writer: int, publications: int) -> list[tuple[str, str, str]]:
    """Publish one batch for each of some dates; return logical run and what was said of live.json and the date."""
    told = []
    for number in range(publications):
        run = f"{number}-{writer}"
        run_date = f"2026-01-{1 + number:02d}"
        while True:
            made_by = new_attempt(logical_run=run, ordered_at=ORDERED, created=datetime.now(UTC), code="tests")
            files = [[f"{run} {person}"] for person in range(PEOPLE)]
            ordered = ORDERED + timedelta(seconds=100 * number + writer)
            prefix, commit = score(store, made_by.batch, files, run_date=run_date, created=ordered, logical_run=run)
            published = publish_again(store, prefix, commit)
            if published.live.outcome != "expired":
                break
        told.append((run, published.live.outcome, published.dated.outcome if published.dated else ""))
    return told


def read(store: S3ObjectStore, stop: Path) -> dict[str, Any]:
    """Read what is live until *stop* exists; return how many whole, torn and backward reads there were."""
    seen = {"whole": 0, "torn": 0, "backward": 0}
    newest = 0

    def whole(state: PointerState) -> tuple[int, str, list[str]]:
        target = state.target
        manifest = json.loads(read_named(store, target.manifest, target.manifest_sha256, "manifest"))
        for part in manifest["parts"]:
            read_named(store, part["key"], part["sha256"], "manifest")
        return state.generation, manifest["batch"], [part["key"] for part in manifest["parts"]]

    while not stop.exists():
        try:
            generation, batch, keys = follow(store, whole)
        except NothingPublishedError:
            continue
        except DamagedBatchError:
            seen["torn"] += 1
            continue
        is_whole = len(keys) == PEOPLE and all(f"batch={batch}/" in key for key in keys)
        seen["whole" if is_whole else "torn"] += 1
        seen["backward"] += generation < newest
        newest = max(newest, generation)
    return seen


if __name__ == "__main__":
    endpoint, address, role, *rest = sys.argv[1:]
    opened = S3ObjectStore.connect(address, endpoint=endpoint)
    result = write(opened, int(rest[0]), int(rest[1])) if role == "write" else read(opened, Path(rest[0]))
    sys.stdout.write(json.dumps(result))
