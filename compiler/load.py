"""Model files: what is in one, whether it may be loaded, and the estimator inside.

A pickle runs code while it is loaded, so none is read unless the user says that the file is trusted; skops is the
default format, and of it only types are loaded that skops trusts or pgscore checks. An ONNX file runs no code, nor does
one with the factors of a recommender. The content decides what a file is, not its name.
"""

from __future__ import annotations

import hashlib
import io
import platform
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.utils.validation import check_is_fitted
from skops import io as skops_io

from pgscore.errors import ModelFileError, UntrustedModelError

from .factorisation import is_factorisation, read_factorisation
from .frontends.parts import parts
from .native import wrapped
from .native_files import EXTRAS, library_versions, native_format, read
from .onnx_file import OnnxFileError, is_onnx
from .tree_indices import CHECKED_TYPES, find_fault

SKOPS, PICKLE, ONNX, FACTORS = "skops", "pickle", "onnx", "factors"

_PICKLE_SUFFIXES = frozenset({".joblib", ".pkl", ".pickle"})

_ZLIB = (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda")
_PICKLE_STARTS = (b"\x80", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"]\x00", b'\x04"M\x18', *_ZLIB)
"""Pickle from protocol 2 on, and what joblib compresses with: gzip, bz2, xz, lzma, lz4, zlib."""


@dataclass(frozen=True)
class LoadedModel:
    """A fitted estimator and where it came from.

    `format` is "skops", "pickle", "onnx", "factors" or the library whose file it is, `sha256` the file's, `description`
    the classes in words, `libraries` the versions that it was loaded with, and `warnings` lines for the user: above
    all, that another scikit-learn fitted the model.
    """

    estimator: Any
    path: Path
    format: str
    sha256: str
    libraries: Mapping[str, str]
    description: str
    warnings: tuple[str, ...] = ()


def load_model(path: Path, *, trust: bool = False, sha256: str | None = None) -> LoadedModel:
    """The fitted estimator in the file.

    `trust` allows pickles (joblib) and types in a skops file that neither skops nor pgscore vouches for: both can run
    any code. With `sha256`, nothing of the file is loaded unless that is its hash. Raises UntrustedModelError where
    trust would be needed, and ModelFileError for another hash or if there is no fitted estimator.
    """
    content = _read(path)
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ModelFileError(f"{path} is not the file whose sha256 is {sha256}; it was not loaded")
    form = _format(path, content)
    if form == PICKLE and not trust:
        raise UntrustedModelError(
            f"{path} is a pickle, and loading one runs whatever code is in it; save the model with skops.io.dump, "
            "or give --trust if you know who made the file"
        )
    if form == ONNX:
        return _onnx(path, content)
    if form == FACTORS:
        return _factors(path, content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if form in EXTRAS:
            estimator = _guarded(path, lambda: read(content, form))
        else:
            estimator = wrapped(_unpickle(path, content) if form == PICKLE else _load_skops(path, content, trust))
    _require_fitted_estimator(path, estimator)
    return LoadedModel(
        estimator=estimator,
        path=path,
        format=form,
        sha256=hashlib.sha256(content).hexdigest(),
        libraries={
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            **library_versions(estimator),
        },
        description=describe(estimator),
        warnings=tuple(dict.fromkeys(_line(w.message) for w in caught)),
    )


def describe(estimator: object) -> str:
    """The classes of a model in words, such as `Pipeline(StandardScaler, LogisticRegression)`."""
    if isinstance(estimator, str):  # "passthrough" or "drop"
        return estimator
    found = parts(estimator) or []
    if isinstance(estimator, ColumnTransformer):  # as it was written: fitting rewrites "passthrough"
        found = [(name, part) for name, part, _ in estimator.transformers]
    name, of = type(estimator).__name__, ", ".join(describe(part) for _, part in found if part is not None)
    return f"{name}({of})" if of else name


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise ModelFileError(f"{path} is a directory, not a model file") from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from None
    if not content:
        raise ModelFileError(f"{path} is empty")
    return content


def _format(path: Path, content: bytes) -> str:
    """What the content is. Raises ModelFileError if it is none of the formats, or not what its name says."""
    suffix = path.suffix.lower()
    members = _members(content)
    if "schema.json" in members:
        return SKOPS
    if is_factorisation(members):
        return FACTORS
    if suffix == ".onnx" or is_onnx(content):
        return ONNX
    if (library := native_format(content)) is not None:
        return library
    is_pickle = content.startswith(_PICKLE_STARTS)
    if suffix == ".skops":
        what = "is a pickle with the name of a skops file" if is_pickle else "is not a skops file, or a damaged one"
        raise ModelFileError(f"{path} {what}; save the model with skops.io.dump")
    if is_pickle or suffix in _PICKLE_SUFFIXES:
        return PICKLE
    raise ModelFileError(
        f"{path} is no model file that pgscore knows: it reads skops, ONNX, recommenders (.npz), the files of "
        "LightGBM, XGBoost and CatBoost and, with --trust, joblib and pickle"
    )


def _onnx(path: Path, content: bytes) -> LoadedModel:
    """An ONNX graph, which holds no code."""
    import onnx
    import onnxruntime

    from .onnx_model import OnnxModel

    try:
        model = OnnxModel(content)
    except OnnxFileError as error:
        raise ModelFileError(f"{path} cannot be deployed: {error}") from error
    libraries = {
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    return LoadedModel(model, path, ONNX, hashlib.sha256(content).hexdigest(), libraries, model.description)


def _factors(path: Path, content: bytes) -> LoadedModel:
    """A factorisation: arrays alone."""
    found = _guarded(path, lambda: read_factorisation(content))
    libraries = {"scikit-learn": sklearn.__version__, "numpy": np.__version__, "python": platform.python_version()}
    return LoadedModel(found, path, FACTORS, hashlib.sha256(content).hexdigest(), libraries, found.estimator)


def _members(content: bytes) -> list[str]:
    """The names in a zip archive; none where the content is no such archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.namelist()
    except zipfile.BadZipFile:
        return []


def _load_skops(path: Path, content: bytes, trust: bool) -> object:
    untrusted = _guarded(path, lambda: skops_io.get_untrusted_types(data=content))
    unknown = sorted(set(untrusted) - CHECKED_TYPES)
    if unknown and not trust:
        raise UntrustedModelError(
            f"{path} holds types that skops does not trust: {', '.join(unknown)}; give --trust if you know who made "
            "the file, or save the model without them"
        )
    estimator = _guarded(path, lambda: skops_io.loads(content, trusted=untrusted))
    fault = None if trust else _guarded(path, lambda: find_fault(estimator))
    if fault is not None:
        raise UntrustedModelError(f"{path} {fault}; give --trust only if you know who made the file")
    return estimator


def _unpickle(path: Path, content: bytes) -> object:
    """Runs the code in a trusted pickle; joblib reads plain pickles and its own compressed ones.

    The import stays here: nothing that unpickles is at hand where the file is not trusted.
    """
    import joblib

    return _guarded(path, lambda: joblib.load(io.BytesIO(content)))


def _guarded(path: Path, load: Callable[[], Any]) -> Any:
    """Turns whatever a file's content raises into one line: it may hold any class, and damage shows up anywhere."""
    try:
        return load()
    except ModuleNotFoundError as error:
        install = f": pip install 'pgscore[{error.name}]'" if error.name in EXTRAS else ""
        message = f"{path} needs the Python module {error.name}, which is not installed here{install}"
        raise ModelFileError(message) from error
    except Exception as error:
        raise ModelFileError(f"{path} cannot be loaded: {type(error).__name__}: {_line(error)}") from error


def _require_fitted_estimator(path: Path, estimator: object) -> None:
    is_estimator = isinstance(estimator, BaseEstimator) or type(estimator).__module__.startswith("catboost.")
    if isinstance(estimator, type) or not is_estimator:
        what = f"the class {estimator.__name__}" if isinstance(estimator, type) else f"a {type(estimator).__name__}"
        raise ModelFileError(f"{path} holds {what}, not a fitted scikit-learn estimator")
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        raise ModelFileError(
            f"{path} holds a {describe(estimator)} that is not fitted; call fit before you save it"
        ) from None


def _line(message: Warning | str | BaseException) -> str:
    """One line for a warning or error."""
    if isinstance(message, InconsistentVersionWarning):
        return (
            f"fitted with scikit-learn {message.original_sklearn_version}, loaded with "
            f"{message.current_sklearn_version}: its answers here are those of the latter"
        )
    return str(message).strip().partition("\n")[0]
