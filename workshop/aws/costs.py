"""What the blueprint creates in an account on AWS, how long that takes, and what it costs while it stands."""

from __future__ import annotations

import pandas as pd

from workshop.aws import blueprint
from workshop.aws.choices import Choices

# List prices of us-east-1 in US dollars. Check them before you rely on them: the pages named below, or
# `aws pricing get-products --service-code AmazonSageMaker` (AmazonVPC, awskms, AmazonCloudWatch).
PRICES_OF = "May 2026"
PAGES = "aws.amazon.com/privatelink/pricing, aws.amazon.com/sagemaker/ai/pricing, aws.amazon.com/kms/pricing"
ENDPOINT_PER_ZONE = 0.01  # an hour
NOTEBOOK_ML_T3_MEDIUM = 0.05  # an hour
NOTEBOOK_DISK = 20 * 0.14 / 730  # 20 GB at 14 cents a month, also while the instance is stopped
TRAINING = {"ml.t3.medium": 0.05, "ml.t3.large": 0.1, "ml.m5.large": 0.115, "ml.m5.xlarge": 0.23}  # an hour
KEY = 1 / 730  # one dollar a month, and one more for each of the first two yearly turns
FLOW_LOGS = "flow logs: $0.50 a GB, cents"
HOURS_A_WEEK = 168


def endpoints(choices: Choices, *, server: bool) -> tuple[int, int]:
    """Return how many interface endpoints an account has, and in how many zones.

    >>> endpoints(Choices(), server=True), endpoints(Choices(), server=False)
    ((3, 1), (0, 0))
    """
    if choices.endpoints == "all":
        return 6, 2
    return (3, 1) if server else (0, 0)


def _lines(choices: Choices) -> list[tuple[str, str, str, int, float, bool]]:
    """Template, account, what stands there, minutes to make it, dollars an hour, whether it stands in an idle week."""
    machine, everywhere = choices.instance_type, choices.endpoints == "all"
    count, zones = endpoints(choices, server=True)
    where = blueprint.EVERY if everywhere else blueprint.SERVER
    return [
        ("storage", blueprint.EVERY, "bucket, key (turned once a year: +$1 a month)", 1, KEY, True),
        ("network", blueprint.EVERY, f"VPC, two subnets, group, S3 endpoint, {FLOW_LOGS}", 2, 0.0, True),
        ("endpoints", where, f"{count} endpoints, zones: {zones}", 3, count * zones * ENDPOINT_PER_ZONE, True),
        ("server-access", blueprint.SERVER, "role, policy", 1, 0.0, True),
        ("client-job", blueprint.CLIENT, "role", 1, 0.0, True),
        ("client-access", blueprint.CLIENT, "role, policy", 1, 0.0, True),
        ("peering-accepter", blueprint.CLIENT, "role", 1, 0.0, True),
        ("peering", blueprint.PER_CLIENT, "peering, route, one open port", 1, 0.0, True),
        ("peering-routes", blueprint.CLIENT, "route, leave to call one port", 1, 0.0, True),
        ("notebook-instance", blueprint.SERVER, "20 GB of disk, also while it is stopped", 6, NOTEBOOK_DISK, True),
        ("(notebook, running)", blueprint.SERVER, "ml.t3.medium", 0, NOTEBOOK_ML_T3_MEDIUM, False),
        ("(training job)", blueprint.CLIENT, f"{machine}; a stop bills 2 minutes more", 5, TRAINING[machine], False),
    ]  # fmt: skip


def table(n_clients: int, choices: Choices | None = None) -> pd.DataFrame:
    """Return one line per template, and what it costs for all accounts together.

    Parameters
    ----------
    n_clients : int
        How many client accounts there are.
    choices : Choices
        What the owners have chosen; by default what costs least.

    Returns
    -------
    DataFrame
        Where it stands, what it is, about how many minutes it takes, dollars an hour in all accounts.
    """
    lines = [
        (name, where, what, minutes, round(price * _times(where, n_clients), 3))
        for name, where, what, minutes, price, _ in _lines(choices or Choices())
    ]
    columns = ["template", "where", "what stands there", "minutes", "$ per hour, in all"]
    return pd.DataFrame(lines, columns=columns).set_index("template")


def idle_week(n_clients: int, choices: Choices | None = None, *, notebook_runs: bool = False) -> float:
    """Return dollars for a week in which everything stands and nothing runs, or only the notebook instance.

    >>> round(idle_week(2)), round(idle_week(2, notebook_runs=True)), round(idle_week(2, Choices(endpoints="all")))
    (6, 15, 62)
    """
    chosen = choices or Choices()
    hourly = sum(price * _times(where, n_clients) for _, where, _, _, price, stands in _lines(chosen) if stands)
    return HOURS_A_WEEK * (hourly + NOTEBOOK_ML_T3_MEDIUM * notebook_runs)


def _times(where: str, n_clients: int) -> int:
    return {blueprint.SERVER: 1, blueprint.EVERY: n_clients + 1}.get(where, n_clients)
