"""The model: the item side of a matrix factorisation, as plain data."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from refit.digests import canonical_json, digest_of_files
from refit.errors import ModelDamagedError
from refit.interfaces import ModelVersion, Tracker
from refit.model.item_links import ItemItemWeights

FORMAT = "refit-item-factors/2"
ITEMS_FILE = "items.parquet"
LINKS_FILE = "links.parquet"
MODEL_FILE = "model.json"


@dataclass(frozen=True, eq=False)
class ItemFactors:
    """Everything needed to rank items for any person; contains no data about people."""

    items: pa.Array
    """Item ids, ascending; an item's position is its row in *factors*."""
    factors: NDArray[np.float32]
    """Item factors Y, items x rank."""
    people: NDArray[np.int64]
    """Number of people in the training set who touched each item."""
    alpha: float
    regularisation: float
    facts: Mapping[str, Any]
    """Training facts: cutoff, data digest, hyper-parameters, counts."""
    implicit: bool = True
    """Whether the model learns preferences from confidences (Hu, Koren and Volinsky 2008) or predicts ratings."""
    frequency_exponent: float = 1.0
    """The regularisation of a person with n items is `regularisation` * n ** this: 1 for MLlib, 0 for `implicit`."""
    links: ItemItemWeights | None = None
    """What past items add to the factor scores; a model of links alone has rank 0."""

    @property
    def rank(self) -> int:
        """Number of latent factors."""
        return int(self.factors.shape[1])

    @cached_property
    def gram(self) -> NDArray[np.float64]:
        """YtY, rank x rank, in double precision."""
        wide = self.factors.astype(np.float64)
        return np.asarray(wide.T @ wide)

    @cached_property
    def eigenbasis(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Eigenvalues of YtY, ascending, and its eigenvectors as columns (rank x rank)."""
        values, basis = np.linalg.eigh(self.gram)
        return values, basis

    @cached_property
    def turned(self) -> NDArray[np.float64]:
        """The factors in the eigenbasis, items x rank; twice the memory of the factors."""
        return np.asarray(self.factors.astype(np.float64) @ self.eigenbasis[1])

    @cached_property
    def by_popularity(self) -> NDArray[np.int64]:
        """Item positions from most to least popular; ties in id order."""
        return np.argsort(-self.people, kind="stable")

    def positions(self, items: pa.Array) -> NDArray[np.int64]:
        """Return the position of each id, -1 for an unknown item."""
        found = pc.fill_null(pc.index_in(items, value_set=self.items), -1)
        return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)

    def to_files(self) -> dict[str, bytes]:
        """Return the model as files; equal models give equal bytes."""
        table = pa.table({"item_id": self.items, "people": pa.array(self.people)})
        if self.rank:
            factors = pa.FixedSizeListArray.from_arrays(pa.array(self.factors.ravel()), self.rank)
            table = table.append_column("factors", factors)
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        description = {
            "format": FORMAT,
            "rank": self.rank,
            "items": len(self.items),
            "alpha": self.alpha,
            "regularisation": self.regularisation,
            "implicit": self.implicit,
            "frequency_exponent": self.frequency_exponent,
            "links_power": self.links.power if self.links else None,
            "facts": dict(self.facts),
        }
        files = {ITEMS_FILE: sink.getvalue(), MODEL_FILE: canonical_json(description)}
        return files | ({LINKS_FILE: self.links.to_file()} if self.links else {})

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> ItemFactors:
        """
        Return the model stored in *files*; nothing in them is executed.

        Raises:
            ModelDamagedError: a file is missing, unreadable, of another format, or contradicts the other.
        """
        missing = {ITEMS_FILE, MODEL_FILE} - set(files)
        if missing:
            raise ModelDamagedError(f"the model lacks {', '.join(sorted(missing))}; register it again")
        try:
            description = json.loads(files[MODEL_FILE])
            table = pq.read_table(pa.BufferReader(files[ITEMS_FILE]))
            power = description.get("links_power")
            links = None
            if power is not None:
                if LINKS_FILE not in files:
                    raise ModelDamagedError(f"the model lacks {LINKS_FILE}; register it again")
                links = ItemItemWeights.from_file(files[LINKS_FILE], items=len(table), power=power)
        except ValueError as error:  # of json, and what pyarrow calls ArrowInvalid
            raise ModelDamagedError(f"the model cannot be read: {error}; register it again") from error
        if description.get("format") != FORMAT:
            raise ModelDamagedError(f"the model has format {description.get('format')!r}, this Refit reads {FORMAT}")
        factors = np.empty((len(table), 0), dtype=np.float32)
        if "factors" in table.column_names:
            column = table["factors"].combine_chunks()
            factors = np.asarray(column.flatten().to_numpy(), dtype=np.float32).reshape(len(column), -1)
        if factors.shape != (description["items"], description["rank"]) or not np.isfinite(factors).all():
            raise ModelDamagedError(
                f"the model promises {description['items']} x {description['rank']} finite factors and holds "
                f"{factors.shape[0]} x {factors.shape[1]}, {np.isnan(factors).sum()} of them NaN; register it again"
            )
        return cls(
            items=table["item_id"].combine_chunks(),
            factors=factors,
            people=np.asarray(table["people"].to_numpy(), dtype=np.int64),
            alpha=description["alpha"],
            regularisation=description["regularisation"],
            facts=description["facts"],
            implicit=description["implicit"],
            frequency_exponent=description["frequency_exponent"],
            links=links,
        )


def verified(files: Mapping[str, bytes], digest: str, what: str) -> ItemFactors:
    """Return the model in *files* after checking them against *digest*."""
    found = digest_of_files(files)
    if found != digest:
        raise ModelDamagedError(
            f"{what} has digest {found[:16]}, it was judged with {digest[:16]}; "
            "its files were changed after the judgement, so it is not used"
        )
    return ItemFactors.from_files(files)


def load_verified(tracker: Tracker, version: ModelVersion) -> ItemFactors:
    """Return the model of a registered version, checked against its registered digest."""
    return verified(tracker.model_files(version.model_id), version.digest, f"{version.name} version {version.version}")
