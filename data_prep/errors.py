"""Base class of data preparation's errors; what is wrong inside a table is a ``schema.TableError``."""


class DataError(ValueError):
    """Base of every error of this package: what is wrong, and what to do next."""
