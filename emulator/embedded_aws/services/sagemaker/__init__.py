"""Amazon SageMaker: training jobs that run, and notebook instances."""
