"""Network attachment of jobs, and what the rest of the embedded AWS asks about the network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from embedded_aws import accounts
from embedded_aws.network import reachability
from embedded_aws.network.flows import Flows
from embedded_aws.network.gateway import Gateway
from embedded_aws.network.model import Interface, Snapshot
from embedded_aws.network.namespaces import Namespaces
from embedded_aws.network.reachability import Verdict
from embedded_aws.network.way import Line, Wires
from embedded_aws.services.ec2 import flow_logs, interfaces, snapshot

WIRES: dict[str, Callable[..., Wires]] = {"gateway": Gateway, "namespaces": Namespaces}
ISOLATED = "the job asked for EnableNetworkIsolation: its container makes no connection to anything"
NO_VPC = "the job has no VpcConfig: it runs in a VPC of SageMaker's own, from where no private address is reached"


def is_server(interface: Interface) -> bool:
    """Tell whether this machine's processes stand there: any of the first account, but jobs' and endpoints'."""
    return interface.account == accounts.FIRST and not (interface.is_job or interface.is_endpoint)


class Switchboard:
    """The network of all accounts in one region.

    Parameters
    ----------
    wires : callable
        ``wires(read, is_server, seen)`` makes the gateway or the namespaces.
    """

    def __init__(self, wires: Callable[..., Wires] = Gateway) -> None:
        flows = Flows(lambda records: flow_logs.deliver(records, accounts.REGION))
        self.wires = wires(self.snapshot, is_server, flows)
        self._sources: dict[str, str] = {}  # network interface by access key
        self._lock = threading.Lock()

    def snapshot(self) -> Snapshot:
        """Return the network's state now."""
        return snapshot.read(accounts.REGION)

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
