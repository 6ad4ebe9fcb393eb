"""Instance types that nodes may have: processors, memory, and how many pods fit.

Sources: AWS, EC2 instance types; EKS user guide, "Assign more IP addresses to Amazon EKS nodes" (pods = interfaces x
(addresses - 1) + 2) and amazon-eks-ami's table; what a node keeps for itself: EKS user guide, "Node customization",
reserved resources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

EVICTION_MIB, BASE_MIB, PER_POD_MIB = 100, 255, 11
# Thousandths of a processor that a node keeps of the first, the second, the third and fourth, and each further one.
_RESERVED = (60, 10, 5, 5)
_FURTHER = 2.5


@dataclass(frozen=True)
class Machine:
    """An instance type: processors, memory in GiB, most pods, architecture as Kubernetes spells it."""

    cpus: int
    memory: int
    pods: int
    architecture: str = "amd64"

    def capacity(self, disk: int) -> dict[str, str]:
        """Return all that the machine has."""
        return {
            "cpu": str(self.cpus), "memory": f"{self.memory * 1024 * 1024}Ki", "pods": str(self.pods),
            "ephemeral-storage": f"{disk}Gi",
        }  # fmt: skip

    def allocatable(self, disk: int) -> dict[str, str]:
        """Return what is left for pods."""
        kept = sum(_RESERVED[: self.cpus]) + _FURTHER * max(self.cpus - len(_RESERVED), 0)
        memory = self.memory * 1024 - (BASE_MIB + PER_POD_MIB * self.pods + EVICTION_MIB)
        return {
            "cpu": f"{int(self.cpus * 1000 - kept)}m", "memory": f"{memory * 1024}Ki", "pods": str(self.pods),
            "ephemeral-storage": f"{int(disk * 0.9)}Gi",
        }  # fmt: skip


_FAMILIES: Mapping[str, tuple[tuple[str, ...], str, Mapping[str, tuple[int, int, int]]]] = {
    "burstable": (
        ("t3", "t3a"), "amd64",
        {"small": (2, 2, 11), "medium": (2, 4, 17), "large": (2, 8, 35), "xlarge": (4, 16, 58), "2xlarge": (8, 32, 58)},
    ),
    "burstable on Arm": (
        ("t4g",), "arm64",
        {"small": (2, 2, 11), "medium": (2, 4, 17), "large": (2, 8, 35), "xlarge": (4, 16, 58), "2xlarge": (8, 32, 58)},
    ),
    "general": (
        ("m5", "m6i", "m7i"), "amd64", {"large": (2, 8, 29), "xlarge": (4, 16, 58), "2xlarge": (8, 32, 58)},
    ),
    "general on Arm": (("m6g", "m7g"), "arm64", {"large": (2, 8, 29), "xlarge": (4, 16, 58), "2xlarge": (8, 32, 58)}),
    "compute": (("c5", "c6i", "c7i"), "amd64", {"large": (2, 4, 29), "xlarge": (4, 8, 58), "2xlarge": (8, 16, 58)}),
    "memory": (("r5", "r6i", "r7i"), "amd64", {"large": (2, 16, 29), "xlarge": (4, 32, 58), "2xlarge": (8, 64, 58)}),
}  # fmt: skip
MACHINES: Mapping[str, Machine] = {
    f"{family}.{size}": Machine(*numbers, architecture)
    for families, architecture, sizes in _FAMILIES.values()
    for family in families
    for size, numbers in sizes.items()
}
IMAGES: Mapping[str, str] = {  # AMI type -> architecture
    "AL2023_x86_64_STANDARD": "amd64",
    "AL2023_ARM_64_STANDARD": "arm64",
    "BOTTLEROCKET_x86_64": "amd64",
    "BOTTLEROCKET_ARM_64": "arm64",
}
