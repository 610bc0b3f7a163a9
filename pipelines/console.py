"""The command `refit`, an alias of `python -m pipelines`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; if the steps' libraries are missing, exit with a message on how to install them."""
    try:
        from pipelines.__main__ import main as command_line  # noqa: PLC0415  readers of lists may lack its libraries
    except ModuleNotFoundError as error:
        sys.exit(f"refit: {error.name} is not installed; the steps need it: pip install 'refit[steps]'")
    sys.exit(command_line(sys.argv[1:]))
