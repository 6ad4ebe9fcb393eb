"""Amazon SageMaker: training and processing jobs that run, models that are served, notebook instances."""
