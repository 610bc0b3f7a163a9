"""
The whole loop on a large simulated shop, step by step as a person would run it: time, CPU and memory of each.

10,000,000 landed events of 500,000 people on the stack of `make up`; each step is a process of its own, and only what
it and its descendants use is counted. `BENCH_ROWS=200000` makes it smaller.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.harness.process_tree import run_measured
from pipelines.settings import REPOSITORY

_SHOP = "large"
_TRAINED = "2026-05-25"
"""A week before the end of the data, so that the last drift check has days that the champion has not learnt from."""
_JUDGED = ("training_set", "run_id", "model_id", "digest")


def measure() -> None:
    """Print one line per step."""
    rows = int(os.environ.get("BENCH_ROWS", "10000000"))
    with tempfile.TemporaryDirectory(prefix="refit-bench-") as folder:
        state = Path(folder)
        shops = _write_shop(state / "shops", rows)
        environment = {
            **os.environ,
            "REFIT_SHOP": _SHOP,
            "REFIT_SHOPS": str(shops),
            "REFIT_STATE": str(state / "state"),
            "REFIT_SPARK_MEMORY": os.environ.get("REFIT_SPARK_MEMORY", "4g"),
            # The thorough compiler pays for itself here.
            "REFIT_SPARK_JAVA_OPTIONS": "-XX:+UseSerialGC",
        }
        stack = [sys.executable, "-m", "infra.stack.control"]
        subprocess.run([*stack, "up"], cwd=REPOSITORY, env=environment, check=True, stdout=subprocess.DEVNULL)
        try:
            told = subprocess.run(
                [*stack, "env"], cwd=REPOSITORY, env=environment, check=True, capture_output=True, text=True
            )
            settings = dict(re.findall(r"^export (\w+)='?(.*?)'?$", told.stdout, re.M))
            _Loop(state, {**environment, **settings}).run()
        finally:
            subprocess.run([*stack, "down"], cwd=REPOSITORY, env=environment, check=True, stdout=subprocess.DEVNULL)


def _write_shop(shops: Path, rows: int) -> Path:
    source = REPOSITORY / "shops" / "simulated"
    place = shops / _SHOP
    (place / "sources").mkdir(parents=True)
    text = (source / "shop.toml").read_text(encoding="utf-8")
    # A sixth of the simulated events comes after the day until which is landed.
    size = {"people": rows // 20, "items": max(rows // 500, 500), "events": rows * 6 // 5}
    for name, value in size.items():
        text = re.sub(rf"^{name} = \d+$", f"{name} = {value}", text, count=1, flags=re.M)
    (place / "shop.toml").write_text(text, encoding="utf-8")
    for sql in (source / "sources").glob("*.sql"):
        (place / "sources" / sql.name).write_text(sql.read_text(encoding="utf-8"), encoding="utf-8")
    return shops


class _Loop:
    """The steps, each with what the ones before it returned."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._out = folder / "receipt.json"
        self._environment = environment

    def run(self) -> None:
        print(f"{'step':<26}{'CPU s':>8}{'wall s':>8}{'peak GiB':>10}")
        self._step("simulate_shop")
        landed = self._step("land_interactions", since="2026-01-01", until="2026-06-01")
        drift = self._step("check_drift", as_of=_TRAINED)
        built = self._step("build_training_set", as_of=_TRAINED)
        tuned = self._step("tune_model", training_set=built["training_set"])
        model = self._step("train_model", training_set=built["training_set"], settings=tuned["settings"])
        judged = {name: model[name] for name in _JUDGED}
        evaluation = self._step("evaluate_model", **judged, settings=model["settings"], drift=json.dumps(drift))
        offered = self._step("refit_model", **judged, evaluation=json.dumps(evaluation))
        registered = {name: offered[name] for name in _JUDGED}
        told = {"evaluation": json.dumps(evaluation), "refitted": json.dumps(offered)}
        challenger = self._step("register_model", **registered, **told)
        answer = {
            "chosen_options": ["Approve"],
            "responded_by_user": {"name": "bench"},
            "responded_at": datetime.now(UTC).isoformat(),
            "params_input": {"reason": "a bench"},
        }
        version, digest = challenger["version"], offered["digest"]
        self._step("promote_model", version=version, digest=digest, answer=json.dumps(answer))
        scored = self._step("score_users")
        published = self._step("publish_recommendations", batch=scored["batch"])
        # The first of them had no champion to compare with.
        self._step("check_drift")
        print(
            f"{landed['rows']:,} events, {built['pairs']:,} pairs of {built['people']:,} people, "
            f"{published['people']:,} lists live; {'; '.join(evaluation['reasons'])}"
        )

    def _step(self, name: str, **values: Any) -> dict[str, Any]:
        given = [f"{key}={value}" for key, value in values.items()]
        command = [sys.executable, "-m", "pipelines", name, *given, "--out", str(self._out)]
        used = run_measured(command, folder=REPOSITORY, environment=self._environment)
        print(f"{name:<26}{used.seconds:8.1f}{used.wall:8.1f}{used.peak:10.2f}", flush=True)
        receipt: dict[str, Any] = json.loads(self._out.read_text(encoding="utf-8"))
        return receipt
