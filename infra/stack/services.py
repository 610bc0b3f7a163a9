"""Which processes make up a stack, with what settings, and how each is known to be healthy."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from infra.host import postgres
from infra.host.class_archive import class_archive
from infra.host.java import Java
from infra.host.ports import LOOPBACK
from infra.mlflow.users import write_config
from infra.stack.credentials import Credentials
from infra.stack.settings import StackSettings, is_address
from pipelines.addresses import Addresses
from pipelines.settings import REPOSITORY, Settings

S3, MLFLOW, MIGRATION, DATABASE = "s3", "mlflow", "airflow-db-migrate", postgres.NAME
API_SERVER = "airflow-api-server"
AIRFLOW = (API_SERVER, "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")
STORAGE = (S3, DATABASE)
STOP_ORDER = (
    *("airflow-scheduler", "airflow-triggerer", "airflow-dag-processor", "airflow-api-server"),
    *(MIGRATION, MLFLOW),
)
"""The scheduler first, so that nothing new is started; the S3 server and the database end after all of these."""
PORTS = {"REFIT_AIRFLOW_PORT": "airflow", "REFIT_MLFLOW_PORT": "mlflow", "REFIT_S3_PORT": "s3"}

POOLS = {"spark": (1, "Steps that start Spark; one slot for each that fits into the memory of this machine.")}
"""Pools of the timetables, with slots and description; Airflow never starts a task whose pool does not exist."""

S3_HEALTH = "/-/health"
"""Path that the S3 server answers without an access key; `-` can never be the name of a bucket."""

_LOG_LEVELS = " ".join(
    [
        "airflow=WARNING airflow.task=INFO airflow.providers=INFO",
        "uvicorn=WARNING alembic=WARNING http.access=WARNING supervisor=WARNING",
    ]
)
FAST_START = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
"""
A step on a small shop ends before the thorough compiler has paid for itself; this saves a quarter of it.

Without that compiler the JVM reserves 48 MB for compiled code instead of 240. A replay fills them within minutes, and
from then on nothing is compiled.
"""
_CONNECT_ARGS = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS"
_DATABASES = ("REFIT_AIRFLOW_DATABASE", "REFIT_MLFLOW_DATABASE")
_PATH_SETTINGS = ("shops", "expectations")
_SECRET_SETTINGS = ("REFIT_SOURCE_PASSWORD", "REFIT_PSEUDONYM_KEY", "REFIT_MLFLOW_PASSWORD", "REFIT_PROMOTER_PASSWORD")


def addresses(ports: Mapping[str, int]) -> dict[str, str]:
    """Return the address of each service, by the name that PORTS gives it."""
    return {name: f"http://{LOOPBACK}:{ports[setting]}" for setting, name in PORTS.items()}


def commands(
    root: Path, ports: Mapping[str, int], *, bucket: str, shop: str, mlflow_database: str = ""
) -> dict[str, list[str]]:
    """Return the command of every process."""
    python = sys.executable
    artifacts = Addresses(shop, lake="", bucket=bucket).mlflow_artifacts
    airflow = [python, "-m", "airflow"]
    return {
        S3: [
            *[python, "-m", "infra.s3.server"],
            *["--port", str(ports["REFIT_S3_PORT"]), "--state", str(root / "s3")],
        ],
        MLFLOW: [
            *[python, "-m", "mlflow", "server", "--workers", "1", "--app-name", "basic-auth"],
            *["--host", LOOPBACK, "--port", str(ports["REFIT_MLFLOW_PORT"])],
            *["--backend-store-uri", mlflow_database or f"sqlite:///{root / 'mlflow.db'}"],
            *["--uvicorn-opts", "--no-access-log"],
            # Clients that name no place write to S3 directly: Spark cannot read what the server proxies.
            *["--default-artifact-root", artifacts, "--artifacts-destination", artifacts],
        ],
        MIGRATION: [*airflow, "db", "migrate"],
        "airflow-api-server": [*airflow, "api-server"],
        # Task logs are read from files; the log server cannot be bound to the loopback interface.
        "airflow-scheduler": [*airflow, "scheduler", "--skip-serve-logs"],
        "airflow-dag-processor": [*airflow, "dag-processor"],
        # Notices what people decide in MLflow, without a slot of a worker.
        "airflow-triggerer": [*airflow, "triggerer", "--skip-serve-logs"],
    }


def own_environment(name: str, root: Path, credentials: Credentials, shared: Mapping[str, str]) -> dict[str, str]:
    """Return what one process must know and the others must not, or know otherwise than in *shared*."""
    if name == API_SERVER and _CONNECT_ARGS in shared:
        return {_CONNECT_ARGS: "infra.airflow.metadata_database.SERVER_CONNECT_ARGS"}
    if name != MLFLOW:
        return {}
    return {**credentials.mlflow_environment(), "MLFLOW_AUTH_CONFIG_PATH": str(write_config(root))}


def needs_migration(root: Path, address: str) -> bool:
    """Whether Airflow's database is missing, of another version or not a file of ours; migrating costs seconds."""
    if not address.startswith("sqlite:"):
        return True
    marker = root / "airflow" / "migrated"
    database = root / "airflow" / "airflow.db"
    return not (
        database.exists() and marker.exists() and marker.read_text(encoding="utf-8") == version("apache-airflow")
    )


def note_migration(root: Path) -> None:
    """Remember which version made the database."""
    (root / "airflow" / "migrated").write_text(version("apache-airflow"), encoding="utf-8")


def environment(
    settings: StackSettings,
    ports: Mapping[str, int],
    java: Java,
    database: postgres.Cluster | None = None,
    jars: str = "",
) -> dict[str, str]:
    """
    Return what the stack sets for its processes, less the secrets and less what the caller set.

    *jars* are the libraries that Spark needs for the shop's sources, unless the caller names others.
    """
    at = addresses(ports)
    return {
        **_process_environment(java),
        **_refit_environment(settings, at, database, jars),
        **_client_environment(at),
        **_airflow_environment(settings, at["airflow"], ports["REFIT_AIRFLOW_PORT"]),
    }


def child_environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a process of the stack."""
    unwanted = {"PYTHONDONTWRITEBYTECODE", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"}
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in unwanted and not name.startswith(("AIRFLOW", "MLFLOW_"))
    }
    return {**inherited, **own}


def _process_environment(java: Java) -> dict[str, str]:
    own = [str(Path(sys.executable).parent), str(java.home / "bin")]
    path = [part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part not in own]
    direct = ",".join(dict.fromkeys([*os.environ.get("NO_PROXY", "").split(","), LOOPBACK, "localhost"]))
    return {
        "PATH": os.pathsep.join([*own, *path]),
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "src")]),
        "PYTHONUNBUFFERED": "1",
        "JAVA_HOME": str(java.home),
        "NO_PROXY": direct.strip(","),
        "no_proxy": direct.strip(","),
        # Renamed processes would overwrite the environment by which a leftover of the stack is recognised.
        "SPT_NOENV": "1",
        "DO_NOT_TRACK": "1",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def _refit_environment(
    settings: StackSettings, at: Mapping[str, str], database: postgres.Cluster | None, jars: str
) -> dict[str, str]:
    """What the caller chose, made absolute, and what belongs to this stack alone."""
    chosen = {name: value for name, value in os.environ.items() if name.startswith("REFIT_") and value}
    for setting in (
        "REFIT_ENV_OF",
        "REFIT_STATE",
        "REFIT_DAGS",
        "REFIT_PARALLELISM",
        "REFIT_DATABASE_PORT",
        *_DATABASES,
        *PORTS,
    ):
        chosen.pop(setting, None)  # about the stack, not about its steps
    for secret in _SECRET_SETTINGS:
        chosen.pop(secret, None)  # inherited by every process, and not written down with the rest
    defaults = Settings.model_fields
    for field in _PATH_SETTINGS:
        name = f"REFIT_{field.upper()}"
        chosen[name] = str(Path(chosen.get(name) or str(defaults[field].default)).absolute())
    root = settings.root
    return {
        "REFIT_SPARK_MASTER": str(defaults["spark_master"].default),
        "REFIT_SPARK_MEMORY": str(defaults["spark_memory"].default),
        "REFIT_SPARK_JAVA_OPTIONS": FAST_START,
        "REFIT_SPARK_CLASS_ARCHIVE": class_archive(),
        **({"REFIT_SPARK_JARS": jars} if jars else {}),
        **chosen,
        **({"REFIT_SOURCE_USER": postgres.USER} if database else {}),
        "REFIT_SHOP": settings.shop,
        "REFIT_DATA": database.url if database else raw_data(settings),
        "REFIT_LAKE": str(root / "lake"),
        "REFIT_BUCKET": settings.bucket,
        "REFIT_S3_ENDPOINT": at["s3"],
        "REFIT_MLFLOW": at["mlflow"],
    }


def raw_data(settings: StackSettings) -> str:
    """Return where the raw tables of a shop without a database of its own are."""
    if is_address(settings.data):
        return settings.data
    return str(Path(settings.data).absolute() if settings.data else settings.root / "warehouse")


def _client_environment(at: Mapping[str, str]) -> dict[str, str]:
    return {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "MLFLOW_TRACKING_URI": at["mlflow"],
        "MLFLOW_S3_ENDPOINT_URL": at["s3"],
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # With the defaults a call to a server that is down blocks for minutes.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    }


def _airflow_environment(settings: StackSettings, address: str, port: int) -> dict[str, str]:
    home = settings.root / "airflow"
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings.dags.absolute()),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(settings.parallelism),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,approver:user",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        # Without it tasks look for the API on port 8080.
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        **_airflow_database(settings),
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__WORKERS": "1",
        # A task that ended is reported after at most this long, and keeps its only slot until then.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "60",
        # A task that starts before the API server listens, or while it comes back, asks for a minute or two.
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "12",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "15",
        # With 0.2 an idle scheduler would take a quarter of a core from the steps.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": _LOG_LEVELS,
        "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS": "infra.airflow.log_config.LOGGING_CONFIG",
    }


def _airflow_database(settings: StackSettings) -> dict[str, str]:
    if settings.airflow_database:
        return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": settings.airflow_database}
    return {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{settings.root / 'airflow' / 'airflow.db'}",
        _CONNECT_ARGS: "infra.airflow.metadata_database.CONNECT_ARGS",
    }
