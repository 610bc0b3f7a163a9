"""Evidently: its drift report from samples, beside ours, for information only. The only file that knows it."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

# Evidently reads this on import, so usage statistics are switched off before.
os.environ["DO_NOT_TRACK"] = "1"  # noqa: TID251  written and not read

from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

_NOTHING = "(missing)"


class EvidentlyReporter:
    """Makes Evidently's data drift report with fixed methods, independent of the sample size."""

    def report(
        self, reference: pa.Table, current: pa.Table, *, numbers: Sequence[str], categories: Sequence[str]
    ) -> bytes:
        """
        Return the report as one self-contained HTML page.

        Numbers are compared by the Kolmogorov-Smirnov p-value, categories by Evidently's stability index. Evidently
        accepts no infinities, no empty columns and no null categories: the first two are left out, nulls get a name.
        """
        frames = [_frame(side, numbers, categories) for side in (current, reference)]
        drawable = [name for name in numbers if all(frame[name].notna().any() for frame in frames)]
        definition = DataDefinition(numerical_columns=drawable, categorical_columns=list(categories))
        datasets = [
            Dataset.from_pandas(frame[[*drawable, *categories]], data_definition=definition) for frame in frames
        ]
        report = Report([DataDriftPreset(num_method="ks", cat_method="psi", num_threshold=0.01, cat_threshold=0.2)])
        with tempfile.TemporaryDirectory(prefix="refit-evidently-") as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from numpy, about samples with few distinct values
            path = Path(folder) / "report.html"
            report.run(*datasets).save_html(str(path))
            return path.read_bytes()


def _frame(side: pa.Table, numbers: Sequence[str], categories: Sequence[str]) -> pd.DataFrame:
    frame: pd.DataFrame = side.select([*numbers, *categories]).to_pandas()
    for name in numbers:
        frame[name] = frame[name].astype("float64").replace([np.inf, -np.inf], np.nan)
    for name in categories:
        frame[name] = frame[name].fillna(_NOTHING).astype("str")
    return frame
