"""How a table of roles and actions is shown."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence


def show(title: str, roles: Sequence[str], found: Mapping[str, Mapping[str, bool]]) -> None:
    """Print who may do what; *found* holds, for each action, whether each role was let."""
    width = max(len(action) for action in found)
    lines = [f"{title:{width}}  {'  '.join(roles)}"]
    for action, may in found.items():
        lines.append(f"{action:{width}}  {'  '.join(('yes' if may[role] else '-').ljust(len(role)) for role in roles)}")
    sys.stdout.write("\n" + "\n".join(line.rstrip() for line in lines) + "\n")
