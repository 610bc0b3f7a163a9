"""The policies for the bucket, read as S3 would: what the local server cannot enforce is judged here by hand."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from infra.errors import StackError
from infra.s3.policies import BUCKET, ROLES, bucket_document, role_policy
from infra.s3.policies.__main__ import main

IN = {"bucket": "lists", "shop": "cafe"}
ARN = "arn:aws:s3:::lists"
GOOD: dict[str, str] = {
    "aws:SecureTransport": "true",
    "s3:TlsVersion": "1.3",
    "s3:if-none-match": "*",
    "s3:ObjectCreationOperation": "true",
}
"""What S3 knows about a conditional PUT over TLS that leaves the encryption to the bucket."""


def _holds(operator: str, key: str, wanted: str, request: dict[str, str]) -> bool:
    """Judge one condition as the reference of IAM has it; a key that is absent matches only Null."""
    given = request.get(key)
    if operator == "Null":
        return (given is None) == (wanted == "true")
    if operator == "StringNotEquals":
        return given != wanted
    if operator == "NumericLessThan":
        return given is not None and float(given) < float(wanted)
    assert operator == "Bool"
    return given == wanted


def denied_by(action: str, resource: str, request: dict[str, str]) -> list[str]:
    """Return the name of each rule of the bucket that refuses the request."""
    return [
        rule["Sid"]
        for rule in bucket_document("policy", **IN)["Statement"]
        if rule["Effect"] == "Deny"
        and any(fnmatchcase(action, pattern) for pattern in _as_list(rule["Action"]))
        and any(fnmatchcase(resource, pattern) for pattern in _as_list(rule["Resource"]))
        and all(
            _holds(operator, key, wanted, request)
            for operator, keys in rule.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    ]


def _as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _less(*keys: str, **changed: str) -> dict[str, str]:
    return {**{key: value for key, value in GOOD.items() if key not in keys}, **changed}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_names_each_action_and_stays_within_its_shop(role: str) -> None:
    """No star in an action, every object below the shop or its models, and nothing but listing on the bucket."""
    listing = {"s3:ListBucket", "s3:ListBucketMultipartUploads"}
    for rule in role_policy(role, **IN)["Statement"]:
        assert set(rule) == {"Sid", "Effect", "Action", "Resource"}
        assert rule["Effect"] == "Allow"
        for action in rule["Action"]:
            assert action in {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", *listing}
        for resource in rule["Resource"]:
            if set(rule["Action"]) <= listing:
                assert resource == ARN
            else:
                assert resource.startswith((f"{ARN}/cafe/", f"{ARN}/mlflow/cafe/"))
                assert resource.count("*") <= 1
                assert "*" not in resource[:-1]


def test_only_collecting_deletes_and_only_batches() -> None:
    deleting = {
        (role, resource)
        for role in ROLES
        for rule in role_policy(role, **IN)["Statement"]
        for resource in rule["Resource"]
        if "s3:DeleteObject" in rule["Action"]
    }
    assert deleting == {("collector", f"{ARN}/cafe/batches/*")}


@pytest.mark.parametrize(
    ("action", "key", "request_", "rules"),
    [
        ("s3:PutObject", "cafe/batches/run_date=D/batch=b/part-0.parquet", GOOD, []),
        ("s3:PutObject", "cafe/audit/000001.json", GOOD, []),
        ("s3:PutObject", "cafe/live.json", GOOD, []),
        ("s3:PutObject", "cafe/live.json", _less("s3:if-none-match", **{"s3:if-match": "etag"}), []),
        ("s3:PutObject", "mlflow/cafe/run/metrics.json", _less("s3:if-none-match"), []),
        ("s3:PutObject", "cafe/symlink/manifest.txt", _less("s3:if-none-match"), []),
        ("s3:GetObject", "cafe/live.json", _less("s3:if-none-match", "s3:ObjectCreationOperation"), []),
        ("s3:DeleteObject", "cafe/batches/run_date=D/batch=b/part-0.parquet", GOOD, []),
        # Parts of a large upload carry no condition; the request that ends the upload must.
        (
            "s3:PutObject",
            "cafe/batches/b/part-0.parquet",
            _less("s3:if-none-match", **{"s3:ObjectCreationOperation": "false"}),
            [],
        ),
        ("s3:GetObject", "cafe/live.json", _less(**{"aws:SecureTransport": "false"}), ["OnlyOverTls"]),
        ("s3:PutObject", "cafe/live.json", _less(**{"s3:TlsVersion": "1.1"}), ["OnlyTls12OrNewer"]),
        (
            "s3:PutObject",
            "cafe/live.json",
            _less(**{"s3:x-amz-server-side-encryption": "AES256"}),
            ["NoOtherEncryption"],
        ),
        ("s3:PutObject", "cafe/live.json", _less(**{"s3:x-amz-server-side-encryption": "aws:kms"}), []),
        (
            "s3:PutObject",
            "cafe/batches/b/part-0.parquet",
            _less("s3:if-none-match"),
            ["BatchesAndRecordsAreCreatedOnce"],
        ),
        (
            "s3:PutObject",
            "cafe/audit/000001.json",
            _less("s3:if-none-match", **{"s3:if-match": "etag"}),
            ["BatchesAndRecordsAreCreatedOnce"],
        ),
        ("s3:PutObject", "cafe/live.json", _less("s3:if-none-match"), ["PointersMoveByComparison"]),
        ("s3:PutObject", "cafe/dates/run_date=D.json", _less("s3:if-none-match"), ["PointersMoveByComparison"]),
        ("s3:DeleteObject", "cafe/audit/000001.json", GOOD, ["RecordsAndPointersStay"]),
        ("s3:DeleteObjectVersion", "cafe/audit/000001.json", GOOD, ["RecordsAndPointersStay"]),
        ("s3:DeleteObject", "cafe/live.json", GOOD, ["RecordsAndPointersStay"]),
    ],
)
def test_the_bucket_refuses_what_no_role_may_do(
    action: str, key: str, request_: dict[str, str], rules: list[str]
) -> None:
    """Whatever a role is allowed, the bucket itself refuses these, and nothing that the steps do."""
    assert denied_by(action, f"{ARN}/{key}", request_) == rules


def test_the_bucket_only_ever_takes_rights_away() -> None:
    assert {rule["Effect"] for rule in bucket_document("policy", **IN)["Statement"]} == {"Deny"}
    assert {rule["Principal"] for rule in bucket_document("policy", **IN)["Statement"]} == {"*"}


def test_the_bucket_is_private_versioned_encrypted_and_forgets_what_was_collected() -> None:
    assert set(bucket_document("public_access_block", **IN).values()) == {True}
    assert bucket_document("versioning", **IN) == {"Status": "Enabled"}
    rule = bucket_document("encryption", **IN)["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    assert rule == {"SSEAlgorithm": "aws:kms"}
    unfinished, collected = bucket_document("lifecycle", **IN)["Rules"]
    assert unfinished["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert collected["Filter"] == {"Prefix": "cafe/batches/"}
    assert collected["NoncurrentVersionExpiration"] == {"NoncurrentDays": 7}


@pytest.mark.parametrize(("bucket", "shop"), [("*", "cafe"), ("lists", "*"), ("lists/x", "cafe"), ("lists", '","')])
def test_a_name_that_would_widen_a_policy_is_refused(bucket: str, shop: str) -> None:
    with pytest.raises(StackError, match="must be plain names; no policy was made"):
        role_policy("reader", bucket=bucket, shop=shop)


@pytest.mark.parametrize("name", [*ROLES, *BUCKET])
def test_the_command_prints_each_policy(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--bucket", "lists", "--shop", "cafe"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)
    assert "{" + "BUCKET}" not in printed
    assert "{" + "SHOP}" not in printed


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reader", "--bucket", "*", "--shop", "cafe"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
