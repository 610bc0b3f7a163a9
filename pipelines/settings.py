"""The only module that reads the environment; `infra/env.example` explains every setting to operators."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from refit.errors import ConfigurationError
from refit.validation_errors import must_be

Kind = TypeVar("Kind", bound=BaseSettings)
REPOSITORY = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Settings that differ between deployments of the same shop. Behaviour belongs in `shop.toml`."""

    model_config = SettingsConfigDict(env_prefix="REFIT_", frozen=True, extra="ignore", env_ignore_empty=True)

    shop: str = "simulated"
    """Folder name of the shop that this deployment serves."""
    shops: Path = REPOSITORY / "shops"
    """Folder that holds one folder of configuration per shop."""
    expectations: Path = REPOSITORY / "expectations"
    """Folder of the validation suites."""
    data: str = ""
    """Folder or JDBC address of the shop's raw tables; `{DATA}` in the sources of `shop.toml`."""
    source_user: str = ""
    """User of the shop's databases."""
    source_password: SecretStr | None = None
    """Password of that user; it is never part of an address and never logged."""
    lake: str = str(REPOSITORY / ".refit" / "lake")
    """Folder or URI of the clean data; anything that Spark can write."""
    bucket: str = "refit"
    """Bucket for published lists and for the artifacts of MLflow."""
    s3_endpoint: str | None = None
    """Address of an S3-compatible server; empty means AWS."""
    iceberg_catalog: SecretStr | None = None
    """Address of the catalogue, with its password, of an Iceberg table that shows the lists; empty: there is none."""
    mlflow: str = ""
    """Address of the MLflow server."""
    mlflow_user: str = ""
    """MLflow user for training, registering and reading; empty: the server requires no login."""
    mlflow_password: SecretStr | None = None
    """Password of that user."""
    promoter_user: str = ""
    """MLflow user of the few steps that may move the champion; empty: the same as for the other steps."""
    promoter_password: SecretStr | None = None
    """Password of that user."""
    spark_master: str = "local[2,4]"
    """Spark master; the 4 allows retries of a task whose Python worker died."""
    spark_memory: str = "2g"
    """Memory of the Spark driver."""
    spark_java_options: str = ""
    """Further options of the JVM of the Spark driver."""
    spark_jars: str = ""
    """Libraries that Spark loads, separated by commas: the JDBC drivers of the shop's databases."""
    spark_class_archive: str = ""
    """A class archive (CDS) with which the JVM of the Spark driver starts in half the time."""
    pseudonym_key: SecretStr | None = None
    """Key of the keyed hash that replaces user ids."""
    pseudonym_key_version: str = "k1"
    """Prefix of each pseudonym, which distinguishes a rotated key from the old one."""
    schedule_from: str = ""
    """First day of the weekly retraining (YYYY-MM-DD); empty: the first day of the shop's calendar."""
    schedule_until: str = ""
    """Last day of scheduled runs (YYYY-MM-DD); empty: the last day of the shop's calendar, or no end."""
    approval_hours: float = Field(default=72.0, gt=0)
    """Hours that an approval may take; no answer in time is a refusal."""


def read_settings() -> Settings:
    """Return the settings of this process; an invalid value raises an error of one sentence."""
    return read_environment(Settings)


_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")
"""Matches a password in an address, which a message must not repeat."""


def read_environment(kind: type[Kind]) -> Kind:
    """Return settings of any *kind* from the environment; ConfigurationError names the first invalid one."""
    try:
        return kind()
    except ValidationError as error:
        first = error.errors()[0]
        name = "REFIT_" + "_".join(str(part) for part in first["loc"]).upper()
        given = _PASSWORD.sub("://***@", repr(first["input"]))
        raise ConfigurationError(
            f"setting {name}={given} cannot be used: it {must_be(first)}; see infra/env.example"
        ) from error
