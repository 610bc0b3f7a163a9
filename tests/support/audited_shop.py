"""A shop in memory with challengers to answer for: registry, tracker, audit log, and the clock of the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines import promote_model
from refit.adapters.airflow_answers import read_answer
from refit.config import Approvals
from refit.digests import digest_of_files
from refit.governance.audit_log import AuditLog
from refit.interfaces import ModelVersion
from refit.model.item_factors import ItemFactors
from refit.testing import FakeObjectStore, FakeRegistry, FakeTracker

REGISTERED = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
ANSWERED = REGISTERED + timedelta(hours=2)
CUTOFF = datetime(2026, 2, 20, tzinfo=UTC)


class KilledError(Exception):
    """Stands for the end of the process."""


@dataclass
class AuditedShop:
    """What `promote_model`, `rollback` and `adopt` work on."""

    store: FakeObjectStore = field(default_factory=FakeObjectStore)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    tracker: FakeTracker = field(default_factory=FakeTracker)
    policy: Approvals = field(default_factory=Approvals)
    hours: float = 72.0
    made: int = 0

    @property
    def log(self) -> AuditLog:
        return AuditLog(self.store)

    def challenger(self, *, days: int = 0, against: int | None = None, **tags: str) -> ModelVersion:
        """Register a model with evidence that has seen data up to *days* after CUTOFF, judged *against* a champion."""
        cutoff = (CUTOFF + timedelta(days=days)).isoformat()
        self.made += 1
        model = ItemFactors(
            items=pa.array(["cup", "tea"]),
            factors=np.full((2, 1), float(self.made), dtype=np.float32),
            people=np.array([3, 4]),
            alpha=1.0,
            regularisation=0.1,
            facts={"cutoff": cutoff},
        )
        files = model.to_files()
        run_id = self.tracker.log_run("train", params={}, metrics={}, tags={}, files={})
        evidence = {
            "digest": digest_of_files(files),
            "cutoff": cutoff,
            "training_set": "d" * 64,
            "evaluation_run": run_id,
            "dossier": f"memory://fake/runs/{run_id}/artifacts/dossier.html",
            "verdict": "propose",
            "reasons": "better than the champion",
            "judged_against": str(against or "none"),
            "registered_at": REGISTERED.isoformat(),
            "code": "refit 0.1.0",
            "requested_by": "dana",
        }
        model_id = self.tracker.log_model(run_id, files, params={})
        return self.registry.register(model_id=model_id, run_id=run_id, tags={**evidence, **tags})

    def answer(self, challenger: ModelVersion, answer: dict[str, Any], digest: str = "") -> promote_model.Receipt:
        """Run the step with *answer*; the digest is what the person was shown."""
        return promote_model.run(
            challenger.version,
            digest or challenger.digest,
            answer,
            policy=self.policy,
            hours=self.hours,
            now=ANSWERED,
            registry=self.registry,
            tracker=self.tracker,
            log=self.log,
            read_answer=read_answer,
        )

    def approve(self, challenger: ModelVersion, **changed: Any) -> promote_model.Receipt:
        """Approve in Airflow."""
        return self.answer(challenger, in_airflow(**changed))

    def decide(self, challenger: ModelVersion, line: str, at: datetime = ANSWERED) -> promote_model.Receipt:
        """Set the tag in MLflow and let it be noticed."""
        self.registry.model_tags[f"decision-{challenger.version}"] = line
        return self.answer(challenger, {"decision": line, "noticed_at": at.isoformat()})

    def champions(self, count: int) -> list[int]:
        """Promote so many challengers, each judged against the one before, and return their versions."""
        made: list[int] = []
        for number in range(count):
            challenger = self.challenger(days=number, against=made[-1] if made else None)
            made.append(self.approve(challenger).champion or 0)
        return made

    def kinds(self) -> list[str]:
        """Return the kinds of all records, checked."""
        return [record.kind for record in self.log.verified()]


def in_airflow(
    option: str = "Approve", by: str | None = "lee", reason: str = "looks right", at: datetime = ANSWERED
) -> dict[str, Any]:
    """Return an answered question of Airflow; nobody answered when *by* is None."""
    return {
        "chosen_options": [option],
        "params_input": {"reason": reason},
        "responded_at": at.isoformat(),
        "responded_by_user": {"id": by, "name": by} if by else None,
    }


def dying(after: int, calls: list[str]) -> Callable[[str, Callable[..., Any]], Callable[..., Any]]:
    """Give what wraps a call so that the process dies after *after* calls of all that were wrapped."""

    def wrap(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            if len(calls) == after:
                raise KilledError(name)
            calls.append(name)
            return call(*args, **named)

        return wrapped

    return wrap
