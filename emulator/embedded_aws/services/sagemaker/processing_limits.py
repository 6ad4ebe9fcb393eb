"""Unsupported members of CreateProcessingJob: better refused than half done.

They are on the door list, so that IAM decides first: who hears of this was allowed to ask for it.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from embedded_aws.gate import door
from embedded_aws.jobs import processing, spark
from embedded_aws.services.sagemaker.limits import ANY_IMAGE

BELOW = "/opt/ml/processing/"
PYTHONS = ("python", "python3")
# What is acted on. One machine is like another here, and a job alone has nobody to encrypt its traffic to.
_MEMBERS = door.read(
    "ProcessingJobName RoleArn Environment Tags AppSpecification{ImageUri ContainerEntrypoint ContainerArguments}"
    " ProcessingInputs{InputName AppManaged"
    " S3Input{S3Uri LocalPath S3DataType S3InputMode S3DataDistributionType S3CompressionType}}"
    " ProcessingOutputConfig{KmsKeyId Outputs{OutputName AppManaged S3Output{S3Uri LocalPath S3UploadMode}}}"
    " ProcessingResources{ClusterConfig{InstanceType InstanceCount VolumeSizeInGB}}"
    " NetworkConfig{EnableNetworkIsolation VpcConfig EnableInterContainerTrafficEncryption}"
    " StoppingCondition{MaxRuntimeInSeconds}"
)


def not_emulated(request: dict[str, Any]) -> str | None:
    """Name what a request has that is not acted on, or lacks to be run here; None if it can be run."""
    if odd := next(door.not_understood(_MEMBERS, request), ""):
        return f"The embedded AWS does not act on {odd} of CreateProcessingJob"
    inputs = request.get("ProcessingInputs", [])
    outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
    sources, targets = [item.get("S3Input", {}) for item in inputs], [item.get("S3Output", {}) for item in outputs]
    moved, filled = [*sources, *targets], {PurePosixPath(item.get("LocalPath", "")) for item in sources}
    machine, image = request["ProcessingResources"]["ClusterConfig"], request["AppSpecification"]["ImageUri"]
    program, *arguments = processing.command(request) or [""]
    script = processing.is_spark(image) or (program in PYTHONS and arguments)

    def all_are(member: str, value: str) -> bool:
        return all(item.get(member, value) == value for item in moved)

    checks = {
        "ImageUri: a SageMaker scikit-learn or Spark processing image": ANY_IMAGE.fullmatch(image),
        "ContainerEntrypoint python3 and a script with the scikit-learn image": script,
        f"ContainerEntrypoint {spark.SUBMIT}, or none, with the Spark image": program == spark.SUBMIT
        or not processing.is_spark(image),
        "one machine per processing job, InstanceCount 1": machine.get("InstanceCount", 1) == 1,
        "ClusterConfig with an InstanceType": "InstanceType" in machine,
        "AppManaged false": not any(item.get("AppManaged", False) for item in (*inputs, *outputs)),
        "an S3Input of each input, an S3Output of each output": all(moved),
        "S3Uri that begins with s3://": all(item.get("S3Uri", "").startswith("s3://") for item in moved),
        "S3DataType S3Prefix": all_are("S3DataType", "S3Prefix"),
        "S3InputMode File": all_are("S3InputMode", "File"),
        "S3DataDistributionType FullyReplicated": all_are("S3DataDistributionType", "FullyReplicated"),
        "S3CompressionType None": all_are("S3CompressionType", "None"),
        "S3UploadMode EndOfJob": all_are("S3UploadMode", "EndOfJob"),
        f"LocalPath that begins with {BELOW}": all(_is_below(item.get("LocalPath", "")) for item in moved),
        "a LocalPath of its own for each input": len(filled) == len(sources),
    }
    wanting = [words for words, met in checks.items() if not met]
    return f"The embedded AWS runs processing jobs and needs: {'; '.join(wanting)}" if wanting else None


def _is_below(place: str) -> bool:
    path = PurePosixPath(place)
    return place.startswith(BELOW) and ".." not in path.parts and "\0" not in place and str(path) != BELOW.rstrip("/")
