"""The PostgreSQL server of the embedded stack: found, made, started, kept and ended; real programs throughout."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.postgres_server import Server

from infra.demo.raw_data import has_own_database, needs_driver
from infra.host import postgres, processes
from infra.host.ports import choose_ports
from infra.stack.control import down, running
from infra.stack.services import DATABASE
from infra.stack.settings import StackSettings, is_address
from infra.stack.state import Stack, read_stack, write_stack
from pipelines.settings import REPOSITORY
from refit.errors import ConfigurationError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root must become somebody else")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that any user may reach, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(prefix="refit-postgres-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def cluster_in(folder: Path, password: str = "a-word") -> postgres.Cluster:
    port = choose_ports({"REFIT_DATABASE_PORT": 0})["REFIT_DATABASE_PORT"]
    return postgres.make_cluster(postgres.find_postgres(os.environ), folder / "database", port, password=password)


def wait_ready(cluster: postgres.Cluster, process: processes.Process) -> None:
    deadline = time.monotonic() + 60
    while not cluster.is_ready():
        assert process.alive
        assert time.monotonic() < deadline
        time.sleep(0.05)


def assert_ended_in_order(log: Path) -> None:
    """The last pages were written: the next start has nothing to recover."""
    said = log.read_text()
    assert "database system is shut down" in said
    assert not re.search("PANIC|abnormal|was terminated", said), said


def fake_programs(folder: Path, version: str, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        program = folder / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n", encoding="utf-8")
        program.chmod(0o755)
    return folder


ALL = ("initdb", "postgres", "pg_isready")


def test_the_newest_complete_installation_is_found(tmp_path: Path):
    folders = tmp_path / "lib"
    fake_programs(folders / "9.6" / "bin", "9.6.24", *ALL)
    fifteen = fake_programs(folders / "15" / "bin", "15.18", *ALL)
    fake_programs(folders / "17" / "bin", "17.2", "psql")
    (folders / "notes").mkdir()

    found = postgres.find_postgres({"PATH": str(tmp_path)}, folders=folders)

    assert (found.folder, found.version) == (fifteen, "15.18")
    named = fake_programs(tmp_path / "own", "16.1", *ALL)
    assert postgres.find_postgres({"PATH": str(named)}, folders=folders).version == "16.1"


def test_what_is_missing_is_said_with_its_package(tmp_path: Path):
    with pytest.raises(
        ConfigurationError, match=r"no.* in .*make packages installs one \(Debian, Ubuntu: apt install postgresql\)"
    ):
        postgres.find_postgres({"PATH": str(tmp_path)}, folders=tmp_path)
    with pytest.raises(ConfigurationError, match=r"apt install libpostgresql-jdbc-java.*REFIT_SPARK_JARS"):
        postgres.find_driver(path=tmp_path / "postgresql.jar")


def test_data_outlive_the_server_and_the_password_is_asked_for(folder: Path):
    """Two starts on two ports, of which the second finds what the first one kept."""
    shop = StackSettings(shop="corner", state=folder / "state")
    shop.root.mkdir(parents=True)
    for number in range(2):
        cluster = cluster_in(shop.root)
        process = cluster.start(shop.root, folder / "log", "p" * 32)
        address = "http://127.0.0.1:1"
        own = {"REFIT_DATA": cluster.url}
        write_stack(Stack("corner", shop.root, "p" * 32, address, address, address, own, (process,), cluster.url))
        wait_ready(cluster, process)
        server = Server(cluster, "a-word", None)  # type: ignore[arg-type]
        if number == 0:
            server.sql("CREATE TABLE kept (number int); INSERT INTO kept VALUES (7)")
        assert server.sql("SELECT number FROM kept") == "7"
        with pytest.raises(AssertionError, match="password authentication failed"):
            Server(cluster, "another-word", None).sql("SELECT 1")  # type: ignore[arg-type]
        stack = running(shop)
        assert stack is not None
        assert stack.environment["REFIT_SOURCE_PASSWORD"] == stack.credentials.database_password

        assert down(shop)
        assert not process.alive
        assert read_stack(shop.root) is None
        assert_ended_in_order(folder / "log")


def test_the_server_is_ended_although_somebody_is_still_connected(folder: Path):
    shop = StackSettings(shop="corner", state=folder / "state")
    shop.root.mkdir(parents=True)
    cluster = cluster_in(shop.root)
    process = cluster.start(shop.root, folder / "log", "q" * 32)
    address = "http://127.0.0.1:1"
    write_stack(Stack("corner", shop.root, "q" * 32, address, address, address, {}, (process,), cluster.url))
    wait_ready(cluster, process)
    words = ["-h", "127.0.0.1", "-p", str(cluster.port), "-U", "refit", "-d", "postgres", "-X", "-c"]
    guest = subprocess.Popen(
        [str(cluster.programs.folder / "psql"), *words, "SELECT pg_sleep(60)"],
        env={"PATH": os.defpath, "PGPASSWORD": "a-word"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    server = Server(cluster, "a-word", None)  # type: ignore[arg-type]
    while server.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "0":
        time.sleep(0.05)

    began = time.monotonic()
    assert down(shop)
    assert time.monotonic() - began < 30
    assert b"terminating connection" in guest.communicate(timeout=10)[1]
    assert_ended_in_order(folder / "log")


def test_the_children_of_the_server_are_not_taken_for_leftovers(postgres: Server, folder: Path):
    """What a killed task left is found by its mark; a server whose children were killed would have to recover."""
    cluster = cluster_in(folder)
    process = cluster.start(folder, folder / "log", "r" * 32)
    wait_ready(cluster, process)
    try:
        assert processes.kill_marked("r" * 32, spare=[process.pid]) == 0
        time.sleep(0.3)
        assert "terminated by signal" not in (folder / "log").read_text()
    finally:
        processes.terminate([process])
        assert processes.wait_for_end([process], seconds=30) == []


def test_the_server_listens_on_loopback_only_and_knows_no_secret_of_the_stack(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-key")
    cluster = cluster_in(folder)
    process = cluster.start(folder, folder / "log", "s" * 32)
    wait_ready(cluster, process)
    try:
        server = Server(cluster, "a-word", None)  # type: ignore[arg-type]
        assert server.sql("SHOW listen_addresses") == "127.0.0.1"
        assert server.sql("SHOW unix_socket_directories") == ""
        assert server.sql("SHOW password_encryption") == "scram-sha-256"
        assert b"a-key" not in Path(f"/proc/{process.pid}/environ").read_bytes()
    finally:
        processes.terminate([process])
        assert processes.wait_for_end([process], seconds=30) == []


@needs_root
def test_for_root_the_server_is_an_ordinary_user_who_owns_its_data_alone(folder: Path):
    cluster = cluster_in(folder)
    user = postgres.server_user()
    assert user is not None
    assert user.pw_uid != 0
    assert cluster.folder.stat().st_uid == user.pw_uid
    assert cluster.folder.stat().st_mode & 0o777 == 0o700
    assert (folder.stat().st_uid, folder.stat().st_gid) == (0, user.pw_gid)
    assert folder.stat().st_mode & 0o777 == 0o710
    assert [path.name for path in folder.iterdir()] == ["database"], "no password is left behind"


@needs_root
def test_a_folder_that_the_server_may_not_enter_is_named(folder: Path):
    closed = folder / "closed"
    (closed / "state").mkdir(parents=True)
    closed.chmod(0o700)
    name = pwd.getpwnam("postgres").pw_name
    with pytest.raises(ConfigurationError) as found:
        cluster_in(closed / "state")
    assert str(found.value) == (
        f"PostgreSQL does not run as root, so it runs as user {name}, who may not enter {closed}; "
        "set REFIT_STATE to a folder that everybody may reach, or run this as an ordinary user"
    )
    assert not (closed / "state" / "database").exists()


def test_a_killed_making_is_begun_anew(folder: Path):
    half = folder / ".database.unfinished"
    half.mkdir()
    (half / "PG_VERSION").write_text("15\n")
    cluster = cluster_in(folder)
    assert (cluster.folder / "global" / "pg_control").exists()
    assert not half.exists()


def test_only_a_simulated_shop_of_tables_brings_its_database_along():
    shops = REPOSITORY / "shops"
    own = {name: has_own_database(shops / name, "") for name in ("simulated", "simulated_postgres", "online_retail")}
    assert own == {"simulated": False, "simulated_postgres": True, "online_retail": False}
    assert not has_own_database(shops / "simulated_postgres", "jdbc:postgresql://db/shop")
    assert needs_driver(shops / "simulated_postgres", "jdbc:postgresql://db/shop")
    assert not needs_driver(shops / "simulated_postgres", "jdbc:mysql://db/shop")
    assert not needs_driver(shops / "simulated", "")


@pytest.mark.parametrize(
    ("place", "expected"),
    [("jdbc:postgresql://db/shop", True), ("jdbc:derby:shop", True), ("s3://bucket/raw", True), ("data", False)],
)
def test_addresses_are_told_from_folders(place: str, expected: bool):
    assert is_address(place) is expected


def test_the_process_has_the_name_that_the_stack_looks_for():
    assert DATABASE == postgres.NAME
