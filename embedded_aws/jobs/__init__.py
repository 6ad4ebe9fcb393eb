"""SageMaker training jobs that really run, each as processes of its own."""
