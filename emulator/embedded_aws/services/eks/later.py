"""What takes EKS minutes takes a moment here: ``EMBEDDED_AWS_EKS_SECONDS`` (0.2) until a status changes.

AWS needs about ten minutes for a cluster, up and down, and three to five for a node group.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from embedded_aws.services.eks.state import lock

SETTING, SECONDS = "EMBEDDED_AWS_EKS_SECONDS", 0.2
log = logging.getLogger(__name__)


def later(work: Callable[[], object]) -> None:
    """Do something when the time has come, under the lock of all clusters."""

    def run() -> None:
        try:
            with lock:
                work()
        except Exception:
            log.exception("a change of a cluster could not be carried out")

    timer = threading.Timer(float(os.environ.get(SETTING) or SECONDS), run)
    timer.daemon = True
    timer.start()
