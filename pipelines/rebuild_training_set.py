"""
Step: rebuild an old training set from exactly the landed versions that its manifest names.

Reads:  the manifest of the set, the landed versions in it.
Writes: the rows of the set, if they are gone; otherwise nothing.
Re-run: safe; the result is compared with the manifest before anything is replaced.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.addresses import Addresses
from pipelines.parameters import TrainingSet
from refit.errors import DataRefusedError, NotFoundError
from refit.lake.lake import Lake
from refit.storage import filesystem
from refit.training.training_set import Recipe, changed_days, load_manifest


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    training_set: str
    days: int
    changed: list[str]
    """Days whose current content in the lake differs; the set was built from their earlier versions."""
    restored: bool
    """True if the rows were missing and have been restored; they are bit-identical either way."""


def run(training_set: str, *, spark: SparkSession, lake: Lake, addresses: Addresses) -> Receipt:
    """Rebuild the set with digest *training_set*."""
    set_folder = addresses.training_set(training_set)
    manifest = load_manifest(lake, set_folder)
    recipe = Recipe.from_manifest(manifest)
    changed = changed_days(lake, recipe.days)
    used = [*recipe.days, *([recipe.users] if recipe.users else [])]
    gone = [day.day for day in used if day.path and not filesystem.exists(spark, lake.path(day.path))]
    if gone:
        raise NotFoundError(
            f"training set {training_set[:16]} was made from versions of {', '.join(gone[:5])} "
            f"({len(gone)} in all) that the lake does not hold any more; it cannot be built again"
        )
    again = f"{set_folder}/again-{uuid4().hex[:12]}"
    try:
        written = recipe.write(spark, lake, again).content
        # A set in the old format does not record what its holdout leaves out.
        content = {part: written[part] for part in manifest["content"]}
        if content != manifest["content"]:
            raise DataRefusedError(
                f"training set {training_set[:16]} came out different: {content}, the manifest says "
                f"{manifest['content']}; the landed files were changed, or Refit makes sets in another way now"
            )
        missing = [part for part in content if not filesystem.exists(spark, lake.path(f"{set_folder}/{part}"))]
        for part in missing:
            filesystem.move(spark, lake.path(f"{again}/{part}"), lake.path(f"{set_folder}/{part}"))
    finally:
        filesystem.delete(spark, lake.path(again))
    return Receipt(
        training_set=manifest["digest"],
        days=len(recipe.days),
        changed=changed,
        restored=bool(missing),
    )


def main(training_set: TrainingSet) -> dict[str, Any]:
    """Rebuild with the real collaborators."""
    spark = wiring.spark("rebuild_training_set")
    return asdict(run(training_set, spark=spark, lake=wiring.lake(), addresses=wiring.addresses()))
