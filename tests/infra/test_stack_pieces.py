"""Ports, secrets, settings, Java and processes of the embedded stack, each without starting it."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from infra.errors import AlreadyRunningError, StackError
from infra.host import processes
from infra.host.java import find_java
from infra.host.ports import choose_ports
from infra.host.processes import MARK, Process, kill_marked, start, terminate, wait_for_end
from infra.stack.control import down, main, running, up
from infra.stack.credentials import keep_credentials, write_private
from infra.stack.env_file import load_env_file
from infra.stack.services import FAST_START
from infra.stack.settings import StackSettings, read_stack_settings
from infra.stack.state import Stack, read_stack, write_stack
from pipelines.settings import REPOSITORY, Settings
from refit.errors import ConfigurationError

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("REFIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackSettings:
    (tmp_path / "shops" / "corner").mkdir(parents=True)
    monkeypatch.setenv("REFIT_SHOPS", str(tmp_path / "shops"))
    return StackSettings(shop="corner", state=tmp_path / "state")


def sleeper(folder: Path, mark: str, command: list[str] | None = None) -> Process:
    folder.mkdir(parents=True, exist_ok=True)
    return start(
        "sleeper",
        command or SLEEP,
        environment={"PATH": os.defpath, MARK: mark},
        folder=folder,
        log=folder / "sleeper.log",
    )


def written_stack(settings: StackSettings, *started: Process) -> Stack:
    settings.root.mkdir(parents=True, exist_ok=True)
    address = "http://127.0.0.1:1"
    stack = Stack("corner", settings.root, "m" * 32, address, address, address, {}, started)
    write_stack(stack)
    return stack


# --- ports -------------------------------------------------------------------------------------------


def test_free_ports_are_all_different():
    ports = choose_ports({f"REFIT_{number}_PORT": 0 for number in range(20)})

    assert len(set(ports.values())) == 20


def test_a_taken_port_is_named_with_its_setting_and_a_remedy():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=rf"REFIT_S3_PORT={port} .*nothing was started.*another port"):
            choose_ports({"REFIT_AIRFLOW_PORT": 0, "REFIT_S3_PORT": port})


def test_one_port_cannot_serve_two():
    port = choose_ports({"REFIT_S3_PORT": 0})["REFIT_S3_PORT"]

    with pytest.raises(StackError, match=str(port)):
        choose_ports({"REFIT_AIRFLOW_PORT": port, "REFIT_S3_PORT": port})


def test_up_with_a_taken_port_starts_nothing(shop: StackSettings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = shop.model_copy(update={"mlflow_port": taken.getsockname()[1]})
        with pytest.raises(StackError, match="REFIT_MLFLOW_PORT"):
            up(settings)

    assert read_stack(shop.root) is None
    assert not (shop.root / "secrets.json").exists()


# --- secrets -----------------------------------------------------------------------------------------


def test_secrets_are_kept_and_private(tmp_path: Path):
    path = tmp_path / "secrets.json"

    first, second = keep_credentials(path), keep_credentials(path)

    assert first == second
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.airflow_admin_password not in repr(first)


def test_secrets_are_private_from_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    modes = []
    really_open = os.open

    def watched(path: str, flags: int, mode: int = 0o777) -> int:
        descriptor = really_open(path, flags, mode)
        modes.append((stat.S_IMODE(os.fstat(descriptor).st_mode), bool(flags & os.O_EXCL)))
        return descriptor

    monkeypatch.setattr(os, "open", watched)
    write_private(tmp_path / "secrets.json", "x")

    assert modes == [(0o600, True)]
    assert [path.name for path in tmp_path.iterdir()] == ["secrets.json"]


def test_secrets_that_others_can_read_are_refused(tmp_path: Path):
    path = tmp_path / "secrets.json"
    keep_credentials(path)
    path.chmod(0o640)

    with pytest.raises(StackError, match="0640"):
        keep_credentials(path)


def test_a_secret_that_is_new_in_this_version_is_added_and_the_others_stay(tmp_path: Path):
    path = tmp_path / "secrets.json"
    write_private(path, '{"pseudonym_key": "kept"}')

    assert keep_credentials(path).pseudonym_key == "kept"
    assert keep_credentials(path) == keep_credentials(path)


# --- settings ----------------------------------------------------------------------------------------


def test_env_example_explains_every_setting_with_its_default():
    text = (REPOSITORY / "infra" / "env.example").read_text(encoding="utf-8")
    explained = dict(re.findall(r"^# [^\n]+\n#(REFIT_\w+)=(.*)$", text, flags=re.MULTILINE))
    fields = {**Settings.model_fields, **StackSettings.model_fields}

    assert sorted(explained) == sorted(f"REFIT_{name}".upper() for name in fields)
    for name, field in fields.items():
        plain = isinstance(field.default, (str, int, float)) and str(REPOSITORY) not in str(field.default)
        assert explained[f"REFIT_{name.upper()}"] == (str(field.default) if plain else "")


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / ".env"
    file.write_text("# a comment\nREFIT_SHOP=from-file\nexport REFIT_PARALLELISM='3'\n", encoding="utf-8")
    monkeypatch.setenv("REFIT_SHOP", "from-environment")
    monkeypatch.delenv("REFIT_PARALLELISM", raising=False)

    load_env_file(file)
    settings = read_stack_settings()
    monkeypatch.delenv("REFIT_PARALLELISM")

    assert (settings.shop, settings.parallelism) == ("from-environment", 3)


@pytest.mark.parametrize(("name", "value"), [("REFIT_SHOP", "../other"), ("REFIT_S3_PORT", "http")])
def test_a_wrong_setting_is_one_sentence(name: str, value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=re.escape(f"{name}='{value}'")):
        read_stack_settings()


def test_up_of_an_unknown_shop_names_those_that_exist(shop: StackSettings):
    with pytest.raises(ConfigurationError, match=r"no shop 'coner' .*corner"):
        up(shop.model_copy(update={"shop": "coner"}))


def test_settings_of_one_stack_do_not_leak_into_another(shop: StackSettings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REFIT_ENV_OF", "/elsewhere/bakery")

    with pytest.raises(ConfigurationError, match="/elsewhere/bakery"):
        up(shop)


# --- java --------------------------------------------------------------------------------------------


def fake_java(home: Path, version: str) -> Path:
    (home / "bin").mkdir(parents=True)
    java = home / "bin" / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n", encoding="utf-8")
    java.chmod(0o755)
    return home


def test_java_home_comes_before_path_before_folders(tmp_path: Path):
    named = fake_java(tmp_path / "named", "21.0.1")
    on_path = fake_java(tmp_path / "on_path", "17.0.2")
    folders = tmp_path / "jvm"
    installed = fake_java(folders / "java-18-openjdk", "18")
    path = f"{on_path / 'bin'}:{os.defpath}"

    assert find_java({"JAVA_HOME": str(named), "PATH": path}, folders=folders).home == named
    assert find_java({"PATH": path}, folders=folders).home == on_path
    assert find_java({"PATH": str(tmp_path)}, folders=folders).home == installed


def test_an_old_java_is_passed_over(tmp_path: Path):
    old = fake_java(tmp_path / "old", "1.8.0_392")
    folders = tmp_path / "jvm"
    fake_java(folders / "java-11-openjdk-amd64", "11.0.2")
    newer = fake_java(folders / "java-21-openjdk-amd64", "21.0.2")
    fake_java(folders / "temurin-25-jdk", "25")

    found = find_java({"JAVA_HOME": str(old), "PATH": ""}, folders=folders)

    assert (found.home, found.version) == (newer, 21)


def test_without_a_java_the_error_says_what_was_found_and_how_to_install_one(tmp_path: Path):
    old = fake_java(tmp_path / "old", "11.0.2")

    with pytest.raises(ConfigurationError, match=r"Java 17 or newer.*found only Java 11 at .*apt install"):
        find_java({"JAVA_HOME": str(old), "PATH": ""}, folders=tmp_path / "none")
    with pytest.raises(ConfigurationError, match="found none"):
        find_java({"JAVA_HOME": str(tmp_path / "gone"), "PATH": ""}, folders=tmp_path / "none")


def test_the_jvm_of_a_step_has_as_much_room_for_compiled_code_as_with_both_compilers():
    """Once its 48 MB were full, a long step went on interpreted."""
    java = find_java(os.environ).home / "bin" / "java"

    def reserved(*options: str) -> int:
        asked = [java, *options, "-XX:+PrintFlagsFinal", "-version"]
        told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        return int(re.search(r"ReservedCodeCacheSize\s*=\s*(\d+)", told)[1])

    assert reserved("-XX:TieredStopAtLevel=1") < reserved() <= reserved(*FAST_START.split())


# --- processes ---------------------------------------------------------------------------------------


def test_a_process_ends_when_asked(tmp_path: Path):
    process = sleeper(tmp_path, "a" * 32)
    assert process.alive

    terminate([process])

    assert wait_for_end([process], seconds=10) == []
    assert not process.alive


@pytest.mark.parametrize("change", [{"started": 1}, {"boot": "another boot"}])
def test_a_recycled_process_id_is_never_touched(tmp_path: Path, change: dict[str, object]):
    """The same id with another start time, or from before a reboot, belongs to somebody else."""
    process = sleeper(tmp_path, "b" * 32)
    stale = replace(process, **change)

    terminate([stale])
    ended_at_once = wait_for_end([stale], seconds=0)

    assert ended_at_once == []
    time.sleep(0.2)
    assert process.alive
    kill_marked("b" * 32)


def test_grandchildren_in_their_own_session_are_found_by_the_mark(tmp_path: Path):
    script = f"import subprocess, time; subprocess.Popen({SLEEP!r}, start_new_session=True); time.sleep(60)"
    process = sleeper(tmp_path, "c" * 32, [sys.executable, "-c", script])
    deadline = time.monotonic() + 10
    while len(processes._marked("c" * 32)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, 9)

    assert kill_marked("c" * 32) >= 1
    assert processes._marked("c" * 32) == []


def test_what_a_spared_process_has_started_is_spared_too(tmp_path: Path):
    code = f"import subprocess, time; subprocess.Popen({SLEEP!r}); time.sleep(60)"
    process = sleeper(tmp_path, "s" * 32, [sys.executable, "-c", code])
    deadline = time.monotonic() + 20
    while len(processes._marked("s" * 32)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)

    assert kill_marked("s" * 32, spare=[process.pid]) == 0
    assert len(processes._marked("s" * 32)) == 2
    assert kill_marked("s" * 32) == 2


def test_the_log_before_is_kept(tmp_path: Path):
    for text in ("first", "second"):
        process = sleeper(tmp_path, "d" * 32, ["/bin/echo", text])
        wait_for_end([process], seconds=10)

    assert (tmp_path / "sleeper.log").read_text(encoding="utf-8") == "second\n"
    assert (tmp_path / "sleeper.log.1").read_text(encoding="utf-8") == "first\n"


# --- the stack as a whole ----------------------------------------------------------------------------


def test_a_second_up_says_where_the_first_one_is(
    shop: StackSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    process = sleeper(shop.root, "m" * 32)
    written_stack(shop, process)
    monkeypatch.setenv("REFIT_SHOP", "corner")
    monkeypatch.setenv("REFIT_STATE", str(shop.state))

    with pytest.raises(AlreadyRunningError, match=r"corner is already running .*make down SHOP=corner"):
        up(shop)
    assert main(["up"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert running(shop) is not None

    assert down(shop)
    assert not process.alive
    assert running(shop) is None


def test_down_without_a_stack_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("REFIT_STATE", str(tmp_path))

    assert main(["down"]) == 0
    assert "no stack runs" in capsys.readouterr().out


def test_what_a_crash_left_is_cleaned_up_without_touching_strangers(shop: StackSettings):
    """The recorded id now belongs to a stranger; a worker of the crashed stack is still there."""
    stranger = sleeper(shop.root / "stranger", "e" * 32)
    worker = sleeper(shop.root / "worker", "m" * 32)
    written_stack(shop, replace(stranger, name="airflow-scheduler", started=1))
    assert running(shop) is None

    assert not down(shop)

    assert stranger.alive
    assert not worker.alive
    assert read_stack(shop.root) is None
    kill_marked("e" * 32)


def test_two_programs_do_not_start_one_stack(shop: StackSettings):
    shop.root.mkdir(parents=True)
    holder = subprocess.Popen(
        ["flock", str(shop.root / "lock"), "-c", "echo held; sleep 60"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        with pytest.raises(StackError, match="being started or ended"):
            up(shop)
    finally:
        os.killpg(holder.pid, 9)
        holder.communicate()


def test_a_stack_is_written_down_for_its_owner_only(shop: StackSettings):
    stack = written_stack(shop)

    assert read_stack(shop.root) == stack
    assert stat.S_IMODE((shop.root / "stack.json").stat().st_mode) == 0o600
