"""The errors of data preparation: which file, step or client is concerned, and what to do next."""


class DataError(Exception):
    """Base of every error of data preparation; what is wrong inside a table is a ``schema.TableError``."""


class SourceError(DataError):
    """The rows that were asked for are nowhere to be found."""


class DownloadError(DataError):
    """The published table could not be fetched whole."""


class SplitError(DataError):
    """There are too few rows for the clients and shares that were asked for."""


class BalanceError(DataError):
    """A client's training rows cannot be balanced."""


class ManifestError(DataError):
    """A file is not the one that its owner's manifest describes."""
