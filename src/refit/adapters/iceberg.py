"""The published lists as an Iceberg table, for readers that are SQL engines; the only file that knows pyiceberg."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.io.pyarrow import parquet_files_to_data_files
from pyiceberg.table import Table, Transaction
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.update.snapshot import ExpireSnapshots, ManageSnapshots
from sqlalchemy.exc import SQLAlchemyError

from refit.batches.schema import SCHEMA
from refit.errors import ConfigurationError, ConflictError, NothingPublishedError, TransientError
from refit.publication.read import read_manifest, read_pointer_state
from refit.storage.object_store import ObjectStore

# It warns of every column without statistics in every file; the lists have them for user_id only, on purpose.
logging.getLogger("pyiceberg.io.pyarrow").setLevel(logging.ERROR)

_DATED = "run_date_"
_BATCH = "refit.batch"
_TRIES = 10
"""Number of attempts; each one after the second means that another writer changed the table or a pointer."""
_PROPERTIES = {
    # The files belong to their batches: an engine that expires snapshots must not delete files that a pointer names.
    "gc.enabled": "false",
    # An overtaken commit is made again from what is live then, never rebased.
    "commit.retry.num-retries": "0",
    "write.metadata.previous-versions-max": "20",
}


class CatalogUnavailableError(TransientError):
    """The catalogue of the table, or the store of its files, did not answer."""


@dataclass(frozen=True)
class IcebergLists:
    """
    A table that shows the live batch, with a branch for each date.

    It stores no rows: its snapshots name the part files of batches in place, so a switch writes a few small objects,
    whatever the size of a batch. The pointers stay authoritative; the table follows them.
    """

    catalog: Catalog
    name: tuple[str, str]
    """Namespace and table."""
    location: str
    """Location of the table's metadata."""
    keep: int
    """Number of old snapshots kept for readers that still use them."""

    @classmethod
    def connect(cls, catalog: str, *, shop: str, lists: str, endpoint: str | None, keep: int) -> IcebergLists:
        """
        Return the table `SHOP.lists` in the *catalog* at an address such as sqlite:///FILE or postgresql://HOST/DB.

        *lists* is where the lists are published; *endpoint* names an S3-compatible server.
        """
        settings = {"uri": catalog, "warehouse": f"{lists}/iceberg"}
        if endpoint:
            settings["s3.endpoint"] = endpoint
        try:
            opened = load_catalog("refit", **settings)
        except (ValueError, SQLAlchemyError) as error:
            # The address may hold a password, which the library's message may repeat.
            raise ConfigurationError(
                f"the Iceberg catalogue cannot be opened ({type(error).__name__}); set REFIT_ICEBERG_CATALOG to an "
                "address such as sqlite:///FILE or postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE"
            ) from None
        return cls(opened, (shop, "lists"), f"{lists}/iceberg/lists", keep)

    def follow(self, store: ObjectStore, run_date: str) -> None:
        """
        Make the table show the live batch and the branch of *run_date* its current one, and forget collected dates.

        It returns only when the table, read first, matches the pointers, read second. So none of several writers leaves
        an older batch behind, and a call after a crash repairs what the crash left.

        Raises:
            ConflictError: the table or the pointers kept changing.
            CatalogUnavailableError: the catalogue or the store did not answer.
        """
        try:
            for _ in range(_TRIES):
                table = self._open()
                branches: dict[str | None, str] = {None: MAIN_BRANCH, run_date: _branch(run_date)}
                branches |= {_date(name): name for name in table.refs() if name.startswith(_DATED)}
                stale = {day: name for day, name in branches.items() if _shown(table, name) != _named(store, day)}
                if not stale:
                    return
                with suppress(CommitFailedException):
                    self._commit(table, store, stale)
        except (SQLAlchemyError, OSError) as error:
            raise CatalogUnavailableError(
                f"the Iceberg table {'.'.join(self.name)} cannot follow the lists: {type(error).__name__}; readers of "
                "the table see the batch before; is its catalogue up? The same call may be made again"
            ) from error
        raise ConflictError(
            f"the Iceberg table {'.'.join(self.name)} or the live batch changed {_TRIES} times meanwhile; try again"
        )

    def _open(self) -> Table:
        with suppress(NoSuchTableError):
            return self.catalog.load_table(self.name)
        self.catalog.create_namespace_if_not_exists(self.name[0])
        return self.catalog.create_table_if_not_exists(
            self.name, schema=SCHEMA, location=self.location, properties=_PROPERTIES
        )

    def _commit(self, table: Table, store: ObjectStore, stale: Mapping[str | None, str]) -> None:
        """Switch the branches *stale* to the batches that the pointers name, in one swap of the table's metadata."""
        with table.transaction() as transaction:
            if table.name_mapping() is None:
                # The part files have column names but no field ids.
                mapping = table.schema().name_mapping.model_dump_json()
                transaction.set_properties({"schema.name-mapping.default": mapping})
            for day, branch in stale.items():
                try:
                    manifest = read_manifest(store, day)
                except NothingPublishedError:
                    if branch in table.refs() and day is not None:
                        ManageSnapshots(transaction).remove_branch(branch).commit()
                else:
                    _switch(table, transaction, branch, manifest, store.address)
            self._expire(transaction)

    def _expire(self, transaction: Transaction) -> None:
        """Expire old snapshots, whose files may have been collected."""
        metadata = transaction.table_metadata
        needed = {reference.snapshot_id for reference in metadata.refs.values()}
        former = [one for one in metadata.snapshots if one.snapshot_id not in needed]
        old = sorted(former, key=lambda one: one.sequence_number or 0)[: -self.keep]
        if old:
            ExpireSnapshots(transaction).by_ids([one.snapshot_id for one in old]).commit()


def _switch(table: Table, transaction: Transaction, branch: str, manifest: Mapping[str, Any], address: str) -> None:
    """Replace all files of *branch* by those in *manifest*, in one snapshot."""
    shown = table.snapshot_by_name(branch)
    paths = [f"{address}/{part['key']}" for part in manifest["parts"]]
    described = {_BATCH: manifest["batch"], "refit.run_date": manifest["run_date"]}
    with transaction.update_snapshot(snapshot_properties=described, branch=branch).overwrite() as snapshot:
        for task in table.scan(snapshot_id=shown.snapshot_id).plan_files() if shown else ():
            snapshot.delete_data_file(task.file)
        for file in parquet_files_to_data_files(table.io, table.metadata, iter(paths)):
            snapshot.append_data_file(file)


def _branch(run_date: str) -> str:
    return _DATED + run_date.replace("-", "_")


def _date(branch: str) -> str:
    return branch.removeprefix(_DATED).replace("_", "-")


def _shown(table: Table, branch: str) -> str | None:
    """Return the batch that *branch* shows."""
    snapshot = table.snapshot_by_name(branch)
    return snapshot.summary[_BATCH] if snapshot is not None and snapshot.summary is not None else None


def _named(store: ObjectStore, run_date: str | None) -> str | None:
    """Return the batch that is live, or that the pointer of *run_date* names."""
    try:
        return read_pointer_state(store, run_date).target.batch
    except NothingPublishedError:
        return None
