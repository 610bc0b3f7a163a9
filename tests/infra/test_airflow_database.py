"""SQLite under Airflow: a savepoint may write later, whoever else writes meanwhile."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from infra.airflow.metadata_database import CONNECT_ARGS, _write_from_the_start


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "airflow.db"
    with sqlite3.connect(path) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE runs (id INTEGER)")
    return path


@pytest.fixture
def engine(database: Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{database}", connect_args=CONNECT_ARGS)
    yield made
    made.dispose()


def _read_then_write(engine: Engine, database: Path) -> list[int]:
    """Do what a backfill does, while the scheduler tries to write between its reading and its writing."""
    with Session(engine) as session, sqlite3.connect(database, timeout=0.1) as scheduler:
        with session.begin_nested():
            session.execute(text("SELECT count(*) FROM runs")).scalar()
            with contextlib.suppress(sqlite3.OperationalError):  # after a tenth of a second
                scheduler.execute("INSERT INTO runs VALUES (1)")
                scheduler.commit()
            session.execute(text("INSERT INTO runs VALUES (2)"))
        session.commit()
        return [row[0] for row in scheduler.execute("SELECT id FROM runs ORDER BY id")]


def test_what_a_savepoint_has_read_stays_true_until_it_writes(engine: Engine, database: Path) -> None:
    """It is the scheduler that waits, and not the backfill that is refused."""
    assert _read_then_write(engine, database) == [2]


def test_without_it_sqlite_refuses_the_backfill(engine: Engine, database: Path) -> None:
    """This is why it is there; a SQLAlchemy that asks by itself would make it superfluous."""
    event.remove(Engine, "savepoint", _write_from_the_start)
    try:
        with pytest.raises(OperationalError, match="database is locked"):
            _read_then_write(engine, database)
    finally:
        event.listen(Engine, "savepoint", _write_from_the_start)


def test_a_savepoint_within_a_transaction_is_left_alone(engine: Engine, database: Path) -> None:
    with Session(engine) as session:
        session.execute(text("INSERT INTO runs VALUES (3)"))
        with session.begin_nested():
            session.execute(text("INSERT INTO runs VALUES (4)"))
        session.rollback()
    with sqlite3.connect(database) as found:
        assert found.execute("SELECT count(*) FROM runs").fetchone() == (0,)
