"""PolynomialFeatures: products of columns, each made of a shorter one in the order in which scikit-learn multiplies."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import PolynomialFeatures

from .. import ir
from .builder import Builder, Frontend
from .sparsity import refuse_unsorted

Factors = tuple[int, ...]
"""The columns of a product, in ascending order, each as often as its power says."""


def polynomial_features(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """x_a x_b x_c is (x_c x_b) x_a, and (x_a x_b) x_c on a sparse matrix. The product of nothing is 1."""
    refuse_unsorted(builder)
    columns = builder.finite(columns)
    if not estimator.n_output_features_:
        return ()
    wanted = [tuple(np.repeat(np.arange(len(columns)), powers).tolist()) for powers in estimator.powers_]
    products: dict[Factors, ir.Ref] = {(index,): ref for index, ref in enumerate(columns)}
    if () in wanted:
        (products[()],) = builder.add(ir.Constant((), np.ones(1)))
    for degree in range(2, max(map(len, wanted), default=0) + 1):
        made = list(dict.fromkeys(_part(factors, degree, sparse=builder.sparse) for factors in wanted
                                  if len(factors) >= degree))  # fmt: skip
        if builder.sparse:
            pairs = [(products[factors[:-1]], columns[factors[-1]]) for factors in made]
        else:
            pairs = [(products[factors[1:]], columns[factors[0]]) for factors in made]
        block = builder.add(ir.Multiply(tuple(left for left, _ in pairs) + tuple(right for _, right in pairs)))
        products.update(zip(made, block, strict=True))
    return tuple(products[factors] for factors in wanted)


def _part(factors: Factors, degree: int, *, sparse: bool) -> Factors:
    """The product of `degree` columns that this one is made of."""
    return factors[:degree] if sparse else factors[len(factors) - degree :]


FRONTENDS: dict[type, Frontend] = {
    PolynomialFeatures: polynomial_features,
}
