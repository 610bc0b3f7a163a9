"""As whom a step speaks to MLflow: the trainer, unless it is one of the few that may move the champion."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipelines import wiring
from refit.adapters.mlflow_identity import acts_as
from refit.errors import ConfigurationError

_SETTINGS = {
    "REFIT_MLFLOW": "http://127.0.0.1:9",
    "REFIT_MLFLOW_USER": "trainer",
    "REFIT_MLFLOW_PASSWORD": "the-trainer's",
    "REFIT_PROMOTER_USER": "promoter",
    "REFIT_PROMOTER_PASSWORD": "the-promoter's",
}


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _SETTINGS.items():
        monkeypatch.setenv(name, value)
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        # Set first, so that what the code sets is taken back at the end.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("wired", "who"),
    [
        ([wiring.tracker], "trainer"),
        ([wiring.registry], "trainer"),
        ([wiring.registry, wiring.tracker], "trainer"),
        ([wiring.promoting_registry], "promoter"),
        ([wiring.promoting_registry, wiring.tracker], "promoter"),
        ([wiring.tracker, wiring.promoting_registry], "promoter"),
    ],
)
def test_a_process_acts_as_the_promoter_only_where_it_may_move_the_champion(
    wired: list[Callable[[], object]], who: str
) -> None:
    """The order in which a step gets its collaborators does not matter."""
    for collaborator in wired:
        collaborator()
    assert acts_as() == who


def test_without_users_nobody_signs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without users, as in a first trial."""
    for name in ("REFIT_MLFLOW_USER", "REFIT_PROMOTER_USER"):
        monkeypatch.delenv(name)
    wiring.promoting_registry()
    assert acts_as() == ""


@pytest.mark.parametrize(
    ("missing", "wired"),
    [("REFIT_MLFLOW_PASSWORD", wiring.registry), ("REFIT_PROMOTER_PASSWORD", wiring.promoting_registry)],
)
def test_a_user_without_a_password_is_one_sentence(
    missing: str, wired: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(missing)
    with pytest.raises(ConfigurationError, match=f"^{missing} is not set, but its user is"):
        wired()
