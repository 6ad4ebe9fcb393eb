"""Ledger of told sums: no job tells the sums of rows that differ by a few from rows whose sums were told.

Count, mean and squared deviations of two sets of rows that differ by one row give that row. So each owner's bucket
keeps a sketch of every set whose sums were told. A set that differs from one of them by fewer rows than sums may be
over is refused, until its owner says otherwise (``fl upload NAME --tell-again``).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import botocore.session
import numpy as np
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

KEY = "told/sums.json"
CELLS = 1024  # of a sketch: 8 kB, whatever the number of rows
MOST = 100  # sketches are kept; the oldest go
_PATIENCE = Config(retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=10, read_timeout=15)


class NotTold(Exception):
    """Sums are not told: those of nearly the same rows were, or nobody can say."""


def sketch(rows: np.ndarray, *, key: bytes) -> np.ndarray:
    """Return what tells sets of rows apart and gives no row away: shape ``(CELLS,)``, unsigned 64-bit sums.

    Every row is added to one cell, both chosen by a keyed hash of it.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
    key : bytes
        The owner's secret.
    """
    cells = np.zeros(CELLS, dtype=np.uint64)
    digests = [hashlib.blake2b(row.tobytes(), key=key[:64], digest_size=16).digest() for row in rows]
    pairs = np.frombuffer(b"".join(digests), dtype=np.uint64).reshape(-1, 2)
    np.add.at(cells, (pairs[:, 0] % CELLS).astype(np.int64), pairs[:, 1])
    return cells


def apart(one: np.ndarray, other: np.ndarray) -> int:
    """Return about how many rows are in one of two sets only: never more, and exactly none where the sets are equal."""
    return int(np.count_nonzero(one != other))


class Ledger:
    """The sketches in an owner's bucket, read and written with the job's own role.

    Parameters
    ----------
    bucket : str
        The owner's.
    session : callable
        Returns the session whose credentials ask, when they are first needed.
    """

    def __init__(self, bucket: str, session: Callable[[], botocore.session.Session]) -> None:
        self._bucket, self._session = bucket, session

    @cached_property
    def _s3(self) -> Any:
        region = os.environ.get("SAGEMAKER_REGION") or os.environ.get("AWS_REGION")
        return self._session().create_client("s3", region_name=region, config=_PATIENCE)

    def tell(self, rows: np.ndarray, *, key: bytes, floor: int) -> None:
        """Return if the sums of these rows may be told, and note that they are.

        Parameters
        ----------
        floor : int
            Rows by which sets must differ.

        Raises
        ------
        NotTold
            If they must not be, or the bucket does not answer.
        """
        mine = sketch(rows, key=key)
        try:
            told = self._read()
            for other in told:
                if 0 < (few := apart(mine, other)) < floor:
                    raise NotTold(
                        f"the rows differ by about {few} from rows whose sums were told before, and who has both sums "
                        f"could work these rows out: change at least {floor} rows, or none; their owner may say that "
                        "it does not matter: python -m workshop upload, with --tell-again"
                    )
            if not any(apart(mine, other) == 0 for other in told):
                self._write([*told, mine][-MOST:])
        except (BotoCoreError, ClientError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
            raise NotTold(f"bucket {self._bucket} does not say which sums were told before ({code})") from error

    def _read(self) -> list[np.ndarray]:
        # Who may not list the whole bucket is told of a missing object that it is forbidden.
        if not self._s3.list_objects_v2(Bucket=self._bucket, Prefix=KEY).get("Contents"):
            return []
        body = self._s3.get_object(Bucket=self._bucket, Key=KEY)["Body"].read()
        return list(_sketches(body))

    def _write(self, sketches: list[np.ndarray]) -> None:
        body = json.dumps([base64.b64encode(cells.tobytes()).decode() for cells in sketches])
        self._s3.put_object(Bucket=self._bucket, Key=KEY, Body=body.encode())


def _sketches(body: bytes) -> Iterator[np.ndarray]:
    try:
        for text in json.loads(body):
            cells = np.frombuffer(base64.b64decode(text), dtype=np.uint64)
            if cells.shape != (CELLS,):
                raise ValueError
            yield cells
    except (ValueError, TypeError):
        raise NotTold(
            f"{KEY} in the owner's bucket is damaged: it cannot be said which sums were told before"
        ) from None
