"""Small experiments that the notebooks show: steps in the wrong place, and calls that must be refused."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import pandas as pd
from botocore.exceptions import ClientError
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score, roc_auc_score

from client_code import schema
from client_code.problem import Problem
from data_prep import balance, split
from workshop.aws.jobs import ClientAccount
from workshop.aws.kickoff import job_name, training_request
from workshop.errors import AccountError

DENIALS = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


def smote_before_and_after_the_split(frame: pd.DataFrame, problem: Problem, *, seed: int) -> pd.DataFrame:
    """Score a forest on rows that SMOTE had touched before the split, and on rows it never saw.

    Parameters
    ----------
    frame : DataFrame
        Real rows with their label, deduplicated.

    Returns
    -------
    DataFrame
        ROC AUC and average precision, one line for each order of the two steps.
    """
    train, test = split.hold_out(frame, problem, seed=seed)
    leaked_train, leaked_test = split.hold_out(balance.smote(frame, problem, ratio=1.0, seed=seed), problem, seed=seed)
    orders = {
        "before the split": (leaked_train, leaked_test),
        "after the split": (balance.smote(train, problem, ratio=1.0, seed=seed), test),
    }
    lines = {}
    for order, (fitted, scored) in orders.items():
        forest = RandomForestClassifier(n_estimators=60, random_state=seed, n_jobs=1)
        forest.fit(*schema.to_arrays(fitted, problem))
        features, labels = schema.to_arrays(scored, problem)
        probabilities = forest.predict_proba(features)[:, 1]
        lines[order] = {
            "ROC AUC": roc_auc_score(labels, probabilities),
            "average precision": average_precision_score(labels, probabilities),
        }
    return pd.DataFrame(lines).T.rename_axis("SMOTE")


def refused(call: Callable, **request: object) -> str:
    """Make an AWS call that must be refused, and return AWS's words.

    An error in a cell would stop papermill, even where it is the lesson; and a call that is allowed by mistake would
    look like success. Here it is the other way round.

    Parameters
    ----------
    call : callable
        A method of a boto3 client.
    **request
        Its arguments.

    Raises
    ------
    AccountError
        If AWS allowed the call, or failed for another reason than a missing permission.
    """
    try:
        call(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] in DENIALS:
            return textwrap.fill(str(error), 100, break_long_words=False, break_on_hyphens=False) + "\n"
        raise AccountError(f"{call.__name__} failed, but not for a missing permission: {error}") from error
    raise AccountError(f"{call.__name__} was allowed, and must not be: do not go on before it is clear why")


def job_request(client: ClientAccount, *, image: str) -> dict[str, Any]:
    """Return a complete request for a job in a client's account that would reach no server; to be refused."""
    return training_request(
        client, name=job_name(client.name), image=image, server_address="192.0.2.1:1", ca_certificate="none",
        join_deadline=1,
    )  # fmt: skip
