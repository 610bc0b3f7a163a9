"""Pseudonyms: user ids leave the warehouse only as a keyed hash (HMAC-SHA-256, RFC 2104), cut to 128 bits."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.errors import ConfigurationError

_BLOCK = 64
"""Block size of SHA-256 in bytes."""
_CONSTANT = b"\0refit: which key is this?"
"""Cannot be a user id, because no id begins with a null byte."""


@dataclass(frozen=True)
class PseudonymKey:
    """A secret and its version, which prefixes each pseudonym."""

    secret: bytes = field(repr=False)
    version: str

    def __post_init__(self) -> None:
        if len(self.secret) < 16:
            raise ConfigurationError(
                f"the pseudonym key has {len(self.secret)} bytes, at least 16 are needed; set REFIT_PSEUDONYM_KEY"
            )

    @property
    def fingerprint(self) -> str:
        """An HMAC of a constant: identifies the key without revealing it."""
        return hmac.new(self.secret, _CONSTANT, hashlib.sha256).hexdigest()

    def pseudonym(self, user_id: str) -> str:
        """
        Return the pseudonym of one person.

        >>> PseudonymKey(b"0123456789abcdef", "k1").pseudonym("17850")
        'k1-d86d7e407d62db01e3428fb9eb2079b9'
        """
        return f"{self.version}-{hmac.new(self.secret, user_id.encode(), hashlib.sha256).hexdigest()[:32]}"


def pseudonymise(frame: DataFrame, key: PseudonymKey) -> DataFrame:
    """
    Return *frame* with `user_id` replaced by the pseudonym; null stays null.

    Equal to `PseudonymKey.pseudonym` for every id, but computed in the JVM. The key is passed as a row and not as a
    literal, so that no query plan or event log shows it.
    """
    block = key.secret if len(key.secret) <= _BLOCK else hashlib.sha256(key.secret).digest()
    padded = block.ljust(_BLOCK, b"\0")
    inner, outer = bytes(b ^ 0x36 for b in padded), bytes(b ^ 0x5C for b in padded)
    pads = frame.sparkSession.createDataFrame([(inner, outer)], "_inner binary, _outer binary")
    message = F.encode(F.col(Columns.USER), "UTF-8")
    digest = F.sha2(
        F.concat("_outer", F.unhex(F.sha2(F.concat(F.col("_inner"), message), 256))),
        256,
    )
    return (
        frame.crossJoin(F.broadcast(pads))
        .withColumn(Columns.USER, F.concat(F.lit(f"{key.version}-"), F.substring(digest, 1, 32)))
        .drop("_inner", "_outer")
    )
