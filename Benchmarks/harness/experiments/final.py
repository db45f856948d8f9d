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
    yield against_slow_disk(setup, "final-slow-disk", "the same", _SLOW, ("--size", str(_SIZE)), str(_BUDGET))


def against_slow_disk(setup, name, what, rate, target, budget):
    """A row of how long a last round stops a process, onto a disk of so many bytes a second, and onto the disk."""
    fast = setup.disk / "images"
    with slow_disk(setup, rate) as disk, stopped_target(setup.memory_target, *target) as pid:
        slow = disk / "images"

        def clean():
            remove_images(fast)
            remove_images(slow)
            settle()

        def stop_ms(images):
            _, figures = pre_dump(setup, pid, images, "--final", "--memory-budget", budget)
            return _stop_us(figures) / 1000

        stops = take_turns([lambda: stop_ms(slow), lambda: stop_ms(fast)], setup.pairs, clean, setup.progress)
        clean()
    return compared(
        name,
        f"{what} onto a disk of {rate // 10**6} MB/s: the stop; with {setup.disk_kind}",
        "ms",
        Comparison(*stops),
        setup.bound(name, at_most(1.1)),
    )
