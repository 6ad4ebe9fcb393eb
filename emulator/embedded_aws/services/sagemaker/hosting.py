"""Hosting: models that are served by endpoints and in batches; what serves is in ``jobs/serving``."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from moto.sagemaker.exceptions import AWSValidationException, ResourceInUseException

from embedded_aws.jobs import contract, transfer
from embedded_aws.jobs.serving import CODE, Server, ServingFailed
from embedded_aws.services.sagemaker.hosted import Endpoint, EndpointConfig, Model, TransformJob
from embedded_aws.services.sagemaker.job import ENDED
from embedded_aws.services.sagemaker.limits import IMAGE
from embedded_aws.services.servicequotas import quotas

MEGABYTE = 1_000_000
PAYLOAD = 6  # megabytes of one request of a batch, where nothing else is said
NO_PING = (
    "The primary container for production variant {} did not pass the ping health check. Please check CloudWatch logs "
    "for this endpoint."
)
SEE_LOGS = "{}: See job logs for more information"
log = logging.getLogger(__name__)


class Hosting:
    """The part of a SageMaker account that serves models; a base of the backend."""

    account_id: str
    region_name: str
    setting: Any
    client: Any
    _check_role: Any
    _check_image: Any
    _credentials: Any

    def _open(self) -> None:
        """Begin with nothing; in the place of moto's."""
        self._models: dict[str, Model] = {}
        self.transform_jobs: dict[str, TransformJob] = {}
        self.endpoint_configs: dict[str, EndpointConfig] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self._hosting = threading.Lock()

    @property
    def models(self) -> dict[str, Model]:
        """Every model, by name."""
        return self._models

    def make_model(self, request: dict[str, Any]) -> Model:
        """Check a CreateModel request, and keep the model."""
        if message := _model_not_emulated(request):
            raise NotImplementedError(message)
        model, role = self._made(Model, request), request["ExecutionRoleArn"]
        self._check_role(role, f"model/{model.name}")
        container = request["PrimaryContainer"]
        self._check_image(role, container["Image"])
        bucket, key = transfer.split_uri(container["ModelDataUrl"])
        s3 = self.client("s3", self._credentials(role))
        try:
            s3.head_object(Bucket=bucket, Key=key)
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NoSuchBucket"):
                raise AWSValidationException(f"Could not find model data at {container['ModelDataUrl']}.") from error
            raise AWSValidationException(
                f'Could not access model data at {container["ModelDataUrl"]}. Please ensure that the role "{role}" '
                'exists and that its trust relationship policy allows the action "sts:AssumeRole" for the service '
                'principal "sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" permissions and '
                f"that the object is located in {self.region_name}."
            ) from error
        finally:
            s3.close()
        with self._hosting:
            if model.name in self._models:
                raise AWSValidationException(f'Cannot create already existing model "{model.arn}".')
            self._models[model.name] = model
        return model

    def make_endpoint_config(self, request: dict[str, Any]) -> EndpointConfig:
        """Check a CreateEndpointConfig request, and keep it."""
        variants = request["ProductionVariants"]
        if len(variants) != 1 or not {"ModelName", "InstanceType", "InitialInstanceCount"} <= variants[0].keys():
            raise NotImplementedError("an endpoint with other than one variant, of one model on instances of one type")
        if variants[0]["InitialInstanceCount"] != 1:
            raise NotImplementedError("an endpoint on more than one instance")
        config = self._made(EndpointConfig, request)
        self.found(Model, variants[0]["ModelName"])
        with self._hosting:
            if config.name in self.endpoint_configs:
                raise AWSValidationException(f'Cannot create already existing endpoint configuration "{config.arn}".')
            self.endpoint_configs[config.name] = config
        return config

    def make_endpoint(self, request: dict[str, Any]) -> Endpoint:
        """Check a CreateEndpoint request, and bring the model up."""
        config = self.found(EndpointConfig, request["EndpointConfigName"])
        model = self.found(Model, config.variant["ModelName"])
        endpoint = Endpoint(request, config, account=self.account_id, region=self.region_name)
        machine = config.variant["InstanceType"]
        with self._hosting:
            if endpoint.name in self.endpoints:
                raise AWSValidationException(f'Cannot create already existing endpoint "{endpoint.arn}".')
            used = sum(other.config.variant["InstanceType"] == machine for other in self.endpoints.values())
            quotas.check(quotas.endpoint(machine), account=self.account_id, region=self.region_name, used=used)
            self.endpoints[endpoint.name] = endpoint
        stream = f"{config.variant['VariantName']}/i-{id(endpoint):017x}"
        endpoint.server = self._server(
            model, endpoint.arn, group=f"/aws/sagemaker/Endpoints/{endpoint.name}", stream=stream
        )
        threading.Thread(target=self._bring_up, args=(endpoint,), name=endpoint.name, daemon=True).start()
        return endpoint

    def _bring_up(self, endpoint: Endpoint) -> None:
        try:
            endpoint.server.start()
            endpoint.enter("InService")
        except ServingFailed as failure:
            log.info("endpoint %s: %s", endpoint.name, failure)
            endpoint.server.stop()
            endpoint.enter("Failed", NO_PING.format(endpoint.config.variant["VariantName"]))
        except Exception as error:
            log.exception("endpoint %s", endpoint.name)
            endpoint.server.stop()
            endpoint.enter("Failed", f"the embedded AWS failed, see its log ({type(error).__name__})")

    def remove_endpoint(self, name: str) -> None:
        """Take an endpoint down."""
        endpoint = self.found(Endpoint, name)
        if endpoint.status in ("Creating", "Deleting"):
            raise AWSValidationException(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        endpoint.enter("Deleting")

        def take_down() -> None:
            endpoint.server.stop()
            with self._hosting:
                self.endpoints.pop(name, None)

        threading.Thread(target=take_down, daemon=True).start()

    def forget(self, kind: type[Model] | type[EndpointConfig], name: str) -> None:
        """Forget a model or a configuration."""
        self.found(kind, name)
        with self._hosting:
            self._all(kind).pop(name, None)

    def found(self, kind: Any, name: str) -> Any:
        """Return a thing by its kind and name.

        Raises
        ------
        AWSValidationException
            If there is none.
        """
        things = self._all(kind)
        if name not in things:
            arn = f"arn:aws:sagemaker:{self.region_name}:{self.account_id}:{kind.KIND}/{name.lower()}"
            words = {EndpointConfig: "endpoint configuration", TransformJob: "transform job"}.get(kind, kind.KIND)
            raise AWSValidationException(f'Could not find {words} "{arn}".')
        return things[name]

    def start_transform(self, request: dict[str, Any]) -> TransformJob:
        """Check a CreateTransformJob request, and start the job."""
        if message := _transform_not_emulated(request):
            raise NotImplementedError(message)
        model = self.found(Model, request["ModelName"])
        job = self._made(TransformJob, request)
        machine = request["TransformResources"]["InstanceType"]
        with self._hosting:
            if job.name in self.transform_jobs:
                raise ResourceInUseException(
                    "Job name must be unique within an AWS account and region, and a job with this name already exists "
                    f"({job.arn})"
                )
            going = [other for other in self.transform_jobs.values() if other.status not in ENDED]
            used = sum(other.request["TransformResources"]["InstanceType"] == machine for other in going)
            quotas.check(quotas.transform(machine), account=self.account_id, region=self.region_name, used=used)
            self.transform_jobs[job.name] = job
        threading.Thread(target=self._transform, args=(job, model), name=job.name, daemon=True).start()
        return job

    def stop_transform(self, name: str) -> None:
        """Ask a job to end."""
        job = self.found(TransformJob, name)
        if not job.stop():
            raise AWSValidationException(
                f"The request was rejected because the transform job is in status {job.status}."
            )

    def _transform(self, job: TransformJob, model: Model) -> None:
        stream = f"{job.name}/i-{id(job):017x}"
        server = self._server(
            model, job.arn, group="/aws/sagemaker/TransformJobs", stream=stream, more=job.request.get("Environment", {})
        )
        try:
            server.start()
            job.started = datetime.now(UTC)
            failure = self._batch(job, model, server)
            job.finish("Stopped" if job.stopping.is_set() else "Failed" if failure else "Completed", failure)
        except ServingFailed as failed:
            log.info("transform job %s: %s", job.name, failed)
            job.finish("Failed", SEE_LOGS.format("AlgorithmError"))
        except transfer.TransferError as error:
            job.finish("Failed", f"ClientError: {error}"[:1024])
        except Exception as error:
            log.exception("transform job %s", job.name)
            job.finish("Failed", f"InternalServerError: the embedded AWS failed, see its log ({type(error).__name__})")
        finally:
            server.stop()

    def _batch(self, job: TransformJob, model: Model, server: Server) -> str:
        """Send every object through the model; return why the job fails, if it does. What went well is stored."""
        given, taken = job.request["TransformInput"], job.request["TransformOutput"]
        source = given["DataSource"]["S3DataSource"]["S3Uri"]
        s3 = self.client("s3", self._credentials(model.request["ExecutionRoleArn"]))
        (bucket, prefix), failure = transfer.split_uri(source), ""
        newline = b"\n" if taken.get("AssembleWith") == "Line" else b""
        for key in transfer.keys(s3, source):
            if job.stopping.is_set():
                break
            body, answers = transfer.read(s3, bucket, key), []
            for payload in _payloads(body, job.request):
                answer = self._asked(server, payload, given.get("ContentType", ""), taken.get("Accept", ""))
                if answer.status != 200:
                    kind = "ClientError" if answer.status < 500 else "AlgorithmError"
                    server.log.feed("stdout", f"[sagemaker logs]: {bucket}/{key}: {kind}: {answer.status}\n".encode())
                    failure = failure or SEE_LOGS.format(kind)
                    break
                answers.append(answer.body + newline)
            else:
                name = transfer.below(taken["S3OutputPath"], f"{transfer.relative_path(key, prefix)}.out")
                transfer.store(s3, name, b"".join(answers), key_id=taken.get("KmsKeyId", ""))
        s3.close()
        return failure

    @staticmethod
    def _asked(server: Server, payload: bytes, content_type: str, accept: str) -> Any:
        try:
            return server.invoke(payload, content_type=content_type, accept=accept)
        except OSError as error:
            raise ServingFailed(f"the model's process does not answer: {error}") from error

    def _server(self, model: Model, arn: str, *, group: str, stream: str, more: dict[str, str] | None = None) -> Server:
        role, isolated = model.request["ExecutionRoleArn"], model.request.get("EnableNetworkIsolation", False)
        credentials = self._credentials(role)
        name = arn.rpartition(":")[2].replace("/", "-")
        request = {"TrainingJobName": name, "EnableNetworkIsolation": isolated}
        return Server(
            name, arn, folder=self.setting.jobs / self.account_id / name,
            model_data=model.request["PrimaryContainer"]["ModelDataUrl"], environment=model.environment | (more or {}),
            client=lambda service: self.client(service, credentials), credentials={} if isolated else credentials,
            plug_in=partial(
                self.setting.network.plug_in, request, account=self.account_id, region=self.region_name, job_arn=arn,
                access_key=credentials["AWS_ACCESS_KEY_ID"],
            ),
            group=group, stream=stream,
        )  # fmt: skip

    def _made(self, kind: Any, request: dict[str, Any]) -> Any:
        return kind(request, account=self.account_id, region=self.region_name)

    def _all(self, kind: Any) -> dict[str, Any]:
        return {
            Model: self._models, EndpointConfig: self.endpoint_configs, Endpoint: self.endpoints,
            TransformJob: self.transform_jobs,
        }[kind]  # fmt: skip


def _payloads(body: bytes, request: dict[str, Any]) -> Iterator[bytes]:
    """Cut an object into requests: all of it, its lines one by one, or as many lines as a request may hold."""
    most = request.get("MaxPayloadInMB", PAYLOAD) * MEGABYTE
    if request["TransformInput"].get("SplitType", "None") == "None":
        yield body
        return
    lines = body.splitlines(keepends=True)
    if request.get("BatchStrategy", "MultiRecord") == "SingleRecord":
        yield from lines
        return
    batch: list[bytes] = []
    size = 0
    for line in lines:
        if batch and size + len(line) > most:
            yield b"".join(batch)
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield b"".join(batch)


def _model_not_emulated(request: dict[str, Any]) -> str:
    """Name what a CreateModel request lacks to be served here; empty if it can be."""
    container = request.get("PrimaryContainer", {})
    environment = container.get("Environment", {})
    checks = {
        "ExecutionRoleArn": "ExecutionRoleArn" in request,
        "PrimaryContainer with a SageMaker scikit-learn image": IMAGE.fullmatch(container.get("Image", "")),
        "ModelDataUrl, the s3:// URI of a tar.gz": container.get("ModelDataUrl", "").startswith("s3://"),
        "SAGEMAKER_PROGRAM, a .py file": contract.ENTRY_POINT.fullmatch(environment.get("SAGEMAKER_PROGRAM", "")),
        f"SAGEMAKER_SUBMIT_DIRECTORY {CODE}": environment.get("SAGEMAKER_SUBMIT_DIRECTORY") == CODE,
    }
    wanting = [words for words, met in checks.items() if not met]
    return f"The embedded AWS serves models of script mode and needs: {'; '.join(wanting)}" if wanting else ""


def _transform_not_emulated(request: dict[str, Any]) -> str:
    given, resources = request["TransformInput"], request["TransformResources"]
    checks = {
        "one instance, InstanceCount 1": resources["InstanceCount"] == 1,
        "an S3DataSource of type S3Prefix": given["DataSource"]["S3DataSource"]["S3DataType"] == "S3Prefix",
        "input that is not compressed": given.get("CompressionType", "None") == "None",
        "SplitType None or Line": given.get("SplitType", "None") in ("None", "Line"),
    }
    wanting = [words for words, met in checks.items() if not met]
    return f"The embedded AWS runs transform jobs and needs: {'; '.join(wanting)}" if wanting else ""
