"""Where benches find real data and keep what they make."""

from __future__ import annotations

import os
from pathlib import Path

from pyspark.sql import SparkSession

from infra.host.class_archive import class_archive
from pipelines.settings import REPOSITORY
from refit.adapters.spark import open_session
from refit.errors import ConfigurationError


def real_days() -> Path:
    """Return the folder of online_retail's daily files."""
    folder = Path(os.environ.get("REFIT_DATA") or REPOSITORY.parent / "shared" / "data" / "online_retail" / "by_day")
    if not folder.is_dir():
        raise ConfigurationError(f"the folder {folder} with the daily files of online_retail does not exist; set DATA=")
    return folder


def session(name: str) -> SparkSession:
    """Return a Spark session like that of the embedded stack."""
    config = REPOSITORY / "infra" / "log4j2.properties"
    return open_session(name, master="local[2,4]", memory="2g", log_config=config, class_archive=class_archive())
