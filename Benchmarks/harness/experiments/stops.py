"""How long a last round stops the processes, against what it takes to read them at all, and how well that is predicted."""

import os
import statistics

from ..peers import bare_stop
from ..ratios import Comparison, at_most, take_turns
from ..rounds import Rounds
from ..rows import Row, compared, limited
from ..setup import GIB, MIB, settle, size_text
from ..sluice import pre_dump, remove_images
from ..targets import idle_target, stopped_target
from .final import against_slow_disk

_DIRTY = 64 * MIB
_BUDGET = ("--memory-budget", "128M")
_SLOW = 50 * 10**6
# The same pages, each by itself, or all in one piece.
_SCATTERED = ("--size", "1M", "--sparse", str(16 * _DIRTY), "--sparse-pages", str(_DIRTY // 4096))
_DENSE = ("--size", str(_DIRTY))
_PREDICTIONS = 10
_WRONG = 0.30
_IDLE_ROUNDS = 20


def _last_round(setup, pid, images):
    _, figures = pre_dump(setup, pid, images, "--final", *_BUDGET)
    return figures


def measure_scattered(setup):
    yield from _measure(setup, "final-stop", f"the stop of --final for {size_text(_DIRTY)} of single pages", _SCATTERED)


def measure_dense(setup):
    yield from _measure(setup, "final-stop-dense", f"the same for {size_text(_DIRTY)} in one piece", _DENSE)


def _measure(setup, name, what, options):
    images = setup.disk / "images"
    processors = len(os.sched_getaffinity(0))

    def clean():
        remove_images(images)
        settle()

    with stopped_target(setup.memory_target, *options) as pid:
        ours, peers = take_turns(
            [lambda: _last_round(setup, pid, images), lambda: bare_stop(setup, pid, processors)],
            setup.pairs,
            clean,
            setup.progress,
        )
        clean()
    yield compared(
        name,
        f"{what}; a bare one",
        "ms",
        Comparison([figures["stopped_us"] / 1000 for figures in ours], [stop.seconds * 1000 for stop in peers]),
        setup.bound(name, at_most(1.25)),
    )


def measure_disk(setup):
    yield against_slow_disk(setup, "final-stop-disk", "the same of single pages", _SLOW, _SCATTERED, _BUDGET[1])


def measure_predicted(setup):
    """Half of them of processes that stand still, half of some that write all the while."""
    images = setup.disk / "images"
    lasts = []
    for number in range(_PREDICTIONS // 2):
        with stopped_target(setup.memory_target, *(_DENSE if number % 2 else _SCATTERED)) as pid:
            lasts.append(_last_round(setup, pid, images))
        remove_images(images)
        settle()
        with idle_target(setup.memory_target, "--size", str(512 * MIB), "--write-rate", "40000") as pid:
            with Rounds(setup, pid, "--final", *_BUDGET, count=3, keep_old=True) as rounds:
                lasts.append(rounds.all()[-1])
        settle()
    pairs = [(last["predicted_stop_us"], last["stopped_us"]) for last in lasts]
    errors = [abs(predicted - real) / real for predicted, real in pairs]
    wrong = sum(error > _WRONG for error in errors)
    told = ", ".join(f"{predicted / 1000:.1f} for {real / 1000:.1f}" for predicted, real in pairs)
    yield Row(
        name="predicted",
        what=f"stops that were predicted wrongly by more than {_WRONG:.0%}, of {_PREDICTIONS}",
        ours=f"{wrong} stops",
        bound="≤ 1 stop",
        verdict="met" if wrong <= 1 else "MISSED",
        figures={"predicted_us": [pair[0] for pair in pairs], "real_us": [pair[1] for pair in pairs]},
        details=f"predicted: {told} ms; the median is wrong by {statistics.median(errors):.0%}.",
    )


def measure_fixed(setup):
    limit = 10 + 4 * setup.size / GIB
    with idle_target(setup.memory_target, "--size", str(setup.size)) as pid:
        with Rounds(setup, pid, count=1 + _IDLE_ROUNDS, keep_old=True) as rounds:
            reports = rounds.all()
    times = [report["duration_us"] / 1000 for report in reports[1:]]
    yield limited(
        "fixed-round",
        f"a round of {size_text(setup.size)} in which next to nothing was written, median of {len(times)}",
        "ms",
        statistics.median(times),
        setup.bound("fixed-round", at_most(limit)).value,
        figures={"times": times},
    )
