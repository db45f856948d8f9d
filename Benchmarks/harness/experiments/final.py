"""How long the processes are stopped for in a last round: until all is read, and not until it is on the disk."""

import statistics

from ..ratios import Comparison, at_most, take_turns
from ..rows import compared, limited
from ..setup import MIB, settle, size_text
from ..slow_disk import slow_disk
from ..sluice import pre_dump, remove_images
from ..targets import stopped_target

_SIZE = 400 * MIB
# With room for all of it.
_BUDGET = 512 * MIB
_SLOW = 20 * 10**6


def _last_round(setup, pid, images):
    """The figures of one."""
    _, figures = pre_dump(setup, pid, images, "--final", "--memory-budget", str(_BUDGET))
    return figures


def _stop_us(figures):
    return figures["stop"]["stop_us"] + figures["frozen_us"]


def measure(setup):
    images = setup.disk / "images"
    shares = []
    with stopped_target(setup.memory_target, "--size", str(_SIZE)) as pid:
        for _ in range(setup.pairs):
            figures = _last_round(setup, pid, images)
            shares.append(_stop_us(figures) / figures["duration_us"])
            remove_images(images)
            settle()
    low, median, high = statistics.quantiles(shares, n=4, method="inclusive")
    yield limited(
        "final-share",
        f"--final of {size_text(_SIZE)} onto {setup.disk_kind}: stopped for",
        "of the run",
        median,
        setup.bound("final-share", at_most(0.5)).value,
        figures={"shares": shares, "quartiles": [low, high]},
        digits=2,
    )


def measure_slow(setup):
    fast = setup.disk / "images"
    with slow_disk(setup, _SLOW) as disk, stopped_target(setup.memory_target, "--size", str(_SIZE)) as pid:
        slow = disk / "images"

        def clean():
            remove_images(fast)
            remove_images(slow)
            settle()

        slows, fasts = take_turns(
            [lambda: _last_round(setup, pid, slow), lambda: _last_round(setup, pid, fast)],
            setup.pairs,
            clean,
            setup.progress,
        )
        clean()
    yield compared(
        "final-slow-disk",
        f"the same onto a disk of {_SLOW // 10**6} MB/s: the stop; with {setup.disk_kind}",
        "ms",
        Comparison([_stop_us(figures) / 1000 for figures in slows], [_stop_us(figures) / 1000 for figures in fasts]),
        setup.bound("final-slow-disk", at_most(1.1)),
    )
