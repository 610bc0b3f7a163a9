"""Ports on the loopback interface: those that a person chose, and free ones for the rest."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping

from infra.errors import StackError

LOOPBACK = "127.0.0.1"


def choose_ports(wanted: Mapping[str, int]) -> dict[str, int]:
    """
    Return one port for each setting of *wanted*; 0 means any free one.

    All are held until the last one is known, so that no two are the same.

    Raises:
        StackError: a chosen port is taken; nothing has been started yet.
    """
    with contextlib.ExitStack() as held:
        return {
            setting: held.enter_context(_hold(setting, wanted[setting])).getsockname()[1]
            for setting in sorted(wanted, key=lambda setting: wanted[setting] == 0)
        }


def _hold(setting: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Without it a port would count as taken for a minute after its last connection ended.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(1)
    except (OSError, OverflowError) as error:
        listener.close()
        raise StackError(
            f"{setting}={port} cannot be used ({error}); nothing was started; "
            f"end what listens there, or choose another port, or leave {setting} empty for a free one"
        ) from error
    return listener
