"""Print one policy, filled in for a bucket and a shop."""

from __future__ import annotations

import argparse
import json
import sys

from infra.s3.policies import BUCKET, ROLES, bucket_document, role_policy
from refit.errors import RefitError


def main(arguments: list[str] | None = None) -> int:
    """Print the policy; a name that cannot be used is one sentence."""
    parser = argparse.ArgumentParser(prog="python -m infra.s3.policies", description=__doc__)
    parser.add_argument("name", choices=[*ROLES, *BUCKET], help="a role, or a document of the bucket itself")
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--shop", required=True)
    chosen = parser.parse_args(arguments)
    make = role_policy if chosen.name in ROLES else bucket_document
    try:
        print(json.dumps(make(chosen.name, bucket=chosen.bucket, shop=chosen.shop), indent=2))
    except RefitError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
