"""What the first write to each page costs the process while rounds are made."""

import os

from ..errors import BenchmarkError
from ..ratios import Excess, at_most
from ..rounds import Rounds
from ..rows import exceeding
from ..setup import settle, size_text
from ..watch import bare_reading, watch_target

# So many times over all its memory, such that several rounds come in between.
_SWEEPS = 32


def measure(setup, name, variant):
    ours, peers, dirtied = [], [], []
    for pair in range(1, setup.pairs + 1):
        setup.progress(f"{name}: pair {pair} of {setup.pairs}")
        # New ones each time: huge pages that were split do not come back.
        took, pages = _beside_rounds(setup, variant.options)
        ours.append(took / pages)
        peers.append(_beside_reader(setup, variant.options) / pages)
        dirtied.append(pages)
    yield exceeding(
        name,
        f"{_SWEEPS} × a write to each page of {size_text(setup.size)}, {variant.title}: time for each dirtied",
        "us",
        Excess(ours, peers, setup.bound(name, at_most(2)).value),
        figures={"pages_dirtied": dirtied},
    )


def _beside_rounds(setup, options):
    """Its time in microseconds, and how often a page of it became dirty."""
    settle()
    with watch_target(setup, *options) as target, Rounds(setup, target.pid) as rounds:
        rounds.next()
        before = target.faults
        took = target.tell(f"sweep {_SWEEPS}")["us"]
        dirtied = target.faults - before
    if dirtied < setup.size // os.sysconf("SC_PAGE_SIZE"):
        raise BenchmarkError(f"only {dirtied} pages became dirty: the tracker does not protect them, or not in time")
    return took, dirtied


def _beside_reader(setup, options):
    settle()
    with watch_target(setup, *options) as target, bare_reading(setup, target.pid):
        return target.tell(f"sweep {_SWEEPS}")["us"]
