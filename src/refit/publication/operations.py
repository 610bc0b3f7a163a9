"""Runs the publication protocol against a real store; the interface for steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from refit.batches.pointer import Move
from refit.errors import ConfigurationError
from refit.publication.commit import judged
from refit.publication.garbage import Collected, Retention, collecting
from refit.publication.publish_batch import Published, create_manifest, publishing
from refit.publication.rollback import PointBack, looking_back, pointing_back
from refit.storage.driver import drive
from refit.storage.object_store import ObjectStore


def publish(
    store: ObjectStore,
    prefix: str,
    commit: Mapping[str, Any],
    verdict: Mapping[str, Any],
    *,
    good_until: str,
    withdrawn: Callable[[int], str | None],
    at: str,
    by: str = "publish_recommendations",
    backfill: bool = False,
) -> Published:
    """
    Publish the scored batch of *commit*, which passed with *verdict*: manifest, pointer of its date, `live.json`.

    A *backfill* leaves `live.json` alone, even one of the date that is live.
    *withdrawn* returns why a version of the champion may no longer be published, or None. Any number of attempts of one
    logical run publish it once; an attempt whose outcome was lost may be repeated.

    Raises:
        ConflictError: the batch was judged differently before.
        UnknownOutcomeError: the outcome is unknown; the same call may be repeated.
    """
    batch = replace(judged(prefix, commit, verdict, good_until=good_until, at=at, by=by), backfill=backfill)
    return drive(store, publishing(batch, partial(withdrawn, int(commit["model"]["version"]))))


def write_manifest(
    store: ObjectStore, prefix: str, commit: Mapping[str, Any], verdict: Mapping[str, Any], *, good_until: str
) -> str:
    """Write the manifest of a refused batch, so that it can be read by its id, and return its SHA-256."""
    batch = judged(prefix, commit, verdict, good_until=good_until, at="", by="")
    return drive(store, create_manifest(batch))


def point_back(
    store: ObjectStore,
    *,
    version: int | None = None,
    batch: str | None = None,
    logical_run: str,
    reason: str,
    by: str,
    at: str,
) -> Published:
    """
    Point `live.json` back to the newest batch that champion *version* made, or to *batch*; three requests.

    Nothing is moved if *logical_run* has already rolled back. The pointers of the dates stay as they are.

    Raises:
        NotFoundError: the history of `live.json` has no such batch, or its files are gone.
    """
    wanted = PointBack(version=version, batch=batch, logical_run=logical_run, reason=reason, by=by, at=at)
    return drive(store, pointing_back(_one_of(wanted)))


def require_point_back(store: ObjectStore, *, version: int | None = None, batch: str | None = None) -> Move:
    """
    Return the move of history that `point_back` would return to, without moving; two requests.

    Raises:
        NotFoundError: as `point_back`.
    """
    wanted = PointBack(version=version, batch=batch, logical_run="", reason="", by="", at="")
    return drive(store, looking_back(_one_of(wanted)))


def collect(store: ObjectStore, *, horizon: str, keep: int, since: str = "") -> Collected:
    """
    Delete the batches that were created before *horizon* (a stamp) and are no longer needed.

    The newest *keep* batches of `live.json` stay, and so do batches named by the pointer of a date, unless that date is
    before *since* (YYYY-MM-DD; empty: no limit).
    """
    return drive(store, collecting(Retention(horizon=horizon, keep=keep, since=since)))


def _one_of(wanted: PointBack) -> PointBack:
    if (wanted.version is None) == (wanted.batch is None):
        raise ConfigurationError("a rollback goes to a version or to a batch; give one of the two")
    return wanted
