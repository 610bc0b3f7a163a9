"""
Schedules: the publication protocol under random faults, in one thread and reproducible from a seed.

One seed is one schedule. It draws which actor writes what for which date, whose clock is wrong, which actors stall, die
or survive after being presumed dead; which requests fail before or after their effect, or take effect much later; when
batches are collected and lists are rolled back. The code that yields the requests is the code that runs against S3.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from refit.batches.pointer import LIVE, date_pointer
from refit.errors import ConflictError, DamagedBatchError, NotFoundError
from refit.publication.garbage import BATCHES, Retention
from refit.publication.rollback import PointBack
from refit.storage.requests import UNKNOWN, Answer, Create, Delete, Request, Swap, UnknownOutcomeError
from refit.storage.store_clock import order as order_of
from refit.storage.store_clock import stamp
from refit.testing.promises import broken_promises
from refit.testing.simulated_runs import LAST, Actor, BrokenPromiseError, Protocols, Run, read, roll_back
from refit.testing.simulated_store import SimulatedStore

_DATES = ("2026-01-01", "2026-01-02", "2026-01-03")
_DAY_AFTER = "2026-01-04"
_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
"""Second 0 of every schedule."""
_START = 1000.0
_END = 1e6
"""Second by which every request has taken effect."""
_YEAR = 365 * 86_400.0
_CALM = 3_000
"""Step from which no faults occur, so that every actor can finish."""
_LIMIT = 9_000
_LOST = ("500 InternalError", "503 SlowDown", "409 ConditionalRequestConflict", "no answer")


@dataclass(frozen=True)
class Luck:
    """Fault probabilities, per request."""

    fault: float = 0.12
    crash: float = 0.03


@dataclass
class Outcome:
    """The result of a schedule."""

    violations: list[str]
    requests: int
    moves: int
    """Number of times that a pointer changed its batch."""
    restarts: int


@dataclass
class Schedule:
    """The schedule of one seed."""

    seed: int
    luck: Luck = Luck()
    protocols: Protocols = field(default_factory=Protocols)
    store: SimulatedStore = field(init=False)
    now: float = _START
    actors: list[Actor] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    """Logical run -> result that its caller got."""
    contents: dict[str, list[list[bytes]]] = field(default_factory=dict)
    withdrawn: dict[int, str] = field(default_factory=dict)
    """Version of the champion -> why it was withdrawn."""
    violations: list[str] = field(default_factory=list)
    _late: list[tuple[float, Request]] = field(default_factory=list)
    """Abandoned requests that will still take effect."""
    _seen: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw the actors."""
        self.random = random.Random(self.seed)
        self.store = SimulatedStore(lambda: _instant(self.now))
        draw = self.random
        self.promoted = 1000 + draw.randint(0, 60)
        for number in range(draw.randint(2, 5)):
            self._add_run(f"run{number}", draw.choice(_DATES), 1000 + draw.randint(0, 60))
        if draw.random() < 0.15:
            self._add_twins(1000 + draw.randint(0, 60))
        for key in (LIVE, date_pointer(draw.choice(_DATES))):
            begin = partial(read, self.protocols, key)
            self.actors.append(Actor("reader", f"reader of {key}", begin, 0, draw.randint(2, 6)))
        self.actors.append(Actor("collector", "collector", self._collect, 0, draw.randint(1, 5)))
        for number in range(draw.choice((0, 1, 2, 3))):
            begin = partial(self._roll_back, f"rollback{number}", by_version=draw.random() < 0.5)
            self.actors.append(Actor("operator", f"rollback{number}", begin, 1000 + draw.randint(5, 70), 3))
        self.stalls = draw.random() < 0.5

    def play(self) -> Outcome:
        """Run all actors, one request at a time, and return the outcome."""
        steps = 0
        while live := [actor for actor in self.actors if not actor.done]:
            ready = [actor for actor in live if actor.wake <= self.now]
            if not ready:
                self.now = min(actor.wake for actor in live)
                continue
            actor = self.random.choice(ready)
            if self.stalls and actor.kind in {"writer", "zombie", "collector"} and self.random.random() < 0.05:
                self._stall(actor)
                continue
            self._land_late()
            self._step(actor, calm=steps > _CALM)
            self.now += self.random.random()
            steps += 1
            if steps > _LIMIT:
                self.violations.append("nobody gets anywhere")
                break
        self.now = _END
        self._land_late()
        self._finish()
        violations = [*self.violations, *self.store.violations, *broken_promises(self)]
        moves = sum(versions[-1]["generation"] for versions in self.store.versions.values())
        return Outcome(violations, self.store.requests, moves, sum(actor.restarts for actor in self.actors))

    def _stall(self, actor: Actor) -> None:
        """Let *actor* wait; meanwhile an operator may roll back."""
        actor.wake = self.now + self.random.choice((5, 20, 60, 300))
        for other in self.actors:
            if other.kind == "operator" and other.running is None and self.random.random() < 0.5:
                other.wake = min(other.wake, self.now)

    def _step(self, actor: Actor, *, calm: bool) -> None:
        if actor.running is None:
            if actor.begin is None:
                actor.done = True
                return
            actor.running = actor.begin()
        try:
            if actor.request is None:
                actor.request = actor.running.send(actor.answer)  # type: ignore[arg-type]
                if self.stalls and _decides(actor.request) and self.random.random() < 0.1:
                    self._stall(actor)
                    return
            self._make(actor, actor.request, calm=calm)
        except StopIteration as end:
            self._finished(actor, end.value)
        except UnknownOutcomeError:
            self._die(actor, 5)
        except (ConflictError, NotFoundError) as error:
            self._finished(actor, error)
        except (BrokenPromiseError, DamagedBatchError) as error:
            self.violations.append(str(error))
            self._finished(actor, None)

    def _make(self, actor: Actor, request: Request, *, calm: bool) -> None:
        draw, luck = self.random, self.luck
        chance = 1.0 if calm else draw.random()
        if chance < luck.crash:
            self._crash(actor, request)
            return
        if chance < luck.crash + luck.fault:
            effect = draw.random()
            if effect < 0.45:
                self.store.ask(request)
            elif effect < 0.55:
                self._late.append((self.now + draw.randint(1, 200), request))
            if actor.repeats < 2 and draw.random() < 0.5:
                actor.repeats += 1  # a library or a proxy silently repeats the request
                return
            actor.answer = Answer(UNKNOWN, why=draw.choice(_LOST))
        else:
            actor.answer = self.store.ask(request)
        actor.request, actor.repeats = None, 0

    def _crash(self, actor: Actor, request: Request) -> None:
        draw = self.random
        if actor.kind == "zombie":
            actor.done = True
            return
        if actor.kind == "writer" and draw.random() < 0.4:
            # Its heartbeat was lost: the scheduler starts the next attempt while this one goes on.
            zombie = Actor("zombie", actor.name, None, self.now + draw.randint(0, 60))
            zombie.running, zombie.request, zombie.repeats = actor.running, actor.request, actor.repeats
            self.actors.append(zombie)
        elif draw.random() < 0.5:
            self.store.ask(request)
        self._die(actor, draw.randint(1, 40))

    def _die(self, actor: Actor, delay: float) -> None:
        actor.forget()
        actor.restarts += 1
        actor.wake = self.now + delay
        actor.done = actor.kind == "zombie"

    def _finished(self, actor: Actor, result: Any) -> None:
        actor.forget()
        if actor.kind == "writer" and result is not None:
            if isinstance(result, ConflictError) or result.live.outcome == "expired":
                actor.restarts += 1
                actor.wake = self.now + self.random.randint(1, 20)
                actor.done = actor.restarts > 40
                return
            self.results[actor.name] = result
        if actor.kind == "operator" and result is not None:
            self.results[actor.name] = result
            actor.turns = actor.turns if isinstance(result, NotFoundError) else 0
        if actor.kind == "reader" and result is not None:
            self._check_read(actor.name, *result)
        actor.turns -= 1
        actor.done = actor.turns <= 0 or actor.kind == "zombie"
        actor.wake = self.now + self.random.randint(0, 40)

    def _check_read(self, reader: str, generation: int, target: Any, contents: list[bytes]) -> None:
        if contents not in self.contents.get(target.batch, []):
            self.violations.append("a reader saw a batch that nobody wrote")
        if generation < self._seen.get((reader, "generation"), 0):
            self.violations.append("a reader saw the generation fall")
        self._seen[reader, "generation"] = generation

    def _add_run(self, name: str, run_date: str, order: int) -> None:
        draw = self.random
        run = Run(
            name,
            run_date,
            order_of(_instant(order)),
            draw.random() < 0.1,
            1 if order < self.promoted else 2,
            draw.choice((0, 0, -40, 40)),
            self.contents,
            draw.choice((2, 3)) if draw.random() < 0.1 else 1,
        )

        def begin() -> Any:
            if run.scored is not None and self.random.random() < 0.4 and actor.restarts < 20:
                return run.again(self.protocols, lambda: self.withdrawn.get(run.version))
            return run.begin(self.protocols, self._stamp(run.skew), lambda: self.withdrawn.get(run.version))

        self.runs[name] = run
        actor = Actor("writer", name, begin, order)
        self.actors.append(actor)

    def _add_twins(self, order: int) -> None:
        """Add two processes that believe to be the same attempt of one run but have made different lists."""
        created = self._stamp(order - _START)
        for number in range(2):
            run = Run("twin", "2026-01-02", order_of(_instant(order)), False, 1, 0, self.contents)
            parts = [f"twin{number}/".encode() * (3 + part) for part in range(2)]
            self.actors.append(
                Actor(
                    "zombie",
                    "twin",
                    None,
                    order,
                    running=run.score(self.protocols, f"{created}-twin", parts, created, lambda: self.withdrawn.get(1)),
                )
            )

    def _collect(self) -> Any:
        draw = self.random
        # Sometimes a caller passes an instant in the future.
        horizon = self._stamp(-draw.choice((0, 0, 5, 20, 60)) if draw.random() < 0.9 else _YEAR)
        since = draw.choice(("", "", "2026-01-02", "9999-12-31"))
        return self.protocols.collecting(Retention(horizon=horizon, keep=draw.choice((1, 1, 2, 3)), since=since))

    def _roll_back(self, name: str, *, by_version: bool) -> Any:
        draw = self.random
        history = self.store.versions[LIVE][-1]["history"] if LIVE in self.store.versions else []
        wanted = PointBack(
            version=1 if by_version else None,
            batch=None if by_version else draw.choice([move["batch"] for move in history[-2:]] or ["none"]),
            logical_run=name,
            reason="withdrawn" if by_version else "by hand",
            by="schedule",
            at=self._stamp(0),
        )
        return roll_back(self.protocols, wanted, self.withdrawn)

    def _finish(self) -> None:
        """
        Let one more run publish and collect everything, with no other actor running.

        The run must go live whatever happened before, and no file may remain that no pointer needs.
        """
        last = Run(LAST, _DAY_AFTER, order_of(_instant(self.now)), False, 1, 0, self.contents)
        done = self._alone(last.begin(self.protocols, self._stamp(0), lambda: None))
        if done is None or done.live.outcome != "published":
            self.violations.append("the lists of the next day do not go live")
        self._alone(self.protocols.collecting(Retention(horizon=self._stamp(0), keep=1, since="9999-12-31")))
        for key in (LIVE, *map(date_pointer, (*_DATES, _DAY_AFTER))):
            seen = self._alone(read(self.protocols, key))
            if seen is not None:
                self._check_read(f"last {key}", *seen)

    def _alone(self, protocol: Any) -> Any:
        answer: Any = None
        try:
            while True:
                answer = self.store.ask(protocol.send(answer))
        except StopIteration as end:
            return end.value
        except (BrokenPromiseError, ConflictError, NotFoundError, UnknownOutcomeError) as error:
            self.violations.append(f"at the end: {error}")
            return None

    def _land_late(self) -> None:
        due = [entry for entry in self._late if entry[0] <= self.now]
        self._late = [entry for entry in self._late if entry[0] > self.now]
        for _, request in due:
            self.store.ask(request)

    def _stamp(self, seconds: float) -> str:
        return stamp(_instant(self.now + seconds))


def _instant(second: float) -> datetime:
    return _BEGINNING + timedelta(seconds=second)


def _decides(request: Request) -> bool:
    """Return whether just before *request* is the worst moment to stall, because it relies on an earlier read."""
    return isinstance(request, Swap | Delete) or (isinstance(request, Create) and not request.key.startswith(BATCHES))
