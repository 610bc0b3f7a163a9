"""What can go wrong with the embedded stack, each in one sentence for a person."""

from __future__ import annotations

from refit.errors import RefitError


class StackError(RefitError):
    """The embedded stack cannot be started, found or ended as asked."""


class AlreadyRunningError(StackError):
    """The stack of this shop runs already; starting a second one would share its files."""


class AirflowError(RefitError):
    """Airflow refused a request, did not answer, or a run did not come to the expected state in time."""
