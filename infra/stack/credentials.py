"""The secrets of one stack: made once, kept across restarts, readable by their owner only."""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from infra.errors import StackError
from infra.mlflow import users


def _word() -> str:
    return secrets.token_urlsafe(18)


def _key() -> str:
    return secrets.token_hex(32)


def _fernet() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def _access_key() -> str:
    # Shaped like an access key id; not derived from any account.
    return "REFIT" + base64.b32encode(os.urandom(15)).decode().rstrip("=")


_MAKERS: dict[str, Callable[[], str]] = {
    "airflow_admin_password": _word,
    "airflow_approver_password": _word,
    "airflow_jwt_secret": _key,
    "airflow_fernet_key": _fernet,
    "airflow_secret_key": _key,
    "database_password": _word,
    "mlflow_admin_password": _word,
    "mlflow_trainer_password": _word,
    "mlflow_promoter_password": _word,
    "mlflow_approver_password": _word,
    "mlflow_secret_key": _key,
    "s3_access_key": _access_key,
    "s3_secret_key": _key,
    "pseudonym_key": _key,
}


@dataclass(frozen=True, repr=False)
class Credentials:
    """Everything of one stack that must not be printed."""

    airflow_admin_password: str
    airflow_approver_password: str
    airflow_jwt_secret: str
    airflow_fernet_key: str
    airflow_secret_key: str
    database_password: str
    mlflow_admin_password: str
    mlflow_trainer_password: str
    mlflow_promoter_password: str
    mlflow_approver_password: str
    mlflow_secret_key: str
    s3_access_key: str
    s3_secret_key: str
    pseudonym_key: str

    def environment(self) -> dict[str, str]:
        """Return the settings by which the processes of the stack get their secrets."""
        return {
            "AIRFLOW__API_AUTH__JWT_SECRET": self.airflow_jwt_secret,
            "AIRFLOW__CORE__FERNET_KEY": self.airflow_fernet_key,
            "AIRFLOW__API__SECRET_KEY": self.airflow_secret_key,
            "AWS_ACCESS_KEY_ID": self.s3_access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3_secret_key,
            "REFIT_PSEUDONYM_KEY": self.pseudonym_key,
            "REFIT_MLFLOW_USER": users.TRAINER,
            "REFIT_MLFLOW_PASSWORD": self.mlflow_trainer_password,
            "REFIT_PROMOTER_USER": users.PROMOTER,
            "REFIT_PROMOTER_PASSWORD": self.mlflow_promoter_password,
        }

    def mlflow_environment(self) -> dict[str, str]:
        """Return what the MLflow server alone must know, beside what every process knows."""
        return {
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.mlflow_admin_password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self.mlflow_secret_key,
        }

    def mlflow_passwords(self) -> dict[str, str]:
        """Return the password of each user that MLflow knows."""
        return {
            users.ADMIN: self.mlflow_admin_password,
            users.TRAINER: self.mlflow_trainer_password,
            users.PROMOTER: self.mlflow_promoter_password,
            users.APPROVER: self.mlflow_approver_password,
        }

    def passwords(self) -> dict[str, str]:
        """Return the password of each person that Airflow knows."""
        return {"admin": self.airflow_admin_password, "approver": self.airflow_approver_password}


def keep_credentials(path: Path) -> Credentials:
    """
    Return the credentials kept in *path*; make the missing ones.

    Raises:
        StackError: the file is damaged, or others than its owner may read it.
    """
    try:
        kept = _read(path)
    except FileNotFoundError:
        kept = {}
    made = {field.name: kept.get(field.name) or _MAKERS[field.name]() for field in fields(Credentials)}
    credentials = Credentials(**made)
    if made != kept:
        write_private(path, json.dumps(asdict(credentials), indent=2) + "\n")
    return credentials


def write_private(path: Path, text: str) -> None:
    """Replace *path* at once by *text*; no byte of it is ever readable by others."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _read(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise StackError(f"{path} has mode {mode:04o}, so others may read the secrets; chmod 600 it")
        try:
            kept = json.load(file)
        except ValueError as error:
            raise StackError(
                f"{path} is damaged ({error}); restore it: it holds the pseudonym key of the shop"
            ) from error
    if not isinstance(kept, dict):
        raise StackError(f"{path} is damaged (not a JSON object); restore it")
    return {str(name): str(value) for name, value in kept.items()}
