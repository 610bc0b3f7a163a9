"""Stores of trials: finished trials are kept in the lake and logged as child runs in the tracker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from refit.digests import canonical_json, digest_of
from refit.interfaces import Tracker
from refit.storage.object_store import ObjectStore
from refit.tuning.study import Trial, Tuned


@dataclass(frozen=True)
class StoredTrials:
    """Trials in a folder of a store, one write-once object each; each is a child of one tracker run."""

    store: ObjectStore
    folder: str
    tracker: Tracker
    run_id: str
    """The parent run."""
    metric: str

    @classmethod
    def open(
        cls, store: ObjectStore, folder: str, tracker: Tracker, *, name: str, params: Mapping[str, Any], metric: str
    ) -> StoredTrials:
        """Return the trials stored at *folder*; a study that began earlier keeps its run."""
        stored = store.get(f"{folder}/run.json")
        if stored is None:
            run_id = tracker.log_run(name, params=params, metrics={}, tags={"step": "tune_model"}, files={})
            store.create(f"{folder}/run.json", canonical_json({"run_id": run_id}))
        else:
            run_id = json.loads(stored.content)["run_id"]
        return cls(store, folder, tracker, run_id, metric)

    def read(self) -> list[Trial]:
        """Return the trials so far, in order."""
        found = []
        for key in self.store.keys(f"{self.folder}/trial-"):
            stored = self.store.get(key)
            if stored is not None:
                found.append(Trial(**json.loads(stored.content)))
        return found

    def write(self, trial: Trial) -> Trial:
        """Store *trial* and return it with the id of its run."""
        folds = {f"{self.metric}_fold_{at}": score for at, score in enumerate(trial.scores)}
        whole = {self.metric: sum(trial.scores) / len(trial.scores)} if trial.scores else {}
        reason_tag = {"why": trial.why} if trial.why else {}
        run_id = self.tracker.log_run(
            f"trial {trial.number}: {trial.kind}",
            params={"kind": trial.kind, **trial.values},
            metrics={**folds, **whole},
            tags={"step": "tune_model", "state": trial.state, **reason_tag},
            files={},
            parent=self.run_id,
        )
        shown = replace(trial, run_id=run_id)
        # Five digits make the order of names equal that of numbers.
        self.store.create(f"{self.folder}/trial-{trial.number:05d}.json", canonical_json(shown.as_record()))
        return shown

    def keep(self, tuned: Tuned) -> str:
        """Store the winning settings under a content-addressed key, log them in the parent run, and return the key."""
        record = {"settings": tuned.settings.model_dump(mode="json"), "metric": self.metric, "score": tuned.score}
        record |= {"stopped": tuned.stopped} if tuned.stopped else {}
        key = f"{self.folder}/settings-{digest_of(record)[:16]}.json"
        self.store.create(key, canonical_json(record))
        trials = canonical_json([trial.as_record() for trial in tuned.trials])
        self.tracker.add_to_run(
            self.run_id,
            metrics={} if tuned.score is None else {f"best_{self.metric}": tuned.score},
            files={"settings.json": canonical_json(record), "trials.json": trials},
        )
        return key


@dataclass(frozen=True)
class ListedTrials:
    """Trials kept in memory only, for studies that are not resumed."""

    trials: list[Trial] = field(default_factory=list)

    def read(self) -> list[Trial]:
        """Return the trials so far, in order."""
        return list(self.trials)

    def write(self, trial: Trial) -> Trial:
        """Store *trial* and return it."""
        self.trials.append(trial)
        return trial
