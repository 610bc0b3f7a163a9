"""A PostgreSQL server that is killed while a day is landed from it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support import postgres_server
from support.fault_shop import SETTINGS, FaultShop
from support.injection import Table

from infra.host import postgres
from pipelines.settings import REPOSITORY

pytestmark = pytest.mark.timeout(1800)
ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
SLOW = """
ALTER TABLE events RENAME TO all_events;
CREATE VIEW events AS SELECT all_events.* FROM all_events, (SELECT pg_sleep(60) OFFSET 0) AS nap;
"""
QUICK = "DROP VIEW events; ALTER TABLE all_events RENAME TO events;"


def test_a_database_that_is_killed_while_it_is_landed_shows_nothing(
    undisturbed: FaultShop, tmp_path: Path, faults: Table
) -> None:
    """Restarted, the same step lands the same days as the shop whose warehouse is a folder of the same rows."""
    shop = FaultShop("database", tmp_path, undisturbed.servers)
    place = tmp_path / "shops" / "database"
    shutil.copytree(REPOSITORY / "shops" / "simulated_postgres" / "sources", place / "sources")
    theirs = (REPOSITORY / "shops" / "simulated_postgres" / "shop.toml").read_text()
    sources = theirs[theirs.index("[sources.events]") : theirs.index("[events]")]
    ours = SETTINGS[: SETTINGS.index("[sources.events]")] + sources + SETTINGS[SETTINGS.index("[events]") :]
    (place / "shop.toml").write_text(ours, encoding="utf-8")
    with postgres_server.serving() as server:
        settings = {
            "REFIT_DATA": server.url,
            "REFIT_SOURCE_USER": server.user,
            "REFIT_SOURCE_PASSWORD": server.password,
            "REFIT_SPARK_JARS": str(postgres.DRIVER),
        }
        shop.do("simulate_shop", {}, **settings)
        server.sql(SLOW)
        words = undisturbed.words("land_interactions")
        running = shop.start("land_interactions", words, **settings)
        assert running.seen(lambda: server.sql(ASLEEP) != "0")
        server.kill()
        ended = running.wait()
        assert ended.code == 1, ended.log[-3000:]
        assert ended.said.startswith("land_interactions: landing 2026-01-01 of 'database': the database went away")
        assert not (tmp_path / "lake" / "database" / "catalog.json").exists()

        server.start_again()
        server.sql(QUICK)
        receipt = shop.do("land_interactions", words, **settings)
    assert receipt["digest"] == undisturbed.receipts["land_interactions"]["digest"]
    faults.add("PostgreSQL killed -9", "while a landing reads", "exit 1, nothing visible; restarted: the same digest")
