"""
Who may do what in MLflow: its users and their grants, brought to what is written here at every start.

Experiment and registered models are made by the administrator beforehand, because whoever makes one may do everything
with it. What else the three users were granted by hand is taken back; other users are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from infra.errors import StackError
from pipelines.addresses import Addresses

ADMIN, TRAINER, PROMOTER, APPROVER = "admin", "trainer", "promoter", "approver"
_EXPERIMENT, _MODEL = "experiment", "registered_model"
_DATABASE, _CONFIG = "mlflow_users.db", "mlflow_users.ini"


def grants(places: Addresses, experiment_id: str) -> dict[str, dict[tuple[str, str], str]]:
    """Return, for each user, what he is granted on which experiment or registered model; everything else is refused."""
    experiment, challengers, champions = (
        (_EXPERIMENT, experiment_id),
        (_MODEL, places.challengers),
        (_MODEL, places.champions),
    )
    return {
        TRAINER: {experiment: "EDIT", challengers: "EDIT", champions: "READ"},
        PROMOTER: {experiment: "READ", challengers: "EDIT", champions: "EDIT"},
        # A decision is a tag of the champions' model. Whoever may set it may move the alias too; that is found out.
        APPROVER: {experiment: "READ", challengers: "READ", champions: "EDIT"},
    }


def write_config(root: Path) -> Path:
    """Write the settings by which the server keeps its users in *root*, and return where they are."""
    path = root / _CONFIG
    lines = [
        "[mlflow]",
        "default_permission = NO_PERMISSIONS",
        f"database_uri = sqlite:///{root / _DATABASE}",
        f"admin_username = {ADMIN}",
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth",
        # Checking a password takes a quarter of a second by design; one worker, so a change is known at once.
        "auth_cache_ttl_seconds = 300",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def make_users(http: httpx.Client, address: str, passwords: Mapping[str, str], places: Addresses) -> None:
    """
    Make the experiment, the registered models, the users and their grants where they are missing or differ.

    Raises:
        StackError: the server does not take the administrator's password, or refuses a request.
        httpx.HTTPError: the server does not answer.
    """
    server = _Server(http, address, passwords[ADMIN])
    experiment_id = _experiment(server, places)
    for name in (places.challengers, places.champions):
        if server.find("2.0/mlflow/registered-models/get", name=name) is None:
            server.post("2.0/mlflow/registered-models/create", name=name)
    for user, wanted in grants(places, experiment_id).items():
        _user(server, user, passwords[user])
        _grant(server, user, wanted)


def _experiment(server: _Server, places: Addresses) -> str:
    found = server.find("2.0/mlflow/experiments/get-by-name", experiment_name=places.experiment)
    if found is not None:
        return str(found["experiment"]["experiment_id"])
    # An explicit location lets clients write to S3 themselves instead of through the server.
    made = server.post(
        "2.0/mlflow/experiments/create", name=places.experiment, artifact_location=places.mlflow_artifacts
    )
    return str(made["experiment_id"])


def _user(server: _Server, user: str, password: str) -> None:
    if server.find("2.0/mlflow/users/get", username=user) is None:
        server.post("2.0/mlflow/users/create", username=user, password=password)
    elif not server.knows(user, password):
        server.ask("PATCH", "2.0/mlflow/users/update-password", json={"username": user, "password": password})


def _grant(server: _Server, user: str, wanted: Mapping[tuple[str, str], str]) -> None:
    listed = server.find("3.0/mlflow/users/permissions/list", username=user) or {"permissions": []}
    has = {(entry["resource_type"], entry["resource_pattern"]): entry["permission"] for entry in listed["permissions"]}
    for kind, which in has.keys() - {key for key in wanted if has.get(key) == wanted[key]}:
        server.post("3.0/mlflow/users/permissions/revoke", username=user, resource_type=kind, resource_id=which)
    for (kind, which), permission in wanted.items():
        if has.get((kind, which)) != permission:
            server.post(
                "3.0/mlflow/users/permissions/grant",
                username=user,
                resource_type=kind,
                resource_id=which,
                permission=permission,
            )


class _Server:
    """The MLflow server as its administrator sees it."""

    def __init__(self, http: httpx.Client, address: str, password: str) -> None:
        self._http = http
        self._address = address
        self._password = password

    def find(self, path: str, **which: str) -> dict[str, Any] | None:
        """Return what is asked for, or None where there is none."""
        return self.ask("GET", path, params=which, absent_is_fine=True)

    def post(self, path: str, **what: str) -> dict[str, Any]:
        """Make or change something and return the answer."""
        return self.ask("POST", path, json=what) or {}

    def knows(self, user: str, password: str) -> bool:
        """Whether the server takes this password of this user."""
        address = f"{self._address}/api/2.0/mlflow/users/current"
        return self._http.get(address, auth=(user, password)).is_success

    def ask(self, method: str, path: str, *, absent_is_fine: bool = False, **what: Any) -> dict[str, Any] | None:
        """Send one request as the administrator."""
        answer = self._http.request(method, f"{self._address}/api/{path}", auth=(ADMIN, self._password), **what)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise StackError(
                "MLflow does not take the administrator's password of secrets.json: its users are of another one; "
                f"remove {_DATABASE} beside it and start again (users made by hand are lost, the others are made anew)"
            )
        if absent_is_fine and answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if not answer.is_success:
            raise StackError(f"MLflow refuses {method} {path} with {answer.status_code}: {answer.text[:200]}")
        return answer.json() if answer.content else {}
