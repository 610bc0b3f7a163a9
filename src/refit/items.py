"""The catalogue as ranking sees it."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.factors import ItemFactors


def allowed_positions(model: ItemFactors, catalogue: DataFrame, as_of: datetime) -> NDArray[np.bool_]:
    """
    Return for each item of *model* whether it may be shown: in the catalogue, available, and listed before *as_of*.

    An item that the catalogue no longer knows is withdrawn.
    """
    listed = F.col(Columns.LISTED_AT).isNull() | (F.col(Columns.LISTED_AT) < F.lit(as_of))
    shown = catalogue.where(F.col(Columns.AVAILABLE) & listed).select(Columns.ITEM).toArrow()
    positions = model.positions(shown[Columns.ITEM].combine_chunks())
    allowed = np.zeros(len(model.items), dtype=np.bool_)
    allowed[positions[positions >= 0]] = True
    return allowed
