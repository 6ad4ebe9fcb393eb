"""What a client may do to the model: nothing that the gate does not name. Real messages, real server."""

import io
import math
import pickle
import time
import tracemalloc

import numpy as np
import pytest
from cohort import Cohort, Member, Rows
from flwr.common import Parameters, ndarrays_to_parameters, parameters_to_ndarrays

from workshop import problems
from workshop.errors import FederationError
from workshop.federation import updates


def arrays(change):
    """Make a change to a FitRes from a change to its arrays."""

    def changed(answer, server_round):
        answer.parameters = ndarrays_to_parameters(change(parameters_to_ndarrays(answer.parameters)))
        return answer

    return changed


def rows(number):
    def changed(answer, server_round):
        answer.num_examples = number
        return answer

    return changed


def raw(change):
    """Make a change to a FitRes from a change to the bytes of its first array."""

    def changed(answer, server_round):
        first, *others = answer.parameters.tensors
        answer.parameters = Parameters([change(first), *others], "numpy.ndarray")
        return answer

    return changed


def pickled(_):
    file = io.BytesIO()
    np.save(file, np.array([{"anything": 1}], dtype=object), allow_pickle=True)
    return file.getvalue()


def huge_header(_):
    """Claim 745 GiB in a header, and bring nothing."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**11,)})
    return file.getvalue()


# What is sent, and what the server says to it.
MALFORMED = {
    "NaN": (arrays(lambda a: [np.full_like(a[0], np.nan), a[1]]), "array 1 holds 49 values that are not finite"),
    "one Inf": (arrays(lambda a: [a[0], a[1] + np.inf]), "array 2 holds 1 values that are not finite"),
    "1e9": (arrays(lambda a: [a[0] + 1e9, a[1]]), "times the others'"),
    "1e300": (arrays(lambda a: [a[0] + 1e300, a[1]]), "times the others'"),
    "ten times, turned round": (arrays(lambda a: [-10 * x for x in a]), "times the others'"),
    "one column less": (arrays(lambda a: [a[0][:, 1:], a[1]]), "array 1 has shape (1, 48), not (1, 49)"),
    "a shape that broadcasts": (arrays(lambda a: [np.tile(a[0], (3, 1)), a[1]]), "array 1 has shape (3, 49)"),
    "an array more": (arrays(lambda a: [*a, a[0]]), "3 arrays instead of 2"),
    "an array less": (arrays(lambda a: a[:1]), "1 arrays instead of 2"),
    "whole numbers": (arrays(lambda a: [a[0].astype(np.int64), a[1]]), "array 1 holds int64, not float64"),
    "text": (arrays(lambda a: [a[0].astype("U8"), a[1]]), "array 1 holds str_, not float64"),
    "turned bytes": (arrays(lambda a: [a[0].astype(">f8"), a[1]]), "array 1 holds the other byte order, not float64"),
    "columns first": (raw(lambda tensor: tensor.replace(b"False", b"True ")), "array 1 is in Fortran's order"),
    "markup": (arrays(lambda a: [np.zeros(a[0].shape, [("<b>mine</b>", "<f8")]), a[1]]), "array 1 holds void, not"),
    "no rows": (rows(0), "says 0 rows"),
    "fewer than no rows": (rows(-60), "says -60 rows"),
    "10^12 rows": (rows(10**12), "says 1000000000000 rows"),
    "a pickle": (raw(pickled), "array 1 has shape (1,), not (1, 49)"),
    "745 GiB": (raw(huge_header), f"array 1 has shape ({10**11},), not (1, 49)"),
    "cut off": (raw(lambda tensor: tensor[:-9]), "array 1 has 383 bytes, not 392"),
    "no array": (raw(lambda tensor: b"nothing of the kind"), "array 1 is not in NumPy's format"),
}


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    return Rows.make(tmp_path_factory.mktemp("crowd"), 3 + len(MALFORMED))


@pytest.fixture(scope="module")
def results(crowd):
    """Run with every malformed update beside three honest clients, and with these three alone."""
    hostile = dict(zip(list(crowd.clients)[3:], MALFORMED.values(), strict=True))
    cohort = Cohort(crowd, meddling={name: change for name, (change, _) in hostile.items()})
    cohort.join()
    together = cohort.run(rounds=3, quorum=3)
    cohort.leave()
    honest = Rows({name: crowd.clients[name] for name in list(crowd.clients)[:3]}, crowd.test)
    alone = Cohort(honest)
    alone.join()
    return together, alone.run(rounds=3), hostile


@pytest.mark.promise("R-01", "Twenty-one kinds of malformed updates are left out, each named with account and reason")
def test_every_malformed_update_is_left_out_and_named_with_account_and_reason(results, figure):
    together, _, hostile = results
    told = "\n".join(together.notes)
    for number, (name, (_, reason)) in enumerate(hostile.items(), 4):
        assert f"{name} (account {number:012d}) is left out" in told
        assert reason in "\n".join(line for line in together.notes if line.startswith(name)), name
    figure(f"{len(hostile)} of {len(MALFORMED)} left out")


@pytest.mark.promise("R-01", "The final model equals that of a run without these clients, to 1e-12")
def test_the_model_is_the_one_of_a_run_without_them(results, figure):
    together, alone, _ = results
    for ours, theirs in zip(together.parameters, alone.parameters, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    assert together.client_rows == alone.client_rows
    assert together.threshold == pytest.approx(alone.threshold, abs=1e-12)
    apart = [np.abs(a - b).max() for a, b in zip(together.parameters, alone.parameters, strict=True)]
    figure(f"largest difference {max(apart):.0e}")


@pytest.mark.promise("R-01", "After two bad updates a client takes part no longer")
def test_after_two_of_them_a_client_takes_part_no_longer(results):
    together, _, hostile = results
    for name in hostile:
        assert f"{name} takes part no longer" in together.notes
    assert all(name in together.history[-1].left_out for name in hostile)


@pytest.mark.promise("R-01", "A single bad update costs a client one round")
def test_a_single_bad_update_costs_a_client_one_round(three):
    def bad_in_round_2(answer, server_round):
        return MALFORMED["NaN"][0](answer, server_round) if server_round == 2 else answer

    cohort = Cohort(three, meddling={"client-2": bad_in_round_2})
    cohort.join()
    result = cohort.run(rounds=3)
    assert [entry.clients for entry in result.history] == [3, 2, 3]
    assert "not finite" in result.history[1].left_out["client-2"]
    cohort.leave()
    assert cohort.jobs["client-2"].outcome == "Completed"


def test_too_many_bad_updates_end_the_run_and_say_whose(three):
    cohort = Cohort(three, meddling={"client-2": MALFORMED["NaN"][0]})
    cohort.join()
    with pytest.raises(FederationError, match="round 1 has 2 usable answers and needs 3") as error:
        cohort.run(rounds=3, quorum=3)
    assert "client-2: array 1 holds 49 values that are not finite" in str(error.value)
    assert f"account {2:012d}" in str(error.value)


class Liar(Member):
    def get_parameters(self, config):
        rows, values, mean, squares = super().get_parameters(config)
        return [rows, values, -mean, squares]


@pytest.mark.promise("R-01", "Who lies about the sums of its rows is left out, and the others begin without it")
def test_who_lies_about_its_sums_is_left_out_and_the_others_begin(three):
    cohort = Cohort(three, member={"client-2": Liar})
    cohort.join()
    result = cohort.run(rounds=2)
    assert [entry.clients for entry in result.history] == [2, 2]
    assert f"client-2 (account {2:012d}) is left out: sums that no table of amounts and counts can have" in result.notes
    other = Cohort(three, member={"client-2": Liar})
    other.join()
    with pytest.raises(FederationError, match=r"client-2 is left out: sums that no table.*; 3 clients are needed"):
        other.run(rounds=2, quorum=3)


# 100 rows whose logarithms are 3 on average, with a standard deviation of 1; half of the first column's flags are 1.
FRAUD = problems.load()
SUMS = [np.array([100.0]), np.full(49, 3.0), np.full(49, 100.0)]
SUMS[1][0], SUMS[2][0] = np.log(2) / 2, 100 * np.log(2) ** 2 / 4


def sent(n, mean, squares):
    """Return what a client sends of rows without a gap."""
    return ndarrays_to_parameters([n, np.full(len(mean), n[0]), mean, squares])


def spread(factor):
    """Return the factor for all columns but the flag, which spreads as much as flags can."""
    return np.array([1.0, *[factor] * 48])


def flag(value):
    """Change the first column of an array."""
    return lambda array: np.array([value, *array[1:]])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda n, m, q: [n + np.nan, m, q], "not finite"),
        (lambda n, m, q: [n * 0 + 49, m, q], "sums over 49 rows"),
        (lambda n, m, q: [n + 0.5, m, q], "sums over 100.5 rows"),
        (lambda n, m, q: [n, -m, q], "sums that no table"),
        (lambda n, m, q: [n, m * 100, q], "sums that no table"),  # no amount has a logarithm of 300
        (lambda n, m, q: [n, m, -q], "sums that no table"),  # a sum of squares below zero
        # Logarithms lie between 0 and log1p(1e20) = 46.05: around a mean of 3 they spread by 3 * 43.05 = 129.2 at most.
        (lambda n, m, q: [n, m, q * spread(129.3)], "sums that no table"),
        (lambda n, m, q: [n, flag(0.7)(m), q * 0], "sums that no table"),  # ln 2 = 0.693 is the most for a flag
        (lambda n, m, q: [n, m, flag(12.1)(q)], "sums that no table"),  # half of each: 100 (ln 2)^2 / 4 = 12.01
        (lambda n, m, q: [n, m * 0, q], "sums that no table"),  # a mean of 0 leaves no room to spread
        (lambda n, m, q: [n, m * 0 + 46.05, q], "sums that no table"),
        (lambda n, m, q: [n, n * m, q + n * m**2], "sums that no table"),  # plain sums, as an older version sent them
        (lambda n, m, q: [n, m[1:], q], "array 2 has shape"),
    ],
)
@pytest.mark.promise("R-01", "Sums that no table can have make no scaler")
def test_sums_for_the_scaler_are_looked_at_too(change, reason):
    for most in (1, 129.0):
        updates.read_statistics(sent(*SUMS[:2], SUMS[2] * spread(most)), FRAUD)
    with pytest.raises(updates.BadUpdate, match=reason):
        updates.read_statistics(sent(*change(*SUMS)), FRAUD)


def test_a_client_that_declares_a_trillion_rows_does_not_own_the_scaler():
    declared = {"client-1": 500, "client-2": 700, "client-3": 10**12}
    assert updates.too_many_rows(declared, updates.Rules()).keys() == {"client-3"}


@pytest.mark.promise("A-02", "An array that claims 745 GiB costs less than 1 MB")
def test_a_claim_of_745_gib_costs_no_memory():
    tensor, like = huge_header(b""), [np.zeros((1, 49))]
    tracemalloc.start()
    with pytest.raises(updates.BadUpdate):
        updates.read(Parameters([tensor], "numpy.ndarray"), like)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


@pytest.mark.promise("A-01", "A pickle in an array is not opened")
def test_a_pickle_in_an_array_is_not_opened():
    class Opened:
        def __reduce__(self):
            return (pytest.fail, ("the server has opened a pickle",))

    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (1, 49)})
    file.write(pickle.dumps(Opened()))
    with pytest.raises(updates.BadUpdate, match="array 1 holds object_, not float64"):
        updates.read(Parameters([file.getvalue()], "numpy.ndarray"), [np.zeros((1, 49))])


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 49), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["<f8", "<i8", "|b1"])
def test_what_numpy_has_written_is_read_as_numpy_reads_it(shape, dtype):
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    file = io.BytesIO()
    np.save(file, array)
    (read,) = updates.read(Parameters([file.getvalue()], "numpy.ndarray"), [array])
    np.testing.assert_array_equal(read, np.load(io.BytesIO(file.getvalue())), strict=True)


@pytest.mark.parametrize("shape", ["-" * 9000 + "1", "(" * 9000, "1" * 9000 + "x", "1, " * 3000 + "x", "[" * 9000])
def test_a_header_that_would_break_a_parser_is_refused_at_once(shape):
    """CPython 3.11's own raises MemoryError or RecursionError at the first two (ast.literal_eval's documentation)."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({shape}), }}\n".encode()
    tensor = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    started = time.monotonic()
    with pytest.raises(updates.BadUpdate, match="array 1 is not in NumPy's format"):
        updates.read(Parameters([tensor], "numpy.ndarray"), [np.zeros((1, 49))])
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("fault", [MemoryError(), SystemError("AST constructor recursion depth mismatch")])
@pytest.mark.parametrize("times", [1, 100])
def test_a_fault_of_the_servers_own_machine_is_never_held_against_a_client(three, monkeypatch, fault, times):
    left, read = [times], updates.read_update

    def fails(answer, *arguments, **more):
        if left[0] > 0:
            left[0] -= 1
            raise fault
        return read(answer, *arguments, **more)

    monkeypatch.setattr(updates, "read_update", fails)
    cohort = Cohort(three)
    cohort.join()
    if times == 1:  # the answer is asked for again
        assert cohort.run(rounds=2).notes == ()
    else:
        with pytest.raises(FederationError, match=f"could not read client-.'s answer: {type(fault).__name__}") as error:
            cohort.run(rounds=2)
        assert "takes part no longer" not in str(error.value)
        assert not any("is left out" in line or "no longer" in line for line in cohort.lines)


def test_a_client_whose_amounts_are_in_another_unit_is_told_of_and_may_stay(three):
    def logs(features):
        return np.column_stack([features[:, 0], np.log10(1 + features[:, 1:])])

    data = three.clients["client-2"]
    spoilt = data._replace(
        train=(logs(data.train[0]), data.train[1]),
        validation=(logs(data.validation[0]), data.validation[1]),
        real_features=logs(data.real_features),
    )
    cohort = Cohort(Rows(three.clients | {"client-2": spoilt}, three.test))
    cohort.join()
    result = cohort.run(rounds=2)
    (event,) = result.notes
    assert event.startswith("client-2 stands apart from the others in 4")
    assert "its values look like the others' as log10(1 + value); ask its owner for the unit" in event
    assert any(event in line for line in cohort.lines)
    assert [entry.clients for entry in result.history] == [3, 3]


def test_of_honest_clients_nothing_is_told(three):
    cohort = Cohort(three)
    cohort.join()
    assert cohort.run(rounds=1).notes == ()
