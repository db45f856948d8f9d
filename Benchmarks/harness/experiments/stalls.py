"""How long the process waits for what it does while rounds are made, against a bare reader beside it."""

import statistics
import time

from ..ratios import at_most
from ..rounds import Rounds
from ..rows import limited
from ..setup import size_text
from ..watch import bare_reading, watch_target

_SECONDS = 5
_WATCHERS = ("clock", "mapping", "touch", "write")
_MANY_THREADS = 1000


def measure(setup):
    for name, threads in (("stall", 0), ("stall-threads", _MANY_THREADS)):
        with watch_target(setup, "--watchers", "--threads", str(threads)) as target:
            ours, peers = [], []
            for pair in range(1, setup.pairs + 1):
                setup.progress(f"pair {pair} of {setup.pairs}")
                ours.append(_beside_rounds(setup, target))
                peers.append(_beside_reader(setup, target))
        yield _row(setup, name, threads, ours, peers)


def _beside_rounds(setup, target):
    with Rounds(setup, target.pid) as rounds:
        figures = _watched(target)
        if not rounds.so_far():
            # The first round alone takes longer than we look.
            rounds.next()
    return figures


def _beside_reader(setup, target):
    with bare_reading(setup, target.pid):
        return _watched(target)


def _watched(target):
    target.tell("begin")
    time.sleep(_SECONDS)
    return target.tell("end")


def _row(setup, name, threads, ours, peers):
    more = {
        watcher: statistics.median(
            (our[f"{watcher}_p999_us"] - peer[f"{watcher}_p999_us"]) / 1000 for our, peer in zip(ours, peers)
        )
        for watcher in _WATCHERS
    }

    def all_of(runs):
        return ", ".join(
            f"{watcher} {statistics.median(run[f'{watcher}_p999_us'] for run in runs) / 1000:.2f}" for watcher in _WATCHERS
        )

    what = f"{threads:,} threads" if threads else size_text(setup.size)
    return limited(
        name,
        f"p99.9 of waits beside rounds, {what}: more than beside a bare reader",
        "ms",
        max(more.values()),
        setup.bound(name, at_most(1)).value,
        digits=2,
        figures={"ours": ours, "peers": peers, "more_ms": more},
        details=f"{name}: p99.9 in ms beside rounds: {all_of(ours)}; beside a bare reader: {all_of(peers)}.",
    )
