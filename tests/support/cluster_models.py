"""Small fitted clusters and mixtures."""

from __future__ import annotations

from collections.abc import Callable

from sklearn.cluster import AffinityPropagation, Birch, BisectingKMeans, MeanShift
from sklearn.linear_model import Ridge
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .customers import NUMBERS, example
from .example import Example

CLUSTER_EXAMPLES: dict[type, dict[str, Callable[[], Example]]] = {
    BisectingKMeans: {
        "default": example(BisectingKMeans(5, random_state=0), NUMBERS),
        "distances": example(
            make_pipeline(StandardScaler(), BisectingKMeans(3, random_state=0), Ridge()), NUMBERS, "amount"
        ),
    },
    Birch: {"default": example(Birch(threshold=15, n_clusters=3), NUMBERS)},
    MeanShift: {"default": example(MeanShift(bandwidth=25), NUMBERS, arrays=True)},
    AffinityPropagation: {"default": example(AffinityPropagation(preference=-9000, random_state=0), NUMBERS)},
    GaussianMixture: {
        "full": example(GaussianMixture(3, random_state=0), NUMBERS),
        "diag": example(GaussianMixture(3, covariance_type="diag", random_state=0), NUMBERS),
    },
    BayesianGaussianMixture: {
        "tied": example(
            make_pipeline(
                StandardScaler(), BayesianGaussianMixture(n_components=3, covariance_type="tied", random_state=0)
            ),
            NUMBERS,
        ),
    },
}
"""By class, then by what is special about the example."""
