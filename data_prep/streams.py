"""Random streams: one ``numpy.random.SeedSequence`` child per named step, so that no two steps draw the same bits.

The child's key is the step's name, not its number: a step that is added or left out changes no other step's draws.
"""

from __future__ import annotations

import numpy as np

GENERATE, HOLD_OUT, DEAL = "generate", "hold out", "deal"  # of the whole table
SPLIT, SMOTE, UNDER_SAMPLE = "split", "smote", "under-sample"  # of every owner's rows


def sequence(seed: int, step: str, owner: str = "") -> np.random.SeedSequence:
    """Return the seed sequence of one step; every owner has its own.

    >>> int(sequence(0, DEAL).generate_state(1)[0]) == int(sequence(0, SPLIT, "client-1").generate_state(1)[0])
    False
    """
    return np.random.SeedSequence(seed, spawn_key=tuple(f"{step}\0{owner}".encode()))


def generator(seed: int, step: str, owner: str = "") -> np.random.Generator:
    """Return the generator that a step draws from."""
    return np.random.default_rng(sequence(seed, step, owner))


def random_state(seed: int, step: str, owner: str = "") -> int:
    """Return the whole number below 2**32 that scikit-learn takes as ``random_state``."""
    return int(sequence(seed, step, owner).generate_state(1)[0])
