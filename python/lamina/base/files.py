"""Writing a file whole or not at all: beside its target, synced, renamed onto it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from pathlib import Path

from lamina.base import checks

_writing: set[str] = set()  # names of this process's unfinished files


def replace_file(path: str | os.PathLike[str], data: bytes, where: str = "save") -> None:
    """Puts a file of these bytes in the place of `path` (of what it links to), and leaves nothing else behind.

    A process that dies at any moment, or a disk that is full, leaves the earlier file whole. What a process that died in here left
    behind, `.name.<process>.<random>.tmp`, is removed by the next one that writes the same file.
    Errors: OSError, of the system's kind and number, that says what was to be written and what to do.
    """
    target = Path(os.path.realpath(path))
    where = f"{where} {checks.cut(str(target))}"
    if not os.path.isdir(target.parent):
        folder = checks.cut(str(target.parent))
        raise checks.os_error(errno.ENOENT, f"[{where}] expected an existing folder, got {folder}; create it first")
    if os.path.isdir(target):
        raise checks.os_error(errno.EISDIR, f"[{where}] expected the name of a file, got a folder; name a file in it")
    if os.path.exists(target) and not os.path.isfile(target):
        raise checks.os_error(errno.EINVAL, f"[{where}] expected the name of a file, got that of a device or a pipe; name a file")
    temporary = target.with_name(f".{_stem(target)}.{os.getpid()}.{secrets.token_hex(6)}.tmp")
    _writing.add(temporary.name)
    try:
        _remove_abandoned(target)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists() and os.name != "nt":  # there, what is read-only could neither be replaced nor removed
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))  # as private as the earlier one
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno is not None:
            raise checks.os_error(
                error.errno,
                f"[{where}] expected to write {len(data)} bytes, got {os.strerror(error.errno)!r}; an earlier file is untouched: "
                "make room there, or choose another folder",
            ) from error
        raise
    finally:
        _writing.discard(temporary.name)
    with contextlib.suppress(OSError):  # the new name is synced, too, where the system can
        handle = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _stem(target: Path) -> str:
    """What the name of an unfinished file begins with: systems take 255 bytes at most."""
    return target.name.encode()[:200].decode(errors="ignore")


def _remove_abandoned(target: Path) -> None:
    """Removes unfinished files of this name whose process is no more."""
    form = re.compile(re.escape(f".{_stem(target)}.") + r"(\d+)\.[0-9a-f]{12}\.tmp")
    with contextlib.suppress(OSError):
        for name in os.listdir(target.parent):
            match = form.fullmatch(name)
            if match and name not in _writing and not _alive(int(match[1])):
                with contextlib.suppress(OSError):
                    (target.parent / name).unlink()


def _alive(process: int) -> bool:
    """Whether another process of this number may be running."""
    if process == os.getpid():
        return False  # its files are known: this one is of an earlier process of the same number
    if os.name == "nt":
        return False  # a file that is open cannot be removed there
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
