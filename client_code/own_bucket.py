"""Owner's S3 bucket, as an agent sees it: rows come from it before a run, the run's model goes to it afterwards."""

from __future__ import annotations

import logging
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import identity
import ledger
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ROWS = "data/"  # where the owner's upload puts them
FILES = ("salt", "train.csv", "train_balanced.csv", "validation.csv")
MODELS = "artefacts/models/"  # by run
# An agent that is told to end has five seconds, for storing a model too.
_HURRY = Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=1, read_timeout=2)
_PATIENCE = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=5, read_timeout=20)


class Unreadable(Exception):
    """The bucket does not do what the agent needs; one line without a cell."""


class OwnBucket:
    """The bucket of the account in which this runs, read and written with the agent's own role.

    Parameters
    ----------
    name : str
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.told = ledger.Ledger(name, identity.own_session)  # of whose sums the server has heard
        self._have: dict[str, str] = {}  # ETags of the files that are here

    @cached_property
    def _reading(self) -> Any:
        return _s3(_PATIENCE)

    @cached_property
    def _writing(self) -> Any:
        return _s3(_HURRY)

    def fetch(self, folder: Path) -> tuple[str, ...]:
        """Have the rows in a folder as they are in the bucket; return what tells this state from others.

        Raises
        ------
        Unreadable
            Names the bucket and the file.
        """
        folder.mkdir(parents=True, exist_ok=True)
        try:
            listed = self._reading.list_objects_v2(Bucket=self.name, Prefix=ROWS).get("Contents", [])
            tags = {entry["Key"].removeprefix(ROWS): entry["ETag"] for entry in listed}
            if missing := [name for name in FILES if name not in tags]:
                raise Unreadable(
                    f"{missing[0]} is not in bucket {self.name}: its owner uploads the rows first (`fl upload`)"
                )
            for name in FILES:
                if self._have.get(name) != tags[name] or not (folder / name).exists():
                    answer = self._reading.get_object(Bucket=self.name, Key=ROWS + name)
                    (folder / name).write_bytes(answer["Body"].read())
                    self._have[name] = answer["ETag"]
        except (BotoCoreError, ClientError, identity.NoIdentity) as error:
            raise Unreadable(f"bucket {self.name} does not give the rows ({_code(error)})") from error
        return tuple(self._have[name] for name in FILES)

    def keep(self, folder: Path, *, run: str) -> None:
        """Store a run's model.

        Raises
        ------
        Unreadable
            If the bucket does not take it.
        """
        try:
            for path in sorted(folder.iterdir()):
                self._writing.put_object(Bucket=self.name, Key=f"{MODELS}{run}/{path.name}", Body=path.read_bytes())
        except (BotoCoreError, ClientError, identity.NoIdentity) as error:
            raise Unreadable(f"bucket {self.name} does not take the model of run {run} ({_code(error)})") from error
        logging.info("model of run %s stored in the owner's bucket", run)


def _s3(config: Config) -> Any:
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return identity.own_session().create_client("s3", region_name=region, config=config)


def _code(error: Exception) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code") or type(error).__name__)
