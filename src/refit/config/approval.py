"""Who may make a challenger the champion."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from refit.config.parts import Section

Name = Annotated[str, Field(min_length=1, max_length=100)]


class Approvals(Section):
    """Whose answers count; the time limit is a setting of the deployment, REFIT_APPROVAL_HOURS."""

    approvers: tuple[Name, ...] = ()
    """
    Names or ids of the approvers in Airflow, which they also write in MLflow; empty: anyone whom Airflow or MLflow
    permits to answer.
    """
    four_eyes: bool = False
    """Whether the person who started the training of a challenger is barred from approving it."""
