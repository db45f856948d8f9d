"""What many mappings cost, and what large ones do that are nearly empty."""

import os
import statistics

from ..ratios import Comparison, at_most, take_turns
from ..rows import compared, limited
from ..setup import MIB, settle
from ..sluice import pre_dump, remove_images
from ..targets import stopped_target

_MAPPINGS = 60_000
_PAGES = 1_000


def measure_many(setup):
    page = os.sysconf("SC_PAGE_SIZE")
    many = ("--size", "1M", "--vmas", str(_MAPPINGS))
    one = ("--size", str(MIB + _MAPPINGS * page))
    with stopped_target(setup.memory_target, *many) as of_many, stopped_target(setup.memory_target, *one) as of_one:
        ours, peers = take_turns(
            [lambda: _seconds(setup, of_many), lambda: _seconds(setup, of_one)], setup.pairs, settle, setup.progress
        )
    yield compared(
        "vmas",
        f"{_MAPPINGS:,} mappings of a page each onto {setup.disk_kind}; one mapping",
        "s",
        Comparison(ours, peers),
        setup.bound("vmas", at_most(1.5)),
    )


def measure_sparse(setup):
    with stopped_target(setup.memory_target, "--size", "1M", "--sparse", "1T", "--sparse-pages", str(_PAGES)) as pid:
        scan, entries = take_turns(
            [lambda: _seconds(setup, pid), lambda: _seconds(setup, pid, "--page-states", "pagemap")],
            setup.pairs,
            settle,
            setup.progress,
        )
    ours, by_entries = (statistics.median(side) * 1000 for side in (scan, entries))
    yield limited(
        "sparse",
        f"a terabyte with {_PAGES:,} pages onto {setup.disk_kind}",
        "ms",
        ours,
        setup.bound("sparse", at_most(200)).value,
        figures={"ours": scan, "by_entries": entries},
        details=f"sparse: on kernels before 6.7, by the entries of /proc/PID/pagemap, it takes {by_entries:.0f} ms.",
    )


def _seconds(setup, pid, *options):
    """From the call to the valid images, by Sluice's own clock."""
    images = setup.disk / "images"
    _, figures = pre_dump(setup, pid, images, *options)
    remove_images(images)
    return figures["duration_us"] / 1e6
