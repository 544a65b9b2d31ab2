"""Looking things up by name: one place for "unknown name, did you mean ..."."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

# What Keras, PyTorch, scikit-learn and MATLAB call otherwise.
OTHERS = {
    "sparse_categorical_crossentropy": "cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "crossentropyloss": "cross_entropy",
    "log_loss": "cross_entropy",
    "bcewithlogitsloss": "binary_cross_entropy",
    "bce": "binary_cross_entropy",
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "l1": "mae",
    "trainlm": "levenbergmarquardt",
    "lm": "levenbergmarquardt",
    "logistic": "sigmoid",
    "identity": "linear",
    "auc": "roc_auc",
    "xavier": "glorot_uniform",
    "xavier_uniform": "glorot_uniform",
    "xavier_normal": "glorot_normal",
    "he": "he_uniform",
    "kaiming_uniform": "he_uniform",
    "kaiming_normal": "he_normal",
}
_READ, _WRITE = "its weights are dict(net.parameters)", "write weights by net.parameters.update({name: array})"
_MODE = "there is no mode to set: fit and train_step train, predict and evaluate do not"
_ANEW = "layers are given at once: lm.Sequential(*net.layers, lm.Dense(1))"
_FROZEN = "net.trainable = False freezes all layers, layer.trainable = False one"
OF_NETWORKS = {  # methods and attributes of theirs, and what one writes here
    **dict.fromkeys(("add", "append"), _ANEW),
    "pop": "make a network of the layers that stay: lm.Sequential(*net.layers[:-1])",
    "get_layer": "its layers are net.layers, a list",
    **dict.fromkeys(("state_dict", "get_weights", "weights", "named_parameters", "coefs_"), _READ),
    **dict.fromkeys(("load_state_dict", "set_weights"), _WRITE),
    **dict.fromkeys(("train", "eval"), _MODE),
    **dict.fromkeys(("train_on_batch", "partial_fit"), "net.train_step(x, y) is one update from one batch"),
    **dict.fromkeys(("load_weights", "load_model"), "read a network by net = lm.load(path)"),
    **dict.fromkeys(("save_weights", "save_model"), "write it by net.save(path)"),
    "score": "net.evaluate(x, y, metrics=['accuracy']) gives a dict of figures",
    "predict_proba": "apply the softmax: lm.softmax(net.predict(x))",
    "forward": "net.predict(array) computes, net(tensor) builds its math on a tensor",
    "fit_generator": "net.fit takes an iterable of batches as x",
    **dict.fromkeys(("freeze", "requires_grad_"), _FROZEN),
    **dict.fromkeys(("to", "half", "double", "astype"), "the type is chosen when it is made: lm.Sequential(..., dtype='float64')"),
}

_MOST_LETTERS = 100  # of a name that is worth comparing


def nearest(name: Any, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, or None where nothing is close.

    >>> nearest("adm", ["sgd", "adam", "lion"]), nearest("categorical_crossentropy", ["binary_cross_entropy", "cross_entropy"])
    ('adam', 'cross_entropy')
    """
    if not isinstance(name, str) or len(name) > _MOST_LETTERS:
        return None
    by_lower = {k.lower(): k for k in known}
    if OTHERS.get(name.lower()) in by_lower:
        return by_lower[OTHERS[name.lower()]]
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[matches[0]] if matches else None


def unknown(where: str, name: Any, known: Iterable[str]) -> ValueError:
    """The error for a name that nobody knows: what was asked for, the nearest name, and all of them.

    >>> str(unknown("optim", "adm", ["sgd", "adam"]))
    "[optim] unknown name 'adm'; did you mean 'adam'? Known: adam, sgd"
    """
    known = sorted(known)
    guess = nearest(name, known)
    hint = f"did you mean '{guess}'? Known: " if guess else "known: "
    return ValueError(f"[{where}] unknown name {name!r:.120}; {hint}{', '.join(known)}")


def lookup(where: str, name: Any, table: Mapping[str, T]) -> T:
    """`table[name]`, or the error of `unknown`.

    >>> lookup("parameters", "dense_1.bias", {"dense_1.bias": 1})
    1
    """
    if not isinstance(name, str) or name not in table:
        raise unknown(where, name, table)
    return table[name]


def anycase(where: str, name: str, table: Mapping[str, T]) -> T:
    """As `lookup`, in whatever case the name is written: for what a user calls by a word, a loss, an optimizer, an activation.

    >>> anycase("optim", "Adam", {"adam": 1})
    1
    """
    return lookup(where, canonical(name, table), table)


def canonical(name: str, table: Iterable[str]) -> str:
    """The known name that differs from this one by case at most; the name itself where none does.

    >>> canonical("MAE", ["mse", "mae"]), canonical("cost", ["mse", "mae"])
    ('mae', 'cost')
    """
    known = list(table)
    return name if name in known else {key.lower(): key for key in known}.get(name.lower(), name)


class Named(Mapping[str, T]):
    """A mapping whose `[name]` is the error of `unknown` where there is no such name; `in` and `get` ask before."""

    def __contains__(self, name: object) -> bool:
        return any(name == known for known in self)

    def get(self, name: str, default: Any = None) -> Any:
        """What has that name, or `default` where nothing has."""
        if name not in self:
            return default
        return self[name]


class Elsewhere:
    """An attribute that a class has not, though its like in other libraries has: asking for it says what to write instead.

    (A method `__getattr__` would say the same, and make every other attribute 0.1 us slower: a tenth of a small training step.)
    """

    def __init__(self, name: str, remedy: str) -> None:
        self._name, self._remedy = name, remedy
        self.__doc__ = f"Not here: {remedy}."

    def __get__(self, owner: Any, kind: type) -> Any:
        raise AttributeError(
            f"{kind.__name__!r} object has no attribute {self._name!r}; {self._remedy}", name=self._name, obj=owner
        )
