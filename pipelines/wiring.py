"""The composition root: the only module that decides which real collaborators a step gets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr
from pyspark.sql import SparkSession

import refit
from pipelines.addresses import LAKE_CATALOG, Addresses
from pipelines.settings import REPOSITORY, Settings, read_settings
from refit.adapters.airflow_answers import read_answer as read_answer
from refit.adapters.expectations import GreatExpectations
from refit.adapters.spark import open_session
from refit.adapters.stores import open_store
from refit.clocks.time_zones import require_known_zone
from refit.config import Shop, load_shop
from refit.errors import ConfigurationError
from refit.governance.audit_log import AuditLog
from refit.governance.code_version import code_version, git_commit, installed_version
from refit.interfaces import DriftReporter, Factoriser, ModelRegistry, Proposer, Tracker, Validator
from refit.lake.lake import Lake
from refit.lake.pseudonyms import PseudonymKey
from refit.publication import LIVE, Attempt, new_attempt
from refit.publication.symlinks import write_symlinks
from refit.sources import Warehouse
from refit.storage.object_store import ObjectStore
from refit.storage.store_clock import read_clock, require_past


def settings() -> Settings:
    """Return the settings of this process."""
    return read_settings()


def shop() -> Shop:
    """Return the shop that this deployment serves."""
    chosen = settings()
    return load_shop(chosen.shops, chosen.shop)


def addresses() -> Addresses:
    """Return the addresses of the shop."""
    chosen = settings()
    return Addresses(shop=chosen.shop, lake=chosen.lake.rstrip("/"), bucket=chosen.bucket)


def spark(step: str) -> SparkSession:
    """Return the Spark session of this process; ConfigurationError if it does not know the shop's time zone."""
    session = spark_without_shop(step)
    require_known_zone(session, shop().calendar.time_zone)
    return session


def spark_without_shop(step: str) -> SparkSession:
    """Return the Spark session of a process without a shop."""
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
    store = open_store(root, endpoint=settings().s3_endpoint)
    return Lake(root=root, catalog=LAKE_CATALOG, store=store, clock=shop().calendar.clock)


def lists_opener() -> Callable[[], ObjectStore]:
    """Return a function that opens the store of the published lists, here or in a Spark task; it holds no secret."""
    return partial(open_store, addresses().lists, endpoint=settings().s3_endpoint)


def lists() -> ObjectStore:
    """Return the store of the published lists."""
    return lists_opener()()


def audit() -> AuditLog:
    """Return the audit log of the shop, which is stored beside its lists."""
    return AuditLog(lists())


def this_try(logical_run: str, ordered_at: datetime | None) -> Attempt:
    """
    Return the attempt of *logical_run* that this process makes; an unnamed or unordered run is a new run.

    Raises:
        AheadOfClockError: *ordered_at* is after the clock of the store.
    """
    now = read_clock(lists(), LIVE)  # it names and orders batches and selects no data
    if ordered_at is not None:
        require_past("ordered_at", ordered_at, now)
    named = logical_run or f"by-hand/{uuid4()}"
    return new_attempt(logical_run=named, ordered_at=ordered_at or now, created=now, code=code(""))


def code(commit: str | None = None) -> str:
    """
    Return the version of the running code, with *commit*, by default that of the checkout.

    Lists depend on source files, not on the commit: a commit that changes only documentation must not cause new lists.
    """
    folders = {"refit": Path(refit.__file__).parent, "pipelines": Path(__file__).parent}
    return code_version(installed_version(), git_commit(REPOSITORY) if commit is None else commit, folders)


def followers() -> tuple[Callable[[ObjectStore, str], object], ...]:
    """Return functions (store, date) that update readers without pointers, called after a pointer has moved."""
    chosen, configured = settings(), shop()
    found: list[Callable[[ObjectStore, str], object]] = []
    if configured.lists.symlink_manifest:
        found.append(lambda store, _: write_symlinks(store))
    if chosen.iceberg_catalog is not None:
        from refit.adapters.iceberg import IcebergLists  # noqa: PLC0415  a slow import that few shops need

        table = IcebergLists.connect(
            chosen.iceberg_catalog.get_secret_value(),
            shop=chosen.shop,
            lists=addresses().lists,
            endpoint=chosen.s3_endpoint,
            keep=configured.retention.keep,
        )
        found.append(table.follow)
    return tuple(found)


def validator() -> Validator:
    """Return the validator of frames against suites."""
    return GreatExpectations()


def pseudonym_key() -> PseudonymKey:
    """Return the key of the shop's pseudonyms."""
    chosen = settings()
    if chosen.pseudonym_key is None:
        raise ConfigurationError("REFIT_PSEUDONYM_KEY is not set; user ids are never stored without it")
    return PseudonymKey(chosen.pseudonym_key.get_secret_value().encode(), chosen.pseudonym_key_version)


def drift_reporter() -> DriftReporter:
    """Return the reporter for a second opinion on drift."""
    from refit.adapters.evidently import EvidentlyReporter  # noqa: PLC0415  its import takes seconds

    return EvidentlyReporter()


def factoriser() -> Factoriser:
    """Return the factoriser for matrices that fit this machine."""
    from refit.adapters.implicit import ImplicitLibrary  # noqa: PLC0415  a slow import that only training needs

    return ImplicitLibrary()


def proposer() -> Proposer:
    """Return the proposer of settings to try."""
    from refit.adapters.optuna import OptunaProposer  # noqa: PLC0415  as above

    return OptunaProposer()


def tracker() -> Tracker:
    """Return the tracker of runs."""
    from refit.adapters.mlflow import MlflowTracker  # noqa: PLC0415  steps without MLflow need not pay its import

    places = addresses()
    return MlflowTracker(_mlflow(), places.experiment, places.mlflow_artifacts)


def registry() -> ModelRegistry:
    """Return the registered models of the shop."""
    from refit.adapters.mlflow import MlflowRegistry  # noqa: PLC0415  as above

    places = addresses()
    return MlflowRegistry(_mlflow(), places.challengers, places.champions)


def promoting_registry() -> ModelRegistry:
    """Return the registered models for a step that may move the champion; the process then acts as the promoter."""
    from refit.adapters.mlflow_identity import act_as  # noqa: PLC0415  as above

    chosen = settings()
    if chosen.promoter_user:
        act_as(chosen.promoter_user, _password("REFIT_PROMOTER_PASSWORD", chosen.promoter_password))
    return registry()


def _mlflow() -> str:
    """Return the MLflow address; this process acts as the trainer unless it already has another identity."""
    from refit.adapters.mlflow_identity import act_as, acts_as  # noqa: PLC0415  as above

    chosen = settings()
    if not chosen.mlflow:
        raise ConfigurationError("REFIT_MLFLOW is not set; name the MLflow server, e.g. http://127.0.0.1:5000")
    if chosen.mlflow_user and not acts_as():
        act_as(chosen.mlflow_user, _password("REFIT_MLFLOW_PASSWORD", chosen.mlflow_password))
    return chosen.mlflow


def _password(name: str, given: SecretStr | None) -> str:
    if given is None:
        raise ConfigurationError(f"{name} is not set, but its user is; set both, or neither for a server without users")
    return given.get_secret_value()
