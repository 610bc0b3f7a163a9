"""The composition root: the only place that decides which real collaborator a step gets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession

from pipelines.addresses import LAKE_CATALOG, Addresses
from pipelines.settings import REPOSITORY, Settings, read_settings
from refit.adapters.expectations import GreatExpectations
from refit.adapters.folder import FolderObjectStore
from refit.adapters.s3 import S3ObjectStore
from refit.adapters.spark import open_session
from refit.config import Shop, load_shop
from refit.errors import ConfigurationError
from refit.interfaces import DriftReporter, Factoriser, ModelRegistry, ObjectStore, Proposer, Tracker, Validator
from refit.lake import Lake
from refit.pseudonyms import PseudonymKey
from refit.sources import Warehouse


def settings() -> Settings:
    """Return the settings of this process."""
    return read_settings()


def shop() -> Shop:
    """Return the shop that this deployment serves."""
    chosen = settings()
    return load_shop(chosen.shops, chosen.shop)


def addresses() -> Addresses:
    """Return the places of the shop."""
    chosen = settings()
    return Addresses(shop=chosen.shop, lake=chosen.lake.rstrip("/"), bucket=chosen.bucket)


def spark(step: str) -> SparkSession:
    """Return the Spark session of this process."""
    chosen = settings()
    return open_session(
        f"refit {chosen.shop} {step}",
        master=chosen.spark_master,
        memory=chosen.spark_memory,
        log_config=REPOSITORY / "infra" / "log4j2.properties",
        java_options=chosen.spark_java_options,
        jars=chosen.spark_jars,
        class_archive=chosen.spark_class_archive,
    )


def warehouse(session: SparkSession) -> Warehouse:
    """Return the raw tables of the shop."""
    chosen = settings()
    password = chosen.source_password.get_secret_value() if chosen.source_password else ""
    return Warehouse(session, shop(), chosen.data, chosen.source_user, password)


def lake() -> Lake:
    """Return the clean data of the shop."""
    root = addresses().lake_root
    store: ObjectStore
    if "://" in root:
        store = S3ObjectStore.connect(root, endpoint=settings().s3_endpoint)
    else:
        store = FolderObjectStore(Path(root))
    return Lake(root=root, catalog=LAKE_CATALOG, store=store)


def lists_opener() -> Callable[[], ObjectStore]:
    """Return what opens the store of the published lists, in this process or in a Spark task; it holds no secret."""
    return partial(S3ObjectStore.connect, addresses().lists, endpoint=settings().s3_endpoint)


def lists() -> ObjectStore:
    """Return the store of the published lists."""
    return lists_opener()()


def validator() -> Validator:
    """Return what checks frames against suites."""
    return GreatExpectations()


def pseudonym_key() -> PseudonymKey:
    """Return the key of the shop's pseudonyms."""
    chosen = settings()
    if chosen.pseudonym_key is None:
        raise ConfigurationError("REFIT_PSEUDONYM_KEY is not set; user ids are never stored without it")
    return PseudonymKey(chosen.pseudonym_key.get_secret_value().encode(), chosen.pseudonym_key_version)


def drift_reporter() -> DriftReporter:
    """Return what draws a second opinion on drift."""
    from refit.adapters.evidently import EvidentlyReporter  # noqa: PLC0415  its import takes seconds

    return EvidentlyReporter()


def factoriser() -> Factoriser:
    """Return what factorises matrices that fit this machine."""
    from refit.adapters.implicit import ImplicitLibrary  # noqa: PLC0415  steps that do not train need not pay its import

    return ImplicitLibrary()


def proposer() -> Proposer:
    """Return what chooses the settings to try."""
    from refit.adapters.optuna import OptunaProposer  # noqa: PLC0415  as above

    return OptunaProposer()


def tracker() -> Tracker:
    """Return where runs are recorded."""
    from refit.adapters.mlflow import MlflowTracker  # noqa: PLC0415  steps without MLflow need not pay its import

    places = addresses()
    return MlflowTracker(_mlflow(), places.experiment, places.mlflow_artifacts)


def registry() -> ModelRegistry:
    """Return the registered models of the shop."""
    from refit.adapters.mlflow import MlflowRegistry  # noqa: PLC0415  as above

    places = addresses()
    return MlflowRegistry(_mlflow(), places.challengers, places.champions)


def _mlflow() -> str:
    address = settings().mlflow
    if not address:
        raise ConfigurationError("REFIT_MLFLOW is not set; name the MLflow server, e.g. http://127.0.0.1:5000")
    return address
