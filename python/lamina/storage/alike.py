"""Whether two described graphs are the same math, however their nodes are numbered; and where they first differ, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lamina.graph.tensor import shown
from lamina.storage.blueprint import Json, index_of


def difference(here: Json, there: Json) -> tuple[str, str] | None:
    """What the first operation that differs is in each of two descriptions (see `blueprint`); None where all outputs are the same.

    Sizes count where they are known; arrays of numbers that are part of the math (constants) do not.
    """
    known: dict[str, int] = {}
    mine, theirs = _classes(here, known), _classes(there, known)
    for (name, a), (other, b) in zip(here["outputs"].items(), there["outputs"].items(), strict=False):
        if name != other:
            return f"the output {name}", f"the output {other}"
        if mine[a] != theirs[b]:
            return _apart(here, there, mine, theirs, a, b)
    one, other = (f"{n} output{'s' * (n != 1)}" for n in (len(here["outputs"]), len(there["outputs"])))
    return None if one == other else (one, other)


def _classes(description: Json, known: dict[str, int]) -> list[int]:
    """A number for each node; two have the same one where they compute the same."""
    classes: list[int] = []
    for item in description["nodes"]:
        key = f"{_text(item)} {[classes[index_of(i, classes)] for i in item['in']]}"
        classes.append(known.setdefault(key, len(known)))
    return classes


def _text(item: Json) -> str:
    """A node but for its inputs, as text: 0 and -0 are two numbers."""
    return json.dumps(
        _without_names({key: value for key, value in item.items() if key not in ("in", "call", "tensor")}), sort_keys=True
    )


def _without_names(value: Any) -> Any:
    """Sizes that are not known are alike, whatever they are called."""
    if isinstance(value, Mapping):
        return {"dim": None} if "dim" in value else {key: _without_names(one) for key, one in value.items()}
    return [_without_names(one) for one in value] if isinstance(value, list) else value


def _apart(here: Json, there: Json, mine: list[int], theirs: list[int], a: int, b: int) -> tuple[str, str]:
    """From two nodes that compute different things down to where that begins."""
    while True:
        one, other = here["nodes"][a], there["nodes"][b]
        if _text(one) != _text(other) or len(one["in"]) != len(other["in"]):
            return _named(here, one), _named(there, other)
        a, b = next((i, j) for i, j in zip(one["in"], other["in"], strict=True) if mine[i] != theirs[j])


def _named(description: Json, item: Json) -> str:
    """An operation and the layer that it is of: "tanh in dense_1", "the number 0.1 in dropout_1"."""
    attrs = item.get("attrs", {})
    what = item.get("parameter") or item.get("random") or item["op"]
    if what == "fill":
        value = attrs["value"]
        what = f"the number {value:.7g}" if isinstance(value, float) else f"the number {value}"
    elif what == "input":
        what = f"an input of {item['dtype']} {shown(tuple(n['dim'] if isinstance(n, dict) else n for n in item['shape']))}"
    elif given := [f"{key}={value}" for key, value in attrs.items() if value not in ([], "")]:
        what += f" ({', '.join(given)})"
    return what if "call" not in item else f"{what} in {description['layers'][description['calls'][item['call']]['layer']]['name']}"
