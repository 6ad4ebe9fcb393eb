"""Kubelet: pods that are bound to a node run as processes of this machine, and say how they are.

A container has the folders, the environment, the network and the identity that its pod asks for. It has no file system
of its own: paths that the manifest mounts are folders of this machine, and stand as those in the environment and in
the arguments. Limits of memory and processor, users and capabilities are read and have no effect.
"""
