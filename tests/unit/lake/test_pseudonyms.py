"""Pseudonyms: the JVM computes what Python computes, and the key is nowhere to be seen."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode

import pytest
from pyspark.sql import SparkSession

from refit.errors import ConfigurationError
from refit.lake.pseudonyms import PseudonymKey, pseudonymise

IDS = ["17850", "", " ", "17850 ", "Zoë Åström", "山田太郎", "👩‍👩‍👧", "a" * 500, 'O\'Brien\n\t"x"', "\u0000"]
SECRETS = {
    "shortest": b"0123456789abcdef",
    "one block": bytes(range(64)),
    "longer than a block": bytes(range(65)),
    "much longer": b"k" * 200,
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS.keys())
def test_spark_and_python_give_the_hmac_of_the_standard_library(spark: SparkSession, secret: bytes) -> None:
    """For any id, and for keys that RFC 2104 hashes first because they are longer than a block."""
    key = PseudonymKey(secret, "k2")
    frame = spark.createDataFrame([(n, id) for n, id in enumerate(IDS)], "n int, user_id string")
    found = {row["n"]: row["user_id"] for row in pseudonymise(frame, key).collect()}

    expected = [f"k2-{hmac.new(secret, id.encode(), hashlib.sha256).hexdigest()[:32]}" for id in IDS]
    assert [found[n] for n in range(len(IDS))] == expected
    assert [key.pseudonym(id) for id in IDS] == expected
    assert len(set(expected)) == len(IDS)


def test_nobody_stays_nobody_and_all_other_columns_stay(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(None, "x"), ("ann", "y")], "user_id string, item_id string")
    found = pseudonymise(frame, PseudonymKey(SECRETS["shortest"], "k1"))
    assert found.columns == ["user_id", "item_id"]
    assert {row["item_id"]: row["user_id"] is None for row in found.collect()} == {"x": True, "y": False}


def test_the_key_occurs_in_no_plan_and_in_no_text_of_itself(spark: SparkSession) -> None:
    """Neither as text nor as bytes, in hexadecimal or base 64, and neither do the pads that are made from it."""
    secret = b"never-to-be-seen-again"
    key = PseudonymKey(secret, "k1")
    frame = pseudonymise(spark.createDataFrame([("ann",)], "user_id string"), key)
    frame.collect()
    shown = (
        frame._jdf.queryExecution().toString() + frame._jdf.queryExecution().debug().toString() + repr(key) + str(key)
    )
    assert "sha2" in shown

    padded = secret.ljust(64, b"\0")
    pads = [secret, *(bytes(byte ^ mask for byte in padded) for mask in (0x36, 0x5C))]
    for hidden in pads:
        signed = [str(byte if byte < 128 else byte - 256) for byte in hidden[:8]]
        for spelling in (
            hidden[:12].decode("latin-1"),
            hidden[:8].hex(),
            b64encode(hidden[:12]).decode(),
            ", ".join(signed),
            ",".join(signed),
        ):
            assert spelling.lower() not in shown.lower()


@pytest.mark.parametrize("secret", [b"", b"123456789012345"])
def test_a_short_key_is_refused(secret: bytes) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        PseudonymKey(secret, "k1")
    assert str(refusal.value) == (
        f"the pseudonym key has {len(secret)} bytes, at least 16 are needed; set REFIT_PSEUDONYM_KEY"
    )
