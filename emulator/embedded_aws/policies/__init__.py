"""IAM policy language: documents, conditions, and what all policies together say of a request. Pure."""
