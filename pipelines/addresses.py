"""Every name and path that steps use; if the warehouse or the bucket is rearranged, only this file changes."""

from __future__ import annotations

from dataclasses import dataclass

LAKE_CATALOG = "catalog.json"
"""Head of the catalogue of current landed versions, which names shards below `catalog/`."""
PROFILE_FILE = "profile.json"
"""The drift profile, one of the files of a model."""
VERDICT_FILE = "promotion_verdict.json"
"""The promotion verdict, a file of the challenger's run."""
REFIT_VERDICT_FILE = "refit_verdict.json"
"""The verdict of the refit guards, a file of the run of the refitted model."""


@dataclass(frozen=True)
class Addresses:
    """The addresses of one shop."""

    shop: str
    lake: str
    bucket: str

    @property
    def lake_root(self) -> str:
        """Folder of the shop's clean data."""
        return f"{self.lake}/{self.shop}"

    def training_set(self, digest: str) -> str:
        """Folder, relative to the lake root, of one training set."""
        return f"training_sets/{digest[:16]}"

    def tuning(self, training_set: str, study: str) -> str:
        """Folder, relative to the lake root, of the trials of one study on a training set."""
        return f"{self.training_set(training_set)}/tuning-{study[:16]}"

    @property
    def lists(self) -> str:
        """Address of the published lists."""
        return f"s3://{self.bucket}/{self.shop}"

    @property
    def mlflow_artifacts(self) -> str:
        """Address of the files of this shop's MLflow runs and models."""
        return f"s3://{self.bucket}/mlflow/{self.shop}"

    @property
    def experiment(self) -> str:
        """MLflow experiment of the shop."""
        return f"refit-{self.shop}"

    @property
    def challengers(self) -> str:
        """Registered model to which training writes."""
        return f"{self.shop}-challengers"

    @property
    def champions(self) -> str:
        """Registered model to which only promotion writes."""
        return self.shop

    def batch(self, run_date: str, batch: str) -> str:
        """Prefix, relative to `lists`, of one batch."""
        return f"batches/run_date={run_date}/batch={batch}"
