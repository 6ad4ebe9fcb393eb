"""Small experiments that the notebooks show: what goes wrong when a step stands in the wrong place."""

from __future__ import annotations

import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score, roc_auc_score

from client_code import schema
from data_prep import balance, split


def smote_before_and_after_the_split(frame: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Score a forest on rows that SMOTE had touched before the split, and on rows it never saw.

    Parameters
    ----------
    frame : DataFrame
        Real rows with their label, deduplicated.

    Returns
    -------
    DataFrame
        ROC AUC and average precision, one line for each order of the two steps.
    """
    train, test = split.hold_out(frame, seed=seed)
    leaked_train, leaked_test = split.hold_out(balance.smote(frame, ratio=1.0, seed=seed), seed=seed)
    orders = {
        "before the split": (leaked_train, leaked_test),
        "after the split": (balance.smote(train, ratio=1.0, seed=seed), test),
    }
    lines = {}
    for order, (fitted, scored) in orders.items():
        forest = RandomForestClassifier(n_estimators=60, random_state=seed, n_jobs=1)
        forest.fit(*schema.to_arrays(fitted))
        features, labels = schema.to_arrays(scored)
        probabilities = forest.predict_proba(features)[:, 1]
        lines[order] = {
            "ROC AUC": roc_auc_score(labels, probabilities),
            "average precision": average_precision_score(labels, probabilities),
        }
    return pd.DataFrame(lines).T.rename_axis("SMOTE")
