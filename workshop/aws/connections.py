"""Connection data: what the server needs to know of clients and itself before it can start jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from workshop.aws import accounts
from workshop.aws.jobs import ClientAccount
from workshop.aws.members import Members
from workshop.errors import AccountError


def connection_data(federation: Members, *, image: str) -> dict:
    """Gather what notebook 03 needs: what the stacks gave back, and where the server stands, as JSON values."""
    outputs = federation.outputs
    clients = [asdict(client_account(federation, name)) for name in federation.clients]
    return {
        "clients": clients,
        "image": image,
        "server_bucket": outputs["server"]["fl-storage"]["Bucket"],
        "server_role": outputs["server"]["fl-server-access"]["NotebookRoleArn"],
        "serving_caller": outputs["server"]["fl-server-access"]["NotebookRoleArn"],
        "serving_role": outputs["server"]["fl-serving"]["ModelRoleArn"],
        "server_host": server_host(federation.sessions["server"], outputs["server"]["fl-notebook-instance"]),
        "server_port": federation.agreed.port,
        "instance": accounts.instance(),
    }


def client_account(federation: Members, name: str) -> ClientAccount:
    """Return what the server may know of a client's account."""
    outputs = federation.outputs[name]
    return ClientAccount(
        name=name,
        account=federation.ids[name],
        bucket=outputs["fl-storage"]["Bucket"],
        key=outputs["fl-storage"]["KeyArn"],
        execution_role=outputs["fl-client-job"]["ExecutionRoleArn"],
        kickoff_role=outputs["fl-client-access"]["KickoffRoleArn"],
        subnets=tuple(outputs["fl-network"]["SubnetIds"].split(",")),
        security_group=outputs["fl-network"]["FederationGroupId"],
        region=outputs["fl-client-access"]["KickoffRegion"],
        instance_type=outputs["fl-client-access"]["InstanceType"],
        external_id=federation.agreed.external_ids[name],
        kick_off=outputs["fl-client-access"]["KickOff"],
        machine=outputs["fl-client-access"].get("MachineArn", ""),
    )


def server_host(session: boto3.Session, outputs: Mapping[str, str]) -> str:
    """Return the private address of the server's notebook instance: where clients dial.

    Raises
    ------
    AccountError
        If the instance has no address in the VPC.
    """
    name = outputs["NotebookInstanceName"]
    try:
        instance = session.client("sagemaker").describe_notebook_instance(NotebookInstanceName=name)
        response = session.client("ec2").describe_network_interfaces(
            NetworkInterfaceIds=[instance["NetworkInterfaceId"]]
        )
    except (BotoCoreError, ClientError, KeyError) as error:
        raise AccountError(f"account server: notebook instance {name} has no address in the VPC: {error!r}") from error
    return response["NetworkInterfaces"][0]["PrivateIpAddress"]
