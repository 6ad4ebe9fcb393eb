"""EKS Pod Identity: credentials of a role for the pods of a service account."""
