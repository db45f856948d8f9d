"""Sluice's own memory, for targets that differ in everything that could make it grow."""

import re
import threading
import time
from pathlib import Path

from ..errors import BenchmarkError
from ..ratios import at_most
from ..rows import limited
from ..setup import MIB, size_text
from ..sluice import pre_dump, remove_images
from ..table import matrix
from ..targets import stopped_target

_BUDGETS = (1, 16, 64, 256)


def measure(setup):
    limit = setup.bound("memory", at_most(24)).value
    peaks = {}
    for title, options in _targets(setup.size):
        setup.progress(title)
        with stopped_target(setup.memory_target, *options) as pid:
            peaks[title] = [_peak(setup, pid, budget) for budget in _BUDGETS]
    worst = max(peak - budget for cells in peaks.values() for peak, budget in zip(cells, _BUDGETS))
    yield limited(
        "memory",
        "peak memory above the budget, worst of the cells below",
        "MiB",
        worst,
        limit,
        figures={"budgets": _BUDGETS, "peaks": peaks},
        details=_details(peaks, limit),
    )


def _targets(size):
    yield "256 MiB", ("--size", "256M")
    yield size_text(size), ("--size", str(size))
    yield f"every other page of {size_text(size // 4)}", ("--size", str(size // 4), "--layout", "alternate")
    yield "20,000 mappings", ("--size", "16M", "--vmas", "20000")
    yield "20,000 pages in a terabyte", ("--size", "16M", "--sparse", "1T", "--sparse-pages", "20000")


def _peak(setup, pid, budget):
    """The peak in MiB, of what Sluice says and what we see from outside the larger."""
    images = setup.disk / "images"
    watch = Watch()
    _, figures = pre_dump(setup, pid, images, "--memory-budget", f"{budget}M", watch=watch.start)
    remove_images(images)
    seen = watch.end()
    if seen == 0:
        raise BenchmarkError("sluice ended before its memory could be looked at")
    return max(figures["peak_rss_bytes"], seen) / MIB


class Watch:
    """Looks at a process' peak until it has ended: at VmHWM, as ru_maxrss may be that of who started it."""

    def __init__(self):
        self._peak = 0
        self._thread = None

    def start(self, pid):
        self._thread = threading.Thread(target=self._watch, args=(pid,), daemon=True)
        self._thread.start()

    def end(self):
        self._thread.join()
        return self._peak

    def _watch(self, pid):
        status = Path(f"/proc/{pid}/status")
        # The line is gone as soon as the process has ended, and the file when it has been waited for.
        while match := self._match(status):
            self._peak = max(self._peak, int(match[1]) << 10)
            time.sleep(0.002)

    @staticmethod
    def _match(status):
        try:
            return re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.MULTILINE)
        except (FileNotFoundError, ProcessLookupError):
            return None


def _details(peaks, limit):
    def cell(peak, budget):
        return f"{peak:.1f}" + ("!" if peak > budget + limit else "")

    rows = [[title, *map(cell, cells, _BUDGETS)] for title, cells in peaks.items()]
    rows.append(["at most", *(f"{budget + limit:.1f}" for budget in _BUDGETS)])
    columns = [f"{budget}M" for budget in _BUDGETS]
    return "Peak memory in MiB, for each budget:\n\n" + matrix("", columns, rows)
