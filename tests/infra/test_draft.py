"""`make shop`, the door: what it needs, what it passes on and what a person reads last."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infra.demo import draft
from infra.host.postgres import DRIVER


@pytest.mark.parametrize("arguments", [[], ["corner"], ["corner", "", ""], ["", "data", ""]])
def test_without_a_name_or_a_place_the_usage_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert draft.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("make shop needs NAME=")
    assert said.endswith("make shop NAME=corner FROM=data\n")
    assert said.count("\n") == 1


def test_the_step_gets_java_and_for_postgresql_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFIT_SPARK_JARS", raising=False)
    assert Path(draft.environment("data")["JAVA_HOME"], "bin", "java").exists()
    assert "REFIT_SPARK_JARS" not in draft.environment("data")
    assert draft.environment("jdbc:postgresql://db/shop#orders")["REFIT_SPARK_JARS"] == str(DRIVER)
    monkeypatch.setenv("REFIT_SPARK_JARS", "my.jar")
    assert draft.environment("jdbc:postgresql://db/shop#orders")["REFIT_SPARK_JARS"] == "my.jar"


def test_what_the_step_says_is_passed_on_and_the_noise_of_the_jvm_is_not(capfd: pytest.CaptureFixture[str]) -> None:
    said = "WARNING: Using incubator modules: jdk.incubator.vector\\nlooking at 2 tables\\n"
    code = draft._run([sys.executable, "-c", f"import sys; sys.stderr.write('{said}'); sys.exit(2)"], {})
    assert (code, capfd.readouterr().err) == (2, "looking at 2 tables\n")
