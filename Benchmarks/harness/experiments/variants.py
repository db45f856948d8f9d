"""The processes that rows of rounds are measured with."""

import os
from dataclasses import dataclass
from functools import partial


@dataclass(frozen=True)
class Variant:
    """What is special of a process, and what that adds to the name of the row."""

    suffix: str
    title: str
    # Of watch-target.
    options: tuple = ()


PLAIN = Variant("", f"on {os.cpu_count()} processors")
HUGE = Variant("-huge", "huge pages", ("--huge",))
MANY_THREADS = Variant("-threads", "1,000 threads more", ("--threads", "1000"))


def each(name, measure, *variants):
    """An experiment for each, so that one can be measured, or fail, without the others."""
    return tuple(
        ((row,), partial(measure, name=row, variant=variant))
        for variant in variants
        for row in (name + variant.suffix,)
    )
