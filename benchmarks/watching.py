"""`python -m benchmarks.watching`: what it costs to watch a training: a fit with its live line on a terminal, and in silence.

The two take turns on one thread, and each pair gives the processor time of a drawing. Times the drawings of a second that is the
cost; the ratio of the two would say little, for on a busy machine a training draws more often for the same work. The terminal is a
pseudo-terminal that somebody reads, so that drawing costs what it costs.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import statistics
import struct
import sys
import termios
import threading
import time

import lamina as lm
from lamina.training.progress import INTERVAL


class Terminal:
    """A pseudo-terminal of 120 columns whose text somebody takes away."""

    def __enter__(self) -> Terminal:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.file = os.fdopen(slave, "w", encoding="utf-8")
        self.drawn = 0
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def _read(self) -> None:
        try:
            while text := os.read(self._master, 65536):
                self.drawn += text.count(b"\r")
        except OSError:  # closed at the other end
            pass

    def __exit__(self, *error: object) -> None:
        self.file.close()
        self._reader.join()
        os.close(self._master)


def seconds(epochs: int, watched: bool) -> tuple[float, int]:
    """(processor time of a fit, how often its line was drawn)."""
    x, y = lm.datasets.digits()
    net = lm.Sequential(lm.Dense(128, "relu"), lm.Dense(10), seed=0)
    with Terminal() as terminal:
        before, sys.stderr = sys.stderr, terminal.file
        try:
            begun = time.process_time()
            net.fit(
                x, y, loss="cross_entropy", optimizer="adam", epochs=epochs, batch_size=64, validation_split=0.2, verbose=watched
            )
            took = time.process_time() - begun
        finally:
            sys.stderr = before
    return took, terminal.drawn


def main() -> None:
    """Prints the times, and what a drawing costs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watching", description=__doc__)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=7)
    wanted = parser.parse_args()
    for name in ("CI", "NO_COLOR"):
        os.environ.pop(name, None)
    os.environ["TERM"] = "xterm"
    lm.set_num_threads(1)
    seconds(wanted.epochs // 4, True)  # tqdm's import is no part of it
    pairs = []
    for i in range(wanted.pairs):
        order = (False, True) if i % 2 else (True, False)
        found = {watched: seconds(wanted.epochs, watched) for watched in order}
        pairs.append(found)
    silent, watched = (statistics.median(found[way][0] for found in pairs) for way in (False, True))
    drawing = statistics.median((found[True][0] - found[False][0]) / found[True][1] for found in pairs)
    print(f"{wanted.epochs} epochs, {wanted.pairs} pairs: {silent:.3f} s of processor time in silence, {watched:.3f} s watched")
    print(f"a drawing takes {1e3 * drawing:.2f} ms; at {1 / INTERVAL:g} a second watching costs {100 * drawing / INTERVAL:.2f} %")


if __name__ == "__main__":
    main()
