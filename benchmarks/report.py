"""The report as text: floors, times, ratios, percent of the ceiling."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]
OURS = "lamina"


def best_peer(row: Row) -> tuple[str, float] | None:
    """(name, value) of the best of the others; None where nobody else did it."""
    others = {name: value for name, value in row["values"].items() if not name.startswith(OURS)}
    return min(others.items(), key=lambda item: item[1]) if others else None


def ratio(row: Row) -> float | None:
    """best peer / Lamina: above 1 where Lamina is ahead."""
    best, ours = best_peer(row), row["values"].get(OURS)
    return best[1] / ours if best and ours else None


def percent(row: Row, tops: dict[str, Any]) -> float | None:
    """Of the ceiling of arithmetic, or of memory for work without FLOP."""
    ours = row["values"].get(OURS)
    if not ours or row["unit"] != "s":
        return None
    if row.get("flops"):
        return 100 * row["flops"] / ours / float(tops[row.get("dtype", "float32")])
    return 100 * row["bytes"] / ours / float(tops["dram"]) if row.get("bytes") else None


def amount(value: float, unit: str) -> str:
    """With a unit that suits: 3.1 us, 12 ms, 45 MB."""
    if unit == "B":
        return f"{value / 2**20:.0f} MB"
    if unit == "x":
        return f"{value:.3f}"
    for scale, name in ((1e-9, "ns"), (1e-6, "us"), (1e-3, "ms")):
        if value < 1000 * scale:
            return f"{value / scale:.3g} {name}" if value < 100 * scale else f"{value / scale:.0f} {name}"
    return f"{value:.2f} s"


def heading(threads: int, cpus: list[int], versions: dict[str, str], tops: dict[str, Any]) -> None:
    where = f" on processors {', '.join(map(str, cpus))}" if cpus else ""
    print(f"\n{threads} thread{'s' * (threads != 1)}{where}: " + ", ".join(f"{n} {v}" for n, v in versions.items()))
    print(
        f"100 % = {1e-9 * tops['float32']:.1f} GFLOP/s in f32, {1e-9 * tops['float64']:.1f} in f64 ({tops['source']}); "
        f"DRAM {1e-9 * tops['dram']:.1f} GB/s",
        flush=True,
    )


def suite(name: str, doc: str, seconds: float) -> None:
    print(f"\n{name} ({seconds:.0f} s): {doc.splitlines()[0]}", flush=True)


def line(row: Row, tops: dict[str, Any]) -> None:
    """One case: floor, ours, percent, ratio, and everybody else's."""
    print("  " + text(row, tops), flush=True)


def text(row: Row, tops: dict[str, Any]) -> str:
    """The line of one case."""
    values = row["values"]
    floor = row["flops"] / tops[row["dtype"]] if row.get("flops") else row["bytes"] / tops["dram"] if row.get("bytes") else None
    share, ahead = percent(row, tops), ratio(row)
    parts = [
        f"{row['name']:24}",
        f"{OURS} {amount(values[OURS], row['unit']):>8}" if OURS in values else " " * 15,
        f"floor {amount(floor, 's'):>8}" if floor else " " * 14,
        f"{share:4.0f} %" if share is not None else " " * 6,
        f"{ahead:6.2f}x" if ahead is not None else " " * 7,
    ]
    others = sorted(((n, v) for n, v in values.items() if n != OURS), key=lambda item: item[1])
    return "  ".join(parts) + "   " + "  ".join(f"{name} {amount(value, row['unit'])}" for name, value in others)
