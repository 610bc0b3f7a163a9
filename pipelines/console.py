"""The command `refit`, which is `python -m pipelines` by another name."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; without the libraries of the steps, end with the sentence that says how to get them."""
    try:
        from pipelines.__main__ import main as command_line  # noqa: PLC0415  a reader of lists has none of its libraries
    except ModuleNotFoundError as error:
        sys.exit(f"refit: {error.name} is not installed; the steps need it: pip install 'refit[steps]'")
    sys.exit(command_line(sys.argv[1:]))
