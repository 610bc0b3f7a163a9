"""Evidently: its own report beside ours, drawn from samples; it decides nothing. The only file that knows it."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

# Its usage statistics are switched off before it is imported, which is when it reads this.
os.environ["DO_NOT_TRACK"] = "1"  # noqa: TID251  written and not read

from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

_NOTHING = "(missing)"


class EvidentlyReporter:
    """Draws Evidently's data drift report with the methods named, whatever the size of the samples."""

    def report(
        self, reference: pa.Table, current: pa.Table, *, numbers: Sequence[str], categories: Sequence[str]
    ) -> bytes:
        """
        Return the report as one HTML page that needs nothing outside it.

        Numbers by the p-value of Kolmogorov and Smirnov, categories by its index. Evidently cannot take infinities, a
        column without any value or, among categories, nulls; such numbers and columns are left out, such nulls named.
        """
        frames = [_frame(side, numbers, categories) for side in (current, reference)]
        drawable = [name for name in numbers if all(frame[name].notna().any() for frame in frames)]
        definition = DataDefinition(numerical_columns=drawable, categorical_columns=list(categories))
        datasets = [
            Dataset.from_pandas(frame[[*drawable, *categories]], data_definition=definition) for frame in frames
        ]
        report = Report([DataDriftPreset(num_method="ks", cat_method="psi", num_threshold=0.01, cat_threshold=0.2)])
        with tempfile.TemporaryDirectory(prefix="refit-evidently-") as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numpy, about samples with few different values
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
