"""What the first write to each page costs the process while rounds are made."""

import os
import statistics

from ..errors import BenchmarkError
from ..ratios import at_most
from ..rounds import Rounds
from ..rows import limited
from ..setup import size_text
from ..watch import bare_reading, watch_target

# So many times over all its memory, such that several rounds come in between.
_SWEEPS = 32


def measure(setup):
    variants = (
        ("write-cost", ()),
        ("write-cost-huge", ("--huge",)),
        ("write-cost-threads", ("--threads", "1000")),
    )
    for name, options in variants:
        costs, faults = [], []
        for pair in range(1, setup.pairs + 1):
            setup.progress(f"{name}: pair {pair} of {setup.pairs}")
            # New ones each time: huge pages that were split do not come back.
            ours, dirtied = _beside_rounds(setup, options)
            costs.append((ours - _beside_reader(setup, options)) / dirtied)
            faults.append(dirtied)
        yield limited(
            name,
            f"{_SWEEPS} × a write to each page of {size_text(setup.size)}: time more than beside a bare reader, for each dirtied",
            "us",
            statistics.median(costs),
            setup.bound(name, at_most(2)).value,
            digits=2,
            figures={"costs_us": costs, "pages_dirtied": faults},
        )


def _beside_rounds(setup, options):
    """Its time in microseconds, and how often a page of it became dirty."""
    with watch_target(setup, *options) as target, Rounds(setup, target.pid) as rounds:
        rounds.next()
        before = target.faults
        took = target.tell(f"sweep {_SWEEPS}")["us"]
        dirtied = target.faults - before
    if dirtied < setup.size // os.sysconf("SC_PAGE_SIZE"):
        raise BenchmarkError(f"only {dirtied} pages became dirty: the tracker does not protect them, or not in time")
    return took, dirtied


def _beside_reader(setup, options):
    with watch_target(setup, *options) as target, bare_reading(setup, target.pid):
        return target.tell(f"sweep {_SWEEPS}")["us"]
