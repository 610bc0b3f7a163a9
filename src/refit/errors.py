"""Errors that a user can act on: each message says what, where, how much, how much was allowed and what to do."""

from __future__ import annotations


class RefitError(Exception):
    """Base of every error whose message is meant for a person; the command line prints it without a traceback."""


class ConfigurationError(RefitError):
    """A shop, a setting or a suite is missing, misspelt or contradicts itself."""


class SourceError(RefitError):
    """A source of the shop's warehouse cannot be read as it was declared."""


class DataRefusedError(RefitError):
    """Data broke a critical rule; nothing of it became visible."""


class NotThereYetError(RefitError):
    """Missing data may still arrive; the same call may succeed later."""


class DayNotThereError(DataRefusedError, NotThereYetError):
    """A day has no events, or not all of them yet; nothing of it became visible."""


class FileNotThereError(SourceError, NotThereYetError):
    """A source has no file for the requested days."""


class NotEnoughDataError(RefitError):
    """A sample is too small for the requested analysis."""


class NotFoundError(RefitError):
    """Something that a step needs does not exist, or does not exist yet."""


class NotApprovedError(RefitError):
    """A model may not become champion: an approval or a piece of evidence is missing, negative or for other bytes."""


class ModelDamagedError(RefitError):
    """The bytes of a model differ from the digest under which it was judged."""


class ListsRefusedError(RefitError):
    """A batch of recommendations broke the shop's list policy; the last good batch stays live."""


class NothingPublishedError(RefitError):
    """No batch has ever been published at an address."""


class DamagedBatchError(RefitError):
    """A published file differs from what its manifest promises."""


class ConflictError(RefitError):
    """Another writer was first."""


class TransientError(RefitError):
    """An external system did not answer; the same call may succeed later."""
