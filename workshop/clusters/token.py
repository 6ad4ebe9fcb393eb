"""Credential plugin of kubectl: print a token for a cluster. ``python -m workshop.clusters.token ACCOUNT CLUSTER``.

Source: Kubernetes documentation, "client-go credential plugins".
"""

from __future__ import annotations

import sys

from workshop.aws import accounts
from workshop.clusters.access import exec_credential
from workshop.errors import WorkshopError


def main(argv: list[str]) -> int:
    """Print an ExecCredential."""
    account, cluster = argv
    try:
        print(exec_credential(accounts.session(account), cluster))
    except WorkshopError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
