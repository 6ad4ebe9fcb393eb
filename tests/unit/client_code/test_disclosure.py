"""What a server learns that asks odd questions: of models that give counts away, twice, without end."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from client_code import disclosure, task

POSITIVES, ROWS = 37, 291
LABELS = np.array([1] * POSITIVES + [0] * (ROWS - POSITIVES))
FEATURES = np.zeros((ROWS, 2))
KEYS = [bytes([number]) * 32 for number in range(200)]


def asked(intercept, key):
    """Ask for the loss of a model without coefficients; return how many positives it seems to tell."""
    zero = [np.zeros((1, 2)), np.array([intercept])]
    loss, _ = task.evaluate(zero, FEATURES, LABELS, key=key)
    floor = disclosure.FLOOR
    p = np.clip(1 / (1 + np.exp(-intercept)), floor, 1 - floor)
    return (loss + np.log(1 - p)) / (np.log(1 - p) - np.log(p)) * ROWS


@pytest.mark.parametrize("intercept", [3.0, -3.0, 50.0, -400.0])
def test_a_model_without_coefficients_does_not_tell_the_number_of_positives(intercept):
    """An exact loss does: 37 of 37, whatever the intercept."""
    guesses = np.array([asked(intercept, key) for key in KEYS])
    assert abs(np.median(guesses) - POSITIVES) < 1.5  # it is not wrong
    assert np.mean(np.round(guesses) == POSITIVES) < 0.3
    assert np.mean(np.abs(guesses - POSITIVES) > 2) > 0.25


def test_the_exact_loss_would_tell_it():
    loss = log_loss(LABELS, np.full(ROWS, 1 / (1 + np.exp(-3.0))))
    p = 1 / (1 + np.exp(-3.0))
    assert round((loss + np.log(1 - p)) / (np.log(1 - p) - np.log(p)) * ROWS) == POSITIVES


def test_the_same_question_has_one_answer_and_asking_again_takes_no_noise_away():
    assert asked(3.0, KEYS[0]) == asked(3.0, KEYS[0])
    assert len({round(asked(3.0, key), 6) for key in KEYS}) > 150


def test_of_many_rows_the_loss_is_nearly_exact():
    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(0, 2, 50_000), rng.uniform(0.05, 0.95, 50_000)
    told = disclosure.told_loss(labels, probabilities, key=KEYS[0], question=b"q")
    assert told == pytest.approx(log_loss(labels, probabilities), abs=0.002)


def test_one_model_a_round_and_the_same_one_again():
    questions, answers = disclosure.Asked(), iter(range(10))
    one, other = [np.zeros(3)], [np.ones(3)]
    assert questions.once("round 2", one, lambda: next(answers)) == 0
    assert questions.once("round 2", one, lambda: next(answers)) == 0  # the connection broke
    with pytest.raises(disclosure.AskedAgain, match="several models in round 2"):
        questions.once("round 2", other, lambda: next(answers))
    assert questions.once("round 3", other, lambda: next(answers)) == 1


def test_round_1_is_asked_again_when_its_scaler_was_made_anew():
    questions = disclosure.Asked()
    for number in range(disclosure.SCALERS):
        assert questions.once("round 1", [np.array([number])], lambda number=number: number) == number
    with pytest.raises(disclosure.AskedAgain, match="several models in round 1"):
        questions.once("round 1", [np.array([-1])], lambda: None)


def test_no_server_asks_without_end():
    questions = disclosure.Asked()
    for number in range(disclosure.ROUNDS):
        questions.once(f"round {number}", [np.array([number])], lambda: None)
    with pytest.raises(disclosure.AskedAgain, match="more than 1000 models"):
        questions.once("round 5000", [np.zeros(1)], lambda: None)
