"""What the tracker and the registry promise, asked of the fakes and of a real MLflow server."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest

from refit.errors import NotFoundError
from refit.interfaces import ModelRegistry, ModelVersion, Tracker
from refit.testing import FakeObjectStore, FakeRegistry, FakeRun, FakeTracker
from refit.tuning import StoredTrials
from refit.tuning.study import Trial

FILES = {"items.parquet": bytes(range(256)) * 20, "model.json": '{"name":"Größe"}'.encode(), "deep/er/x.bin": b"\0"}


@dataclass(frozen=True)
class Tracking:
    """Tracker and registry of one shop that nobody has used yet."""

    tracker: Tracker
    registry: ModelRegistry
    read_run: Callable[[str], FakeRun]
    """What somebody else finds in a run."""
    delete: Callable[[int], None]
    """What an administrator does to a version of the champions' model."""

    def model(self) -> dict[str, str]:
        """Log one model and return what registering it needs."""
        run_id = self.tracker.log_run("train", params={}, metrics={}, tags={}, files={})
        model_id = self.tracker.log_model(run_id, {"model.json": uuid4().hex.encode()}, params={})
        return {"model_id": model_id, "run_id": run_id}

    def challenger(self, **tags: str) -> ModelVersion:
        """Register a new model."""
        return self.registry.register(**self.model(), tags=tags)


@pytest.fixture(params=["fake", "mlflow"])
def shop(request: pytest.FixtureRequest) -> Tracking:
    if request.param == "mlflow":
        return _mlflow(request.getfixturevalue("mlflow_address"))
    tracker, registry = FakeTracker(), FakeRegistry()
    return Tracking(tracker, registry, tracker.runs.__getitem__, registry.delete)


def _mlflow(address: str) -> Tracking:
    import mlflow
    from mlflow import MlflowClient

    from refit.adapters.mlflow import MlflowRegistry, MlflowTracker

    name = f"shop_{uuid4().hex}"
    client = MlflowClient(tracking_uri=address)

    def read_run(run_id: str) -> FakeRun:
        run = client.get_run(run_id)
        names = [entry.path for entry in client.list_artifacts(run_id)]
        return FakeRun(
            name=run.info.run_name,
            params=run.data.params,
            metrics=run.data.metrics,
            tags={key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")},
            files={name: mlflow.artifacts.load_text(f"{run.info.artifact_uri}/{name}").encode() for name in names},
            parent=run.data.tags.get("mlflow.parentRunId", ""),
        )

    return Tracking(
        MlflowTracker(address, f"refit-{name}", f"s3://refit/mlflow/{name}"),
        MlflowRegistry(address, f"{name}-challengers", name),
        read_run,
        lambda version: client.delete_model_version(name, str(version)),
    )


def test_a_run_holds_what_was_written_about_it(shop: Tracking) -> None:
    run_id = shop.tracker.log_run(
        "train 2026-01-05",
        params={"rank": 32, "alpha": 1.0, "half_life_days": None},
        metrics={"pairs": 1234.0},
        tags={"step": "train_model"},
        files={"manifest.json": b"{}"},
    )
    assert shop.read_run(run_id) == FakeRun(
        name="train 2026-01-05",
        params={"rank": "32", "alpha": "1.0", "half_life_days": "None"},
        metrics={"pairs": 1234.0},
        tags={"step": "train_model"},
        files={"manifest.json": b"{}"},
    )


def test_names_that_a_shop_makes_up_are_told_apart_whatever_they_hold(shop: Tracking) -> None:
    """Event types and columns go into names of parameters and metrics; more of them than one request may carry."""
    odd = [
        "weights.view (PDP)",
        "weights.view [PDP]",
        "../up",
        "weights.größe/€ 5",
        "a//b",
        "w" * 400,
        ".",
        "weights. x",
    ]
    values = {name: place for place, name in enumerate([*odd, *(f"weights.type {n}" for n in range(120))])}
    run_id = shop.tracker.log_run("train", params=values, metrics=values, tags={}, files={})
    run = shop.read_run(run_id)
    assert sorted(run.params.values(), key=int) == [str(value) for value in values.values()]
    assert sorted(run.metrics.values()) == sorted(map(float, values.values()))
    assert run.params["weights.type 7"] == str(values["weights.type 7"])
    shop.tracker.log_model(run_id, FILES, params=values)


def test_metrics_and_files_are_added_to_what_a_run_has(shop: Tracking) -> None:
    """Adding the same metric again leaves the later value, so that a step may be run twice."""
    run_id = shop.tracker.log_run("train", params={}, metrics={"a": 1.0}, tags={}, files={"a.json": b"1"})
    shop.tracker.add_to_run(run_id, metrics={"challenger.ndcg_at_20": 0.25}, files={"b.json": b"2"})
    shop.tracker.add_to_run(run_id, metrics={"challenger.ndcg_at_20": 0.5}, files={"b.json": b"3"})

    run = shop.read_run(run_id)
    assert run.metrics == {"a": 1.0, "challenger.ndcg_at_20": 0.5}
    assert run.files == {"a.json": b"1", "b.json": b"3"}


def test_two_runs_of_one_name_are_two_runs(shop: Tracking) -> None:
    ids = {shop.tracker.log_run("same", params={}, metrics={}, tags={}, files={}) for _ in range(2)}
    assert len(ids) == 2


def test_the_page_of_a_run_names_it(shop: Tracking) -> None:
    run_id = shop.model()["run_id"]
    assert shop.tracker.run_address(run_id).endswith(f"/runs/{run_id}")


def test_a_file_of_a_run_has_an_address_of_its_own(mlflow_address: str) -> None:
    """The bytes of the page and nothing around them."""
    shop = _mlflow(mlflow_address)
    page = "<!doctype html>Größe".encode()
    run_id = shop.tracker.log_run("train", params={}, metrics={}, tags={}, files={"dossier.html": page})
    answer = httpx.get(shop.tracker.file_address(run_id, "dossier.html"), trust_env=False)
    assert (answer.status_code, answer.content) == (200, page)
    assert answer.headers["content-type"].startswith("text/html")


def test_mlflow_is_told_that_an_experiment_is_one_of_model_training(mlflow_address: str) -> None:
    """A new one, and one that was made before; what a person has chosen for one stays."""
    from mlflow import MlflowClient

    from refit.adapters.mlflow import MlflowTracker

    client = MlflowClient(tracking_uri=mlflow_address)
    kind = "mlflow.experimentKind"
    new, old, chosen = (f"refit-{uuid4().hex}" for _ in range(3))
    client.create_experiment(old, artifact_location=f"s3://refit/mlflow/{old}")
    client.create_experiment(chosen, artifact_location=f"s3://refit/mlflow/{chosen}", tags={kind: "finetuning"})
    for name in (new, old, chosen):
        tracker = MlflowTracker(mlflow_address, name, f"s3://refit/mlflow/{name}")
        tracker.log_run("train", params={}, metrics={}, tags={}, files={})
    kinds = [client.get_experiment_by_name(name).tags[kind] for name in (new, old, chosen)]
    assert kinds == ["custom_model_development", "custom_model_development", "finetuning"]


def test_the_files_of_a_model_come_back_byte_for_byte(shop: Tracking) -> None:
    run_id = shop.tracker.log_run("train", params={}, metrics={}, tags={}, files={})
    model_id = shop.tracker.log_model(run_id, FILES, params={"rank": 8})
    assert shop.tracker.model_files(model_id) == FILES


def test_a_model_that_does_not_exist_is_not_found(shop: Tracking) -> None:
    shop.model()
    with pytest.raises(NotFoundError, match=r"no model m-0123456789abcdef0123456789abcdef; train again$"):
        shop.tracker.model_files("m-0123456789abcdef0123456789abcdef")


def test_adding_to_a_run_that_does_not_exist_is_not_found(shop: Tracking) -> None:
    with pytest.raises(NotFoundError, match="0123456789abcdef0123456789abcdef"):
        shop.tracker.add_to_run("0123456789abcdef0123456789abcdef", metrics={"a": 1.0}, files={})


def test_there_is_no_champion_before_the_first_promotion(shop: Tracking) -> None:
    assert shop.registry.champion() is None
    shop.challenger()
    assert shop.registry.champion() is None


def test_a_challenger_carries_what_was_said_about_it(shop: Tracking) -> None:
    model = shop.model()
    registered = shop.registry.register(
        **model, tags={"digest": "ab" * 32, "cutoff": "2026-01-05T00:00:00+00:00", "approval": "pending"}
    )
    assert registered.version == 1
    assert (registered.model_id, registered.run_id) == (model["model_id"], model["run_id"])
    assert (registered.digest, registered.cutoff) == ("ab" * 32, "2026-01-05T00:00:00+00:00")
    assert registered.tags["approval"] == "pending"
    assert shop.registry.challenger(1) == registered


def test_registering_a_model_again_gives_the_version_that_exists(shop: Tracking) -> None:
    model = shop.model()
    first = shop.registry.register(**model, tags={"approval": "pending"})
    other = shop.challenger()
    again = shop.registry.register(**model, tags={"approval": "pending"})
    assert (first.version, other.version) == (1, 2)
    assert again == first


def test_a_version_that_does_not_exist_is_not_found(shop: Tracking) -> None:
    """Neither when there is no challenger at all nor behind the newest one."""
    with pytest.raises(NotFoundError, match="there is no version 1 of "):
        shop.registry.challenger(1)
    shop.challenger()
    with pytest.raises(NotFoundError, match="there is no version 2 of "):
        shop.registry.challenger(2)


def test_a_tag_is_seen_by_whoever_asks_next(shop: Tracking) -> None:
    """Tags that are not named stay, a tag that is named is replaced."""
    challenger = shop.challenger(approval="pending", verdict="propose")
    tagged = shop.registry.tag(challenger, {"approval": "approved", "approver": "Zoë"})

    assert tagged == shop.registry.challenger(challenger.version)
    assert {name: tagged.tags[name] for name in ("approval", "approver", "verdict")} == {
        "approval": "approved",
        "approver": "Zoë",
        "verdict": "propose",
    }


def test_a_copy_among_the_champions_carries_everything_and_moves_no_alias(shop: Tracking) -> None:
    shop.challenger()
    challenger = shop.challenger(digest="cd" * 32, cutoff="2026-01-05T00:00:00+00:00", approver="lee")
    copy = shop.registry.copy(challenger)

    assert shop.registry.champion() is None
    assert copy.version == 1
    assert copy.name != challenger.name
    assert (copy.model_id, copy.run_id) == (challenger.model_id, challenger.run_id)
    assert (copy.digest, copy.cutoff) == (challenger.digest, challenger.cutoff)
    assert (copy.tags["approver"], copy.tags["challenger"]) == ("lee", "2")
    assert shop.registry.champion_version(1) == copy


def test_copying_again_gives_the_copy_that_exists(shop: Tracking) -> None:
    """Even if the challenger has other tags by now: what was promoted does not change."""
    challenger = shop.challenger(approver="lee")
    first = shop.registry.copy(challenger)
    assert shop.registry.copy(shop.registry.tag(challenger, {"approver": "dana"})) == first
    assert shop.registry.copy(shop.challenger()).version == 2


def test_the_alias_goes_where_it_is_pointed(shop: Tracking) -> None:
    first, second = (shop.registry.copy(shop.challenger()) for _ in range(2))
    for wanted in (first, second, second, first):
        shop.registry.point(wanted.version)
        assert shop.registry.champion() == wanted


def test_the_alias_goes_nowhere_where_there_is_no_version(shop: Tracking) -> None:
    first = shop.registry.copy(shop.challenger())
    shop.registry.point(first.version)
    with pytest.raises(NotFoundError, match="there is no version 2 of "):
        shop.registry.point(2)
    with pytest.raises(NotFoundError, match="there is no version 2 of "):
        shop.registry.champion_version(2)
    assert shop.registry.champion() == first


def test_a_version_that_is_deleted_takes_its_alias_along(shop: Tracking) -> None:
    """The other versions stay, and its number is not given again."""
    first, second = (shop.registry.copy(shop.challenger()) for _ in range(2))
    shop.registry.point(second.version)
    shop.delete(second.version)
    assert shop.registry.champion() is None
    with pytest.raises(NotFoundError, match="there is no version 2 of "):
        shop.registry.champion_version(second.version)
    assert shop.registry.champion_version(first.version) == first
    assert shop.registry.copy(shop.challenger()).version == 3


def test_notes_are_kept_with_the_champions_model_as_a_whole(shop: Tracking) -> None:
    assert shop.registry.notes() == {}
    shop.registry.copy(shop.challenger())
    assert shop.registry.notes() == {}
    shop.registry.note("audit-record", "7 " + "ab" * 32)
    shop.registry.note("decision-3", "approve 0123456789abcdef Zoë: looks right")
    shop.registry.note("audit-record", "8 " + "cd" * 32)
    assert shop.registry.notes() == {
        "audit-record": "8 " + "cd" * 32,
        "decision-3": "approve 0123456789abcdef Zoë: looks right",
    }


def test_a_child_run_names_its_parent(shop: Tracking) -> None:
    """So that a study is one line in the list of runs, with its trials below it."""
    store = FakeObjectStore()
    book = StoredTrials.open(store, "tuning-1", shop.tracker, name="tune", params={}, metric="ndcg_at_10")
    trial = Trial(number=0, kind="als", values={"als.rank": 8}, scores=[0.25, 0.75], state="done")
    written = book.write(trial)
    child = shop.read_run(written.run_id)
    assert (child.tags, child.parent) == ({"step": "tune_model", "state": "done"}, book.run_id)
    assert shop.read_run(written.run_id).metrics["ndcg_at_10"] == 0.5
    assert shop.read_run(book.run_id).parent == ""


@pytest.mark.parametrize(
    "call", ["champion", "challenger", "register", "notes", "point", "log_run", "model_files", "run_address"]
)
def test_an_mlflow_that_is_down_is_one_sentence_within_seconds(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    from refit.adapters.mlflow import MlflowRegistry, MlflowTracker, MlflowUnavailableError

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    address = "http://127.0.0.1:9"
    registry = MlflowRegistry(address, "shop-challengers", "shop")
    tracker = MlflowTracker(address, "refit-shop", "s3://refit/mlflow/shop")
    calls: dict[str, Callable[[], object]] = {
        "champion": registry.champion,
        "challenger": lambda: registry.challenger(1),
        "notes": registry.notes,
        "point": lambda: registry.point(1),
        "register": lambda: registry.register(model_id="m-1", run_id="r", tags={}),
        "log_run": lambda: tracker.log_run("x", params={}, metrics={}, tags={}, files={}),
        "model_files": lambda: tracker.model_files("m-1"),
        "run_address": lambda: tracker.run_address("r"),
    }
    began = time.monotonic()
    with pytest.raises(MlflowUnavailableError) as failure:
        calls[call]()
    assert time.monotonic() - began < 15
    assert str(failure.value).startswith(f"MLflow at {address} does not answer: ")
    assert str(failure.value).endswith("; is it up?")
    assert "\n" not in str(failure.value)
