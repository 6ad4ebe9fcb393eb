"""Unsupported members of CreateTrainingJob: better refused than half done.

They are on the door list, so that IAM decides first: who hears of this was allowed to ask for it.
"""

from __future__ import annotations

import re
from typing import Any

from embedded_aws.gate import door
from embedded_aws.jobs import contract

CHECKPOINTS = "/opt/ml/checkpoints"
# The image whose work this Python does: script mode, with SageMaker's training toolkit.
_REGISTRY = r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z0-9.]+"
_VERSION = r"(:[\w.-]+|@sha256:[0-9a-f]{64})"
IMAGE = re.compile(rf"{_REGISTRY}/(?P<repository>sagemaker-scikit-learn){_VERSION}", re.ASCII)
# Processing jobs have another image besides: Spark, which this machine has or has not.
ANY_IMAGE = re.compile(
    rf"{_REGISTRY}/(?P<repository>sagemaker-scikit-learn|sagemaker-spark-processing){_VERSION}", re.ASCII
)
# What is acted on. One machine is like another here, and a job alone has nobody to encrypt its traffic to.
_MEMBERS = door.read(
    "TrainingJobName HyperParameters RoleArn Environment VpcConfig Tags EnableNetworkIsolation"
    " AlgorithmSpecification{TrainingImage TrainingInputMode MetricDefinitions EnableSageMakerMetricsTimeSeries}"
    " InputDataConfig{ChannelName ContentType CompressionType InputMode RecordWrapperType"
    " DataSource{S3DataSource{S3DataType S3Uri S3DataDistributionType}}}"
    " OutputDataConfig{S3OutputPath KmsKeyId} CheckpointConfig{S3Uri LocalPath}"
    " ResourceConfig{InstanceType InstanceCount VolumeSizeInGB} StoppingCondition{MaxRuntimeInSeconds}"
    " EnableInterContainerTrafficEncryption EnableManagedSpotTraining ProfilerConfig{DisableProfiler}"
    " RemoteDebugConfig{EnableRemoteDebug}"
)


def not_emulated(request: dict[str, Any]) -> str | None:
    """Name what a request has that is not acted on, or lacks to be run here; None if it can be run."""
    if odd := next(door.not_understood(_MEMBERS, request), ""):
        return f"The embedded AWS does not act on {odd} of CreateTrainingJob"
    values = contract.decoded(request.setdefault("HyperParameters", {}))
    program, bundle = str(values.get("sagemaker_program", "")), str(values.get("sagemaker_submit_directory", ""))
    channels = request.get("InputDataConfig", [])
    sources = [channel["DataSource"].get("S3DataSource") for channel in channels]
    modes = [request["AlgorithmSpecification"]["TrainingInputMode"], *(item.get("InputMode") for item in channels)]
    names = [channel["ChannelName"] for channel in channels]
    remote = request.get("RemoteDebugConfig", {}).get("EnableRemoteDebug", False)
    profiled = not request.get("ProfilerConfig", {}).get("DisableProfiler", True)
    checks = {
        "TrainingImage: a SageMaker scikit-learn image": IMAGE.fullmatch(
            request["AlgorithmSpecification"].get("TrainingImage", "")
        ),
        "no managed spot training": not request.get("EnableManagedSpotTraining", False),
        "no remote debugging": not remote,
        "no profiler": not profiled,
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
