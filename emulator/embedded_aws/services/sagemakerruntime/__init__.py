"""Amazon SageMaker Runtime: asks endpoints."""
