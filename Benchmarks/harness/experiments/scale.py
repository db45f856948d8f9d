"""How cost grows with what a process has: memory, mappings, threads, and other processes below it."""

import contextlib
import os
import shutil
import statistics

from ..errors import BenchmarkError
from ..machine import available_memory
from ..plots import LINEAR, LOGARITHMIC, Panel, Plot, Series
from ..ratios import Comparison, at_least, at_most, take_turns
from ..rows import compared, limited
from ..setup import GB, GIB, MIB, settle, size_text
from ..sluice import pre_dump, remove_images
from ..targets import idle_target, process_tree, stopped_target

# Of the size that other rows have, and so 1 to 16 GiB as a rule.
_SIZES = (1 / 4, 1 / 2, 1, 2, 4)
_MAPPINGS = (1, 10, 100, 1_000, 10_000, 60_000)
_PROCESSES = (1, 10, 100, 1_000)
_THREADS = (1, 10, 100, 500, 1_000, 2_000)
# All trees have so many pages.
_PAGES_OF_TREE = 64 * MIB // 4096
_RUNS = 3
_DISCARD = ("--io", "discard")


def measure_size(setup):
    """The largest that there is memory for takes turns with the smallest: by that the bounds are."""
    smallest = int(setup.size * _SIZES[0])
    # With the smallest beside it, and something for everybody else.
    sizes = [size for size in (int(setup.size * part) for part in _SIZES) if size + smallest + 2 * GIB < available_memory()]
    if len(sizes) < 2:
        raise BenchmarkError(f"{size_text(2 * smallest)} of memory are needed beside {size_text(smallest)}")
    if shutil.disk_usage(setup.disk).free < sizes[-1] + GIB:
        raise BenchmarkError(f"{size_text(sizes[-1])} are needed in {setup.disk}, and not there")
    rates, disk_rates, peaks = {}, {}, {}
    last = None
    with stopped_target(setup.memory_target, "--size", str(smallest)) as small:
        for size in sizes:
            setup.progress(f"scale-size: {size_text(size)}")
            with contextlib.ExitStack() as stack:
                pid = small
                if size != smallest:
                    pid = stack.enter_context(stopped_target(setup.memory_target, "--size", str(size)))
                turns = setup.pairs if size == sizes[-1] else _RUNS
                last = take_turns(
                    [lambda: _figures(setup, pid, *_DISCARD), lambda: _figures(setup, small, *_DISCARD)], turns, settle,
                    lambda _: None,
                )
                rates[size] = [_rate(figures) for figures in last[0]]
                peaks[size] = [figures["peak_rss_bytes"] / MIB for figures in last[0]]
                disk_rates[size] = [_rate(_figures(setup, pid)) for _ in range(_RUNS if size <= GIB else 1)]
                settle()
    large, small = last
    plot = Plot("Size of the process, GiB", [size / GIB for size in sizes], [
        Panel("Rate, GB/s", LINEAR, [Series("nothing written", list(rates.values())),
                                     Series(f"onto {setup.disk_kind}", list(disk_rates.values()))]),
        Panel("Peak memory of Sluice, MiB", LINEAR, [Series("nothing written", list(peaks.values()))]),
    ])
    what = f"{size_text(sizes[-1])}, nothing written; {size_text(sizes[0])}"
    yield compared(
        "scale-size", f"rate of {what}", "GB/s",
        Comparison(list(map(_rate, large)), list(map(_rate, small))),
        setup.bound("scale-size", at_least(0.95)),
    ).with_plot(plot)
    yield compared(
        "scale-memory", f"peak memory of {what}", "MiB",
        Comparison(*([figures["peak_rss_bytes"] / MIB for figures in side] for side in last)),
        setup.bound("scale-memory", at_most(1.05)),
    )


def measure_mappings(setup):
    """The same pages in more and more mappings."""
    page = os.sysconf("SC_PAGE_SIZE")

    def target(count):
        # Each of the mappings has a page of its own.
        size = MIB + (_MAPPINGS[-1] - count) * page
        return stopped_target(setup.memory_target, "--size", str(size), "--vmas", str(count))

    ways = {"nothing written": _DISCARD, f"onto {setup.disk_kind}": ()}
    times = _times(setup, "scale-mappings", _MAPPINGS, target, ways)
    yield _row(setup, "scale-mappings", "mappings", "µs", _MAPPINGS, times, "Time of a pre-dump, ms")


def measure_processes(setup):
    """The same pages in more and more processes."""

    def target(count):
        return process_tree(setup.process_tree, count, _PAGES_OF_TREE // max(1, count - 1))

    ways = {"nothing written": _DISCARD, f"onto {setup.disk_kind}": (), f"onto {setup.disk_kind}, no sync": ("--no-sync",)}
    times = _times(setup, "scale-processes", _PROCESSES, target, ways)
    yield _row(setup, "scale-processes", "processes", "µs", _PROCESSES, times, "Time of a pre-dump, ms")


def measure_threads(setup):
    """The same pages and more and more threads: a round, and how long the last one stops them all."""

    def target(count):
        return idle_target(setup.memory_target, "--size", str(16 * MIB), "--sleepers", str(count - 1))

    times = {"round, nothing written": [], "stop of --final": []}
    for count in _THREADS:
        setup.progress(f"scale-threads: {count:,}")
        with target(count) as pid:
            runs = [_figures(setup, pid, *_DISCARD) for _ in range(_RUNS)]
            times["round, nothing written"].append([figures["duration_us"] / 1000 for figures in runs])
            lasts = [_figures(setup, pid, "--final") for _ in range(_RUNS)]
            times["stop of --final"].append([figures["stopped_us"] / 1000 for figures in lasts])
    yield _row(setup, "scale-threads", "threads", "µs of stop", _THREADS, times, "Time, ms", by="stop of --final")


def _times(setup, name, counts, target, ways):
    """For each way the times in milliseconds, some for each count."""
    times = {title: [] for title in ways}
    for count in counts:
        setup.progress(f"{name}: {count:,}")
        with target(count) as pid:
            for title, options in ways.items():
                times[title].append([_figures(setup, pid, *options)["duration_us"] / 1000 for _ in range(_RUNS)])
                settle()
    return times


def _row(setup, name, things, unit, counts, times, y_title, by="nothing written"):
    """By what each costs, of the most there are, against what it costs of a few: where it grows faster, so does that."""
    medians = [statistics.median(runs) for runs in times[by]]
    # Of those before the last two, the fixed cost is much of the time.
    each_of_most, each_of_fewer = (
        (medians[at] - medians[0]) / (counts[at] - counts[0]) * 1000 for at in (-1, -2)
    )
    plot = Plot(
        f"Number of {things}", list(counts),
        [Panel(y_title, LOGARITHMIC, [Series(title, runs) for title, runs in times.items()])],
    )
    return limited(
        name,
        f"{unit} for each of {counts[-1]:,} {things}, in parts of that for each of {counts[-2]:,}; {by}",
        "times",
        each_of_most / max(each_of_fewer, 0.001),
        setup.bound(name, at_most(1.5)).value,
        peer=f"{each_of_fewer:.2f} µs",
        figures={"each_us": each_of_most, "each_of_fewer_us": each_of_fewer},
        details=f"{name}: {each_of_most:.1f} {unit} for each.",
        digits=2,
    ).with_plot(plot)


def _figures(setup, pid, *options):
    images = setup.disk / "images"
    _, figures = pre_dump(setup, pid, images, *options)
    remove_images(images)
    return figures


def _rate(figures):
    """By Sluice's own clock, from the call to valid images."""
    return figures["bytes_written"] / figures["duration_us"] * 1e6 / GB
