"""Rounds that stop nobody: that they do not, and what each costs."""

import statistics

from ..ratios import at_most
from ..rows import Row, limited
from ..rounds import Rounds, run
from ..setup import MIB, size_text
from ..watch import HeldThreads, watch_target
from .memory import Watch

_INJECTIONS = 20
_ROUNDS = 6
_IDLE_ROUNDS = 20
_SPREAD = 16
_BUDGET = 16


def measure_stops(setup, name, variant):
    with watch_target(setup, "--watchers", *variant.options) as target:
        with HeldThreads(target.pid) as held:
            reports = run(setup, target.pid, _ROUNDS)
    stopped = [report["frozen_us"] for report in reports if report["frozen_us"] != 0]
    kept = not stopped and held.most_at_once <= 1
    yield Row(
        name=name,
        what=f"{_ROUNDS} rounds of {size_text(setup.size)}, {variant.title}: rounds that stopped it",
        ours=f"{len(stopped)} rounds",
        bound="= 0 rounds",
        verdict="met" if kept else "MISSED",
        figures={"frozen_us": stopped, "looks": held.looks, "most_held_at_once": held.most_at_once},
        details=f"{name}: seen from outside, {held.looks:,} times: at most {held.most_at_once} thread held at once.",
    )


def measure_injection(setup, name, variant):
    with watch_target(setup, "--watchers", *variant.options) as target:
        reports = [run(setup, target.pid, 1)[0] for _ in range(_INJECTIONS)]
    times = [report["injection_us"] / 1000 for report in reports]
    if not all(times):
        yield Row(name=name, what="the tracker injected nothing", verdict="failed")
        return
    yield limited(
        name,
        f"one thread held for the injection, {variant.title}, median of {_INJECTIONS}",
        "ms",
        statistics.median(times),
        setup.bound(name, at_most(1)).value,
        figures={"times": times},
        digits=2,
        details=f"{name}: the longest of them was {max(times):.1f} ms.",
    )


def measure_idle(setup, name, variant):
    with watch_target(setup, *variant.options) as target:
        reports = run(setup, target.pid, 1 + _IDLE_ROUNDS, keep_old=True)
    times = [report["duration_us"] / 1000 for report in reports[1:]]
    yield limited(
        name,
        f"a round of {size_text(setup.size)} of which nothing was written, {variant.title}, median of {len(times)}",
        "ms",
        statistics.median(times),
        setup.bound(name, at_most(150)).value,
        figures={"times": times},
    )


def measure_spread(setup, name, variant):
    """Each page is taken twice, in the round after it was written and in the one after that, and no other is."""
    dirtied = 0
    with watch_target(setup, *variant.options) as target:
        with Rounds(setup, target.pid, count=2 * _ROUNDS) as rounds:
            # The last rounds have nothing new: what was written before is taken for the second time.
            for number in range(_ROUNDS):
                rounds.next()
                dirtied += target.tell(f"spread {_SPREAD} {number}")["pages"]
            reports = rounds.all()
    written = sum(report["pages_written"] for report in reports[1:])
    yield limited(
        name,
        f"pages written for 2 × those dirtied, every {_SPREAD}th of {size_text(setup.size)} between rounds",
        "times",
        written / (2 * dirtied),
        setup.bound(name, at_most(1.01)).value,
        figures={"dirtied": dirtied, "written": [report["pages_written"] for report in reports]},
        digits=3,
    )


def measure_memory(setup, name, variant):
    watch = Watch()
    with watch_target(setup, *variant.options) as target:
        with Rounds(setup, target.pid, "--memory-budget", f"{_BUDGET}M", count=_ROUNDS) as rounds:
            watch.start(rounds.pid)
            while rounds.next() is not None:
                target.tell("spread 2 0")
            seen = watch.end()
    peak = max([seen, *(report["peak_rss_bytes"] for report in rounds.reports)]) / MIB
    yield limited(
        name,
        f"peak memory, every other page of {size_text(setup.size)} written between rounds, {variant.title}",
        "MiB",
        peak,
        setup.bound(name, at_most(_BUDGET + 24)).value,
        figures={"peak_bytes": peak * MIB, "written": [report["pages_written"] for report in rounds.reports]},
    )
