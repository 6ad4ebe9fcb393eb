"""Credential plugin of kubectl: print a token for a cluster. ``python -m workshop.clusters.token ACCOUNT CLUSTER``.

Source: Kubernetes documentation, "client-go credential plugins".
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

from workshop.aws import accounts
from workshop.clusters.access import WORTH, token
from workshop.errors import WorkshopError


def main(argv: list[str]) -> int:
    """Print an ExecCredential."""
    account, cluster = argv
    try:
        text = token(accounts.session(account), cluster)
    except WorkshopError as error:
        print(error, file=sys.stderr)
        return 1
    expires = datetime.now(UTC) + timedelta(seconds=WORTH)
    status = {"token": text, "expirationTimestamp": f"{expires:%Y-%m-%dT%H:%M:%SZ}"}
    print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
