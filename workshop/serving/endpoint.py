"""SageMaker endpoints: a model that answers at once, and costs money for as long as it is up."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import boto3
import numpy as np
import pandas as pd
from botocore.exceptions import BotoCoreError, ClientError

from workshop.errors import AccountError, ModelError
from workshop.serving.models import LOOK, Served

VARIANT = "AllTraffic"
MOST_ROWS = 2000  # in one request: far from 6 MB with a hundred columns


class Asked:
    """An endpoint that is up, by SageMaker's name for it."""

    def __init__(self, session: boto3.Session, served: Served, name: str) -> None:
        self.runtime, self.served, self.name = session.client("sagemaker-runtime"), served, name

    def __call__(self, table: pd.DataFrame) -> np.ndarray:
        """Return the probability of label 1 of every row; a missing cell travels as null.

        Raises
        ------
        ModelError
            If the model does not take the table.
        AccountError
            If the endpoint is not there, or may not be asked.
        """
        scores = [self._some(table.iloc[at : at + MOST_ROWS]) for at in range(0, len(table), MOST_ROWS)]
        return np.concatenate(scores) if scores else np.empty(0)

    def _some(self, rows: pd.DataFrame) -> np.ndarray:
        columns = list(self.served.columns)
        cells = rows[columns].astype(object).where(rows[columns].notna(), None).to_numpy().tolist()
        body = json.dumps({"columns": columns, "rows": cells}, default=_plain)
        try:
            answer = self.runtime.invoke_endpoint(
                EndpointName=self.name, Body=body, ContentType="application/json", Accept="application/json"
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ModelError":
                raise AccountError(f"account server: endpoint {self.name} may not be asked: {error}") from error
            raise ModelError(
                f"endpoint {self.name} does not take the table: the reason is in the log group "
                f"/aws/sagemaker/Endpoints/{self.name}"
            ) from error
        except BotoCoreError as error:
            raise AccountError(f"account server: endpoint {self.name} does not answer: {error}") from error
        return np.array(json.loads(answer["Body"].read())["probabilities"])


def _plain(value: Any) -> Any:
    return value.item()


@contextlib.contextmanager
def endpoint(
    session: boto3.Session, served: Served, *, instance_type: str = "ml.m5.large", deadline: float = 900.0
) -> Iterator[Asked]:
    """Bring a model up while the block runs, and take it down after it, whatever happens.

    Parameters
    ----------
    deadline : float
        Seconds until it must answer; a machine takes minutes to start.

    Raises
    ------
    AccountError
        If the account refuses.
    ModelError
        If the model does not come up in time.
    """
    # One that is being deleted keeps its name for a while.
    sagemaker, name = session.client("sagemaker"), f"{served.name}-{secrets.token_hex(3)}"
    variant = {
        "VariantName": VARIANT, "ModelName": served.name, "InitialInstanceCount": 1, "InstanceType": instance_type,
    }  # fmt: skip
    try:
        try:
            sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
            sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
            _up(sagemaker, name, deadline)
        except (BotoCoreError, ClientError) as error:
            raise AccountError(f"account server: endpoint {name} is refused: {error}") from error
        yield Asked(session, served, name)
    finally:
        _down(sagemaker, name, deadline)


def _up(sagemaker: Any, name: str, deadline: float) -> None:
    give_up = time.monotonic() + deadline
    while (told := sagemaker.describe_endpoint(EndpointName=name))["EndpointStatus"] != "InService":
        if told["EndpointStatus"] == "Failed":
            raise ModelError(f"endpoint {name} does not come up: {told.get('FailureReason', '')}")
        if time.monotonic() > give_up:
            raise ModelError(f"endpoint {name} is not up after {deadline:.0f} s")
        time.sleep(LOOK)


def _down(sagemaker: Any, name: str, deadline: float) -> None:
    """Delete endpoint and configuration; one that is still being made cannot be deleted before it has come up."""
    give_up = time.monotonic() + deadline
    while time.monotonic() < give_up:
        try:
            sagemaker.delete_endpoint(EndpointName=name)
        except ClientError as error:
            if "in-progress" in str(error):
                time.sleep(LOOK)
                continue
            if "Could not find" not in str(error):
                raise AccountError(f"account server: endpoint {name} may still be up, and cost: {error}") from error
        break
    with contextlib.suppress(ClientError):  # it was not made
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
