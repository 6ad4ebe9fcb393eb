"""SageMaker's container contract: ``SM_*`` variables, arguments and configuration files that a script sees.

Names, order and spelling are those of sagemaker-training 5.1.4; ``tests/jobs`` compares the two.
Source: AWS, "How Amazon SageMaker AI provides training information".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HOST = "algo-1"
GROUP = "homogeneousCluster"
# Read by the platform: neither arguments of the script nor framework parameters.
_PLATFORM = {
    "sagemaker_program",
    "sagemaker_submit_directory",
    "sagemaker_enable_cloudwatch_metrics",
    "sagemaker_region",
    "sagemaker_container_log_level",
    "sagemaker_job_name",
    "default_user_module_name",
    "_tuning_objective_metric",
    "sagemaker_s3_output",
}
ENTRY_POINT = re.compile(r"(?!-)[\w+-][\w.+-]*(/[\w+-][\w.+-]*)*\.py")


def decoded(raw: Mapping[str, str]) -> dict[str, Any]:
    """Decode every hyperparameter that is JSON; others stay the text they are.

    >>> decoded({"max-iter": "10", "penalty": "l2", "quoted": '"l2"'})
    {'max-iter': 10, 'penalty': 'l2', 'quoted': 'l2'}
    """
    values: dict[str, Any] = {}
    for name, text in raw.items():
        try:
            values[name] = json.loads(text)
        except (ValueError, RecursionError):
            values[name] = text
    return values


def region(values: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """Return what the toolkit sets ``SAGEMAKER_REGION`` to: its hyperparameter, else boto3's own default, else nothing.

    >>> region({"sagemaker_region": "eu-west-1"}, {}), region({}, {"AWS_DEFAULT_REGION": "eu-west-2"}), region({}, {})
    ('eu-west-1', 'eu-west-2', '')
    """
    return str(values.get("sagemaker_region", environment.get("AWS_DEFAULT_REGION")) or "")


def user_hyperparameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters that are meant for the script."""
    return {name: value for name, value in values.items() if name not in _PLATFORM and not _is_framework(name)}


def arguments(values: Mapping[str, Any]) -> list[str]:
    """Spell hyperparameters as the script's arguments, sorted by name.

    >>> arguments({"penalty": "l2", "max-iter": 10, "C": 0.5, "nested": {"b": 1, "a": 2}})
    ['-C', '0.5', '--max-iter', '10', '--nested', 'a=2,b=1', '--penalty', 'l2']
    """
    spelled: list[str] = []
    for name in sorted(values):
        value = values[name]
        if isinstance(value, dict):
            value = ",".join(f"{key}={item}" for key, item in sorted(value.items()))
        spelled += [f"--{name}" if len(name) > 1 else f"-{name}", "" if value is None else str(value)]
    return spelled


def resource_config(instance_type: str) -> dict[str, Any]:
    """Return ``resourceconfig.json`` of a job on one instance."""
    group = {"instance_group_name": GROUP, "instance_type": instance_type, "hosts": [HOST]}
    return {
        "current_host": HOST,
        "current_instance_type": instance_type,
        "current_group_name": GROUP,
        "hosts": [HOST],
        "instance_groups": [group],
        "network_interface_name": "eth0",
    }


def input_data_config(channels: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Return ``inputdataconfig.json`` of the request's channels."""
    described = {}
    for channel in channels:
        described[channel["ChannelName"]] = {
            **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
            "TrainingInputMode": "File",
            "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                "S3DataDistributionType", "FullyReplicated"
            ),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
    return described


def environment(
    base: Path,
    *,
    job_name: str,
    hyperparameters: Mapping[str, Any],
    resources: Mapping[str, Any],
    channels: Mapping[str, Any],
    n_cpus: int | None = None,
) -> dict[str, str]:
    """Return the ``SM_*`` variables of a job.

    Parameters
    ----------
    base : Path
        What ``/opt/ml`` is in a container.
    job_name : str
        Name of the training job.
    hyperparameters : mapping
        All of them, decoded.
    resources, channels : mapping
        From :func:`resource_config` and :func:`input_data_config`.
    n_cpus : int, optional
        Default: what this machine has.
    """
    user = user_hyperparameters(hyperparameters)
    program = str(hyperparameters["sagemaker_program"])
    folders = {name: str(base / "input" / "data" / name) for name in channels}
    groups = {group["instance_group_name"]: group for group in resources["instance_groups"]}
    common = {
        "current_host": resources["current_host"],
        "current_instance_group": resources["current_group_name"],
        "current_instance_group_hosts": groups[resources["current_group_name"]]["hosts"],
        "current_instance_type": resources["current_instance_type"],
        "distribution_instance_groups": [],
        "framework_module": None,
        "hosts": resources["hosts"],
        "input_config_dir": str(base / "input" / "config"),
        "input_data_config": channels,
        "input_dir": str(base / "input"),
        "instance_groups": list(groups),
        "instance_groups_dict": groups,
        "is_hetero": len(groups) > 1,
        "log_level": hyperparameters.get("sagemaker_container_log_level", 20),
        "model_dir": str(base / "model"),
        "module_dir": str(hyperparameters["sagemaker_submit_directory"]),
        "module_name": program.removesuffix(".py"),
        "network_interface_name": resources["network_interface_name"],
        "num_cpus": n_cpus or os.cpu_count() or 1,
        "num_gpus": 0,
        "num_neurons": 0,
        "output_data_dir": str(base / "output" / "data"),
        "output_dir": str(base / "output"),
        "output_intermediate_dir": str(base / "output" / "intermediate"),
        "resource_config": resources,
        "user_entry_point": program,
    }
    framework = {name: value for name, value in hyperparameters.items() if _is_framework(name)}
    training_env = {
        **common,
        "additional_framework_parameters": framework,
        "channel_input_dirs": folders,
        "distribution_hosts": [],
        "hyperparameters": user,
        "is_master": True,
        "is_modelparallel_enabled": None,
        "is_smddpmprun_installed": False,
        "is_smddprun_installed": False,
        "job_name": job_name,
        "master_hostname": resources["hosts"][0],
        "topology": [],
    }
    variables = {
        **common,
        "hps": user,
        "framework_params": framework,
        "channels": sorted(folders),
        "training_env": training_env,
        "user_args": arguments(user),
        **{f"channel_{name}": folder for name, folder in folders.items()},
        **{f"hp_{name}": value for name, value in user.items()},
    }
    return {f"SM_{name.upper()}": _text(value) for name, value in variables.items()}


def _is_framework(name: str) -> bool:
    return name.startswith("sagemaker_") and name not in _PLATFORM


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
