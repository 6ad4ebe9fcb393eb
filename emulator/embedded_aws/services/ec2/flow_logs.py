"""Flow logs: records of an interface go to the log groups of the flow logs that cover it, if their roles may write.

In network namespaces the kernel decides, and nobody is told: there are no records.

Source: AWS, VPC user guide, "Publish flow logs to CloudWatch Logs" (its role needs these four actions) and
"Troubleshoot VPC Flow Logs" (Access error).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

from moto.ec2.models import ec2_backends
from moto.logs.models import logs_backends

from embedded_aws.gate.principals import find_role
from embedded_aws.gate.roles import role_may, service_may_assume
from embedded_aws.network.flows import Record

SERVICE = "vpc-flow-logs.amazonaws.com"
_STREAM_ACTIONS = ("CreateLogStream", "PutLogEvents", "DescribeLogStreams")
log = logging.getLogger(__name__)


def deliver(records: Iterable[Record], region: str) -> None:
    """Write records into every flow log that covers their interface and their action."""
    for record in records:
        interface = record.flow.interface
        places = (interface.id, interface.subnet, interface.vpc)
        for flow_log in list(ec2_backends[interface.account][region].flow_logs.values()):
            wanted = flow_log.traffic_type in (None, "ALL", record.flow.action)
            if wanted and flow_log.resource_id in places and flow_log.log_destination_type == "cloud-watch-logs":
                try:
                    _write(flow_log, record, interface.account, region)
                except Exception:  # the next flow log's records are no worse for it
                    log.exception("flow log %s: a record was not written", flow_log.id)


def line(template: str, record: Record) -> str:
    """Return a record in a flow log's format; what is not known here is a dash, as in AWS's own.

    ``template`` holds fields such as ``${srcaddr}``.
    """
    fields = record.fields
    return re.sub(r"\$\{([\w-]+)\}", lambda field: str(fields.get(field[1], "-")), template)


def _write(flow_log: Any, record: Record, account: str, region: str) -> None:
    group, stream = flow_log.log_group_name, f"{record.flow.interface.id}-all"
    logs = logs_backends[account][region]
    if not _may_write(flow_log, group, stream, account, region) or group not in logs.groups:
        flow_log.deliver_logs_status, flow_log.deliver_logs_error_message = "FAILED", "Access error"
        return
    flow_log.deliver_logs_status, flow_log.deliver_logs_error_message = "SUCCESS", None
    if stream not in logs.groups[group].streams:
        logs.create_log_stream(group, stream)
    event = {"timestamp": int(1000 * record.start), "message": line(flow_log.log_format, record)}
    logs.put_log_events(group, stream, [event])


def _may_write(flow_log: Any, group: str, stream: str, account: str, region: str) -> bool:
    role = flow_log.deliver_logs_permission_arn
    if not role or find_role(role) is None:
        return False
    source = f"arn:aws:ec2:{region}:{account}:vpc-flow-log/{flow_log.id}"
    if not service_may_assume(SERVICE, role, account=account, source_arn=source).allowed:
        return False
    here = f"arn:aws:logs:{region}:{account}:log-group"
    needed = [(action, f"{here}:{group}:log-stream:{stream}") for action in _STREAM_ACTIONS]
    needed.append(("DescribeLogGroups", f"{here}:*"))
    return all(role_may(role, f"logs:{action}", resource, region=region).allowed for action, resource in needed)
