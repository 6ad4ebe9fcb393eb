"""Checkpoint of the global model where SageMaker keeps it (``CheckpointConfig``), for a job that is restarted."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

import numpy as np
import task

NAMES = ("coef", "intercept", "mean", "scale")


class Latest:
    """The latest global model, in memory and, where the job has a checkpoint folder, in ``global.npz``.

    Parameters
    ----------
    folder : Path, optional
        ``/opt/ml/checkpoints`` in a container; there only if the job was started with a ``CheckpointConfig``.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.path = folder / "global.npz" if folder else None
        self.model: task.GlobalModel | None = None
        if self.path and self.path.exists():
            try:
                with np.load(self.path, allow_pickle=False) as arrays:
                    self.model = task.GlobalModel.of([arrays[name] for name in NAMES])
                logging.info("carrying on with the global model of %s", self.path)
            except Exception:
                logging.info("%s cannot be read and is left alone: the server sends the model again", self.path)

    def keep(self, model: task.GlobalModel) -> None:
        """Remember a global model; the file is there whole or not at all."""
        self.model = model
        if self.path is None or not self.path.parent.is_dir():
            return
        temporary = self.path.with_name("global.tmp")
        try:
            with temporary.open("wb") as file:
                np.savez(file, **dict(zip(NAMES, model.arrays(), strict=True)))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError as error:  # the server keeps the model too
            logging.info("no checkpoint: %s cannot be written (%s)", self.path, error.strerror)
        finally:  # also when SIGTERM ends the job here: SageMaker would upload half a file
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
