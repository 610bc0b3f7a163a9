"""
Failures: turns an infrastructure failure that ended a step into a one-line message.

Spark wraps the same failure in many ways, depending on what it was doing: a full disk, a dead JVM, a killed Python
worker, or an error of Refit that was raised in a Python worker and came back as text.
"""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterator

from refit.errors import RefitError, TransientError

_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded")
_FULL_PATH = re.compile(r"(?:file:)?(/[^\s:'\"(),]+)[^\n]{0,40}(?:No space left on device|Disk quota exceeded)")
_JVM_GONE = {"Py4JNetworkError", "Py4JConnectionError", "Py4JAuthenticationError"}
_NO_JVM = re.compile(r"Answer from Java side is empty|JAVA_GATEWAY_EXITED|Error while sending or receiving")
_WORKER_GONE = re.compile(r"Python worker exited unexpectedly|Failed to connect Python worker|PYTHON_WORKER_CRASHED")
_IN_WORKER = re.compile(r"^(refit(?:\.\w+)+)\.(\w+Error): (.+)$", re.MULTILINE)
_AGAIN = "nothing of this try is visible, run the step again"


def accident(error: BaseException) -> RefitError | None:
    """Return the infrastructure failure behind *error*, or None; a TransientError if a retry may succeed."""
    chain = list(_chain(error))
    messages = "\n".join(str(one) for one in chain)
    if any(isinstance(one, OSError) and one.errno in {errno.ENOSPC, errno.EDQUOT} for one in chain) or (
        _DISK_FULL.search(messages)
    ):
        path = next((str(one.filename) for one in chain if isinstance(one, OSError) and one.filename), "")
        found = _FULL_PATH.search(messages)
        path = path or (found[1] if found else "")
        where = f" at {path}" if path else ""
        return TransientError(f"a disk is full: No space left on device{where}; make room, {_AGAIN}")
    if (own := _of_worker(messages)) is not None:
        return own
    if _WORKER_GONE.search(messages):
        return TransientError(f"a Python worker of Spark died too often: killed, or out of memory; {_AGAIN}")
    if any(type(one).__name__ in _JVM_GONE for one in chain) or _NO_JVM.search(messages) or _refused_by_jvm(chain):
        return TransientError(f"the JVM of Spark is gone: killed, or out of memory; {_AGAIN}")
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and its causes, latest first."""
    seen: set[int] = set()
    now: BaseException | None = error
    while now is not None and id(now) not in seen:
        seen.add(id(now))
        yield now
        now = now.__cause__ or now.__context__


def _of_worker(messages: str) -> RefitError | None:
    """Return the Refit error that a Python worker raised, of which only name and message come back."""
    found = _IN_WORKER.search(messages)
    if found is None:
        return None
    kind = getattr(sys.modules.get(found[1]), found[2], None)
    if not (isinstance(kind, type) and issubclass(kind, RefitError)):
        return None
    return TransientError(found[3]) if issubclass(kind, TransientError) else RefitError(found[3])


def _refused_by_jvm(chain: list[BaseException]) -> bool:
    """Whether the lost connection was the one between Python and the JVM."""
    for one in chain:
        if not isinstance(one, ConnectionError):
            continue
        frame = one.__traceback__
        while frame is not None:
            if frame.tb_frame.f_globals.get("__name__", "").startswith("py4j"):
                return True
            frame = frame.tb_next
    return False
