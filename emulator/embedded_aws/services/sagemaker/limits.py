"""Unsupported members of CreateTrainingJob: better refused than half done."""

from __future__ import annotations

import re
from typing import Any

from embedded_aws.jobs import contract

CHECKPOINTS = "/opt/ml/checkpoints"


def not_emulated(request: dict[str, Any]) -> str | None:
    """Name what a request lacks to be run here, or None."""
    values = contract.decoded(request.setdefault("HyperParameters", {}))
    program, bundle = str(values.get("sagemaker_program", "")), str(values.get("sagemaker_submit_directory", ""))
    channels = request.get("InputDataConfig", [])
    sources = [channel["DataSource"].get("S3DataSource") for channel in channels]
    modes = [request["AlgorithmSpecification"]["TrainingInputMode"], *(item.get("InputMode") for item in channels)]
    names = [channel["ChannelName"] for channel in channels]
    checks = {
        "sagemaker_program must name a .py file of the bundle": contract.ENTRY_POINT.fullmatch(program),
        "sagemaker_submit_directory must be an s3:// URI of a tar.gz": bundle.startswith("s3://"),
        "one instance per job, InstanceCount 1": request.get("ResourceConfig", {}).get("InstanceCount", 1) == 1,
        "ResourceConfig with an InstanceType": "InstanceType" in request.get("ResourceConfig", {}),
        "input mode File": all(mode in (None, "File") for mode in modes),
        "channels with an S3DataSource of type S3Prefix": all(
            source and source["S3DataType"] == "S3Prefix" for source in sources
        ),
        "channels that are not compressed": all(
            channel.get("CompressionType", "None") == "None" for channel in channels
        ),
        "checkpoints in /opt/ml/checkpoints": request.get("CheckpointConfig", {})
        .get("LocalPath", CHECKPOINTS)
        .rstrip("/")
        == CHECKPOINTS,
        "channel names that differ": len(set(names)) == len(names),
        "metric expressions that Python's re understands": all(
            _is_pattern(item["Regex"]) for item in request["AlgorithmSpecification"].get("MetricDefinitions", [])
        ),
    }
    wanting = [words for words, met in checks.items() if not met]
    return f"The embedded AWS runs script-mode jobs and needs: {'; '.join(wanting)}" if wanting else None


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True
