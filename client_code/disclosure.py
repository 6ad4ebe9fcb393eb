"""Disclosure control: what a client tells of a model that the server chose, no more exactly than it must be known.

A model is a question: with coefficients of zero the loss is a straight function of the number of positives, whatever
the intercept. So a loss is bounded, and carries noise of the size of a few rows; the same question gets the same
answer.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import log_loss

FLOOR = 0.01  # of probabilities: no row's loss is further from another's than ``SPAN``
SPAN = math.log((1 - FLOOR) / FLOOR)  # nats
EPSILON = 0.5  # how well one answer tells two tables apart that differ by one row: by a factor of e to this
ROUNDS = 1000  # a server asks about no more models
FIRST, SCALERS = "round 1", 60  # and there about one for each client that is left out


class AskedAgain(Exception):
    """The server asks more than a federation needs."""


def told_loss(labels: np.ndarray, probabilities: np.ndarray, *, key: bytes, question: bytes) -> float:
    """Return the mean log-loss (nats), bounded and with noise that follows from the question and the owner's key.

    Parameters
    ----------
    labels, probabilities : ndarray of shape (n_rows,)
    key : bytes
        Nobody else's: who had it could take the noise away.
    question : bytes
        What the loss is of.

    Source of the noise's size: Dwork et al., "Calibrating noise to sensitivity in private data analysis", TCC 2006.
    """
    exact = log_loss(labels, np.clip(probabilities, FLOOR, 1 - FLOOR), labels=[0, 1])
    digest = hmac.digest(key, question, hashlib.sha256)
    centred = (int.from_bytes(digest[:8]) + 0.5) / 2**64 - 0.5
    noise = -math.copysign(math.log1p(-2 * abs(centred)), centred)
    return round(float(exact) + noise * SPAN / (EPSILON * len(labels)), 4)


class Asked:
    """The questions of a server, each with its answer: one model a round, and one final model.

    Round 1 is run again when a client is left out of it, with a scaler of the others' sums.
    """

    def __init__(self) -> None:
        self._answers: dict[tuple[str, bytes], Any] = {}

    def once(self, when: str, question: Sequence[np.ndarray], answer: Callable[[], Any]) -> Any:
        """Return ``answer()``, or what was answered to this very question before.

        Raises
        ------
        AskedAgain
            If another model was asked about in this round, or in too many rounds.
        """
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in question)).digest()
        if (when, digest) not in self._answers:
            before = sum(known == when for known, _ in self._answers)
            if before >= (SCALERS if when == FIRST else 1):
                raise AskedAgain(f"the server asks about several models in {when}: this job answers no more")
            if len(self._answers) >= ROUNDS:
                raise AskedAgain(f"the server asks about more than {ROUNDS} models: this job answers no more")
            self._answers[when, digest] = answer()
        return self._answers[when, digest]
