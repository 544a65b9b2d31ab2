"""save and load: a safetensors file of weights, whose metadata is the graph as JSON. No pickle, nothing is ever executed.

The tensors: every parameter under its own name; `~constant/0`, ... for arrays in the graph; `~optimizer/...` for the optimizer's
state, `~random/...` for that of dropout and its like; `~extra/...` for what `fit` adds to a checkpoint. The metadata, key "lamina":
see `lamina.storage.blueprint`. Files are replaced whole or not at all (`lamina.base.files`).
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as tensors_from_bytes
from safetensors.numpy import save as tensors_to_bytes

from lamina.base import checks
from lamina.base.calls import explained
from lamina.base.files import replace_file
from lamina.graph.tensor import Tensor
from lamina.layers import Layer
from lamina.models.assembly import attributes_of_user
from lamina.models.model import Model
from lamina.storage import blueprint, foreign, rebuild, restore
from lamina.storage.blueprint import dense

Array = np.ndarray[Any, Any]

KEY = "lamina"
BEGINNINGS = {  # of files that people have weights in
    b"PK\x03\x04": "a zip archive, as np.savez, torch.save and Keras write it",
    b"\x89HDF": "HDF5, as Keras wrote it",
    b"\x93NUMPY": "an array of np.save",
    **{bytes([0x80, protocol]): "a pickle" for protocol in range(2, 6)},
}
# Of other kinds of files.
ENDINGS = (".h5", ".hdf5", ".keras", ".pt", ".pth", ".onnx", ".npz", ".npy", ".pkl", ".pickle", ".joblib")
NO_ROOM = "os error 12"  # how safetensors up to 0.7 says that a file cannot be mapped; from 0.8 on it is a MemoryError
MOST_HEADER = 8 << 20  # bytes: some 100,000 operations; reading more takes seconds before anything can be said about it


def save(
    model: Model,
    path: str | os.PathLike[str],
    *,
    optimizer: bool = False,
    extra: Mapping[str, Any] | None = None,
    extra_tensors: Mapping[str, Mapping[str, Array]] | None = None,
) -> None:
    """Writes `model` to `path`, whole or not at all.

    `optimizer=True` adds the optimizer's state. `extra`, which JSON can hold, and `extra_tensors`, groups of named arrays, are more
    that `restored` gives back. Raises OSError where the file cannot be written; the earlier file is then untouched. Warns where the
    path ends as those of other kinds of files do.
    """
    path = checks.path("save", "path", path)
    optimizer = checks.flag("save", "optimizer", optimizer)
    description, tensors = blueprint.describe(model, optimizer=optimizer)
    if extra is not None:
        description["extra"] = dict(extra)
    if extra_tensors:
        description["extra_tensors"] = {group: list(arrays) for group, arrays in extra_tensors.items()}
        tensors |= {blueprint.extra_name(g, name): dense(a) for g, arrays in extra_tensors.items() for name, a in arrays.items()}
    data = tensors_to_bytes(tensors, metadata={KEY: _dumps(description)})
    _check_header(f"save {checks.cut(path)}", data)
    replace_file(path, data)
    ending = os.path.splitext(path)[1]
    if ending.lower() in ENDINGS:  # written first: hours of training must not be lost over a file name
        checks.warn(
            f"[save {path}] wrote safetensors, as always, which programs that read {ending} do not know; lm.load reads it by any "
            "name, but call it .safetensors"
        )


@explained
def load(path: str | os.PathLike[str]) -> Model:
    """The network that `net.save(path)` wrote: equal predictions, bit for bit; compiled where its loss and optimizer were built in.

    Where the loss was code of one's own, `net.optimizer` has the optimizer: `net.compile(loss, net.optimizer)` goes on with it.
    Warns of metrics of one's own, and of the state of an optimizer of one's own, which are left out.

    Lambda layers, layers of one's own and any other graph load without their Python code: the file holds their math. Raises
    ValueError where the file is not such a file, is damaged, or does not fit together; OSError where it cannot be read.

    >>> net = lm.Sequential(lm.Dense(2), seed=0).build(3)
    >>> net.save("net.safetensors")
    >>> bool((lm.load("net.safetensors").predict(np.ones((1, 3))) == net.predict(np.ones((1, 3)))).all())
    True
    """
    path = checks.path("load", "path", path)
    where = f"load {checks.cut(path)}"
    with _opened(path, where) as (description, source):
        return rebuild.build(description, source, where)


def restored(model: Model, path: str, where: str) -> restore.Restored:
    """A file's weights, optimizer state and counters for a network of its architecture, to be written, and what `extra...` were."""
    with _opened(path, where) as (description, source):
        return restore.restored(model, description, source, where)


def to_bytes(model: Model) -> bytes:
    """What `save(model, path, optimizer=True)` would write; without the state of an optimizer that trains another model by now."""
    kept = model.optimizer
    own = kept is None or not model.built or not kept.trains_another(model.programs.trainable)
    description, tensors = blueprint.describe(model, optimizer=own)
    data = tensors_to_bytes(tensors, metadata={KEY: _dumps(description)})
    _check_header("save", data)
    return data


def from_bytes(data: bytes, into: Model | None = None, given: tuple[Any, ...] | None = None) -> Model:
    """The network that `to_bytes` wrote, as a new one or in the place of `into`; see `rebuild.build`."""
    try:
        _check_header("load", data)
        tensors = tensors_from_bytes(data)  # this checks the header
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (SafetensorError, ValueError, RecursionError) as error:
        raise ValueError(f"[load] expected the bytes of a saved network, got something else ({error}); save it again") from error
    return rebuild.build(_description("load", header.get("__metadata__")), BytesSource(tensors), "load", into, given)


class BytesSource:
    """Tensors in memory."""

    def __init__(self, tensors: Mapping[str, Array]):
        self._tensors = tensors

    def names(self) -> set[str]:
        return set(self._tensors)

    def get(self, name: str) -> Array:
        return self._tensors[name]


class FileSource:
    """Tensors of a safetensors file, mapped: reading one costs its own size."""

    def __init__(self, file: Any):
        self._file = file

    def names(self) -> set[str]:
        return set(self._file.keys())

    def get(self, name: str) -> Array:
        return cast(Array, self._file.get_tensor(name))


@contextlib.contextmanager
def _opened(path: str, where: str) -> Iterator[tuple[dict[str, Any], foreign.Source]]:
    with checks.reading(where):
        mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"[{where}] expected a file, got a folder; name a file in it")
    if not stat.S_ISREG(mode):
        raise ValueError(f"[{where}] expected a file, got a device or a pipe; name a file")
    with checks.reading(where), open(path, "rb") as start:
        _check_header(where, start.read(9))
    try:
        with safe_open(path, framework="numpy") as file:
            yield _description(where, file.metadata()), FileSource(file)
    except (MemoryError, OSError) as error:
        if isinstance(error, OSError) and NO_ROOM not in str(error):
            raise
        raise MemoryError(f"[{where}] expected room for the tensors of this file, got none ({error}); load it elsewhere") from error
    except SafetensorError as error:
        raise ValueError(
            f"[{where}] expected a safetensors file, got something else or a damaged one ({error}); save it again"
        ) from error


def _check_header(where: str, start: bytes) -> None:
    """The first 8 bytes are the length of the header, which begins with the ninth."""
    length = int.from_bytes(start[:8], "little")
    if length > MOST_HEADER:
        kind = next((kind for first, kind in BEGINNINGS.items() if start.startswith(first)), None)
        if kind and start[8:9] != b"{":
            raise ValueError(
                f"[{where}] expected safetensors, which net.save wrote, got {kind}; read its arrays with what wrote them, and "
                "write them by net.parameters.update({name: array}), matrices as (inputs, outputs)"
            )
        raise ValueError(
            f"[{where}] expected a safetensors file with a header of at most {MOST_HEADER} bytes, got one of {length}; "
            "the file is another one or damaged, or the network has too many operations"
        )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose keys must differ: which of two equal ones counts, readers do not agree on."""
    items = dict(pairs)
    if len(items) < len(pairs):
        raise ValueError("a key is given twice")
    return items


def _description(where: str, metadata: Any) -> dict[str, Any]:
    text = (metadata or {}).get(KEY)
    if text is None:
        raise ValueError(
            f"[{where}] expected a file that net.save wrote, got safetensors of another kind (no metadata {KEY!r}); read its "
            "arrays with the package safetensors, and write them by net.parameters.update({name: array})"
        )
    try:
        description = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"[{where}] expected JSON in the metadata {KEY!r}, got something else ({error}); the file is damaged"
        ) from error
    if not isinstance(description, dict):
        raise ValueError(
            f"[{where}] expected an object in the metadata {KEY!r}, got {type(description).__name__}; the file is damaged"
        )
    return description


def _dumps(description: Mapping[str, Any]) -> str:
    return json.dumps(description, separators=(",", ":"))


def state_of(model: Model) -> dict[str, Any]:
    """What pickle and copy.deepcopy carry: the bytes of a file, the arguments of `compile` as they are, and attributes of the
    user's, such as the names of classes, with the history of the last fit.
    """
    given = None
    if model.compiled:
        loss, _, metrics, loss_weights = model.objective.given
        given = (loss, copy.copy(model.objective.optimizer), metrics, loss_weights)  # the optimizer's state is in the bytes
    own = {name: value for name, value in attributes_of_user(model).items() if not _has_parts(value)}
    return {"bytes": to_bytes(model), "given": given, "own": own}


def _has_parts(value: Any) -> bool:
    """Whether it is or contains a layer, a model or a tensor, which a copy must not share."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(_has_parts, value))
    if isinstance(value, Mapping):
        return any(map(_has_parts, value.values()))
    return isinstance(value, (Model, Layer, Tensor))


def set_state(model: Model, state: Mapping[str, Any]) -> None:
    """The reverse, into a new object."""
    from_bytes(state["bytes"], model, state["given"])
    vars(model).update(state.get("own", {}))
