"""Where Airflow and MLflow keep what they know: files of SQLite, or databases of a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.airflow import metadata_database
from infra.host.java import find_java
from infra.stack import services
from infra.stack.credentials import keep_credentials
from infra.stack.settings import StackSettings, read_stack_settings
from refit.errors import ConfigurationError

AIRFLOW, MLFLOW = "postgresql+psycopg2://refit@db:5432/airflow", "postgresql+psycopg2://refit@db:5432/mlflow"
_PORTS = {"REFIT_AIRFLOW_PORT": 1, "REFIT_MLFLOW_PORT": 2, "REFIT_S3_PORT": 3}


def _environment(settings: StackSettings) -> dict[str, str]:
    return services.environment(settings, _PORTS, find_java({}))


def test_without_an_address_both_are_files_of_the_stack(tmp_path: Path) -> None:
    """Only SQLite is told how long to wait for whoever writes; another driver would refuse the word."""
    made = _environment(StackSettings(shop="corner", state=tmp_path))
    assert made["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{tmp_path}/corner/airflow/airflow.db"
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS" in made
    words = services.commands(tmp_path / "corner", _PORTS, bucket="b", shop="corner")[services.MLFLOW]
    assert f"sqlite:///{tmp_path}/corner/mlflow.db" in words


def test_an_address_takes_the_place_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What steps are given does not name either; Airflow's tables are made at each start."""
    monkeypatch.setenv("REFIT_AIRFLOW_DATABASE", AIRFLOW)
    monkeypatch.setenv("REFIT_MLFLOW_DATABASE", MLFLOW)
    settings = StackSettings(shop="corner", state=tmp_path)
    made = _environment(settings)
    assert made["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == AIRFLOW
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS" not in made
    assert not any(name.startswith("REFIT_") and "DATABASE" in name for name in made)
    words = services.commands(
        settings.root, _PORTS, bucket="b", shop="corner", mlflow_database=settings.mlflow_database
    )[services.MLFLOW]
    assert words[words.index("--backend-store-uri") + 1] == MLFLOW
    assert services.needs_migration(settings.root, AIRFLOW)


def test_the_api_server_waits_less_for_sqlite_than_the_others(tmp_path: Path) -> None:
    """A scheduler may wait a minute for whoever writes; the server would answer nobody meanwhile."""
    root = tmp_path / "corner"
    shared = _environment(StackSettings(shop="corner", state=tmp_path))
    root.mkdir()
    credentials = keep_credentials(root / "secrets.json")
    name = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS"
    own = services.own_environment("airflow-api-server", root, credentials, shared)
    server, others = (metadata_database.__dict__[word.rsplit(".", 1)[1]] for word in (own[name], shared[name]))
    assert server["timeout"] < 10 < others["timeout"]
    assert services.own_environment("airflow-scheduler", root, credentials, shared) == {}


@pytest.mark.parametrize("address", ["postgresql+psycopg2://refit:secret@db/airflow", "airflow.db"])
def test_an_address_with_a_password_or_none_at_all_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses are seen in the list of processes."""
    monkeypatch.setenv("REFIT_AIRFLOW_DATABASE", address)
    with pytest.raises(ConfigurationError, match="the password in PGPASSWORD") as refusal:
        read_stack_settings()
    assert "secret" not in str(refusal.value)
