"""Amazon ECR: private repositories, whose layers lie on disk and whose images nodes pull."""
