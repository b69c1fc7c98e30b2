"""Small fitted neural networks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .customers import NUMBERS, customers, rows_to_score
from .example import Example

OPTIONS: dict[str, Any] = {"hidden_layer_sizes": (5, 3), "max_iter": 40, "random_state": 0, "learning_rate_init": 0.03}


def _network(model: Any, targets: Sequence[str]) -> Callable[[], Example]:
    """A scaler and the network, trained on `targets`: several of them make a table."""

    def make() -> Example:
        train, y = customers()[NUMBERS], customers()[list(targets)]
        scaled = make_pipeline(StandardScaler(), model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            scaled.fit(train, y.to_numpy() if len(targets) > 1 else y[targets[0]].to_numpy())
        return Example(scaled, rows_to_score(train))

    return make


NEURAL_EXAMPLES: dict[type, dict[str, Callable[[], Example]]] = {
    MLPClassifier: {
        "relu": _network(MLPClassifier(**OPTIONS), ["churn"]),
        "tanh-multiclass": _network(MLPClassifier(activation="tanh", **OPTIONS), ["tier"]),
        "labels": _network(MLPClassifier(**OPTIONS), ["flag", "senior"]),
    },
    MLPRegressor: {
        "logistic": _network(MLPRegressor(activation="logistic", **OPTIONS), ["amount"]),
        "several": _network(MLPRegressor(**OPTIONS), ["amount", "level"]),
    },
}
"""By class, then by what is special about the example."""
