"""Locks of threads and forks: one thread builds at a time, and a fork waits until nothing builds or runs.

Programs that share variables run one after the other (cpp/base/turns.h); a long training lets others in between two steps. Lock
order: `building` first. A thread that holds a turn never acquires it.
"""

from __future__ import annotations

import os
import threading

from lamina import _core as core

building = threading.RLock()
importing = threading.RLock()  # the last one: threads whose imports meet in a package may find it half made


def _before_fork() -> None:
    building.acquire()
    importing.acquire()
    core.close_for_fork()


def _after_fork() -> None:
    core.open_after_fork()
    importing.release()
    building.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
