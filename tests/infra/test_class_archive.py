"""The class archive of Spark: made by the installation, and never in the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from infra.host.class_archive import class_archive
from infra.stack.services import FAST_START
from pipelines.settings import REPOSITORY

CODE = """
import sys
from pathlib import Path
from refit.adapters.spark import open_session
config, options, archive = sys.argv[1:]
spark = open_session(
    "t", master="local[1]", memory="1g", log_config=Path(config), java_options=options, class_archive=archive
)
print(spark.range(3).count())
spark.stop()
"""


def test_the_installation_has_made_one_for_this_java_and_this_spark() -> None:
    """Without it every step would start as slowly as before, and nobody would notice."""
    archive = Path(class_archive())
    assert archive.is_relative_to(sys.prefix)
    assert archive.stat().st_size > 50_000_000


def test_an_archive_that_does_not_fit_is_ignored_in_silence(tmp_path: Path) -> None:
    """Another Java after an upgrade, half a copy: the step runs, and its output is its receipt alone."""
    damaged = tmp_path / "with a space" / "classes.jsa"
    damaged.parent.mkdir()
    damaged.write_bytes(b"no archive")
    words = [str(REPOSITORY / "infra" / "log4j2.properties"), FAST_START, str(damaged)]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
