"""Kubernetes clusters: an API server, its controllers and a kubelet whose pods are processes; knows nothing of AWS."""
