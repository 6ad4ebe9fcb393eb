"""Exercises of the notebooks: each takes a learner's answer and says what came of it."""

from workshop.lessons.exercises.accounts import forgotten, lets_in, may, server_account, wrong_port
from workshop.lessons.exercises.models import fewest, investigators, numbers_sent, one_sided, rows_made, told_apart
from workshop.lessons.exercises.runs import poison, quorum
from workshop.lessons.exercises.tables import broken_file, fewer_positives, manifests_differ

__all__ = [
    "broken_file",
    "fewer_positives",
    "fewest",
    "forgotten",
    "investigators",
    "lets_in",
    "manifests_differ",
    "may",
    "numbers_sent",
    "one_sided",
    "poison",
    "quorum",
    "rows_made",
    "server_account",
    "told_apart",
    "wrong_port",
]
