"""The table of what crosses the line is what the wire carried: names and sizes of every field of every answer."""

from collections import defaultdict
from typing import ClassVar

import numpy as np
import pytest
from cohort import FRAUD, Cohort, Member
from flwr.common import parameters_to_ndarrays, serde

from client_code import identity
from workshop.federation import crossing

N = len(FRAUD.feature_names)
ARRAYS = {"sums": ("n", "values", "mean", "squares"), "update": ("coef", "intercept")}
SIZES = {"n": (1,), "values": (N,), "mean": (N,), "squares": (N,), "coef": (1, N), "intercept": (1,)}
# Fields of Flower's own messages that hold others, or what the server has sent.
OF_FLOWER = {"status", "parameters", "metrics", "properties"}


class Watched(Member):
    """A client whose answers are written down as they are sent."""

    seen: ClassVar[dict] = {}

    def to_client(self):
        client, seen = super().to_client(), self.seen
        kinds = {
            "get_properties": ("properties", serde.get_properties_res_to_proto),
            "get_parameters": ("sums", serde.get_parameters_res_to_proto),
            "fit": ("update", serde.fit_res_to_proto),
            "evaluate": ("end", serde.evaluate_res_to_proto),
        }
        for name, (message, to_proto) in kinds.items():
            plain = getattr(client, name)

            def answer(ins, plain=plain, message=message, to_proto=to_proto):
                result = plain(ins)
                fields = {field.name for field, _ in to_proto(result).ListFields()} - OF_FLOWER
                named = dict(getattr(result, "properties", {}) or getattr(result, "metrics", {}))
                fields |= set(named)
                if message in ARRAYS:
                    arrays = parameters_to_ndarrays(result.parameters)
                    names = ARRAYS[message]
                    assert len(arrays) == len(names)
                    for field, array in zip(names, arrays, strict=True):
                        assert (array.shape, array.dtype) == (SIZES[field], np.float64)
                    fields |= set(names)
                seen[message] |= fields
                return result

            setattr(client, name, answer)
        return client


@pytest.fixture(scope="module")
def carried(three):
    seen = defaultdict(set)
    watched = type("Watched", (Watched,), {"seen": seen})
    cohort = Cohort(three, member=dict.fromkeys(three.clients, watched))
    cohort.join()
    cohort.run(rounds=2)
    cohort.leave()
    return seen


@pytest.mark.promise("P-06", "What crosses the line is what docs/privacy.md lists, field by field")
@pytest.mark.parametrize("message", ["sums", "update", "end"])
def test_the_table_lists_what_the_wire_carried(carried, message):
    listed = {entry.field for entry in crossing.CROSSINGS if entry.message == message}
    assert carried[message] == listed


def test_the_table_lists_what_a_client_proves_itself_with(monkeypatch):
    """The cohort's clients are believed by their names: here the real proof."""
    for name, value in {"AWS_ACCESS_KEY_ID": "AKEY", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    proof = identity.prove("nonce", federation="f", job="j")
    listed = {entry.field for entry in crossing.CROSSINGS if entry.message == "properties"}
    assert set(proof) | {"instance", "rows_sha256", "rows", "code", "penalty", "solver", "max_iter", "seed"} == listed


def test_the_page_is_the_table():
    tables = f"{crossing.BEGIN}\n{crossing.tables()}{crossing.END}"
    assert tables in crossing.PAGE.read_text(), "run `python -m workshop privacy`"


def test_every_line_says_what_could_be_learnt_and_what_is_done():
    for entry in crossing.CROSSINGS:
        assert all(vars(entry).values()), entry
