"""Model and training, pure: a logistic regression whose coefficients can be sent, averaged and scored.

No Flower and no AWS in here: arrays go in, arrays come out. The client's job, the server and the plain loop
that the tests compare them with all call these functions. Nothing newer than scikit-learn 1.4 is used.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

try:
    from .disclosure import told_loss
    from .problem import Encoded, Problem
except ImportError:  # in a job the modules lie side by side and are no package
    from disclosure import told_loss
    from problem import Encoded, Problem

Parameters = list[np.ndarray]


class TooFewRows(ValueError):
    """A table is too small for its sums to be shared."""


class BadSetting(ValueError):
    """A hyperparameter that cannot be."""


class Scaler(NamedTuple):
    """Mean and standard deviation of every input of the model, each of shape ``(n_inputs,)``."""

    mean: np.ndarray
    scale: np.ndarray


class GlobalModel(NamedTuple):
    """What the server sends in every round: ``[coef (1, n_features), intercept (1,)]`` and the scaler."""

    parameters: Parameters
    scaler: Scaler

    @classmethod
    def of(cls, arrays: Parameters) -> GlobalModel:
        """Read the four arrays of :meth:`arrays`."""
        coef, intercept, mean, scale = arrays
        return cls([coef, intercept], Scaler(mean, scale))

    def arrays(self) -> Parameters:
        """Return ``[coef, intercept, mean, scale]``."""
        return [*self.parameters, *self.scaler]


def new_model(*, penalty: str = "l2", max_iter: int = 10, seed: int = 0) -> LogisticRegression:
    """Make the model that every client trains, with the hyperparameter names of the original sample.

    Parameters
    ----------
    penalty : {"l2", "l1", "none"}
        scikit-learn 1.8 replaced ``penalty`` by ``l1_ratio`` and ``C``; both spellings are served.
    max_iter : int
        Solver iterations per round.
    seed : int
        Only the ``l1`` solver draws random numbers.

    Raises
    ------
    BadSetting
        If the penalty is not one of the three, or ``max_iter`` is below 1.
    """
    if penalty not in ("l2", "l1", "none"):
        raise BadSetting(f"hyperparameter penalty is {penalty!r}; choose l2, l1 or none")
    if max_iter < 1:
        raise BadSetting(f"hyperparameter max-iter is {max_iter}; it must be at least 1")
    options: dict = {"max_iter": max_iter, "warm_start": True, "random_state": seed}
    if penalty == "none":
        options["C"] = np.inf
    elif penalty == "l1":
        options["solver"] = "saga"
        default = inspect.signature(LogisticRegression).parameters["penalty"].default
        options |= {"penalty": "l1"} if default == "l2" else {"l1_ratio": 1.0}
    return LogisticRegression(**options)


def settings(model: LogisticRegression) -> dict[str, str | int]:
    """Return what a model of :func:`new_model` is trained with, read from the model itself.

    >>> settings(new_model(penalty="none", max_iter=3, seed=7))
    {'penalty': 'none', 'solver': 'lbfgs', 'max_iter': 3, 'seed': 7}
    """
    penalty = "none" if np.isinf(model.C) else "l1" if model.solver == "saga" else "l2"
    return {"penalty": penalty, "solver": model.solver, "max_iter": model.max_iter, "seed": model.random_state}


def set_initial_params(model: LogisticRegression, n_features: int) -> None:
    """Give an unfitted model zeros to start from: ``coef_ (1, n_features)``, ``intercept_ (1,)``.

    A binary model has one row of coefficients, not one per class.
    """
    model.classes_ = np.array([0, 1])
    model.n_features_in_ = n_features
    set_model_params(model, [np.zeros((1, n_features)), np.zeros(1)])


def get_model_parameters(model: LogisticRegression) -> Parameters:
    """Return ``[coef (1, n_features), intercept (1,)]``, float64."""
    return [model.coef_.copy(), model.intercept_.copy()]


def set_model_params(model: LogisticRegression, parameters: Parameters) -> None:
    """Put ``[coef (1, n_features), intercept (1,)]`` into the model."""
    model.coef_, model.intercept_ = (np.array(array, dtype=np.float64) for array in parameters)


def statistics(features: np.ndarray, problem: Problem) -> Parameters:
    """Return the moments that the federated scaler is made of; of two sets that differ by one row they give that row.

    Squares are summed around the client's own mean: of plain sums of squares a column whose mean is large beside its
    spread would keep no digit of its variance.

    Parameters
    ----------
    features : ndarray, shape (n_rows, n_features)
        Raw values.

    Returns
    -------
    list of ndarray
        ``[n_rows (1,), values (n_inputs,), mean (n_inputs,), sum of squared deviations from it (n_inputs,)]`` of the
        inputs, float64: how many values there are, and what they are like, without what is missing. A word that fewer
        rows have than the problem's floor is told as one that none has.

    Raises
    ------
    TooFewRows
        Below the problem's floor.
    """
    if len(features) < (floor := problem.floors.shared):
        raise TooFewRows(
            f"{len(features)} training rows: sums over fewer than {floor} rows are not shared; "
            "add rows to the training file or leave this client out"
        )
    parts = [moments(part.transform(features[:, place])) for part, place in problem.parts(PART)]
    n_rows, (values, mean, squares) = parts[0][0], (np.concatenate(each) for each in list(zip(*parts, strict=True))[1:])
    for column, place in zip(problem.features, problem.places, strict=True):
        if column.categories:
            few = np.round(values[place] * mean[place]) < problem.floors.category
            mean[place], squares[place] = np.where(few, 0.0, mean[place]), np.where(few, 0.0, squares[place])
    return [n_rows, values, mean, squares]


def moments(inputs: np.ndarray) -> Parameters:
    """Return ``[n_rows (1,), values (n,), mean (n,), sum of squared deviations (n,)]`` of an array's columns.

    NaN is no value. Of a column without any the mean is 0.

    >>> [array.tolist() for array in moments(np.array([[7.0, 1.0], [7.0, np.nan], [7.0, 3.0]]))]
    [[3.0], [3.0, 2.0], [7.0, 2.0], [0.0, 2.0]]
    """
    there = ~np.isnan(inputs)
    values = there.sum(axis=0).astype(float)
    first = inputs[there.argmax(axis=0), np.arange(inputs.shape[1])]
    away = inputs - np.where(values > 0, first, 0.0)  # exactly 0 where a column never changes
    if not there.all():
        away[~there] = 0.0
    shift = away.sum(axis=0) / np.maximum(values, 1.0)
    mean = np.where(values > 0, first + shift, 0.0)
    away -= shift
    if not there.all():
        away[~there] = 0.0
    return [np.array([float(len(inputs))]), values, mean, (away**2).sum(axis=0)]


def pooled_scaler(all_moments: Sequence[Parameters], problem: Problem) -> Scaler:
    """Put the clients' moments together to the scaler that pooling all rows, and filling what is missing, would give.

    A column that never changes gets scale 1, by the rule of scikit-learn's ``StandardScaler``: also one that changes by
    no more than what rounding may do to its mean.

    Source: Chan, Golub and LeVeque 1983, Algorithms for computing the sample variance, equation 1.3.
    """
    rows, values, means, squares = (np.array(arrays) for arrays in zip(*all_moments, strict=True))
    n_rows, n_values = float(rows.sum()), values.sum(axis=0)
    first = means[(values > 0).argmax(axis=0), np.arange(means.shape[1])]
    away = means - first  # exactly 0 where all means are equal
    shift = (values * away).sum(axis=0) / np.maximum(n_values, 1.0)
    squares = squares.sum(axis=0) + (values * (away - shift) ** 2).sum(axis=0)
    mean = first + shift
    for column, place in zip(problem.features, problem.places, strict=True):
        if column.categories and (n_values[place] < n_rows).any():
            fill, empty = problem.fill_of(column, mean[place]), n_rows - n_values[place]
            squares[place] += n_values[place] * empty / n_rows * (mean[place] - fill) ** 2
            mean[place] += empty / n_rows * (fill - mean[place])
    variance = squares / n_rows
    eps = np.finfo(np.float64).eps
    constant = variance <= n_rows * eps * variance + (n_rows * mean * eps) ** 2
    return Scaler(mean, np.where(constant, 1.0, np.sqrt(variance)))


def transform(features: np.ndarray, scaler: Scaler, problem: Problem) -> np.ndarray:
    """Return the standardised inputs, ``(n_rows, n_inputs)``, of raw values, ``(n_rows, n_features)``."""
    scaled = problem.transform(features)
    if not problem.plain:
        scaled = problem.filled(scaled, scaler.mean)
    scaled -= scaler.mean
    scaled /= scaler.scale
    return scaled


def fit(
    model: LogisticRegression,
    parameters: Parameters,
    features: np.ndarray,
    labels: np.ndarray,
    *,
    proximal_mu: float = 0.0,
) -> Parameters:
    """Train from the global parameters on scaled rows for ``max_iter`` iterations; return the new parameters.

    Parameters
    ----------
    proximal_mu : float
        Above 0, FedProx: how strongly the new parameters are held near the global ones.

    Raises
    ------
    BadSetting
        For FedProx with the l1 penalty.
    """
    if proximal_mu and model.solver == "saga":
        raise BadSetting("the strategy FedProx works with hyperparameter penalty l2 or none, not with l1")
    if proximal_mu or (len(np.unique(labels)) < 2 and model.solver != "saga"):
        return _fit_near(model, parameters, features, labels, proximal_mu)  # scikit-learn wants both classes
    set_model_params(model, parameters)
    with warnings.catch_warnings():
        # A round stops after a few iterations on purpose: the next round carries on.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, labels)
    return get_model_parameters(model)


def _fit_near(
    model: LogisticRegression, parameters: Parameters, features: np.ndarray, labels: np.ndarray, proximal_mu: float
) -> Parameters:
    """Minimise scikit-learn's objective for the l2 penalty, as a mean over rows, plus FedProx's proximal term.

    scikit-learn has no place for that term. Source: Li et al., "Federated Optimization in Heterogeneous Networks",
    MLSys 2020, equation 2.
    """
    start = np.concatenate([parameters[0][0], parameters[1]])
    ridge = 0.0 if np.isinf(model.C) else 1.0 / (model.C * len(labels))

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = features @ weights[:-1] + weights[-1]
        errors = (expit(margins) - labels) / len(labels)
        away = weights - start
        value = np.mean(np.logaddexp(0.0, margins) - labels * margins)
        value += 0.5 * ridge * weights[:-1] @ weights[:-1] + 0.5 * proximal_mu * away @ away
        slope = np.append(features.T @ errors + ridge * weights[:-1], errors.sum()) + proximal_mu * away
        return float(value), slope

    solution = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": model.max_iter}).x
    return [solution[None, :-1], solution[-1:]]


def predict(parameters: Parameters, features: np.ndarray) -> np.ndarray:
    """Return the probability of label 1 for scaled rows, shape ``(n_rows,)``."""
    coef, intercept = parameters
    return 1.0 / (1.0 + np.exp(-np.clip(features @ coef[0] + intercept[0], -500, 500)))


PART = 10  # features whose moments are taken at a time: a wide table needs little more memory than its rows
METRICS = ("training_loss", "validation_loss", "validation_auc", "training_seconds")


def metrics(
    parameters: Parameters,
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    *,
    key: bytes,
) -> dict[str, float]:
    """Return how good a model is that a client has trained, by the names of ``METRICS``, as it tells it.

    The loss (log-loss, nats) is that of the rows trained on, which may be resampled, and of the validation rows, which
    are not; both as ``disclosure`` tells them. The area under the ROC curve, in hundredths, is left out where the
    validation rows are all of one class.

    Parameters
    ----------
    key : bytes
        The owner's secret.
    """
    seen, held_out = (predict(parameters, features) for features in (train[0], validation[0]))
    question = b"".join(array.tobytes() for array in parameters)
    known = {
        "training_loss": told_loss(train[1], seen, key=key, question=b"training" + question),
        "validation_loss": told_loss(validation[1], held_out, key=key, question=b"validation" + question),
    }
    if len(np.unique(validation[1])) > 1:
        known["validation_auc"] = round(float(roc_auc_score(validation[1], held_out)), 2)
    return known


def evaluate(parameters: Parameters, features: np.ndarray, labels: np.ndarray, *, key: bytes) -> tuple[float, float]:
    """Return the log-loss, as ``disclosure`` tells it, and the threshold of a model on rows that were not resampled."""
    question = b"end" + b"".join(array.tobytes() for array in parameters)
    loss = told_loss(labels, predict(parameters, features), key=key, question=question)
    return loss, threshold(parameters, features, labels)


def threshold(parameters: Parameters, features: np.ndarray, labels: np.ndarray) -> float:
    """Return the best threshold of a model on scaled rows, in hundredths: no client tells it more exactly."""
    return round(best_threshold(labels, predict(parameters, features)), 2)


def best_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the threshold with the highest balanced accuracy (the largest of them when several tie).

    >>> best_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.8
    """
    false_alarms, hits, thresholds = roc_curve(labels, probabilities, drop_intermediate=False)
    return float(min(thresholds[np.argmax(hits - false_alarms)], 1.0))


def build_pipeline(parameters: Parameters, scaler: Scaler, encoding: Sequence[Encoded]) -> Pipeline:
    """Put a global model into a fitted scikit-learn ``Pipeline`` that takes the raw columns as a DataFrame.

    Parameters
    ----------
    encoding : sequence of Encoded
        How every column becomes inputs, in the model's order.
    """
    n_inputs = len(scaler.mean)
    standardise = StandardScaler()
    standardise.mean_, standardise.scale_, standardise.var_ = scaler.mean, scaler.scale, scaler.scale**2
    standardise.n_features_in_ = n_inputs
    model = LogisticRegression()
    set_initial_params(model, n_inputs)
    set_model_params(model, parameters)
    if any(column.categories or column.missing for column in encoding):
        first = ("encode", _encoder(encoding, scaler.mean))
    else:
        transforms = {column.name: column.transform for column in encoding}
        columns = pd.DataFrame(np.zeros((1, n_inputs)), columns=np.array(list(transforms), dtype=object))
        first = ("log1p", _column_transforms(transforms).fit(columns))
    return Pipeline([first, ("standardise", standardise), ("model", model)])


def _encoder(encoding: Sequence[Encoded], mean: np.ndarray) -> ColumnTransformer:
    """Return a fitted step that fills and encodes columns, one after the other, as ``Problem.transform`` does."""
    steps, example, begin = [], {}, 0
    for column in encoding:
        end = begin + len(column.inputs) - column.indicator
        own = mean[begin:end]
        if column.categories:
            fill = column.categories[int(own.argmax())]
            words = OneHotEncoder(categories=[list(column.categories)], sparse_output=False, handle_unknown="error")
            parts = [SimpleImputer(strategy="constant", fill_value=fill), words]
            example[column.name] = pd.Series(column.categories[:1], dtype=object)
        else:
            as_number = (np.log1p, None) if column.transform == "log1p" else (np.asarray, {"dtype": float})
            numbers = FunctionTransformer(as_number[0], kw_args=as_number[1], feature_names_out="one-to-one")
            parts = [numbers, SimpleImputer(strategy="constant", fill_value=float(own[0]))]
            example[column.name] = pd.Series([0.0])
        steps.append((column.name, make_pipeline(*parts), [column.name]))
        if column.indicator:
            steps.append((f"{column.name} is missing", MissingIndicator(features="all"), [column.name]))
        begin = end + column.indicator
    return ColumnTransformer(steps, sparse_threshold=0).fit(pd.DataFrame(example))


def _column_transforms(transforms: Mapping[str, str]) -> FunctionTransformer | ColumnTransformer:
    """Return an unfitted step that takes logarithms of some columns; their order stays, run by run."""
    # validate=True: a table whose columns stand in another order is refused, not scored wrongly.
    logs = FunctionTransformer(np.log1p, validate=True, feature_names_out="one-to-one")
    if set(transforms.values()) == {"log1p"}:
        return logs
    runs = [(kind, [name for name, _ in run]) for kind, run in groupby(transforms.items(), key=lambda item: item[1])]
    return ColumnTransformer(
        [(f"{kind} {n}", logs if kind == "log1p" else "passthrough", run) for n, (kind, run) in enumerate(runs)]
    )


def save_model(model_dir: str | Path, model: Pipeline) -> Path:
    """Write ``model.joblib`` into the folder that SageMaker packs into ``model.tar.gz``: whole, or not at all."""
    path = Path(model_dir) / "model.joblib"
    temporary = path.with_suffix(".tmp")
    try:
        joblib.dump(model, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
