"""Validation of client updates before every aggregation: read with care, left out where they break a rule.

None of Flower's strategies looks at what it averages; one array with a NaN makes a model that calls everybody honest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from flwr.common import (
    Code,
    EvaluateRes,
    FitRes,
    GetParametersRes,
    GetPropertiesRes,
    Parameters,
    Status,
    ndarrays_to_parameters,
)
from flwr.common.serde import fit_res_to_proto

from client_code import task
from client_code.problem import Problem
from workshop.errors import FederationError

NEARLY_NOTHING = 1e-3  # a shorter step is never far
# NumPy's file format, version 1.0: magic, the header's length in two bytes, the header. NumPy reads the header as a
# Python literal; that may raise anything (in CPython 3.11 a SystemError when several threads do it), so it is not.
_PREFIX, _PREFIX_BYTES = b"\x93NUMPY\x01\x00", 10
_HEADER = re.compile(
    rb"\{'descr': (?:'(?P<dtype>[<>|=][a-zA-Z]\d{0,9}(?:\[\w{1,9}\])?)'|\[.*\]), "
    rb"'fortran_order': (?P<fortran>True|False) ?, 'shape': \((?P<shape>(?:\d{1,20}, ?)*(?:\d{1,20})?)\), \} *\n"
)
OUR_OWN = (MemoryError, SystemError)  # of this machine or its interpreter: whatever was sent, nobody else's fault


class BadUpdate(Exception):
    """Which rule an update breaks, in our own words."""


@dataclass(frozen=True)
class Rules:
    """What an update may be.

    Attributes
    ----------
    longest_step : float
        The distance from the global model, in multiples of the other clients' median distance or median length of
        their models, whichever is longer. Of the workshop's honest clients with three iterations a round or more,
        however unlike, none came above 3.8 (five seeds). It leaves honest ones out in two cases: with a single
        iteration a round (up to 4.8), and without a penalty and with many (up to 13), for nothing keeps such models
        from growing. An update turned round and made ten times as large stands out in round 1 by 5 and more, but where
        clients' shares of a class differ much by no more than 3: then it passes.
    most_rows : float
        The number of rows that a client declares, in multiples of the other clients' median: it is a client's weight.
    """

    longest_step: float = 4.5
    most_rows: float = 100.0


def read(sent: Parameters, like: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Read arrays that must have known shapes and dtypes; the header is compared before a byte of content is used.

    Parameters
    ----------
    sent : flwr.common.Parameters
        Arrays in NumPy's file format, as Flower sends them.
    like : sequence of ndarray
        What must come: the number of arrays, and each one's shape and dtype.

    Raises
    ------
    BadUpdate
        If anything differs, or a value is not finite.
    """
    if len(sent.tensors) != len(like):
        raise BadUpdate(f"{len(sent.tensors)} arrays instead of {len(like)}")
    pairs = enumerate(zip(sent.tensors, like, strict=True), 1)
    return [_read_array(tensor, number, model) for number, (tensor, model) in pairs]


def _read_array(tensor: bytes, number: int, like: np.ndarray) -> np.ndarray:
    begin = _PREFIX_BYTES + int.from_bytes(tensor[len(_PREFIX) : _PREFIX_BYTES], "little")
    header = _HEADER.fullmatch(tensor[_PREFIX_BYTES:begin]) if tensor.startswith(_PREFIX) else None
    if header is None or len(tensor) < begin:
        raise BadUpdate(f"array {number} is not in NumPy's format")
    shape = tuple(int(length) for length in header["shape"].replace(b",", b" ").split())
    dtype, fortran = _dtype(header["dtype"], number), header["fortran"] == b"True"
    # A shape may be a thousand numbers, and a dtype names its fields as it likes: neither is repeated as it came.
    if shape != like.shape:
        actual = f"shape {shape}" if len(shape) <= 3 and max(shape, default=0) < 10**15 else "another shape"
        raise BadUpdate(f"array {number} has {actual}, not {like.shape}")
    if dtype != like.dtype:
        actual = "the other byte order" if dtype.newbyteorder("=") == like.dtype else dtype.type.__name__
        raise BadUpdate(f"array {number} holds {actual}, not {like.dtype}")
    if fortran and like.ndim > 1:
        raise BadUpdate(f"array {number} is in Fortran's order")
    content = memoryview(tensor)[begin:]
    if len(content) != like.nbytes:
        raise BadUpdate(f"array {number} has {len(content)} bytes, not {like.nbytes}")
    array = np.frombuffer(content, dtype=dtype).reshape(shape)
    if bad := int(np.count_nonzero(~np.isfinite(array))):
        raise BadUpdate(f"array {number} holds {bad} values that are not finite")
    return array


def _dtype(name: bytes | None, number: int) -> np.dtype:
    """Return the dtype that a header names; one of several fields is given as none, for no model has such."""
    if name is None:
        return np.dtype("V")
    try:
        return np.dtype(name.decode())
    except (TypeError, ValueError) as error:
        raise BadUpdate(f"array {number} is not in NumPy's format") from error


def check(answer: FitRes | EvaluateRes | GetParametersRes | GetPropertiesRes) -> None:
    """Raise :class:`BadUpdate` if a client has answered that it will not."""
    if answer.status.code != Code.OK:
        why = "".join(char if char.isascii() and char.isprintable() else "?" for char in answer.status.message[:300])
        raise BadUpdate(f"it declines: {why}" if why else "it declines")


def read_statistics(sent: Parameters, problem: Problem) -> task.Parameters:
    """Read a client's moments: ``[n_rows (1,), values, mean, squared deviations (n_inputs,)]`` (``task.statistics``).

    Raises
    ------
    BadUpdate
        If no table of the problem with as many rows as its floor asks for can have these moments.
    """
    least, each = problem.floors.shared, np.zeros(len(problem.input_names))
    moments = read(sent, [np.zeros(1), each, each, each])
    n_rows, values, mean, squares = float(moments[0][0]), *moments[1:]
    if n_rows < least or n_rows != math.floor(n_rows):
        raise BadUpdate(f"sums over {n_rows:g} rows; at least {least} are asked for")
    if not _possible_counts(n_rows, values, problem):
        raise BadUpdate("numbers of values that no table of so many rows can have")
    low, high = problem.input_limits
    slack = 1e-9 * (high - low)  # of rounding
    # Of values between two limits with this mean, those spread most that lie at the limits (Bhatia and Davis 2000).
    possible = (mean >= low - slack) & (mean <= high + slack) & (squares >= 0)
    possible &= squares <= values * ((high - mean) * (mean - low) + slack * (high - low))
    nothing = (values == 0) & (mean == 0) & (squares == 0)  # of a column without a value
    if not (possible | nothing).all():
        kinds = [f"{kind}s" for kind in ("amount", "number", "count") if kind in {c.kind for c in problem.features}]
        raise BadUpdate(f"sums that no table of {' and '.join(kinds) or 'flags'} can have")
    return moments


def _possible_counts(n_rows: float, values: np.ndarray, problem: Problem) -> bool:
    """Tell whether so many rows can have so many values: all of them, where nothing may be missing."""
    most = (values >= 0) & (values <= n_rows) & (values == np.floor(values))
    for column, place in zip(problem.features, problem.places, strict=True):
        most[place] &= (values[place] == n_rows) | (column.missing & (values[place] == values[place.start]))
    indicators = np.ones(len(values), dtype=bool)
    for place in problem.places:
        indicators[place] = False
    return bool(most.all() and (values[indicators] == n_rows).all())


def too_many_rows(declared: Mapping[str, int], rules: Rules) -> dict[str, str]:
    """Return the clients that declare far more rows than the others, each with the reason."""
    bad = {}
    for name, rows in declared.items():
        others = [count for other, count in declared.items() if other != name]
        if others and rows > (most := rules.most_rows * float(np.median(others))):
            bad[name] = f"declares {rows:,} rows, more than {rules.most_rows:g} times the others' median ({most:,.0f})"
    return bad


class Update(NamedTuple):
    """What a client has trained: parameters, the real rows behind them, the bytes of the message, its own scores."""

    arrays: task.Parameters
    rows: int
    size: int
    metrics: dict[str, float]

    def result(self) -> tuple[None, FitRes]:
        """Return it as Flower's strategies take it; they do not look at the connection."""
        return None, FitRes(Status(Code.OK, ""), ndarrays_to_parameters(self.arrays), self.rows, {})


def read_update(answer: FitRes, like: Sequence[np.ndarray], declared: int, *, least: int) -> Update:
    """Read one client's trained parameters and the number of rows behind them: ``least`` to ``declared``.

    Raises
    ------
    BadUpdate
        If an array is not what it must be, or the number of rows is not the declared one.
    """
    check(answer)
    arrays = read(answer.parameters, like)
    if not least <= answer.num_examples <= declared:
        raise BadUpdate(f"says {answer.num_examples} rows; from {least} to the {declared} that it declared may be")
    return Update(arrays, answer.num_examples, fit_res_to_proto(answer).ByteSize(), read_metrics(answer.metrics))


def read_metrics(sent: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores of ``task.METRICS`` that are finite numbers: a client's word, which nothing is decided by."""
    return {name: value for name in task.METRICS if isinstance(value := sent.get(name), float) and math.isfinite(value)}


def read_threshold(answer: EvaluateRes, declared: int) -> tuple[float, int]:
    """Read a client's best threshold and the validation rows behind it, at most as many as it has rows to train on.

    Raises
    ------
    BadUpdate
        If it is no probability.
    """
    check(answer)
    threshold = answer.metrics.get("threshold")
    if not isinstance(threshold, float) or not 0 <= threshold <= 1 or answer.num_examples < 1:
        raise BadUpdate("its threshold is not one")
    return threshold, min(answer.num_examples, declared)


def sort_out(answers: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Part answers from the exceptions that reading them has raised; return both by client, the second as reasons.

    Raises
    ------
    FederationError
        If this machine or its interpreter has failed while it read an answer: no client is to blame for that.
    """
    for name, error in answers.items():
        if isinstance(error, OUR_OWN):
            raise FederationError(
                f"this server could not read {name}'s answer: {type(error).__name__}: {error}. The client is not to "
                "blame and not left out: restart the kernel (with more memory, if it was that), then run "
                "03_run_federation.ipynb again; finished rounds are kept"
            ) from error
    good = {name: answer for name, answer in answers.items() if not isinstance(answer, Exception)}
    bad = {
        # A text that is not ours could hold anything.
        name: str(error) if isinstance(error, BadUpdate) else f"no message of Flower's ({type(error).__name__})"
        for name, error in answers.items()
        if name not in good
    }
    return good, bad


def too_far(updates: Mapping[str, task.Parameters], start: task.Parameters, rules: Rules) -> dict[str, str]:
    """Return the clients whose step from the global parameters is far longer than the others', with the reason."""
    return {
        name: f"its step is {times:.3g} times the others', and {rules.longest_step:g} times is the most"
        for name, times in strides(updates, start).items()
        if times > rules.longest_step
    }


def strides(updates: Mapping[str, task.Parameters], start: task.Parameters) -> dict[str, float]:
    """Return how long each client's step is beside the others'.

    The others' models are a measure too: late in a run one honest client takes almost no step and another a long one,
    but none goes much farther than a whole model is long.

    Parameters
    ----------
    updates : mapping
        Parameters by client name.
    start : list of ndarray
        The global parameters that they were trained from.
    """
    steps = {name: _length(map(np.subtract, arrays, start)) for name, arrays in updates.items()}
    models = {name: _length(arrays) for name, arrays in updates.items()}
    beside = {}
    for name, step in steps.items():
        others = [[sizes[other] for other in sizes if other != name] for sizes in (steps, models)]
        beside[name] = step / max(NEARLY_NOTHING, *map(np.median, others)) if len(steps) > 1 else 0.0
    return beside


def _length(arrays: Iterable[np.ndarray]) -> float:
    with np.errstate(over="ignore"):  # the square of a huge number is infinitely far
        return math.sqrt(sum(float((array**2).sum()) for array in arrays))
