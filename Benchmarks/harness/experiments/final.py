"""How much of a last round the processes are stopped for: until all is read, and not until it is on the disk."""

import statistics

from ..ratios import at_most
from ..rows import limited
from ..setup import MIB, settle, size_text
from ..sluice import pre_dump, remove_images
from ..targets import stopped_target

_SIZE = 400 * MIB
# With room for all of it.
_BUDGET = 512 * MIB


def measure(setup):
    images = setup.disk / "images"
    shares = []
    with stopped_target(setup.memory_target, "--size", str(_SIZE)) as pid:
        for _ in range(setup.pairs):
            _, figures = pre_dump(setup, pid, images, "--final", "--memory-budget", str(_BUDGET))
            shares.append((figures["stop"]["stop_us"] + figures["frozen_us"]) / figures["duration_us"])
            remove_images(images)
            settle()
    yield limited(
        "final-share",
        f"--final of {size_text(_SIZE)} onto {setup.disk_kind}: stopped for",
        "of the run",
        statistics.median(shares),
        setup.bound("final-share", at_most(0.5)).value,
        figures={"shares": shares},
        digits=2,
    )
