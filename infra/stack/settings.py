"""What a person may choose about the embedded stack; `infra/env.example` explains every setting."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipelines.settings import REPOSITORY, read_environment, read_settings


class StackSettings(BaseSettings):
    """Where one shop's stack keeps its state and where it listens."""

    model_config = SettingsConfigDict(env_prefix="REFIT_", frozen=True, extra="ignore", env_ignore_empty=True)

    shop: str = Field(default="simulated", pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Folder name of the shop; also the name of its state folder."""
    data: str = ""
    """Where the shop's raw tables are; empty: the warehouse folder or the database of the stack itself."""
    bucket: str = Field(default="refit", pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    """Bucket that the S3 server of the stack creates."""
    state: Path = REPOSITORY / ".refit"
    """Folder that holds one folder of state per shop."""
    dags: Path = REPOSITORY / "dags"
    """Folder of the timetables that Airflow reads."""
    airflow_port: int = Field(default=0, ge=0, le=65535)
    """Port of Airflow; 0: a free one."""
    mlflow_port: int = Field(default=0, ge=0, le=65535)
    """Port of MLflow; 0: a free one."""
    s3_port: int = Field(default=0, ge=0, le=65535)
    """Port of the S3 server; 0: a free one."""
    database_port: int = Field(default=0, ge=0, le=65535)
    """Port of PostgreSQL, for a shop whose database is part of the stack; 0: a free one."""
    airflow_database: str = ""
    """Address of Airflow's own database, postgresql+psycopg2://USER@HOST:PORT/NAME; empty: a file of SQLite."""
    mlflow_database: str = ""
    """The same of MLflow."""
    parallelism: int = Field(default=2, ge=1)
    """
    Tasks that may run at the same time; of those that start Spark only as many as the pool `spark` has slots.

    Two, so that a task without Spark does not wait for one with it.
    """

    @field_validator("airflow_database", "mlflow_database")
    @classmethod
    def _without_password(cls, address: str) -> str:
        # Addresses are seen in the list of processes; libpq takes a password from PGPASSWORD or ~/.pgpass.
        if address and (not is_address(address) or urlsplit(address).password is not None):
            raise ValueError("give postgresql+psycopg2://USER@HOST:PORT/NAME, and the password in PGPASSWORD")
        return address

    @property
    def root(self) -> Path:
        """Folder of everything that this shop's stack keeps."""
        return self.state.absolute() / self.shop


def is_address(place: str) -> bool:
    """Return whether *place* is the address of a store or database and not a folder of this machine."""
    return "://" in place or place.startswith("jdbc:")


def read_stack_settings() -> StackSettings:
    """Return the settings of this stack; a value that cannot be used is one sentence."""
    settings = read_environment(StackSettings)
    read_settings()  # otherwise a wrong value would show only when the first step runs
    return settings
