"""
What Refit is made of and what is known against it: `make audit`.

Three questions, each answered or refused: are the installed files those of the locked packages, what are these
packages (build/sbom.json), and is a weakness of one of them known.
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from infra.supply_chain.advisories import known_weaknesses
from infra.supply_chain.bill import installed_licences, make_bill
from infra.supply_chain.installed import check_installed, unlocked
from infra.supply_chain.locks import read_lock
from pipelines.settings import REPOSITORY
from refit.errors import RefitError

_LOCKS = REPOSITORY / "infra" / "requirements"


def main(arguments: list[str] | None = None) -> int:
    """Ask all three; exit code 0 only when all were answered and all answers are good."""
    parser = argparse.ArgumentParser(prog="python -m infra.supply_chain", description="Audit the installation.")
    parser.add_argument("--service", choices=["pypi", "osv"], default="pypi", help="whose advisories are asked for")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "build" / "sbom.json", help="the bill of materials")
    chosen = parser.parse_args(arguments)
    folder = Path(sysconfig.get_path("purelib"))
    good = True
    try:
        locked = [*read_lock(_LOCKS / "bootstrap.txt"), *read_lock(_LOCKS / "lock.txt")]
        checked = check_installed(folder)
        strangers = unlocked(folder, locked)
        print(f"{checked.files:,} files of {checked.packages} installed packages: {len(checked.wrong)} are wrong")
        good = not checked.wrong and not strangers
        for sentence in [*checked.wrong, *strangers]:
            print(f"  {sentence}")

        version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
        bill = make_bill(locked, installed_licences(folder), version=version, at=datetime.now(UTC))
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(bill.text, encoding="utf-8")
        print(f"{chosen.out}: {bill.components} packages, all with hashes, {bill.licensed} with a licence")

        weaknesses, asked = known_weaknesses(_LOCKS / "lock.txt", service=chosen.service)
        print(f"{asked} packages asked about at {chosen.service}: {len(weaknesses)} weaknesses are known")
        for weakness in weaknesses:
            print(f"  {weakness}")
        good = good and not weaknesses
    except RefitError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
