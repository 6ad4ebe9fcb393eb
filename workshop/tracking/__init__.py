"""Experiment tracking: the record of every run, trackers that it is sent to, versions of the model, the console."""

from workshop.tracking.record import Record, begin
from workshop.tracking.recorded import Recorded, compare, read, runs
from workshop.tracking.sending import follow, sent

__all__ = ["Record", "Recorded", "begin", "compare", "follow", "read", "runs", "sent"]
