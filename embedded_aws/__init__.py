"""AWS on loopback: several accounts in one process, in which SageMaker training jobs really run."""
