"""The difference attack: two runs whose rows differ by one give that row back, unless the second one is refused."""

import io
import json

import numpy as np
import pytest
from botocore.exceptions import ClientError

from client_code import ledger, task

KEY, FLOOR = b"k" * 32, 50
ROWS = np.random.default_rng(3).gamma(2.0, 100.0, (400, 6))


class Bucket:
    """S3 in memory."""

    def __init__(self):
        self.objects, self.refuses = {}, ""

    def __getattr__(self, operation):
        if self.refuses == operation:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)
        return getattr(self, f"_{operation}")

    def _list_objects_v2(self, Bucket, Prefix):
        return {"Contents": [key for key in self.objects if key.startswith(Prefix)]}

    def _get_object(self, Bucket, Key):
        return {"Body": io.BytesIO(self.objects[Key])}

    def _put_object(self, Bucket, Key, Body):
        self.objects[Key] = Body


@pytest.fixture
def book():
    book = object.__new__(ledger.Ledger)
    book._bucket, book._s3 = "rows", Bucket()
    return book


def told(book, rows):
    """Do what a client does: ask the ledger, then tell."""
    book.tell(rows, key=KEY, floor=FLOOR)
    return task.moments(rows)


def test_two_sums_give_the_row_in_which_they_differ():
    """By hand: this is what the ledger is for."""
    (n, _, mean, _), (m, _, less, _) = task.moments(ROWS), task.moments(ROWS[:-1])
    np.testing.assert_allclose(n * mean - m * less, ROWS[-1], rtol=1e-9)


def test_the_difference_attack_gets_no_second_sums(book):
    told(book, ROWS)
    for nearly in (ROWS[:-1], np.vstack([ROWS, ROWS[:1] + 1]), np.vstack([ROWS, ROWS[:1]]), ROWS[: -FLOOR + 5]):
        with pytest.raises(ledger.NotTold, match=r"the rows differ by about \d+ from rows whose sums were told before"):
            told(book, nearly)
    changed = ROWS.copy()
    changed[7, 2] += 1e-6
    with pytest.raises(ledger.NotTold):
        told(book, changed)


def test_the_same_rows_are_told_again_and_quite_other_rows_too(book):
    first = told(book, ROWS)
    kept = book._s3.objects[ledger.KEY]
    for ours, theirs in zip(told(book, ROWS), first, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    told(book, ROWS[::-1].copy())  # in another order
    assert book._s3.objects[ledger.KEY] == kept
    told(book, ROWS[:200])
    told(book, np.vstack([ROWS, ROWS + 1]))
    assert len(json.loads(book._s3.objects[ledger.KEY])) == 3
    with pytest.raises(ledger.NotTold):
        told(book, ROWS[:201])  # nearly those of the second time


def test_a_sketch_gives_no_row_away_and_is_no_larger_for_more_rows():
    one = ledger.sketch(ROWS, key=KEY)
    assert one.shape == ledger.sketch(ROWS[:1], key=KEY).shape == (ledger.CELLS,)
    assert ledger.apart(one, ledger.sketch(ROWS, key=b"other" * 8)) > 300  # without the key nobody can check a guess
    assert ledger.apart(one, ledger.sketch(ROWS[:-1], key=KEY)) == 1


def test_what_cannot_be_read_or_written_tells_nothing(book):
    book._s3.refuses = "put_object"
    with pytest.raises(ledger.NotTold, match=r"bucket rows does not say which sums were told before \(AccessDenied\)"):
        told(book, ROWS)
    book._s3.refuses = ""
    for damaged in (b"{", b'["AAAA"]', b"[1]"):
        book._s3.objects[ledger.KEY] = damaged
        with pytest.raises(ledger.NotTold, match=r"told/sums\.json in the owner's bucket is damaged"):
            told(book, ROWS)


def test_the_ledger_does_not_grow_for_ever(book):
    for number in range(ledger.MOST + 3):
        told(book, ROWS[:100] + number)
    assert len(json.loads(book._s3.objects[ledger.KEY])) == ledger.MOST
