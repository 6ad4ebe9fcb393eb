"""The library that the notebooks call: accounts, stacks, jobs, federation, evaluation, plots."""

import os

# The kit calls nobody: neither Flower's nor the SageMaker SDK's usage reports.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
