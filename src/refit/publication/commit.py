"""Commits: the index in which scoring records a batch, and the manifest made from it after the list gate."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from refit.batches.index import make_index, without_places
from refit.digests import canonical_json, digest_of_sums, sha256
from refit.errors import DamagedBatchError, NotFoundError
from refit.interfaces import ModelVersion
from refit.publication.publish_batch import Judged
from refit.storage.object_store import ObjectStore
from refit.storage.store_clock import order, stamp

_MANIFEST_FORMAT = "refit-manifest/2"
_NEEDED = ("created", "logical_run", "ordered_at", "made_from", "content_sha256", "run_date", "as_of")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt of a run to make a batch; the batch is named after it."""

    batch: str
    """Unique id that begins with the time stamp of the attempt."""
    logical_run: str
    """The same for every attempt of the run."""
    ordered_at: str
    """When the run was ordered, in the format of `order`, by the clock that orders all runs."""
    code: str
    """Version of the code."""


def new_attempt(*, logical_run: str, ordered_at: datetime, created: datetime, code: str) -> Attempt:
    """Return an attempt that begins at *created*."""
    name = f"{stamp(created)}-{secrets.token_hex(6)}"
    return Attempt(batch=name, logical_run=logical_run, ordered_at=order(ordered_at), code=code)


def write_commit(
    store: ObjectStore,
    prefix: str,
    made_by: Attempt,
    champion: ModelVersion,
    parts: Sequence[Mapping[str, Any]],
    made_from: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """
    Write the row group ranges and the index of a scored batch, and return the index, which is the commit.

    The index comes last: a batch without it was never finished.

    *parts* are the commit records of the part files, in the order of their people; *made_from* holds at least `as_of`;
    *facts* are additional entries.

    Raises:
        DamagedBatchError: two row groups claim the same people.
        ConflictError: the batch has a different index.
    """
    model = {
        "name": champion.name,
        "version": champion.version,
        "digest": champion.digest,
        "cutoff": champion.cutoff,
    }
    commit, places = make_index(
        {
            **facts,
            "batch": made_by.batch,
            "run_date": made_from["as_of"][:10],
            "as_of": made_from["as_of"],
            "created": made_by.batch.partition("-")[0],
            "logical_run": made_by.logical_run,
            "ordered_at": made_by.ordered_at,
            "model": model,
            "made_from": made_from,
            "parts": list(parts),
            "content_sha256": digest_of_sums(sum(part["rows"] for part in parts), (part["content"] for part in parts)),
        },
        prefix,
    )
    store.create(commit["places"], places)
    store.create(f"{prefix}/index.json", canonical_json(commit))
    return commit


def read_commit(store: ObjectStore, prefix: str) -> dict[str, Any]:
    """
    Return the commit of a scored batch.

    Raises:
        NotFoundError: the batch was never finished.
        DamagedBatchError: the stored object is not an index that this version of Refit can publish.
    """
    key = f"{prefix}/index.json"
    stored = store.get(key)
    if stored is None:
        raise NotFoundError(f"{store.address}/{prefix} holds no finished batch; run score_users first")
    commit: dict[str, Any] = json.loads(stored.content)
    missing = [name for name in _NEEDED if name not in commit]
    if missing or canonical_json(commit) != stored.content:
        raise DamagedBatchError(
            f"{store.address}/{key} is no index of this version of Refit"
            f"{' (it lacks ' + ', '.join(missing) + ')' if missing else ''}; score again"
        )
    return commit


def judged(
    prefix: str, commit: Mapping[str, Any], verdict: Mapping[str, Any], *, good_until: str, at: str, by: str
) -> Judged:
    """Return the batch of *commit* with its manifest, ready to be published."""
    index = canonical_json(commit)
    manifest = {
        **without_places(commit),
        "format": _MANIFEST_FORMAT,
        "good_until": good_until,
        "index": {"key": f"{prefix}/index.json", "bytes": len(index), "sha256": sha256(index)},
        "verdict": verdict,
    }
    return Judged(
        prefix=prefix,
        batch=commit["batch"],
        run_date=commit["run_date"],
        as_of=commit["as_of"],
        good_until=good_until,
        created=commit["created"],
        logical_run=commit["logical_run"],
        ordered_at=commit["ordered_at"],
        index_sha256=sha256(index),
        manifest=manifest,
        model=commit["model"],
        made_from=commit["made_from"],
        newest_day=commit["made_from"].get("newest_day"),
        at=at,
        by=by,
    )
