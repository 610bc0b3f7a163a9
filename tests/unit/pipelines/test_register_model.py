"""The step that registers: the evidence that a challenger carries, and what a person is told to do with it."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.audited_shop import ANSWERED, REGISTERED, AuditedShop

from pipelines import register_model
from refit.errors import ModelDamagedError
from refit.governance.code_version import code_version, git_commit
from refit.interfaces import ModelVersion

METRICS = {"recall": 0.3, "capped_recall": 0.5, "ndcg": 0.4, "hit_rate": 0.9}


@pytest.fixture
def shop() -> AuditedShop:
    return AuditedShop()


@pytest.fixture
def trained(shop: AuditedShop) -> ModelVersion:
    """Give a model that was trained; what the shop says of it as a challenger is not looked at."""
    return shop.challenger()


def evaluation(champion: int | None = None, *, proposed: bool = True, run_id: str = "run-1") -> dict[str, Any]:
    return {
        "run_id": run_id,
        "as_of": "2026-03-02T00:00:00+00:00",
        "proposed": proposed,
        "reasons": ["better than the champion", "beats popularity"],
        "metrics": {"popularity": METRICS, "challenger": METRICS},
        "judged": 1234,
        "k": 20,
        "champion": champion,
        "dossier": "dossier.html",
    }


def register(
    shop: AuditedShop,
    trained: ModelVersion,
    judged: dict[str, Any],
    now: datetime = REGISTERED,
    code: str = "commit 1",
    refitted: dict[str, Any] | None = None,
) -> tuple[register_model.Receipt, ModelVersion]:
    shop.registry.challengers = "corner-challengers"
    receipt = register_model.run(
        "d" * 64,
        trained.run_id,
        trained.model_id,
        trained.digest,
        judged,
        "dana",
        refitted,
        code=code,
        now=now,
        registry=shop.registry,
        tracker=shop.tracker,
    )
    return receipt, shop.registry.challenger(receipt.version)


def test_a_challenger_carries_everything_that_its_approval_is_judged_with(
    shop: AuditedShop, trained: ModelVersion
) -> None:
    receipt, challenger = register(shop, trained, evaluation())
    address = shop.tracker.run_address(trained.run_id)
    assert challenger.tags == {
        "model_id": trained.model_id,
        "run_id": trained.run_id,
        "digest": trained.digest,
        "cutoff": trained.cutoff,
        "as_of": "2026-03-02T00:00:00+00:00",
        "training_set": "d" * 64,
        "evaluation_run": trained.run_id,
        "dossier": f"{address}/artifacts/dossier.html",
        "verdict": "propose",
        "reasons": "better than the champion; beats popularity",
        "judged_against": "none",
        "approval": "pending",
        "registered_at": REGISTERED.isoformat(),
        "code": "commit 1",
        "requested_by": "dana",
        "how_to_answer": "in Airflow, or by the tag decision-1 of the model that serves: "
        f"approve {trained.digest[:16]} YOUR NAME: YOUR REASON",
    }
    assert (receipt.version, receipt.proposed) == (1, True)
    assert shop.approve(challenger).promoted


def test_the_person_reads_reasons_dossier_numbers_and_the_line_for_mlflow(
    shop: AuditedShop, trained: ModelVersion
) -> None:
    lines = register(shop, trained, evaluation())[0].summary.splitlines()
    assert lines[:2] == ["- better than the champion", "- beats popularity"]
    assert "/artifacts/dossier.html)**, to be read in two minutes (" in lines[3]
    assert "Trained on data before 2026-02-20; judged by 1,234 people" in lines[3]
    assert "([the page alone](memory://fake/runs/run-1/files/dossier.html), as a file)" in lines[3]
    assert lines[5] == "| model | recall@20 | capped recall@20 | ndcg@20 | hit rate@20 |"
    assert lines[7].startswith("| challenger | 0.3000 | 0.5000 | 0.4000 | 0.9000 |")
    assert (
        f"set the tag `decision-1` of the registered model that serves to `approve {trained.digest[:16]} YOUR"
        in lines[-1]
    )


def test_the_person_reads_who_could_not_judge_and_what_everybody_would_say(
    shop: AuditedShop, trained: ModelVersion
) -> None:
    told = {
        **evaluation(),
        "left_out": "1,234 of 2,000 people who came to want something can judge: 766 were new",
        "everybody": {"popularity": {"ndcg": 0.2468}, "challenger": {"ndcg": 0.2469}},
    }
    lines = register(shop, trained, told)[0].summary.splitlines()
    assert "(1,234 of 2,000 people who came to want something can judge\\: 766 were new)" in lines[3]
    assert lines[5].endswith("| ndcg@20 over everybody |")
    assert [line.split(" | ")[-1] for line in lines[7:9]] == ["0.2469 |", "0.2468 |"]


def test_a_refitted_model_is_registered_with_the_evidence_of_its_twin(shop: AuditedShop, trained: ModelVersion) -> None:
    """The person approves the digest that will serve, and reads in one line what was judged and what is offered."""
    judged_run = shop.tracker.log_run("train", params={}, metrics={}, tags={}, files={})
    offer = {"refitted": True, "twin": "e" * 64, "offered": "the judged model [trained] again; lists share 80%"}
    told = evaluation(run_id=judged_run)
    receipt, challenger = register(shop, trained, told, refitted=offer)
    assert challenger.digest == trained.digest
    assert (challenger.tags["twin"], challenger.tags["evaluation_run"]) == ("e" * 64, judged_run)
    assert challenger.tags["dossier"] == f"{shop.tracker.run_address(judged_run)}/artifacts/dossier.html"
    lines = receipt.summary.splitlines()
    assert lines[3] == r"Offered is the judged model \[trained\] again; lists share 80%."
    assert "judged was its twin, digest `eeeeeeeeeeeeeeee`, by 1,234 people" in lines[5]
    assert f"Digest `{trained.digest[:16]}`. [Run]({shop.tracker.run_address(trained.run_id)})" in lines[5]
    promoted = shop.approve(challenger)
    assert promoted.promoted
    assert shop.log.verified()[-1].facts["twin"] == "e" * 64


def test_a_twin_that_is_kept_says_so_and_is_nobodys_twin(shop: AuditedShop, trained: ModelVersion) -> None:
    kept = {"refitted": False, "twin": trained.digest, "offered": "the judged model itself: too far apart"}
    receipt, challenger = register(shop, trained, evaluation(), refitted=kept)
    assert "twin" not in challenger.tags
    assert "Offered is the judged model itself" in receipt.summary
    silent = register(shop, trained, evaluation(), refitted={**kept, "offered": ""})[0]
    assert "Offered is" not in silent.summary


def test_registering_again_changes_nothing(shop: AuditedShop, trained: ModelVersion) -> None:
    """A retry some minutes later, by another code, does not let a person think longer."""
    first = register(shop, trained, evaluation())
    assert register(shop, trained, evaluation(), REGISTERED + timedelta(minutes=9), "commit 2") == first


def test_a_challenger_that_was_judged_again_is_asked_about_again(shop: AuditedShop, trained: ModelVersion) -> None:
    """It keeps its number and the code that trained it; what was answered to the old evidence counts no more."""
    register(shop, trained, evaluation())
    later = ANSWERED + timedelta(hours=1)
    _, challenger = register(shop, trained, evaluation(4), later, "commit 2")
    assert challenger.version == 1
    told = {name: challenger.tags[name] for name in ("judged_against", "registered_at", "approval", "code")}
    assert told == {
        "judged_against": "4",
        "registered_at": later.isoformat(),
        "approval": "pending",
        "code": "commit 1",
    }


def test_a_model_of_other_bytes_is_not_registered(shop: AuditedShop, trained: ModelVersion) -> None:
    shop.tracker.models[trained.model_id]["model.json"] += b" "
    with pytest.raises(ModelDamagedError):
        register(shop, trained, evaluation())
    assert "corner-challengers" not in shop.registry.versions


def test_the_code_is_named_by_package_commit_and_sources(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "notes.txt").write_text("not code")
    first = code_version("0.1.0", "abc-dirty", {"refit": tmp_path})
    assert first.startswith("refit 0.1.0, commit abc-dirty, sources ")
    (tmp_path / "notes.txt").write_text("still not code")
    assert code_version("0.1.0", "abc-dirty", {"refit": tmp_path}) == first
    (tmp_path / "a.py").write_text("x = 2\n")
    assert code_version("0.1.0", "abc-dirty", {"refit": tmp_path}) != first
    assert code_version("", "", {"refit": tmp_path}).startswith("sources ")


def test_the_commit_of_a_checkout_says_whether_files_differ(tmp_path: Path) -> None:
    assert git_commit(tmp_path) == ""

    def git(*words: str) -> str:
        told = ["git", "-c", "user.name=lee", "-c", "user.email=lee@example.org", *words]
        return subprocess.run(told, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    assert git_commit(tmp_path) == "", "no commit yet"
    (tmp_path / "a.py").write_text("x = 1\n")
    git("add", "a.py")
    git("commit", "--quiet", "-m", "first")
    assert git_commit(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "a.py").write_text("x = 2\n")
    assert git_commit(tmp_path) == git("rev-parse", "HEAD") + "-dirty"
