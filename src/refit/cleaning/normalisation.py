"""Normalises spellings and units, row by row."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Normalise
from refit.errors import ConfigurationError


def normalise(rows: DataFrame, settings: Normalise) -> DataFrame:
    """Return *rows* in normal form with the flag `_altered`; rows that already have a status stay unchanged."""
    unknown = sorted(set(settings.text) - {name for name, kind in rows.dtypes if kind == "string"})
    if unknown:
        raise ConfigurationError(
            f"cleaning.normalise.text names {', '.join(unknown)}, no text column of the mapped interactions; "
            f"they have {', '.join(rows.columns)}"
        )
    altered = F.lit(False)
    forms = {}
    for name in settings.text:
        form = F.trim(F.regexp_replace(F.col(name), r"\s+", " "))
        altered = altered | ~form.eqNullSafe(F.col(name))
        forms[name] = form
    value = F.col(Columns.VALUE)
    for kind, divisor in settings.divide_value_by.items():
        mine = F.col(Columns.EVENT_TYPE) == kind
        value = F.when(mine, F.col(Columns.VALUE) / divisor).otherwise(value)
        altered = altered | F.coalesce(mine, F.lit(False))
    still_in = F.col(Columns.FATE).isNull()
    flagged = rows.withColumn("_altered", altered & still_in)
    forms[Columns.VALUE] = value
    return flagged.withColumns({name: F.when(still_in, form).otherwise(F.col(name)) for name, form in forms.items()})
