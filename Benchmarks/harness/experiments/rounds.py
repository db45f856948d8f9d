"""Rounds that stop nobody: that they do not, and what each costs."""

import os
import statistics

from ..ratios import at_most
from ..rows import Row, limited
from ..rounds import Rounds, run
from ..setup import MIB, size_text
from ..watch import HeldThreads, watch_target
from .memory import Watch

_INJECTIONS = 20
_ROUNDS = 6
_SPREAD = 16
_BUDGET = 16
_MANY_THREADS = 1000


def measure_stops(setup):
    for name, threads in (("stops", 0), ("stops-threads", _MANY_THREADS)):
        with watch_target(setup, "--watchers", "--threads", str(threads)) as target:
            with HeldThreads(target.pid) as held:
                reports = run(setup, target.pid, _ROUNDS)
        stopped = [report["frozen_us"] for report in reports if report["frozen_us"] != 0]
        kept = not stopped and held.most_at_once <= 1
        yield Row(
            name=name,
            what=f"{_ROUNDS} rounds of {size_text(setup.size)}, {_threads(threads)}: rounds that stopped it",
            ours=f"{len(stopped)} rounds",
            bound="= 0 rounds",
            verdict="met" if kept else "MISSED",
            figures={"frozen_us": stopped, "looks": held.looks, "most_held_at_once": held.most_at_once},
            details=f"{name}: from outside, in {held.looks:,} looks, at most {held.most_at_once} thread was held at a time.",
        )


def measure_injection(setup):
    for name, threads in (("injection", 0), ("injection-threads", _MANY_THREADS)):
        with watch_target(setup, "--watchers", "--threads", str(threads)) as target:
            times = [run(setup, target.pid, 1)[0]["injection_us"] / 1000 for _ in range(_INJECTIONS)]
        if not all(times):
            yield Row(name=name, what="the tracker injected nothing", verdict="failed")
            continue
        yield limited(
            name,
            f"one thread held for the injection, {_threads(threads)}, median of {_INJECTIONS}",
            "ms",
            statistics.median(times),
            setup.bound(name, at_most(1)).value,
            figures={"times": times},
            digits=2,
            details=f"{name}: the longest of them was {max(times):.1f} ms.",
        )


def measure_idle(setup):
    for name, options in (("idle-round", ()), ("idle-round-threads", ("--threads", str(_MANY_THREADS)))):
        with watch_target(setup, *options) as target:
            reports = run(setup, target.pid, _ROUNDS)
        times = [report["duration_us"] / 1000 for report in reports[1:]]
        yield limited(
            name,
            f"a round of {size_text(setup.size)} of which nothing was written, median of {len(times)}",
            "ms",
            statistics.median(times),
            setup.bound(name, at_most(150)).value,
            figures={"times": times},
        )


def measure_spread(setup):
    """Each page is taken twice, in the round after it was written and in the one after that, and no other is."""
    for name, options in (("spread-round", ()), ("spread-round-huge", ("--huge",))):
        dirtied = 0
        with watch_target(setup, *options) as target:
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


def measure_memory(setup):
    for name, threads in (("rounds-memory", 0), ("rounds-memory-threads", _MANY_THREADS)):
        watch = Watch()
        with watch_target(setup, "--threads", str(threads)) as target:
            options = ("--memory-budget", f"{_BUDGET}M")
            with Rounds(setup, target.pid, *options, count=_ROUNDS) as rounds:
                watch.start(rounds.pid)
                while rounds.next() is not None:
                    target.tell("spread 2 0")
                seen = watch.end()
        peak = max([seen, *(report["peak_rss_bytes"] for report in rounds.reports)]) / MIB
        yield limited(
            name,
            f"peak memory, every other page of {size_text(setup.size)} written between rounds, {_threads(threads)}",
            "MiB",
            peak,
            setup.bound(name, at_most(_BUDGET + 24)).value,
            figures={"peak_bytes": peak * MIB, "written": [report["pages_written"] for report in rounds.reports]},
        )


def _threads(count):
    return f"{count:,} threads more" if count else f"on {os.cpu_count()} processors"
