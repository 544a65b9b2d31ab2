"""The same number of threads, on the same processors, for every library: set before any of them is imported."""

from __future__ import annotations

import argparse
import os

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS")


def count(text: str) -> int:
    """A number of threads from the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of threads from 1 on, got {text!r}")
    return int(text)


def environment(threads: int) -> dict[str, str]:
    """The variables of a process that may use so many threads."""
    eigen = "true" if threads > 1 else "false"
    return {
        **os.environ,
        **dict.fromkeys((*VARIABLES, "LAMINA_NUM_THREADS"), str(threads)),
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={eigen}",
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def pin(threads: int) -> list[int]:
    """Keeps this process on the last `threads` of its processors (the first takes interrupts). XLA's pools follow that."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    cpus = sorted(os.sched_getaffinity(0))[-threads:]
    os.sched_setaffinity(0, cpus)
    return cpus


def allowed() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
