"""AWS on loopback: several accounts in one process, in which SageMaker training jobs really run."""

import os

PARENT = os.getppid()  # who started this process: read at once, as it may be gone when the rest is loaded
