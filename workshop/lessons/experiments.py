"""Small experiments that the notebooks show: steps in the wrong place, and calls that must be refused."""

from __future__ import annotations

import contextlib
import secrets
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
from botocore.exceptions import ClientError
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score, roc_auc_score

from client_code import schema, task
from client_code.problem import Problem
from data_prep import balance, split
from workshop.aws import accounts, connections, deployment, stacks
from workshop.aws.blueprint import SAGEMAKER
from workshop.aws.jobs import ClientAccount, TrainingJob
from workshop.aws.kickoff import REFUSED, OwnersMachine, job_name, machine_input, training_request
from workshop.aws.members import Members
from workshop.aws.steps import Placement
from workshop.errors import AccountError, JobError
from workshop.science.baselines import ClientRows

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
    frame, problem = frame[list(problem.names)], replace(problem, owner="")  # whose row it is plays no part
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


def running_apart(
    folders: Mapping[str, Path], problem: Problem, *, iterations: Sequence[int], seed: int
) -> pd.DataFrame:
    """Say how far clients' models lie from their weighted mean after one round of local training (client drift).

    Parameters
    ----------
    folders : mapping
        By owner, the folder of its files.
    iterations : sequence of int
        Of the solver, from one common start.

    Returns
    -------
    DataFrame
        One line per owner and one column per number of iterations: the distance as a share of the mean's length.

    Source: Karimireddy et al. 2020, SCAFFOLD: Stochastic Controlled Averaging for Federated Learning, section 4.
    """
    clients = {owner: ClientRows.read(folder, problem) for owner, folder in folders.items()}
    rows = list(clients.values())
    scaler = task.pooled_scaler([task.statistics(own.real[0], problem) for own in rows], problem)
    weights = [len(own.real[1]) for own in rows]
    columns = {}
    for often in iterations:
        model = task.new_model(max_iter=often, seed=seed)
        start = [np.zeros((1, len(scaler.mean))), np.zeros(1)]
        ends = [task.fit(model, start, task.transform(own.train[0], scaler, problem), own.train[1]) for own in rows]
        flat = np.array([np.concatenate([coef[0], intercept]) for coef, intercept in ends])
        mean = np.average(flat, axis=0, weights=weights)
        columns[f"{often} iterations"] = np.linalg.norm(flat - mean, axis=1) / np.linalg.norm(mean)
    return pd.DataFrame(columns, index=pd.Index(clients, name="owner"))


def without_indicators(problem: Problem) -> Problem:
    """Return the problem of a model that is not told where a value is missing."""
    return replace(problem, features=tuple(replace(column, indicator=False) for column in problem.features))


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
            return _filled(str(error))
        raise AccountError(f"{call.__name__} failed, but not for a missing permission: {error}") from error
    raise AccountError(f"{call.__name__} was allowed, and must not be: do not go on before it is clear why")


def job_request(client: ClientAccount, *, image: str, entry_point: Sequence[str] = ()) -> dict[str, Any]:
    """Return a complete request for a job in a client's account that would reach no server; to be refused.

    Parameters
    ----------
    entry_point : sequence of str
        What to run in the place of the image's own program.
    """
    request = training_request(
        client, name=job_name(client.name), image=image, server_address="192.0.2.1:1", ca_certificate="none",
        join_deadline=1,
    )  # fmt: skip
    if entry_point:
        request["AlgorithmSpecification"] |= {"ContainerEntrypoint": list(entry_point)}
    return request


def refused_by_the_machine(client: ClientAccount, session: boto3.Session, **odd: Any) -> str:
    """Start an owner's state machine with something odd in its input; return its reason for refusing.

    Parameters
    ----------
    session : Session
        Of the kick-off role.
    **odd
        Values in the place of the agreed ones, or beside them.

    Raises
    ------
    AccountError
        If the machine took it.
    """
    run = secrets.token_hex(4)
    given = machine_input(run=run, attempt=1, server_address="192.0.2.1:1111", ca_certificate="M" * 200)
    machine = OwnersMachine(TrainingJob(client, job_name(client.name, run), session), given | odd)
    try:
        machine.ask()
    except JobError as error:
        if REFUSED in str(error):
            return _filled(str(error))
        raise
    raise AccountError(f"the machine of {client.name} took {odd}, and must not: do not go on before it is clear why")


@contextlib.contextmanager
def published_for_a_moment(federation: Members, name: str) -> Iterator[tuple[Any, str]]:
    """Let a client's owner choose the published way while the block runs.

    Yields
    ------
    client, str
        SageMaker in the client's account, as the server's borrowed role reaches it; and an image that there is not, so
        that no job starts.
    """
    (step,) = SAGEMAKER.only(["client-access"])
    stack = deployment.stack_of(federation, Placement(step, name))
    session, known = federation.sessions[name], dict(federation.outputs[name])
    changed = replace(stack, parameters={**stack.parameters, "KickOff": "published"})
    try:
        federation.outputs[name][changed.name] = dict(stacks.deploy(session, changed).outputs)
        client = connections.client_account(federation, name)
        role = federation.outputs["server"]["fl-server-access"]["NotebookRoleArn"]
        lent = accounts.borrow(accounts.notebook_session(role), client, session_name="lesson")
        yield lent.client("sagemaker"), f"{stack.parameters['TrainingImage'].partition(':')[0]}:there-is-none"
    finally:
        stacks.deploy(session, stack)
        federation.outputs[name].update(known)


def let_through(call: Callable, **request: object) -> str:
    """Make an AWS call that IAM allows and that fails all the same; return why it failed.

    Raises
    ------
    AccountError
        If IAM refused it, or nothing did.
    """
    try:
        call(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] not in DENIALS:
            return _filled(f"IAM allowed it. Then: {error}")
        raise AccountError(f"{call.__name__} was refused: {error}") from error
    raise AccountError(f"{call.__name__} went through: stop the job that it has started")


def _filled(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False) + "\n"
