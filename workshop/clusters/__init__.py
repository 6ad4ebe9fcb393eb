"""Kubernetes clusters (Amazon EKS): agents that stay, runs as Jobs, manifests, images, and how one gets at an API."""
