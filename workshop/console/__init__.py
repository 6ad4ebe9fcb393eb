"""Console of a federation's server: runs, a new run, who is in it, where the time goes, models, clients."""

from workshop.console.app import Console

__all__ = ["Console"]
