"""The guarantees of publication, checked over everything that a schedule did to its pointers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from refit.batches.pointer import LIVE, date_pointer
from refit.errors import RefitError
from refit.testing.simulated_runs import LAST
from refit.testing.simulated_store import prefix_of

if TYPE_CHECKING:
    from refit.testing.schedules import Schedule
    from refit.testing.simulated_runs import Run


def broken_promises(schedule: Schedule) -> Iterator[str]:
    """Yield a sentence for each broken guarantee."""
    moves = {}
    for key, versions in schedule.store.versions.items():
        yield from _generations(versions)
        moves[key] = [after["history"][0] for after in _moved(versions)]
        yield from _orders(moves[key])
    yield from _withdrawals(moves.get(LIVE, []))
    yield from _backfills(schedule, moves.get(LIVE, []))
    for name, result in schedule.results.items():
        if not isinstance(result, RefitError):
            yield from _contradictions(schedule, name, result, moves)
            yield from _kept_back(schedule, name, result, moves)
    yield from _unreported_publications(schedule.results, moves.get(LIVE, []))
    yield from _orphans(schedule)


def _moved(versions: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the first version of each generation."""
    generation = 0
    for version in versions:
        if version["generation"] != generation:
            yield version
        generation = version["generation"]


def _generations(versions: list[dict[str, Any]]) -> Iterator[str]:
    before: Mapping[str, Any] = {"generation": 0, "horizon": "", "history": []}
    for version in versions:
        step = version["generation"] - before["generation"]
        if step not in (0, 1):
            yield "generations are not contiguous"
        if version["horizon"] < before["horizon"]:
            yield "the horizon went back"
        if len(version["history"]) != len(before["history"]) + step:
            yield "history was lost"
        if not step and "batch" in version and version["batch"] != before.get("batch"):
            yield "a pointer names another batch in the same generation"
        given_up = {move["batch"] for move in before["history"] if move.get("collected")}
        if step and version["batch"] in given_up:
            yield "a pointer went back to lists that are being collected"
        before = version


def _orders(moves: list[dict[str, Any]]) -> Iterator[str]:
    highest: list[str] = []
    published = [move for move in moves if move["kind"] == "publish"]
    for move in published:
        if move["fence"] <= highest:
            yield "an older run came after a newer one"
        highest = max(highest, move["fence"])
    for kind in ("publish", "rollback"):
        runs = [move["logical_run"] for move in moves if move["kind"] == kind]
        if len(set(runs)) != len(runs):
            yield f"one run made two moves ({kind})"


def _withdrawals(moves: list[dict[str, Any]]) -> Iterator[str]:
    """Once lists were rolled back to version 1, no lists by version 2 may go live."""
    rolled_back = False
    for move in moves:
        if rolled_back and move["kind"] == "publish" and move["model"]["version"] == 2:
            yield "lists of a withdrawn champion went live"
        rolled_back |= move["kind"] == "rollback" and move["reason"] == "withdrawn"


def _contradictions(
    schedule: Schedule, name: str, result: Any, moves: Mapping[str, list[dict[str, Any]]]
) -> Iterator[str]:
    """Compare the result that the caller got with what happened."""
    attempts = {LIVE: result.live}
    if name in schedule.runs and result.dated is not None:
        attempts[date_pointer(schedule.runs[name].run_date)] = result.dated
    for key, attempt in attempts.items():
        done = {move["kind"] for move in moves.get(key, []) if move["logical_run"] == name}
        if attempt.outcome == "published" and "publish" not in done:
            yield "a publication was confirmed and is lost"
        if attempt.outcome == "superseded" and "publish" in done:
            yield "a publication was denied and has happened"
        if attempt.outcome == "rolled_back" and "rollback" not in done:
            yield "a rollback was confirmed and is lost"


def _kept_back(schedule: Schedule, name: str, result: Any, moves: Mapping[str, list[dict[str, Any]]]) -> Iterator[str]:
    """If a run was superseded, the newer batch is visible and is for a day whose data had arrived."""
    run = schedule.runs.get(name)
    if run is None:
        return
    if result.live.outcome == "superseded":
        newer = _newer(run, moves.get(LIVE, []))
        if not newer:
            yield "a live run was kept back although nothing newer was ever live"
        elif all(_days_ahead(schedule, move) > 1 for move in newer):
            yield "lists of days that had not come kept back those of the days before them"
    dated = "" if result.dated is None else result.dated.outcome
    if dated == "superseded" and not _newer(run, moves.get(date_pointer(run.run_date), [])):
        yield "a run was kept back at its date although nothing newer was ever there"


def _newer(run: Run, moves: list[dict[str, Any]]) -> list[dict[str, Any]]:
    published = (move for move in moves if move["kind"] == "publish" and move["logical_run"] != LAST)
    return [move for move in published if move["fence"] > run.fence]


def _days_ahead(schedule: Schedule, move: Mapping[str, Any]) -> int:
    run = schedule.runs.get(move["logical_run"])
    return run.days_ahead if run else 1


def _backfills(schedule: Schedule, moves: list[dict[str, Any]]) -> Iterator[str]:
    backfills = {name for name, run in schedule.runs.items() if run.backfill}
    if any(move["logical_run"] in backfills for move in moves):
        yield "a backfill moved what is live"


def _unreported_publications(results: Mapping[str, Any], moves: list[dict[str, Any]]) -> Iterator[str]:
    """Every run that went live was informed of it, unless its champion was withdrawn in the meantime."""
    for move in moves:
        result = results.get(move["logical_run"])
        if move["kind"] == "publish" and move["logical_run"].startswith("run"):
            outcome = getattr(getattr(result, "live", None), "outcome", "nothing")
            if outcome not in {"published", "withdrawn"}:
                yield f"a run went live and was told {outcome}"


def _orphans(schedule: Schedule) -> Iterator[str]:
    live = schedule.store.versions.get(LIVE)
    if not live:
        return
    needed = {prefix_of(live[-1]["manifest"])}
    for key in schedule.store.objects:
        if key.startswith("batches/") and prefix_of(key) not in needed:
            yield "a file was left that no pointer needs"
            return
