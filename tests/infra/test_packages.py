"""`make run` and `make test` as the first command on a bare machine, where stand-ins for apt-get and sudo record."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.host.packages import needs
from pipelines.settings import REPOSITORY

NOBODY = 65534
JAVA, SERVER, DRIVER = "openjdk-17-jre-headless", "postgresql", "libpostgresql-jdbc-java"
WHY = (
    "Java 17 or newer (Spark runs on it), a PostgreSQL server (serves a shop's database, and those of the tests) and "
    "the JDBC driver of PostgreSQL (Spark reads databases by it)"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be root")

_APT = """#!/bin/sh
echo "apt-get $*, $DEBIAN_FRONTEND, user $(id -u)" >> {calls}
[ "$1" = --version ] && exit 0
[ "$1" = install ] && {install}
exit {code}
"""
_INSTALL = """for package; do case $package in
  openjdk*) mkdir -p {root}/usr/lib/jvm/java-17/bin
    printf '#!/bin/sh\\necho '"'"'openjdk version "17.0.1"'"'"' >&2\\n' > {root}/usr/lib/jvm/java-17/bin/java
    chmod 755 {root}/usr/lib/jvm/java-17/bin/java;;
  postgresql) mkdir -p {root}/usr/lib/postgresql/15/bin
    for name in initdb postgres pg_isready; do
      printf '#!/bin/sh\\necho "x (PostgreSQL) 15.1"\\n' > {root}/usr/lib/postgresql/15/bin/$name
      chmod 755 {root}/usr/lib/postgresql/15/bin/$name
    done;;
  libpostgresql*) mkdir -p {root}/usr/share/java; : > {root}/usr/share/java/postgresql.jar;;
esac; done"""
_SUDO_WITHOUT_PASSWORD = """#!/bin/sh
echo "sudo $1" >> {calls}
shift
exec "$@"
"""
_SUDO_WITH_PASSWORD = """#!/bin/sh
echo "sudo: a password is required" >&2
exit 1
"""
_RUN = """
import ensurepip, os, sys  # the first is asked for later, when the folder of Python may be closed to the user
from pathlib import Path
from infra.host import packages
if int(sys.argv[1]) != os.geteuid():
    os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
sys.exit(packages.main(sys.argv[3:], root=Path(sys.argv[2])))
"""


@dataclass
class Machine:
    """A machine with nothing on it but the stand-ins."""

    folder: Path

    @property
    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def add(self, name: str, text: str) -> None:
        program = self.folder / "bin" / name
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)

    def add_apt(self, code: int = 0, *, works: bool = True) -> None:
        install = _INSTALL.format(root=self.folder / "root") if works else ":"
        self.add("apt-get", _APT.format(calls=self.folder / "calls", install="{ " + install + "; }", code=code))

    def add_sudo(self, *, password: bool) -> None:
        self.add(
            "sudo", (_SUDO_WITH_PASSWORD if password else _SUDO_WITHOUT_PASSWORD).format(calls=self.folder / "calls")
        )

    def run(self, *targets: str, user: int | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run what the Makefile runs first for *targets*, as *user*."""
        return subprocess.run(
            [
                sys.executable,
                "-c",
                _RUN,
                str(os.geteuid() if user is None else user),
                str(self.folder / "root"),
                *targets,
            ],
            env={"PATH": str(self.folder / "bin"), "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}", **settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Give a bare machine that any user may reach and change."""
    folder = Path(tempfile.mkdtemp(prefix="refit-machine-"))
    for part in (folder, folder / "bin", folder / "root"):
        part.mkdir(exist_ok=True)
        part.chmod(0o777)
    for name in ("sh", "env", "id", "mkdir", "chmod"):
        (folder / "bin" / name).symlink_to(shutil.which(name) or name)
    yield Machine(folder)
    shutil.rmtree(folder)


def ordinary() -> int:
    """Return an ordinary user whom this process may be."""
    return os.geteuid() or NOBODY


@needs_root
def test_root_gets_what_is_missing_and_is_told_what_and_why_first(machine: Machine):
    machine.add_apt()
    done = machine.run("test")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"make test needs {WHY}: installing from the distribution\n"
    install = f"apt-get install -y --no-install-recommends {JAVA} {SERVER} {DRIVER}, noninteractive, user 0"
    assert machine.calls == ["apt-get update -q, noninteractive, user 0", install]
    again = machine.run("test")
    assert (again.returncode, again.stdout, again.stderr, len(machine.calls)) == (0, "", "", 2)


def test_who_may_use_sudo_without_a_password_gets_it_too(machine: Machine):
    machine.add_apt()
    machine.add_sudo(password=False)
    done = machine.run("run", user=ordinary())
    assert (done.returncode, done.stderr) == (0, "")
    who = f"noninteractive, user {ordinary()}"
    asked = ["sudo -n", f"apt-get --version, {who}"]
    update = ["sudo -n", f"apt-get update -q, {who}"]
    assert machine.calls == [*asked, *update, "sudo -n", f"apt-get install -y --no-install-recommends {JAVA}, {who}"]


@pytest.mark.parametrize("password", [True, None], ids=["sudo asks for a password", "there is no sudo"])
def test_who_may_not_install_gets_one_sentence_with_the_command(machine: Machine, password: bool | None):
    machine.add_apt()
    if password is not None:
        machine.add_sudo(password=password)
    done = machine.run("lint", "test", user=ordinary())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"make lint test needs {WHY}, and only root may install that; run sudo apt-get update -q && "
        f"sudo apt-get install -y --no-install-recommends {JAVA} {SERVER} {DRIVER}, then make lint test again\n"
    )
    assert machine.calls == []


def test_where_there_is_no_apt_the_sentence_says_what_to_install(machine: Machine):
    done = machine.run("run")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "make run needs Java 17 or newer (Spark runs on it), and this machine has no apt-get; install with its own "
        f"package client what Debian calls {JAVA}, then run make run again\n"
    )


@needs_root
def test_a_release_that_has_another_java_gets_that_one(machine: Machine):
    machine.add_apt()
    machine.add("apt-cache", "#!/bin/sh\ncase $2 in openjdk-21*) echo Package;; *) exit 100;; esac\n")
    machine.run("run")
    assert machine.calls[-1].startswith("apt-get install -y --no-install-recommends openjdk-21-jre-headless,")


@needs_root
@pytest.mark.parametrize(
    ("code", "said"),
    [
        (100, "env DEBIAN_FRONTEND=noninteractive apt-get update -q failed with exit code 100, see above why; "),
        (0, f"apt-get has installed {JAVA}, and make run still does not find Java 17 or newer; "),
    ],
)
def test_a_failing_apt_get_is_one_sentence(machine: Machine, code: int, said: str):
    machine.add_apt(code, works=False)
    done = machine.run("run")
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.endswith(" run make run again\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("targets", "settings", "packages"),
    [
        (["lint"], {}, [JAVA]),
        (["run"], {}, [JAVA]),
        (["run"], {"REFIT_SHOP": "online_retail", "REFIT_DATA": "folder"}, [JAVA]),
        (["run"], {"REFIT_SHOP": "simulated_postgres"}, [JAVA, SERVER, DRIVER]),
        (["up"], {"REFIT_SHOP": "simulated_postgres", "REFIT_DATA": "jdbc:postgresql://db/shop"}, [JAVA, DRIVER]),
        (["up"], {"REFIT_SHOP": "simulated_postgres", "REFIT_SPARK_JARS": "my.jar"}, [JAVA, SERVER]),
        (["run"], {"REFIT_SHOP": "unheard_of"}, [JAVA]),
        (["shop"], {"FROM": "folder"}, [JAVA]),
        (["shop"], {"FROM": "jdbc:postgresql://db/shop#orders"}, [JAVA, DRIVER]),
        (["lint", "test"], {}, [JAVA, SERVER, DRIVER]),
        (["test-fast"], {}, [JAVA, SERVER, DRIVER]),
        (["test-long"], {}, [JAVA, SERVER, DRIVER]),
        (["packages"], {}, [JAVA, SERVER, DRIVER]),
    ],
)
def test_a_target_brings_what_it_needs_and_no_more(targets: list[str], settings: dict[str, str], packages: list[str]):
    assert [need.packages[0] for need in needs(targets, settings)][1:] == packages


@pytest.mark.parametrize(
    ("target", "work"),
    [
        *[
            ("run", "-m infra.demo.run"),
            ("up", "-m infra.stack.control up"),
            ("bench", "-m bench"),
            ("test-long", "-m pytest"),
        ],
        *[("test", "-m pytest"), ("test-fast", "-m pytest")],
    ],
)
def test_the_makefile_brings_packages_before_the_work(target: str, work: str):
    """Also on a fresh checkout: there they come before the environment, which needs Java."""
    asked = ["make", "--always-make", "--dry-run", target]
    shown = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    brings = [place.start() for place in re.finditer(rf"-m infra\.host\.packages {target}$", shown, re.M)]
    assert brings[0] < shown.index("-m venv") < brings[1] < shown.index(work)


def test_what_a_change_must_pass_is_no_more_than_two_targets():
    """Otherwise a third command would be needed that nobody knows of."""
    assert (REPOSITORY / ".ci" / "run").read_text().rstrip().endswith(" make lint test")
