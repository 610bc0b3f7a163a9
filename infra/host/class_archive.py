"""
The class archive of Spark: `python -m infra.host.class_archive` makes it once, after the packages are installed.

Every step is a process with a JVM of its own, and half of what a small one costs is loading and checking the same
classes each time. A JVM that is given the archive maps them as they were; one that the archive was not made for ignores
it and starts as slowly as ever.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyspark

from infra.errors import StackError
from infra.host.java import find_java
from pipelines.settings import REPOSITORY

_SECONDS = 600


def class_archive() -> str:
    """Return the archive for this Java and this Spark, or an empty text where none was made."""
    place = _place()
    return str(place) if place.is_file() else ""


def make() -> Path:
    """
    Make the archive unless it is there, and return its place.

    Raises:
        StackError: a small Spark job could not be run; its last words say why.
    """
    place = _place()
    if place.is_file():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="refit-classes-", dir=place.parent) as folder:
        part = Path(folder) / "spark.jsa"
        done = subprocess.run(
            [sys.executable, "-m", "infra.host.class_archive", str(part)],
            cwd=REPOSITORY,
            env={**os.environ, "JAVA_HOME": str(find_java(os.environ).home)},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode or not part.is_file():
            raise StackError(
                f"the class archive of Spark was not made: {(done.stderr or done.stdout).strip()[-300:]}; "
                "steps start without it, only slower"
            )
        os.replace(part, place)
    return place


def _place() -> Path:
    machine = find_java(os.environ).home / "lib" / "server" / "libjvm.so"
    known = machine.stat() if machine.is_file() else None
    made_for = (pyspark.__version__, known and known.st_size, known and known.st_mtime_ns)
    key = hashlib.sha256(repr(made_for).encode()).hexdigest()[:16]
    return Path(sys.prefix) / "share" / "refit" / f"spark-{key}.jsa"


def _load_classes(part: str) -> None:
    """Run what steps run, on a few rows, in a JVM that remembers its classes when it ends."""
    import pyarrow as pa  # noqa: PLC0415  only the child pays for it
    from pyspark.sql import Window  # noqa: PLC0415
    from pyspark.sql import functions as F  # noqa: PLC0415

    from refit.adapters.spark import open_session  # noqa: PLC0415

    config = REPOSITORY / "infra" / "log4j2.properties"
    # Nothing in this option may be split at a space.
    options = f'"-XX:ArchiveClassesAtExit={part}"'
    spark = open_session("class archive", master="local[2,4]", memory="1g", log_config=config, java_options=options)
    with tempfile.TemporaryDirectory(prefix="refit-classes-") as folder:
        people = pa.table({"user_id": ["a", "b", "a"], "item_id": ["x", "y", "y"], "value": [1.0, 2.0, 3.0]})
        rows = spark.createDataFrame(people).withColumn("at", F.lit("2026-01-01 08:00").cast("timestamp"))
        rows.write.partitionBy("user_id").parquet(f"{folder}/rows")
        rows.drop("at").write.option("header", True).csv(f"{folder}/lines")
        spark.read.option("header", True).csv(f"{folder}/lines").count()
        read = spark.read.schema(rows.schema).parquet(f"{folder}/rows")
        newest = F.row_number().over(Window.partitionBy("user_id").orderBy(F.desc("at"), "item_id"))
        kept = read.withColumn("place", newest).where("place = 1").join(F.broadcast(rows), "item_id", "left")
        kept.groupBy("item_id").agg(F.count(F.lit(1)), F.sum(F.xxhash64("item_id")), F.collect_list("place")).toArrow()
        read.repartitionByRange(2, "user_id").sortWithinPartitions("user_id").mapInArrow(
            lambda rows: rows, read.schema
        ).count()
    spark.stop()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _load_classes(sys.argv[1])
    else:
        try:
            make()
        except (StackError, subprocess.TimeoutExpired) as trouble:
            print(trouble, file=sys.stderr)
