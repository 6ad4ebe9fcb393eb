"""Host names of this AWS on loopback: one for jobs, which stand in a VPC, one for whoever stands elsewhere.

On AWS both call the same name, and the network that a call comes from decides. A job signs who it is and sends that to
its server, which has STS confirm it: the call is signed with the job's key and comes from the server's network.
"""

from __future__ import annotations

from collections.abc import Iterator

IN_A_VPC, OUTSIDE = "127.0.0.1", "localhost"
OWN = (IN_A_VPC, OUTSIDE)


def as_signed(host: str) -> Iterator[str]:
    """Yield the hosts that a request to this AWS may have been signed for: that of its header, and the other name.

    >>> list(as_signed("localhost:8000"))
    ['localhost:8000', '127.0.0.1:8000']
    """
    yield host
    name, colon, port = host.partition(":")
    if name in OWN:
        yield f"{OWN[1 - OWN.index(name)]}{colon}{port}"


def comes_from_a_vpc(host: str) -> bool:
    """Tell whether a call may have come through a VPC."""
    return host.partition(":")[0] != OUTSIDE
