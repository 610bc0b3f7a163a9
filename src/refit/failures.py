"""
Failures: turns an infrastructure failure that ended a step into a one-line message.

Spark wraps the same accident in many ways, depending on what it was doing: a full disk, a JVM that is gone, a Python
worker that was killed, or an error of Refit that was raised in a Python worker and came back as text.
"""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterator

from refit.errors import RefitError, TransientError

_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded")
_FULL_PLACE = re.compile(r"(?:file:)?(/[^\s:'\"(),]+)[^\n]{0,40}(?:No space left on device|Disk quota exceeded)")
_JVM_GONE = {"Py4JNetworkError", "Py4JConnectionError", "Py4JAuthenticationError"}
_NO_JVM = re.compile(r"Answer from Java side is empty|JAVA_GATEWAY_EXITED|Error while sending or receiving")
_WORKER_GONE = re.compile(r"Python worker exited unexpectedly|Failed to connect Python worker|PYTHON_WORKER_CRASHED")
_IN_WORKER = re.compile(r"^(refit(?:\.\w+)+)\.(\w+Error): (.+)$", re.MULTILINE)
_AGAIN = "nothing of this try is visible, run the step again"


def accident(error: BaseException) -> RefitError | None:
    """Return what happened if *error* came of an accident; a TransientError where another try may not meet it."""
    chain = list(_chain(error))
    said = "\n".join(str(one) for one in chain)
    if any(isinstance(one, OSError) and one.errno in {errno.ENOSPC, errno.EDQUOT} for one in chain) or (
        _DISK_FULL.search(said)
    ):
        place = next((str(one.filename) for one in chain if isinstance(one, OSError) and one.filename), "")
        found = _FULL_PLACE.search(said)
        place = place or (found[1] if found else "")
        where = f" at {place}" if place else ""
        return TransientError(f"a disk is full: No space left on device{where}; make room, {_AGAIN}")
    if (own := _of_worker(said)) is not None:
        return own
    if _WORKER_GONE.search(said):
        return TransientError(f"a Python worker of Spark died too often: killed, or out of memory; {_AGAIN}")
    if any(type(one).__name__ in _JVM_GONE for one in chain) or _NO_JVM.search(said) or _refused_by_jvm(chain):
        return TransientError(f"the JVM of Spark is gone: killed, or out of memory; {_AGAIN}")
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give *error* and what led to it, the last one first."""
    seen: set[int] = set()
    now: BaseException | None = error
    while now is not None and id(now) not in seen:
        seen.add(id(now))
        yield now
        now = now.__cause__ or now.__context__


def _of_worker(said: str) -> RefitError | None:
    """Return the error of Refit that a Python worker raised; all that comes back of it is its name and sentence."""
    found = _IN_WORKER.search(said)
    if found is None:
        return None
    kind = getattr(sys.modules.get(found[1]), found[2], None)
    if not (isinstance(kind, type) and issubclass(kind, RefitError)):
        return None
    return TransientError(found[3]) if issubclass(kind, TransientError) else RefitError(found[3])


def _refused_by_jvm(chain: list[BaseException]) -> bool:
    """Whether a connection was lost while Python spoke to the JVM, and to nobody else."""
    for one in chain:
        if not isinstance(one, ConnectionError):
            continue
        frame = one.__traceback__
        while frame is not None:
            if frame.tb_frame.f_globals.get("__name__", "").startswith("py4j"):
                return True
            frame = frame.tb_next
    return False
