"""`python -m pipelines`: exit code 0 and a receipt, or 2 and one line that says what to do."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipelines import __main__ as command_line
from pipelines import evaluate_model, refit_model, register_model, wiring
from pipelines.__main__ import STEPS, main
from pipelines.instants import Instant, landed_as_of
from pipelines.settings import REPOSITORY
from pipelines.usage import parameters_of
from refit.adapters.airflow_answers import read_answer
from refit.clocks.shop_clock import ShopClock
from refit.config import load_shop
from refit.errors import NotEnoughDataError, TransientError
from refit.lake.lake import Lake, Landed
from refit.testing import FakeObjectStore

KEY = "a key for these tests"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFIT_PSEUDONYM_KEY", KEY)
    monkeypatch.delenv("REFIT_PSEUDONYM_KEY_VERSION", raising=False)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], str]:
    """Give what runs a command that must be refused, and returns its one line on standard error."""

    def run(arguments: list[str]) -> str:
        assert main(arguments) == 2
        out, error = capsys.readouterr()
        assert out == ""
        assert error.endswith("\n")
        assert error.count("\n") == 1
        return error.rstrip("\n")

    return run


def test_a_receipt_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pseudonym", "id=Zoë=1"]) == 0
    receipt = json.loads(capsys.readouterr().out)
    assert receipt["id"] == "Zoë=1"
    assert receipt["pseudonym"].startswith("k1-")


def test_a_receipt_may_be_written_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "receipt.json"
    assert main(["pseudonym", "--out", str(place), "id=17850"]) == 0
    assert json.loads(place.read_text(encoding="utf-8"))["id"] == "17850"
    assert capsys.readouterr().out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["receipt.json"]


def test_an_unknown_step_is_refused_with_the_known_ones(refused: Callable[[list[str]], str]) -> None:
    assert refused(["train_modle"]) == (
        f"train_modle: there is no step 'train_modle'; the steps are {', '.join(STEPS)}"
    )


@pytest.mark.parametrize("argument", ["name=x", "17850", "id", "--id=17850", "Id=17850"])
def test_an_unknown_parameter_is_refused_with_the_usage(refused: Callable[[list[str]], str], argument: str) -> None:
    assert refused(["pseudonym", "id=1", argument]) == (
        f"pseudonym: {argument!r} is no parameter; usage: python -m pipelines pseudonym id=..."
    )


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["check_drift", "as_of=5.1.2026"], ["as_of='5.1.2026' cannot be used", "write YYYY-MM-DD"]),
        (["check_drift", "as_of=2026-02-30"], ["as_of='2026-02-30' cannot be used"]),
        (["check_drift", "force=maybe"], ["force='maybe' cannot be used: it must be true or false"]),
        (["promote_model", "version=three"], ["version='three' cannot be used: it must be a whole number"]),
        (["promote_model", "version=3.5"], ["version='3.5' cannot be used: it must be a whole number"]),
        (["promote_model", "version="], ["version='' cannot be used: it must be a whole number"]),
        (["promote_model", 'answer={"chosen'], ["cannot be used", "JSON"]),
        (["promote_model", "answer=x"], ["answer='x' cannot be used: it must be an object of JSON"]),
    ],
)
def test_a_parameter_that_does_not_parse_is_refused_with_what_was_wrong(
    refused: Callable[[list[str]], str], arguments: list[str], parts: list[str]
) -> None:
    message = refused(arguments)
    assert [part for part in parts if part not in message] == []


def test_every_missing_parameter_is_named(refused: Callable[[list[str]], str]) -> None:
    assert refused(["promote_model", "version=3"]) == (
        "promote_model: digest, answer must be given; "
        "usage: python -m pipelines promote_model version=... digest=... answer=..."
    )


def test_a_step_that_refuses_is_one_line(refused: Callable[[list[str]], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFIT_PSEUDONYM_KEY", "short")
    assert refused(["pseudonym", "id=1"]) == (
        "pseudonym: the pseudonym key has 5 bytes, at least 16 are needed; set REFIT_PSEUDONYM_KEY"
    )


def test_a_setting_that_cannot_be_used_is_one_line(
    refused: Callable[[list[str]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFIT_APPROVAL_HOURS", "-1")
    assert refused(["pseudonym", "id=1"]) == (
        "pseudonym: setting REFIT_APPROVAL_HOURS='-1' cannot be used: it must be more than 0; see infra/env.example"
    )


def test_a_key_that_is_not_set_is_one_line(
    refused: Callable[[list[str]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REFIT_PSEUDONYM_KEY")
    assert refused(["pseudonym", "id=1"]) == (
        "pseudonym: REFIT_PSEUDONYM_KEY is not set; user ids are never stored without it"
    )


def test_what_may_succeed_later_has_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def down(id: str) -> dict[str, Any]:
        raise TransientError("the store does not answer")

    monkeypatch.setattr(command_line, "_step", lambda name: down)
    assert main(["pseudonym", "id=1"]) == 1
    assert capsys.readouterr().err == "pseudonym: the store does not answer\n"


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help_lists_every_step_with_what_it_does(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "usage: python -m pipelines STEP name=value ... [--out FILE]"
    assert [line.split()[0] for line in lines[3:-2]] == list(STEPS)
    assert [line for line in lines[3:-2] if not line.endswith(".")] == []
    assert lines[-1] == ("python -m pipelines STEP --help says what a step does and what each of its parameters means.")


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every setting away, and let whoever asks for a collaborator fail."""

    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("the help opens nothing")

    for name in [name for name in os.environ if name.startswith("REFIT_")]:
        monkeypatch.delenv(name)
    for name, member in inspect.getmembers(wiring, inspect.isfunction):
        if member.__module__ == wiring.__name__:
            monkeypatch.setattr(wiring, name, opened)
    monkeypatch.setattr(SparkSession.Builder, "getOrCreate", opened)


@pytest.mark.usefixtures("nowhere")
def test_help_says_what_a_step_does_and_what_its_parameters_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rollback", "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(
        "usage: python -m pipelines rollback reason=... requested_by=... [to=...] [logical_run=...] [lists=...]\n\n"
        "Step: go back to an earlier champion, model and lists together.\n\n"
        "Reads:  the audit log, "
    )
    assert "\nRe-run: safe; the same logical run goes back once, and one that was killed is finished.\n\n" in told
    assert (
        "\nreason: text, required\n"
        "    Why, in a sentence that is kept in the audit log for good.\n"
        "    Example: reason='wrong prices on Monday'\n\n"
    ) in told
    assert "\nto: whole number, optional\n    Version of the champions' model to go back to; left out, it is" in told
    assert "\nlists: back or stay, default: back\n" in told
    assert told.endswith("\n--out FILE writes the receipt to a file instead of printing it.\n")


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("name", STEPS)
def test_help_tells_every_parameter_of_every_step(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    told = capsys.readouterr().out
    document = inspect.getdoc(importlib.import_module(f"pipelines.{name}"))
    assert document is not None
    assert document in told
    assert len(re.findall(r"^    Example: ", told, re.M)) == len(inspect.signature(command_line._step(name)).parameters)
    for key, given in inspect.signature(command_line._step(name)).parameters.items():
        heads = re.findall(rf"^{key}: (?:.+), (required|optional|default: \S+)$", told, re.M)
        assert len(heads) == 1, key
        assert (heads[0] == "required") == (given.default is inspect.Parameter.empty), key


@pytest.mark.parametrize("name", STEPS)
def test_every_parameter_is_described_in_one_sentence(name: str) -> None:
    described = {one.name: one.description for one in parameters_of(command_line._step(name))}
    assert [key for key, text in described.items() if not re.fullmatch(r"[A-Z][^\n]+[^.]\.", text)] == []
    assert [key for key, text in described.items() if len(text.split()) < 5 or re.search(r"\. [A-Z]", text)] == []


@pytest.mark.parametrize("name", STEPS)
def test_every_example_is_one_that_the_step_takes(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the shell would hand it over to whoever copies it from the help."""
    monkeypatch.setattr(command_line, "_shop_clock", ShopClock)
    step = command_line._step(name)
    assert main([name, "--help"]) == 0
    examples = [shlex.split(line) for line in re.findall(r"^    Example: (.+)$", capsys.readouterr().out, re.M)]
    values = command_line._values(name, step, [word for words in examples for word in words])
    assert list(values) == list(inspect.signature(step).parameters)
    assert [key for key, value in values.items() if value in (None, "", {})] == []


def test_examples_of_receipts_and_answers_are_what_the_steps_read_out_of_them() -> None:
    answer = next(one for one in parameters_of(command_line._step("promote_model")) if one.name == "answer")
    assert read_answer(json.loads(answer.example)).approved
    given = next(one for one in parameters_of(register_model.main) if one.name == "evaluation")
    needed = set(re.findall(r"""\bevaluation\[["'](\w+)["']\]""", inspect.getsource(register_model)))
    assert set(json.loads(given.example)) == needed - {"anchor"}, "an anchor is read only where there is one"
    assert needed <= {field.name for field in dataclasses.fields(evaluate_model.Receipt)}
    offer = next(one for one in parameters_of(register_model.main) if one.name == "refitted")
    read = set(re.findall(r"""\boffer(?:\[|\.get\()["'](\w+)["']""", inspect.getsource(register_model)))
    assert set(json.loads(offer.example)) == read <= {field.name for field in dataclasses.fields(refit_model.Receipt)}


def test_a_parameter_that_nobody_has_described_is_an_error() -> None:
    def step(id: str) -> dict[str, Any]:
        return {}

    with pytest.raises(TypeError, match="the type of id says neither what it means nor gives an example"):
        parameters_of(step)


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    "arguments",
    [
        ["check_drift", "-h"],
        ["check_drift", "as_of=5.1.2026", "--help"],
        ["check_drift", "--help", "nonsense"],
        ["check_drift", "--out", "--help"],
        ["check_drift", "--help", "--out"],
        ["check_drift", "-h", "--out", "receipt.json"],
        ["--out", "receipt.json", "check_drift", "-h"],
    ],
)
def test_help_may_be_asked_for_anywhere_and_nothing_is_run(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check_drift", "--help"]) == 0
    expected = capsys.readouterr().out
    assert main(arguments) == 0
    assert capsys.readouterr() == (expected, "")
    assert list(tmp_path.iterdir()) == []


def test_help_needs_no_environment_and_no_java() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "check_freshness", "--help"],
        cwd=REPOSITORY,
        env={"PYTHONPATH": str(REPOSITORY / "src"), "JAVA_HOME": "/nowhere", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Example: now=2026-01-05T06:00Z" in done.stdout


def test_what_parameters_mean_is_known_without_anything_heavy() -> None:
    heavy = {"pyspark", "mlflow", "great_expectations", "evidently", "boto3", "pandas", "numpy", "pyarrow"}
    code = f"import sys, pipelines.parameters; found = {heavy} & set(sys.modules); assert not found, found"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", STEPS)
def test_a_text_that_looks_like_json_is_taken_as_it_stands(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "_shop_clock", ShopClock)
    step = command_line._step(name)
    given = {one.name: '{"a": 1}' if one.kind == "text" else one.example for one in parameters_of(step)}
    values = command_line._values(name, step, [f"{key}={text}" for key, text in given.items()])
    assert {key: values[key] for key in values if isinstance(values[key], str)} == {
        one.name: given[one.name] for one in parameters_of(step) if one.kind in ("text", "back or stay")
    }


@pytest.mark.parametrize("name", STEPS)
def test_every_step_of_the_help_can_be_run(name: str) -> None:
    assert callable(command_line._step(name))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-05", datetime(2026, 1, 5, tzinfo=UTC)),
        (" 2026-01-05 ", datetime(2026, 1, 5, tzinfo=UTC)),
        ("2026-01-05T12:30:00", datetime(2026, 1, 5, 12, 30, tzinfo=UTC)),
        ("2026-01-05T12:30:00+02:00", datetime(2026, 1, 5, 10, 30, tzinfo=UTC)),
        ("2026-01-05T12:30:00Z", datetime(2026, 1, 5, 12, 30, tzinfo=UTC)),
    ],
)
def test_instants_are_utc_however_they_are_written(text: str, expected: datetime | None) -> None:
    def step(as_of: Instant | None = None) -> dict[str, Any]:
        return {}

    # A function that was defined here names its types as text; the command line looks them up in its module.
    step.__annotations__["as_of"] = Instant | None
    assert command_line._values("step", step, [f"as_of={text}"]) == {"as_of": expected}


def test_a_plain_date_is_a_day_of_the_shops_clock(
    write_shop: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time without a zone is one on that clock; an instant with an offset means itself, on whatever clock."""

    def step(as_of: Instant | None = None) -> dict[str, Any]:
        return {}

    step.__annotations__["as_of"] = Instant | None
    closed = 'closed_weekdays = ["sunday"]'
    monkeypatch.setenv("REFIT_SHOPS", str(write_shop(replace={closed: 'time_zone = "Pacific/Auckland"'})))
    monkeypatch.setenv("REFIT_SHOP", "corner")
    for text, expected in (
        ("2026-01-12", datetime(2026, 1, 11, 11, tzinfo=UTC)),
        ("2026-01-12T03:30", datetime(2026, 1, 11, 14, 30, tzinfo=UTC)),
        ("2026-01-12T03:30Z", datetime(2026, 1, 12, 3, 30, tzinfo=UTC)),
    ):
        read = command_line._values("step", step, [f"as_of={text}"])["as_of"]
        assert read == expected
        assert str(read.date()) == "2026-01-12"


def test_an_empty_template_of_a_dag_is_a_parameter_that_nobody_gave() -> None:
    def step(id: str, reason: str = "") -> dict[str, Any]:
        return {}

    assert command_line._values("step", step, ["id=", "reason="]) == {"id": ""}


def landed_until(day: str) -> Lake:
    lake = Lake(root="nowhere", catalog="catalog.json", store=FakeObjectStore())
    from pyspark.sql.types import StructType

    lake.commit("one", {"interactions": (StructType(), [Landed(day, "", 1, "d", "one")])})
    return lake


def test_the_data_choose_the_instant_when_nobody_gives_one(write_shop: Callable[..., Path]) -> None:
    shop = load_shop(write_shop(), "corner")
    assert landed_as_of(None, landed_until("2026-01-05"), shop) == datetime(2026, 1, 6, tzinfo=UTC)


def test_an_instant_far_beyond_the_landed_days_is_refused(write_shop: Callable[..., Path]) -> None:
    """Of the eight days from the 6th to the 13th the 11th is a Sunday; three open days may be missing."""
    shop = load_shop(write_shop(), "corner")
    lake = landed_until("2026-01-05")
    tolerated = datetime(2026, 1, 9, tzinfo=UTC)
    assert landed_as_of(tolerated, lake, shop) == tolerated
    with pytest.raises(NotEnoughDataError) as refusal:
        landed_as_of(datetime(2026, 1, 14, tzinfo=UTC), lake, shop)
    assert str(refusal.value) == (
        "as_of=2026-01-14 but the newest landed day is 2026-01-05: 7 open days are missing, 3 are tolerated; "
        "land them, or give as_of=2026-01-06"
    )


def test_lists_that_may_go_live_read_no_further_than_the_landed_days(write_shop: Callable[..., Path]) -> None:
    """Saturday the 10th is landed: the end of it and of the closed Sunday are, any later moment and day are not."""
    shop, lake = load_shop(write_shop(), "corner"), landed_until("2026-01-10")
    for day in (6, 11, 12):
        at = datetime(2026, 1, day, tzinfo=UTC)
        assert landed_as_of(at, lake, shop, live=True) == at
    for later in (datetime(2026, 1, 12, 0, 1, tzinfo=UTC), datetime(2026, 1, 13, tzinfo=UTC)):
        assert landed_as_of(later, lake, shop) == later
        with pytest.raises(
            NotEnoughDataError, match=r"the newest landed day is 2026-01-10: 1 open days are missing, 0 a"
        ):
            landed_as_of(later, lake, shop, live=True)


def test_without_any_landed_day_there_is_no_instant(write_shop: Callable[..., Path]) -> None:
    empty = Lake(root="nowhere", catalog="catalog.json", store=FakeObjectStore())
    with pytest.raises(NotEnoughDataError, match="nothing is landed for shop 'corner'; run ingest first"):
        landed_as_of(None, empty, load_shop(write_shop(), "corner"))
