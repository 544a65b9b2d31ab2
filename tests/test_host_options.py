"""Options of host operations: attributes of their nodes, each of its type, in files too."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import lamina as lm
from lamina import _core as core

A = np.array([[2.0, 0.5, 1.0], [0.25, 4.0, 3.0], [1.0, 0.5, 8.0]], np.float32)
MATH = {
    "lower": lambda h: lm.linalg.solve_triangular(A, h, lower=True),
    "transposed": lambda h: lm.linalg.solve_triangular(A, h, transposed=True, unit_diagonal=True),
    "pinv": lambda h: lm.linalg.pinv(A, rcond=0.3) @ h,
    "none": lambda h: lm.linalg.inv(A) @ h,
}


def network(name):
    return lm.Sequential(lm.Lambda(lambda x: lm.transpose(MATH[name](lm.transpose(x)))), lm.Dense(2), seed=0).build(3)


def test_a_node_has_them_as_attributes():
    a, b = lm.placeholder((3, 3)), lm.placeholder((3, 2))
    node = lm.linalg.solve_triangular(a, b, lower=True).node
    assert node.options == {"lower": True, "transposed": False, "unit_diagonal": False}
    assert node.options.items() <= node.attrs.items()
    assert lm.linalg.inv(a).node.options == {}


@pytest.mark.parametrize(("key", "value"), [("lower", "text"), ("rcond", "text"), ("of", 3), ("diagonal", True), ("options", "")])
def test_one_of_another_type_or_name_is_refused(key, value):
    a = lm.placeholder((3, 3))
    attrs = {"name": "inv", "shape": (3, 3), "dtype": "float32", key: value}
    with pytest.raises((TypeError, ValueError), match=rf"\[host\] .*'{key}'"):
        core.make("host", [a.node], attrs)


def write_as_text(path, change=lambda text: text):
    """As files were before: one attribute, of JSON."""
    with safe_open(path, "np") as file:
        description = json.loads(file.metadata()["lamina"])
    for node in description["nodes"]:
        if node["op"] == "host":
            attrs = node["attrs"]
            options = {key: attrs.pop(key) for key in list(attrs) if key not in ("name", "shape", "dtype")}
            attrs["options"] = change(json.dumps(options, sort_keys=True) if options else "")
    tensors = load_file(path)
    save_file(tensors, path, metadata={"lamina": json.dumps(description)})


@pytest.mark.parametrize("name", MATH)
def test_files_keep_them_as_types_and_read_them_as_text(name, tmp_path):
    x, net = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32), network(name)
    net.save(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(lm.load(tmp_path / "net.safetensors").predict(x), net.predict(x))
    write_as_text(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(lm.load(tmp_path / "net.safetensors").predict(x), net.predict(x))


DAMAGED = ["{", "[1]", '"lower"', "7", '{"lower": "x"}', '{"name": 3}', '{"name": "inverse"}', '{"depth": 1}', "[" * 100_000, 5]


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: str(text)[:20])
def test_text_that_holds_no_options_is_a_damaged_file(text, tmp_path):
    network("lower").save(tmp_path / "net.safetensors")
    write_as_text(tmp_path / "net.safetensors", lambda _: text)
    with pytest.raises(ValueError, match="damaged or foreign"):
        lm.load(tmp_path / "net.safetensors")
