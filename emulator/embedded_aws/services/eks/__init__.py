"""Amazon EKS: clusters whose API server runs, with node groups, add-ons, access entries and pod identities."""
