"""What the blueprint creates in an account on AWS, how long that takes, and what it costs while it stands."""

from __future__ import annotations

import pandas as pd

from workshop import blueprint

# List prices of us-east-1 in US dollars per hour. Check them before you rely on them: the pages named below, or
# `aws pricing get-products --service-code AmazonSageMaker` (AmazonVPC, awskms).
PRICES_OF = "May 2026"
PAGES = "aws.amazon.com/privatelink/pricing, aws.amazon.com/sagemaker/ai/pricing, aws.amazon.com/kms/pricing"
ENDPOINT_PER_ZONE = 0.01
NOTEBOOK_ML_T3_MEDIUM = 0.05
TRAINING_ML_M5_LARGE = 0.115
KEY = 1 / 730  # one dollar a month
ENDPOINTS, ZONES = 6, 2

_LINES = (
    # template, account, what stands there, minutes, dollars an hour
    ("storage", "every account", "bucket, key", 1, KEY),
    ("network", "every account", "VPC, two subnets, group, S3 endpoint, flow log", 2, 0.0),
    ("endpoints", "every account", f"{ENDPOINTS} endpoints in {ZONES} zones", 3, ENDPOINTS * ZONES * ENDPOINT_PER_ZONE),
    ("server-access", "server", "role, policy", 1, 0.0),
    ("client-job", "every client", "role", 1, 0.0),
    ("client-access", "every client", "role, policy", 1, 0.0),
    ("peering-accepter", "every client", "role", 1, 0.0),
    ("peering", "server, once per client", "peering, route, one open port", 1, 0.0),
    ("peering-routes", "every client", "route, leave to call one port", 1, 0.0),
    ("notebook-instance", "server", "ml.t3.medium", 6, NOTEBOOK_ML_T3_MEDIUM),
    ("(training job)", "every client", "ml.m5.large, only while it runs", 5, TRAINING_ML_M5_LARGE),
)


def table(n_clients: int) -> pd.DataFrame:
    """Return one line per template, and what it costs for all accounts together.

    Parameters
    ----------
    n_clients : int
        How many client accounts there are.

    Returns
    -------
    DataFrame
        Where it stands, what it is, about how many minutes it takes, dollars an hour in all accounts.
    """
    times = {blueprint.SERVER: 1, blueprint.EVERY: n_clients + 1}
    lines = [
        (name, where, what, minutes, round(price * times.get(where, n_clients), 3))
        for name, where, what, minutes, price in _LINES
    ]
    columns = ["template", "where", "what stands there", "minutes", "$ per hour, in all"]
    return pd.DataFrame(lines, columns=columns).set_index("template")
