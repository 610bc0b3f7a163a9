"""How long published lists stay readable, and how long the lake keeps data that are not current."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from refit.config.parts import Count, Section

_HOURS_PER_DAY = 24


class LakeRetention(Section):
    """
    What `collect_lake` keeps; the current version of a day, and the newest snapshots, always stay.

    After a period below has ended, data stay for another `replaced_days` from the collection that first noticed it, so
    that running readers can finish, and no single wrong clock reading deletes anything.
    """

    replaced_days: Annotated[int, Field(ge=2)] = 30
    """
    Days after which a replaced version of a day, or any other unnamed object, is deleted once noticed.

    Versions from which a training set was made stay as long as its manifest.
    """
    quarantine_days: Count = 90
    """Days after the day of an event during which it can be replayed from quarantine."""
    training_sets_days: Count = 180
    """
    Days after its `as_of` for which a training set stays.

    Those of the champion and its predecessor stay whatever their age; for earlier champions the manifest and the landed
    versions that it names stay, from which rebuild_training_set restores the rows.
    """
    snapshots_days: Count = 400
    """Days for which every snapshot of items and users stays; afterwards the first one of each month stays."""


class Retention(Section):
    """
    What `collect_garbage` keeps; the live batch always stays.

    Lists are personal data, so they are deleted when they are no longer needed.
    """

    days: Count = 14
    """Days after its creation for which the current batch of a date stays readable."""
    keep: Annotated[int, Field(ge=2)] = 7
    """
    Number of newest batches that were live, including the current one, which stay whatever their age.

    A rollback can return to them, and readers of the previous live batch can finish.
    """
    grace_hours: Annotated[float, Field(gt=0)] = 48
    """
    Hours after its start for which a batch that no pointer names (refused, replaced, never finished) stays.

    It is also the longest time from the start of a batch to its publication; a later publication is refused.
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
