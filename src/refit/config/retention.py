"""How long what was published stays readable."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from refit.config.parts import Count, Part

_HOURS_PER_DAY = 24


class Retention(Part):
    """
    What `collect_garbage` keeps; the live batch always stays.

    Lists are as personal as anything here, so they go when nobody can need them any more.
    """

    days: Count = 14
    """The batch that is current for a date stays readable for so many days after it was made."""
    keep: Annotated[int, Field(ge=2)] = 7
    """
    So many of the newest batches that were live stay whatever their age, the live one among them.

    A rollback can go back to them; and whoever still reads the batch before the live one can finish.
    """
    grace_hours: Annotated[float, Field(gt=0)] = 48
    """
    A batch that no pointer names (refused, replaced, never finished) stays for so many hours after it was begun.

    It is also the longest time from the start of a batch to its publication; a later one is told to start again.
    """

    @model_validator(mode="after")
    def _grace_is_the_shorter_one(self) -> Retention:
        if self.grace_hours > self.days * _HOURS_PER_DAY:
            raise ValueError(
                f"retention.grace_hours = {self.grace_hours:g} is longer than retention.days = {self.days}; what no "
                "pointer names would outlive what one names"
            )
        return self
