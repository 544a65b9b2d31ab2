"""Which lines of a trace each step of the program computes: the core names the nodes of the graph that a step carries out."""

from __future__ import annotations

from typing import Any

from lamina.trace.record import ProgramStep, Step


def attribute(profile: list[dict[str, Any]], lines: list[Step]) -> list[ProgramStep]:
    """The program's steps with the lines that each computes; a line gets the time of the steps that begin with it."""
    lines_of: dict[int, list[Step]] = {}
    for line in lines:
        for serial in line.nodes:
            lines_of.setdefault(serial, []).append(line)
    steps = []
    for index, row in enumerate(profile):
        step = ProgramStep(index, str(row["name"]), round(1e6 * float(row["seconds"]), 3), int(row["flops"]), int(row["bytes"]))
        found = {line.number: line for serial in row["nodes"] for line in lines_of.get(serial, ())}
        step.lines = sorted(found)
        for line in found.values():
            line.program_steps.append(index)
        if step.lines:
            head = found[step.lines[0]]
            head.microseconds = round((head.microseconds or 0.0) + step.microseconds, 3)
        steps.append(step)
    return steps
