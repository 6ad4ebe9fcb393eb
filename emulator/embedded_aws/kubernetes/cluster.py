"""One cluster: its store, its API and the objects that it begins with."""

from __future__ import annotations

import socket
import ssl

from embedded_aws.kubernetes import bootstrap
from embedded_aws.kubernetes.api import Api, Authenticate
from embedded_aws.kubernetes.schemas import VERSIONS
from embedded_aws.kubernetes.server import Server
from embedded_aws.kubernetes.store import Store
from embedded_aws.kubernetes.subresources import Logs


class Cluster:
    """A cluster of Kubernetes.

    Parameters
    ----------
    name : str
    version : str
        One of :data:`~embedded_aws.kubernetes.schemas.VERSIONS`.
    authenticate : callable
        Returns the :class:`~embedded_aws.kubernetes.rbac.User` of a bearer token, or None.
    logs : callable, optional
        Reads a container's log: see :class:`~embedded_aws.kubernetes.subresources.Logs`.
    store : Store, optional
        With its own clock.

    Raises
    ------
    ValueError
        If the version is not served.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "1.34",
        authenticate: Authenticate,
        logs: Logs | None = None,
        store: Store | None = None,
    ) -> None:
        if version not in VERSIONS:
            raise ValueError(f"Kubernetes {version} of cluster {name}: there are {', '.join(VERSIONS)}")
        self.name, self.version = name, version
        self.store = store or Store()
        self.api = Api(self.store, version=version, logs=logs)
        self._authenticate = authenticate
        self._servers: list[Server] = []
        self._started = False

    def start(self) -> None:
        """Put in what a cluster begins with; once."""
        if not self._started:
            self._started = True
            bootstrap.fill(self.store)

    def serve(self, context: ssl.SSLContext, *, at: socket.socket | None = None) -> int:
        """Serve the API on loopback, or at a socket that listens; return the port."""
        self.start()
        server = Server(self.api, self._authenticate, context, at=at)
        self._servers.append(server)
        return server.port

    def close(self) -> None:
        """End all watches, connections and threads."""
        self.api.close()
        self.store.wake()
        while self._servers:
            self._servers.pop().close()
