"""How fast memory is read when nothing is written, against a loop that does nothing else."""

from ..peers import bare_read
from ..ratios import Comparison, at_least, take_turns
from ..rows import compared
from ..setup import GB, settle, size_text
from ..sluice import pre_dump
from ..targets import stopped_target


def measure_one(setup):
    size = size_text(setup.size)
    yield compare(setup, "read", f"{size}, nothing written, 1 reader; bare read", at_least(0.95))


def measure_two(setup):
    yield compare(setup, "read-2", "the same, 2 readers; bare read, 2 threads", at_least(0.90), threads=2)


def compare(setup, name, what, bound, threads=1, target_options=()):
    """A row by both sides' own clocks; that Sluice must find the pages first is part of its time."""
    options = ("--io", "discard", "--readers", str(threads))
    with stopped_target(setup.memory_target, "--size", str(setup.size), *target_options) as pid:
        ours, peers = take_turns(
            [
                lambda: pre_dump(setup, pid, setup.disk / "images", *options),
                lambda: bare_read(setup, pid, threads),
            ],
            setup.pairs,
            settle,
            setup.progress,
        )
    return compared(
        name,
        what,
        "GB/s",
        Comparison(
            [figures["bytes_written"] / figures["duration_us"] * 1e6 / GB for _, figures in ours],
            [run.bytes / run.seconds / GB for run in peers],
        ),
        setup.bound(name, bound),
    )
