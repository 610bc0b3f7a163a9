"""How long what was published stays readable, and how long the lake keeps what is not current."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from refit.config.parts import Count, Section

_HOURS_PER_DAY = 24


class LakeRetention(Section):
    """
    What `collect_lake` keeps; the current version of a day, and the newest snapshots, always stay.

    Whatever a period below has passed for stays for another `replaced_days` from the collection that noticed it first,
    so that nobody who is reading it loses it, and no single wrong instant deletes anything.
    """

    replaced_days: Annotated[int, Field(ge=2)] = 30
    """
    A replaced version of a day, and anything else that nothing names, is deleted so many days after it was noticed.

    Versions from which a training set was made stay as long as its manifest.
    """
    quarantine_days: Count = 90
    """What was set apart can be replayed for so many days after the day of the event."""
    training_sets_days: Count = 180
    """
    A training set stays for so many days after its `as_of`.

    Those of the champion and of the one before it stay whatever their age; of other champions the manifest stays with
    the landed versions that it names, from which rebuild_training_set makes the rows again.
    """
    snapshots_days: Count = 400
    """Every snapshot of items and users stays for so many days; after them the first one of each month."""


class Retention(Section):
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
    lake: LakeRetention = LakeRetention()

    @model_validator(mode="after")
    def _grace_is_the_shorter_one(self) -> Retention:
        if self.grace_hours > self.days * _HOURS_PER_DAY:
            raise ValueError(
                f"retention.grace_hours = {self.grace_hours:g} is longer than retention.days = {self.days}; what no "
                "pointer names would outlive what one names"
            )
        return self
