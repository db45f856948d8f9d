"""How long the process waits for what it does while rounds are made, against a bare reader beside it."""

import statistics
import time

from ..ratios import Excess, at_most
from ..rounds import Rounds
from ..rows import exceeding
from ..setup import settle, size_text
from ..watch import bare_reading, watch_target

_SECONDS = 5
_WATCHERS = ("clock", "mapping", "touch", "write")


def measure(setup, name, variant):
    with watch_target(setup, "--watchers", *variant.options) as target:
        ours, peers = [], []
        for pair in range(1, setup.pairs + 1):
            setup.progress(f"{name}: pair {pair} of {setup.pairs}")
            ours.append(_beside_rounds(setup, target))
            peers.append(_beside_reader(setup, target))
    yield _row(setup, name, variant, ours, peers)


def _beside_rounds(setup, target):
    settle()
    # The watchers dirty some MiB a second: nothing to what the first round writes.
    with Rounds(setup, target.pid, keep_old=True) as rounds:
        figures = _watched(target)
        if not rounds.so_far():
            # The first round alone takes longer than we look.
            rounds.next()
    return figures


def _beside_reader(setup, target):
    settle()
    with bare_reading(setup, target.pid):
        return _watched(target)


def _watched(target):
    target.tell("begin")
    time.sleep(_SECONDS)
    return target.tell("end")


def _row(setup, name, variant, ours, peers):
    allowed = setup.bound(name, at_most(1)).value

    def milliseconds(runs, watcher):
        return [run[f"{watcher}_p999_us"] / 1000 for run in runs]

    def all_of(runs):
        return ", ".join(f"{watcher} {statistics.median(milliseconds(runs, watcher)):.2f}" for watcher in _WATCHERS)

    more = {
        watcher: Excess(milliseconds(ours, watcher), milliseconds(peers, watcher), allowed) for watcher in _WATCHERS
    }
    worst = max(_WATCHERS, key=lambda watcher: more[watcher].ratio.median)
    return exceeding(
        name,
        f"p99.9 of waits beside rounds, {size_text(setup.size)}, {variant.title}: the worst of four watchers, {worst}",
        "ms",
        more[worst],
        figures={"beside_rounds": ours, "beside_reader": peers},
        details=f"{name}: p99.9 in ms beside rounds: {all_of(ours)}; beside a bare reader: {all_of(peers)}.",
    )
