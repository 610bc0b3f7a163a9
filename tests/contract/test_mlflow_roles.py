"""Roles and actions, each tried against a real MLflow server started as the stack starts it, with its users."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from support.mlflow_server import free_port, serving
from support.role_table import show

from infra.errors import StackError
from infra.mlflow.users import ADMIN, APPROVER, PROMOTER, TRAINER, make_users
from infra.stack.credentials import Credentials, keep_credentials
from infra.stack.services import MLFLOW, child_environment, commands, own_environment
from pipelines.addresses import Addresses
from refit.adapters.mlflow import MlflowRefusedError, MlflowRegistry, MlflowTracker

PLACES = Addresses("cafe", lake="", bucket="refit")
NOBODY, STRANGER = "nobody", "stranger"
"""Somebody who may sign in but was granted nothing, and somebody without a password."""
ROLES = (TRAINER, PROMOTER, APPROVER, NOBODY, STRANGER)


class Mlflow:
    """The server, with one run, one model, one challenger, one champion and one version beside it."""

    def __init__(self, address: str, credentials: Credentials) -> None:
        self.address = address
        self.passwords = {**credentials.mlflow_passwords(), NOBODY: uuid4().hex}
        self.http = httpx.Client(trust_env=False, timeout=60)
        self.names = (f"name-{number}" for number in itertools.count())
        make_users(self.http, address, self.passwords, PLACES)
        self.ok("POST", "users/create", username=NOBODY, password=self.passwords[NOBODY])
        self.experiment = self.ok("GET", "experiments/get-by-name", experiment_name=PLACES.experiment)["experiment"][
            "experiment_id"
        ]
        self.run = self.ok("POST", "runs/create", experiment_id=self.experiment)["run"]["info"]["run_id"]
        model = self.ok("POST", "logged-models", experiment_id=self.experiment, source_run_id=self.run, name="m")
        self.model = model["model"]["info"]["model_id"]
        for name in (PLACES.challengers, PLACES.champions, PLACES.champions):
            self.ok("POST", "model-versions/create", **self.version(name))
        self.ok("POST", "registered-models/alias", name=PLACES.champions, alias="champion", version="1")

    def version(self, name: str) -> dict[str, str]:
        """Return what creating a version of *name* needs."""
        return {"name": name, "source": f"models:/{self.model}", "run_id": self.run, "model_id": self.model}

    def ask(self, role: str, method: str, path: str, /, **what: Any) -> httpx.Response:
        """Send one request as *role*."""
        auth = (role, self.passwords[role]) if role in self.passwords else None
        body = {"params": what} if method == "GET" else {"json": what}
        return self.http.request(
            method, f"{self.address}/api/{'' if path[0].isdigit() else '2.0/mlflow/'}{path}", auth=auth, **body
        )

    def ok(self, method: str, path: str, /, **what: Any) -> Any:
        """Send one request as the administrator, who may do everything."""
        answer = self.ask(ADMIN, method, path, **what)
        assert answer.is_success, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def mlflow(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    """Start the server by the stack's own command."""
    root = tmp_path_factory.mktemp("stack")
    credentials = keep_credentials(root / "secrets.json")
    port = free_port()
    command = commands(root, dict.fromkeys(("REFIT_S3_PORT", "REFIT_MLFLOW_PORT"), port), bucket="refit", shop="cafe")
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_ENABLE_AI_GATEWAY": "false"}
    own = {**settings, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_S3_ENDPOINT_URL": s3_endpoint}
    environment = child_environment({**own, **own_environment(MLFLOW, root, credentials, own)})
    address = f"http://127.0.0.1:{port}"
    with serving(command[MLFLOW], environment, root, address):
        yield Mlflow(address, credentials)


Action = Callable[[Mlflow, str], httpx.Response]
_champions, _challengers = PLACES.champions, PLACES.challengers
_EVERYBODY_HERE = {TRAINER, PROMOTER, APPROVER}
_DECIDERS = {PROMOTER, APPROVER}
_SIGNED_IN = {*_EVERYBODY_HERE, NOBODY}
"""MLflow lets everybody who may sign in make things of his own; those of the shop exist, so nobody can come first."""


def _act(method: str, path: str, /, **what: Any) -> Action:
    return lambda mlflow, role: mlflow.ask(
        role, method, path, **{key: value(mlflow) if callable(value) else value for key, value in what.items()}
    )


def _new(mlflow: Mlflow) -> str:
    return next(mlflow.names)


def _first(name: str) -> dict[str, str]:
    return {"name": name, "version": "1"}


# What is declared. An action that destroys something is allowed to nobody, so the order of the roles does not matter.
TABLE: list[tuple[str, set[str], Action]] = [
    ("read the experiment", _EVERYBODY_HERE, _act("GET", "experiments/get", experiment_id=lambda m: m.experiment)),
    ("make another experiment", _SIGNED_IN, _act("POST", "experiments/create", name=_new)),
    ("delete the experiment", set(), _act("POST", "experiments/delete", experiment_id=lambda m: m.experiment)),
    ("make a run", {TRAINER}, _act("POST", "runs/create", experiment_id=lambda m: m.experiment)),
    ("log a metric", {TRAINER}, _act("POST", "runs/log-metric", run_id=lambda m: m.run, key="k", value=1, timestamp=1)),
    ("read a run", _EVERYBODY_HERE, _act("GET", "runs/get", run_id=lambda m: m.run)),
    ("delete a run", set(), _act("POST", "runs/delete", run_id=lambda m: m.run)),
    (
        "log a model",
        {TRAINER},
        _act("POST", "logged-models", experiment_id=lambda m: m.experiment, source_run_id=lambda m: m.run, name="m"),
    ),
    ("read a model", _EVERYBODY_HERE, lambda m, role: m.ask(role, "GET", f"logged-models/{m.model}")),
    ("delete a model", set(), lambda m, role: m.ask(role, "DELETE", f"logged-models/{m.model}")),
    ("make another registered model", _SIGNED_IN, _act("POST", "registered-models/create", name=_new)),
    (
        "register a challenger",
        {TRAINER, PROMOTER},
        lambda m, role: m.ask(role, "POST", "model-versions/create", **m.version(_challengers)),
    ),
    ("read a challenger", _EVERYBODY_HERE, _act("GET", "model-versions/get", **_first(_challengers))),
    (
        "tag a challenger",
        {TRAINER, PROMOTER},
        _act("POST", "model-versions/set-tag", **_first(_challengers), key="k", value="v"),
    ),
    ("delete a challenger", set(), _act("DELETE", "model-versions/delete", **_first(_challengers))),
    ("read the champion", _EVERYBODY_HERE, _act("GET", "registered-models/alias", name=_champions, alias="champion")),
    ("read decisions", _EVERYBODY_HERE, _act("GET", "registered-models/get", name=_champions)),
    (
        "write a decision",
        _DECIDERS,
        _act("POST", "registered-models/set-tag", name=_champions, key="decision-1", value="approve"),
    ),
    (
        "make a champion version",
        _DECIDERS,
        lambda m, role: m.ask(role, "POST", "model-versions/create", **m.version(_champions)),
    ),
    ("tag a champion", _DECIDERS, _act("POST", "model-versions/set-tag", **_first(_champions), key="k", value="v")),
    (
        "move the alias",
        _DECIDERS,
        _act("POST", "registered-models/alias", name=_champions, alias="champion", version="1"),
    ),
    ("remove the alias", set(), _act("DELETE", "registered-models/alias", name=_champions, alias="champion")),
    ("delete a champion", set(), _act("DELETE", "model-versions/delete", **_first(_champions))),
    ("delete the champions", set(), _act("DELETE", "registered-models/delete", name=_champions)),
    ("list a folder of files", set(), _act("GET", "2.0/mlflow-artifacts/artifacts", path="mlflow/cafe")),
    (
        "overwrite files of a model",
        set(),
        lambda m, role: m.ask(role, "PUT", f"2.0/mlflow-artifacts/artifacts/models/{m.model}/artifacts/model.json"),
    ),
    ("make a user", set(), _act("POST", "users/create", username=_new, password="a-long-password")),
    (
        "take a right",
        set(),
        lambda m, role: m.ask(
            role,
            "POST",
            "3.0/mlflow/users/permissions/grant",
            username=role,
            resource_type="registered_model",
            resource_id=_champions,
            permission="MANAGE",
        ),
    ),
    (
        "set the administrator's password",
        set(),
        _act("PATCH", "users/update-password", username=ADMIN, password="a-new-password"),
    ),
    ("make a webhook", set(), _act("POST", "webhooks", name=_new, url="https://example.com", events=[])),
]


def test_every_role_may_do_what_is_declared_and_nothing_else(mlflow: Mlflow) -> None:
    """Allowed is any success, refused is 401 without a password and 403 with one; nothing in between occurs."""
    found: dict[str, dict[str, bool]] = {action: {} for action, _, _ in TABLE}
    wrong = []
    for (action, allowed, act), role in itertools.product(TABLE, ROLES):
        answer = act(mlflow, role)
        found[action][role] = answer.is_success
        refused = 401 if role == STRANGER else 403
        if answer.is_success != (role in allowed) or not (answer.is_success or answer.status_code == refused):
            wrong.append((role, action, answer.status_code, answer.text[:200]))
    show("in MLflow", ROLES, found)
    assert wrong == []


def test_nothing_is_served_with_a_wrong_password(mlflow: Mlflow) -> None:
    address = f"{mlflow.address}/api/2.0/mlflow/experiments/get"
    answer = mlflow.http.get(address, params={"experiment_id": mlflow.experiment}, auth=(ADMIN, "password1234"))
    assert answer.status_code == 401


def test_users_are_brought_to_what_is_declared_at_every_start(mlflow: Mlflow) -> None:
    """A right that was given by hand is taken back, one that was taken is given, a changed password is set."""
    right = {"username": TRAINER, "resource_type": "registered_model", "resource_id": PLACES.champions}
    for name, more in (("revoke", {}), ("grant", {"permission": "MANAGE"})):
        mlflow.ok("POST", f"3.0/mlflow/users/permissions/{name}", **right, **more)
    other = {**right, "resource_id": PLACES.challengers}
    mlflow.ok("POST", "3.0/mlflow/users/permissions/revoke", **other)
    mlflow.ok("PATCH", "users/update-password", username=PROMOTER, password="changed-by-hand")

    make_users(mlflow.http, mlflow.address, mlflow.passwords, PLACES)

    rights = mlflow.ok("GET", "3.0/mlflow/users/permissions/list", username=TRAINER)["permissions"]
    assert {(right["resource_pattern"], right["permission"]) for right in rights} == {
        (str(mlflow.experiment), "EDIT"),
        (PLACES.challengers, "EDIT"),
        (PLACES.champions, "READ"),
    }
    assert mlflow.ask(PROMOTER, "GET", "users/current").is_success


def test_another_administrator_password_is_one_sentence(mlflow: Mlflow) -> None:
    with pytest.raises(StackError, match=r"administrator's password .*remove mlflow_users\.db"):
        make_users(mlflow.http, mlflow.address, {**mlflow.passwords, ADMIN: "another-password"}, PLACES)


def test_passwords_are_kept_as_hashes_only(mlflow: Mlflow, tmp_path_factory: pytest.TempPathFactory) -> None:
    kept = next(tmp_path_factory.getbasetemp().rglob("mlflow_users.db")).read_bytes()
    assert APPROVER.encode() in kept
    assert not [user for user, password in mlflow.passwords.items() if password.encode() in kept]
    assert Path(next(tmp_path_factory.getbasetemp().rglob("mlflow.db"))).stat().st_size > 0


@pytest.fixture
def act(
    mlflow: Mlflow, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[MlflowTracker, MlflowRegistry]]:
    """Give what makes this process act as a role, with the collaborators that a step gets."""

    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3_endpoint)

    def become(role: str) -> tuple[MlflowTracker, MlflowRegistry]:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", role)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", mlflow.passwords.get(role, "wrong"))
        registry = MlflowRegistry(mlflow.address, PLACES.challengers, PLACES.champions)
        return MlflowTracker(mlflow.address, PLACES.experiment, PLACES.mlflow_artifacts), registry

    return become


def test_each_role_can_do_its_part_of_a_promotion_and_no_other(
    act: Callable[[str], tuple[MlflowTracker, MlflowRegistry]],
) -> None:
    """Training logs and registers; what it then tries to promote is refused in a sentence; the promoter may."""
    tracker, registry = act(TRAINER)
    before = registry.champion()
    run_id = tracker.log_run("train", params={"rank": 8}, metrics={"ndcg": 0.5}, tags={}, files={"a.txt": b"a"})
    files = {"items.parquet": bytes(100), "model.json": uuid4().hex.encode()}
    model_id = tracker.log_model(run_id, files, params={})
    challenger = registry.register(model_id=model_id, run_id=run_id, tags={"digest": "d"})
    for refused in (
        lambda: registry.copy(challenger),
        lambda: registry.point(2),
        lambda: registry.note("decision-1", "approve"),
    ):
        with pytest.raises(MlflowRefusedError, match="does not let user trainer do this"):
            refused()
    assert registry.champion() == before

    tracker, registry = act(PROMOTER)
    assert tracker.model_files(model_id) == files
    copy = registry.copy(registry.challenger(challenger.version))
    registry.point(copy.version)
    champion = registry.champion()
    assert champion is not None
    assert (champion.version, champion.model_id) == (copy.version, model_id)
    with pytest.raises(MlflowRefusedError, match="does not let user promoter do this"):
        tracker.log_run("train", params={}, metrics={}, tags={}, files={})


@pytest.mark.parametrize("role", [NOBODY, STRANGER])
def test_whoever_has_no_rights_or_a_wrong_password_is_told_so(
    role: str, act: Callable[[str], tuple[MlflowTracker, MlflowRegistry]]
) -> None:
    """Not that there is no champion, and not that the server is down."""
    _, registry = act(role)
    with pytest.raises(MlflowRefusedError, match=rf"does not let user {role} do this.*docs/security\.md"):
        registry.champion()
