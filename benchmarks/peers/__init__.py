"""The contenders, one file each: `NAME` as in FILES, `version()` (ImportError where it is not installed), `set_threads(n)`, and
some of `training(workload)`, `network_training(network)`, `inference(workload)`, `product(...)`, `system(...)`, `elementwise(...)`,
`update(...)`: contenders by name."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from benchmarks.timing import Contender

FILES = {
    "lamina": "ours",
    "numpy": "by_hand",
    "pytorch": "pytorch",
    "jax": "xla",
    "scikit-learn": "scikit",
    "onnxruntime": "onnx_runtime",
}


def installed(only: list[str] | None = None) -> dict[str, ModuleType]:
    """The peers of this environment by name; Lamina is always among them."""
    found = {}
    for name, file in FILES.items():
        if only and name not in (*only, "lamina"):
            continue
        module = importlib.import_module(f"benchmarks.peers.{file}")
        try:
            module.version()
        except ImportError:
            if name == "lamina":
                raise
            continue
        found[name] = module
    return found


def contenders(peers: dict[str, ModuleType], kind: str, *arguments: Any, **options: Any) -> dict[str, Contender]:
    """All who can do this kind of work; one who cannot do this very work returns an empty dict."""
    made: dict[str, Contender] = {}
    for module in peers.values():
        if hasattr(module, kind):
            made.update(getattr(module, kind)(*arguments, **options))
    return made
