"""AWS Service Quotas: how many instances an account may have."""
