"""Parameters of one owner's account alone: a job's request and machine, endpoints, when an idle notebook stops."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from workshop import state
from workshop.errors import AgreementError
from workshop.files import locked, read_object, write_text

INSTANCE_TYPES = ("ml.t3.medium", "ml.t3.large", "ml.m5.large", "ml.m5.xlarge")  # those of client-access.yaml
ENDPOINTS = ("needed", "all")
KICK_OFFS = ("owner", "published")
PLATFORMS = ("sagemaker", "kubernetes")
TRACKERS = ("here", "app")
TABLES = ("brought", "built")


@dataclass(frozen=True)
class Choices:
    """An owner's choices.

    Parameters
    ----------
    instance_type : str
        The machine of this account's training job.
    endpoints : str
        ``needed``: interface endpoints for what is called from inside the VPC, in one zone; a client's job calls
        nothing, so its account has none. ``all``: for every service, in two zones, in every account, for owners whose
        rules want it.
    kick_off : str
        ``owner``: the server starts this account's state machine, which holds the request. ``published``: the server
        writes the request, and with it what runs beside the rows, as in AWS's sample.
    idle_minutes : int
        Minutes without work after which the server's notebook instance stops; 0 never.
    platform : str
        ``sagemaker``: a training job per client and run. ``kubernetes``: an agent that stays in each client's cluster.
    tracker : str
        ``here``: none in the account, runs are tracked on the machine that starts them. ``app``: an MLflow app of
        SageMaker's in the server's account, which others see too.
    tables : str
        ``brought``: the owner has a table. ``built``: a Spark job of this account makes it of the files of CMS.
    parameters : mapping
        Parameters of templates that keep their defaults otherwise, by name; each holds for every template that has it.
    tags : mapping
        Tags of every stack, which hands them on to what it makes.
    """

    instance_type: str = "ml.m5.large"
    endpoints: str = "needed"
    idle_minutes: int = 120
    kick_off: str = "owner"
    platform: str = "sagemaker"
    tracker: str = "here"
    tables: str = "brought"
    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.instance_type not in INSTANCE_TYPES:
            raise AgreementError(f"instance type {self.instance_type!r}: choose one of {', '.join(INSTANCE_TYPES)}")
        if self.endpoints not in ENDPOINTS:
            raise AgreementError(f"endpoints {self.endpoints!r}: choose {' or '.join(ENDPOINTS)}")
        if self.kick_off not in KICK_OFFS:
            raise AgreementError(f"kick-off {self.kick_off!r}: choose {' or '.join(KICK_OFFS)}")
        if self.platform not in PLATFORMS:
            raise AgreementError(f"platform {self.platform!r}: choose {' or '.join(PLATFORMS)}")
        if self.tracker not in TRACKERS:
            raise AgreementError(f"tracker {self.tracker!r}: choose {' or '.join(TRACKERS)}")
        if self.tables not in TABLES:
            raise AgreementError(f"tables {self.tables!r}: choose {' or '.join(TABLES)}")
        if self.idle_minutes != 0 and not 15 <= self.idle_minutes <= 1440:
            raise AgreementError(f"idle minutes {self.idle_minutes}: choose 15 to 1440, or 0 for never")


def load() -> Choices:
    """Return what was chosen; the defaults where nothing was.

    Raises
    ------
    MissingStep, AgreementError
        If the file is none that this version has written.
    """
    try:
        return Choices(**read_object(_path(), remedy="choose again"))
    except TypeError as error:
        raise AgreementError(
            f"{_path().name} was written by another version ({error}): delete it, choose again"
        ) from error


def choose(**given: str | int | Mapping[str, str] | None) -> Choices:
    """Keep what is given, and what was chosen before of the rest; of a mapping an empty value takes back a choice.

    Raises
    ------
    AgreementError
        If there is no such choice; nothing is kept then.
    """
    with locked(_path()):
        before = load()
        new = {name: value for name, value in given.items() if value is not None}
        for name, value in new.items():
            if isinstance(value, Mapping):
                together = {**getattr(before, name), **value}
                new[name] = {key: text for key, text in together.items() if text != ""}
        chosen = replace(before, **new)
        write_text(_path(), json.dumps(asdict(chosen), indent=1))
    return chosen


def _path():
    return state.home() / "choices.json"
