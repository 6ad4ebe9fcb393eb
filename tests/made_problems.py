"""Problems for tests: small, made up, and of nobody's table."""

from client_code.problem import Column, Floors, Problem, Words

WORDS = Words("machine", "machines", "sound", "failing", "failure")


def of_kinds(**kinds: str) -> Problem:
    """Return a problem with these columns."""
    features = tuple(Column(name, kind, "units", "made up") for name, kind in kinds.items())
    transforms = tuple("none" if kind in ("number", "flag") else "log1p" for kind in kinds.values())
    label = Column("broke", "flag", "0 or 1", "1: it broke")
    return Problem("machines", label, features, WORDS, transforms, 1e6, Floors(50, 2, 1, 5, 5))
