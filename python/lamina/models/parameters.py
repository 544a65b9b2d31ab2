"""The weights of a model as a mapping from names to arrays, and the seed of their first values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import numpy as np

from lamina import _core as core
from lamina.base import checks, names
from lamina.graph.parameter import Parameter, numbers

Array = np.ndarray[Any, Any]


class Parameters(names.Named[Array]):
    """The weights of a model by name: reading copies out, assigning checks the shape and writes. To change a part, read, change
    the copy and assign it: net.parameters[name][0] = 7 changes a copy alone, net.parameters[name] *= 2 all of it.

    >>> net = lm.Sequential(lm.Dense(2), seed=0).build((3,))
    >>> list(net.parameters), net.parameters["dense_1.weight"].shape
    (['dense_1.weight', 'dense_1.bias'], (3, 2))
    >>> net.parameters["dense_1.bias"] = [1.0, 2.0]
    """

    def __init__(self, table: Mapping[str, Parameter]):
        self._table = table

    def __getitem__(self, name: str) -> Array:
        return self.tensor(name).value

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def __eq__(self, other: object) -> bool:
        """Whether it is the same network's mapping; arrays are compared one by one, by np.array_equal."""
        if not isinstance(other, Parameters):
            return NotImplemented
        return {name: id(p) for name, p in self._table.items()} == {name: id(p) for name, p in other._table.items()}

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        rows = [f"  {name}: {p.dtype} {tuple(p.shape)}{'' if p.trainable else ', not trained'}" for name, p in self._table.items()]
        return "\n".join([f"Parameters of {len(rows)} arrays", *rows])

    def __call__(self) -> NoReturn:
        raise TypeError(
            "[parameters] expected net.parameters without parentheses, got a call; it is a mapping from names to arrays, and "
            "an optimizer gets the parameters from the network: net.fit(..., optimizer=lm.optim.Adam(1e-3))"
        )

    def tensor(self, name: str) -> Parameter:
        """The parameter itself, to build math with."""
        return names.lookup("parameters", name, self._table)

    def update(self, values: Mapping[str, Any]) -> None:
        """Assigns several parameters at once; all names and shapes are checked before."""
        if not isinstance(values, Mapping):
            raise TypeError(f"[parameters] expected a dict from names to arrays, got {checks.brief(values)}; pass {{name: array}}")
        variables = [self.tensor(name).variable for name in values]
        core.write(variables, [numbers(value, name, v.shape) for (name, value), v in zip(values.items(), variables, strict=True)])


def fresh_seed() -> int:
    """A seed that nobody chose, of 63 bits."""
    return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
