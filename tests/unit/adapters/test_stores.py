"""An address says which adapter keeps the objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from refit.adapters.folder import FolderObjectStore
from refit.adapters.s3 import S3ObjectStore
from refit.adapters.stores import open_store
from refit.errors import ConfigurationError


def test_a_folder_is_named_by_its_path_or_its_address(tmp_path: Path) -> None:
    folder = tmp_path / "a lake"
    for address in (str(folder), folder.as_uri()):
        store = open_store(address)
        assert isinstance(store, FolderObjectStore)
        assert store.root == folder


def test_a_bucket_is_kept_by_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for scheme in ("s3", "s3a"):
        store = open_store(f"{scheme}://refit/shop", endpoint="http://127.0.0.1:1")
        assert isinstance(store, S3ObjectStore)
        assert (store.address, store.client.meta.endpoint_url) == ("s3://refit/shop", "http://127.0.0.1:1")


@pytest.mark.parametrize("address", ["gs://bucket/prefix", "s3://", "jdbc:postgresql://host/base"])
def test_another_address_is_refused_in_a_sentence(address: str) -> None:
    with pytest.raises(ConfigurationError, match="address"):
        open_store(address)
