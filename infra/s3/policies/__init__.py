"""
Least-privilege policies for the bucket of a shop: `python -m infra.s3.policies NAME --bucket B --shop S` prints one.

`roles/` holds one identity policy per kind of process, `bucket/` what is set on the bucket itself. {BUCKET} and {SHOP}
in them are filled in here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from infra.errors import StackError

_FOLDER = Path(__file__).resolve().parent
ROLES = ("reader", "trainer", "publisher", "promoter", "collector", "auditor", "mlflow_server")
BUCKET = ("policy", "public_access_block", "versioning", "encryption", "lifecycle")
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SHOP_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def role_policy(role: str, *, bucket: str, shop: str) -> dict[str, Any]:
    """Return what a process of *role* may do: one of ROLES."""
    return _filled("roles", role, ROLES, bucket, shop)


def bucket_document(name: str, *, bucket: str, shop: str) -> dict[str, Any]:
    """Return one of the documents BUCKET that are set on the bucket itself."""
    return _filled("bucket", name, BUCKET, bucket, shop)


def _filled(folder: str, name: str, known: tuple[str, ...], bucket: str, shop: str) -> dict[str, Any]:
    if name not in known:
        raise StackError(f"there is no policy {name!r}; there are: {', '.join(known)}")
    if not _BUCKET_NAME.fullmatch(bucket) or not _SHOP_NAME.fullmatch(shop):
        # A star in a name would open the policy to everything.
        raise StackError(f"bucket {bucket!r} and shop {shop!r} must be plain names; no policy was made")
    text = (_FOLDER / folder / f"{name}.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text.replace("{BUCKET}", bucket).replace("{SHOP}", shop))
    return document
