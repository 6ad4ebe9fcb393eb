"""Settings of whoever uses the embedded AWS: where its files are, what its accounts are called, what jobs import.

A distribution ships its own as an entry point of the group ``embedded_aws.settings``, a mapping of names to values; the
server process gets them in the environment.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

VARIABLE = "EMBEDDED_AWS_SETTINGS"
GROUP = "embedded_aws.settings"


class SettingsError(Exception):
    """Settings that cannot be used; says whose."""


@dataclass(frozen=True)
class Settings:
    """Choices of a user.

    Parameters
    ----------
    home : str
        Folder of the files, below the one in which a command is started.
    home_variable : str
        Environment variable that names another folder; commands that are run get it.
    first, others : str
        Name of the account in whose VPC this machine's own processes stand, and of all others, with ``{}`` for their
        number.
    profile : str
        Profile of an account, with ``{}`` for its name.
    user : str
        The first IAM user of every account, who may do everything there.
    preload : tuple of str
        Modules that jobs find imported, of those that take long.

    Examples
    --------
    >>> Settings(first="server", others="client-{}").names(2)
    ['server', 'client-1', 'client-2']
    """

    home: str = ".embedded-aws"
    home_variable: str = "EMBEDDED_AWS_HOME"
    first: str = "account-0"
    others: str = "account-{}"
    profile: str = "{}"
    user: str = "administrator"
    preload: tuple[str, ...] = ("botocore.session",)

    def names(self, n_others: int) -> list[str]:
        """Return the names of all accounts, the first one first."""
        return [self.first, *(self.others.format(number) for number in range(1, n_others + 1))]

    def dumps(self) -> str:
        """Return the text of these settings."""
        return json.dumps(dataclasses.asdict(self))


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of the environment, of the installed distribution that brings some, or the defaults.

    Raises
    ------
    SettingsError
        If several bring some, or one brings what is no setting.
    """
    if text := environ.get(VARIABLE):
        return _of(json.loads(text), VARIABLE)
    entries = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    if len(entries) > 1:
        names = ", ".join(entry.name for entry in entries)
        raise SettingsError(f"{names}: each brings settings for the embedded AWS; install one of them")
    return _of(entries[0].load(), entries[0].value) if entries else Settings()


def _of(values: dict[str, Any], where: str) -> Settings:
    names = {field.name for field in dataclasses.fields(Settings)}
    if unknown := values.keys() - names:
        raise SettingsError(
            f"{where}: {', '.join(sorted(unknown))} is no setting; there are {', '.join(sorted(names))}"
        )
    lists: dict[str, Any] = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return Settings(**values | lists)
