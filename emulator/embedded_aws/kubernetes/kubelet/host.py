"""What a kubelet needs of the world around it: images, identities, a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Object = dict[str, Any]


def _nothing() -> None:
    pass


class PullError(Exception):
    """An image that cannot be had, in the kubelet's words."""


class NoNetwork(Exception):
    """A pod cannot be given an address."""


@dataclass(frozen=True)
class Image:
    """An image whose layers are unpacked.

    Attributes
    ----------
    root : Path
        Its files.
    digest : str
        ``sha256:...`` of its manifest.
    environment, entrypoint, command, folder
        What its configuration says.
    """

    root: Path
    digest: str
    environment: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    folder: str = "/"


@dataclass(frozen=True)
class Identity:
    """Variables and files (by name) with which a pod's processes get their role's credentials."""

    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    forget: Callable[[], None] = _nothing


@dataclass(frozen=True)
class Attachment:
    """A pod's place in the network.

    Attributes
    ----------
    address : str
        As the API tells it.
    local : str
        The address of this machine at which the pod's processes listen; the same where they have a network of their
        own.
    environment : mapping
        Variables that lead them there.
    namespace : int, optional
        Descriptor of their network namespace.
    detach : callable
    """

    address: str
    local: str
    environment: Mapping[str, str] = field(default_factory=dict)
    namespace: int | None = None
    detach: Callable[[], None] = _nothing


class Host(Protocol):
    """Gives pods what they need."""

    def pull(self, reference: str, pod: Object) -> Image:
        """Return an image; raises :class:`PullError`."""
        ...

    def identify(self, pod: Object) -> Identity:
        """Return with what the pod's processes prove who they are."""
        ...

    def attach(self, pod: Object) -> Attachment:
        """Give a pod its address; raises :class:`NoNetwork`."""
        ...
