"""Who may make a challenger the champion."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from refit.config.parts import Section

Name = Annotated[str, Field(min_length=1, max_length=100)]


class Approvals(Section):
    """Whose answer counts; how long it may take is a setting of the deployment, REFIT_APPROVAL_HOURS."""

    approvers: tuple[Name, ...] = ()
    """
    Names, or ids, by which Airflow knows them and which they write in MLflow; empty: whoever Airflow or MLflow lets
    answer.
    """
    four_eyes: bool = False
    """Whether the person who started the training of a challenger may not be the one who approves it."""
