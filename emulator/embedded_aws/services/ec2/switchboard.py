"""Network attachment of jobs, and what the rest of the embedded AWS asks about the network."""

from __future__ import annotations

import itertools
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from embedded_aws import accounts
from embedded_aws.network import reachability
from embedded_aws.network.flows import Flows
from embedded_aws.network.gateway import HOST, Gateway
from embedded_aws.network.model import Balancer, Interface, Isolation, Snapshot
from embedded_aws.network.namespaces import Namespaces
from embedded_aws.network.reachability import Verdict
from embedded_aws.network.way import Line, Way, Wires
from embedded_aws.services.ec2 import flow_logs, interfaces, snapshot

FRESH_SECONDS = 0.5  # a change that came by no call and by none of the services is seen after that
WIRES: dict[str, Callable[..., Wires]] = {"gateway": Gateway, "namespaces": Namespaces}
ISOLATED = "the job asked for EnableNetworkIsolation: its container makes no connection to anything"
NO_VPC = "the job has no VpcConfig: it runs in a VPC of SageMaker's own, from where no private address is reached"


def is_server(interface: Interface) -> bool:
    """Tell whether this machine's processes stand there: any of the first account, but what AWS uses itself."""
    return interface.account == accounts.FIRST and not (
        interface.is_job or interface.is_endpoint or interface.is_clusters
    )


class Switchboard:
    """The network of all accounts in one region.

    Parameters
    ----------
    wires : callable
        ``wires(read, host_of, seen)`` makes the gateway or the namespaces.
    """

    def __init__(self, wires: Callable[..., Wires] = Gateway) -> None:
        flows = Flows(lambda records: flow_logs.deliver(records, accounts.REGION))
        self.wires = wires(self.snapshot, self._host_of, flows)
        self._sources: dict[str, str] = {}  # network interface by access key
        self._locals: dict[str, str] = {}  # addresses of this machine at which pods listen, by network interface
        self._numbers = itertools.count(1)
        self.isolations: dict[str, Isolation] = {}  # of pods, by network interface
        self.balancers: dict[str, Balancer] = {}  # by network interface
        self._lock = threading.Lock()
        self._reading = threading.Lock()  # who asks while somebody reads gets the next reading
        self._read: tuple[int, float, Snapshot] | None = None

    def snapshot(self) -> Snapshot:
        """Return the network's state now: after a call has changed it at once, else within ``FRESH_SECONDS``."""
        with self._reading:
            mark, clock = snapshot.mark(), time.monotonic()
            if self._read is None or self._read[0] != mark or clock - self._read[1] > FRESH_SECONDS:
                self._read = mark, clock, snapshot.read(accounts.REGION)
            now = self._read[2]
        return replace(now, isolations=dict(self.isolations), balancers=dict(self.balancers))

    def _host_of(self, interface: Interface) -> str | None:
        return HOST if is_server(interface) else self._locals.get(interface.id)

    def plug_in_pod(self, name: str, eni: str) -> tuple[Way, str]:
        """Give a pod's processes a way to its network interface.

        Returns
        -------
        tuple
            The way, and the address of this machine at which they are to listen; none where they have a network of
            their own.
        """
        way = self.wires.admit(name, eni)
        if way.namespace is not None:
            return way, ""
        number = next(self._numbers)
        # Linux has all of 127.0.0.0/8: each pod has its own ports there. Elsewhere they share one address.
        local = f"127.80.{number // 250 % 256}.{number % 250 + 1}" if sys.platform.startswith("linux") else HOST
        self._locals[eni] = local
        return way, local

    def balance(self, eni: str, balancer: Balancer | None) -> None:
        """Say what is behind a load balancer's network interface; None when it is gone."""
        if balancer is None:
            self.balancers.pop(eni, None)
        else:
            self.balancers[eni] = balancer
        self.wires.balance(eni, balancer)

    def listeners(self, port: int) -> list[socket.socket]:
        """Return sockets at a port of 127.0.0.1, wherever else than on this machine somebody may ask there."""
        return self.wires.listeners(port)

    def unplug_pod(self, eni: str) -> None:
        """Forget a pod's network interface."""
        self._locals.pop(eni, None)
        self.isolations.pop(eni, None)
        with self._lock:
            for key in [key for key, where in self._sources.items() if where == eni]:
                del self._sources[key]

    def check(self, request: Mapping[str, Any], *, account: str, region: str) -> None:
        """Look at the VpcConfig of a CreateTrainingJob request; raises :class:`interfaces.NoSuchNetwork`."""
        if config := request.get("VpcConfig"):
            interfaces.check(config, account=account, region=region)

    def plug_in(
        self, request: Mapping[str, Any], *, account: str, region: str, job_arn: str, access_key: str,
        role_may: Callable[[], bool] = lambda: True,
    ) -> Line:  # fmt: skip
        """Give a job its network interface, and its process a way there.

        Parameters
        ----------
        request : mapping
            Of CreateTrainingJob.
        account, region, job_arn : str
            Of the job.
        access_key : str
            By this id its calls to AWS are known.
        role_may : callable
            Tells whether the job's role may remove its interface.

        Raises
        ------
        interfaces.NoSuchNetwork
            If subnets or groups of the VpcConfig do not exist.
        """
        isolated, config = bool(request.get("EnableNetworkIsolation")), request.get("VpcConfig")
        eni = config and interfaces.attach(config, account=account, region=region, job_arn=job_arn)
        why_not = ISOLATED if isolated else "" if eni else NO_VPC
        try:
            way = self.wires.admit(
                request["TrainingJobName"], None if isolated else eni, why_not=why_not, aws=not isolated
            )
        except BaseException:
            self._release(eni, account, region, access_key, role_may)
            raise
        if eni:
            with self._lock:
                self._sources[access_key] = eni

        def unplug() -> None:
            way.leave()
            self._release(eni, account, region, access_key, role_may)

        return Line(way, lambda name: self._service(eni, name), unplug)

    def endpoint(self, access_key: str, service: str) -> Verdict | None:
        """Tell whether a job's call reaches a service, and through which VPC endpoint; None if it is no job's in a VPC.

        Parameters
        ----------
        access_key : str
            Id of the access key that signed the call.
        service : str
            As boto3 calls it.
        """
        with self._lock:
            eni = self._sources.get(access_key)
        return self._service(eni, service)

    def stand(self, access_key: str, eni: str) -> None:
        """Know who signs with an access key by where they stand, as a pod does at its node's network interface."""
        with self._lock:
            self._sources[access_key] = eni

    def _service(self, eni: str | None, name: str) -> Verdict | None:
        if not eni:
            return None
        now = self.snapshot()
        if eni not in now.interfaces:
            return Verdict(False, f"{eni} does not exist any more")
        return reachability.service(now, now.interfaces[eni], name)

    def _release(
        self, eni: str | None, account: str, region: str, access_key: str, role_may: Callable[[], bool]
    ) -> None:
        if eni:
            with self._lock:
                self._sources.pop(access_key, None)
            interfaces.release(eni, account=account, region=region, role_may=role_may)
