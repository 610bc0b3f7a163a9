"""
How the Airflow of the stack speaks to SQLite; `AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS` names one of the constants.

SQLite takes one writer at a time. A transaction that has read and then wants to write is refused at once, however long
it would wait, when another has written in between. Airflow's backfills begin with a savepoint, read, and write after
that, beside a scheduler that writes all the time: on a busy machine they were refused each time. Here a savepoint that
begins a transaction asks for the right to write first, and waits for it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event

CONNECT_ARGS: dict[str, Any] = {"timeout": 60}
"""Seconds that a statement waits for whoever writes; the default is 5, which a loaded machine can take."""
SERVER_CONNECT_ARGS: dict[str, Any] = {"timeout": 5}
"""
The same for the API server. It writes in the thread that ends its other requests too: what waits there for one of them
waits for itself, and nobody is answered until it gives up. Its clients ask again.
"""


@event.listens_for(Engine, "savepoint")
def _write_from_the_start(connection: Connection, _name: str | None) -> None:
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite" and not driver.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
