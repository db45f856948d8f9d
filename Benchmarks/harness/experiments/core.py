"""Core dumps of a process that goes on running: for how long it is stopped, beside gcore, and what the file takes."""

import shutil
import statistics
import threading
import time
from pathlib import Path

from .. import children
from ..errors import BenchmarkError
from ..ratios import at_most
from ..rows import limited
from ..setup import MIB, settle, size_text
from ..targets import idle_target
from .memory import Watch

_WRITES = 500
_BUDGET = 64


class StopWatch:
    """Sees from outside for how long a process is traced and stopped, from the first time to the last."""

    def __init__(self, pid):
        self._stat = Path(f"/proc/{pid}/stat")
        self._over = threading.Event()
        self._times = []
        self._thread = threading.Thread(target=self._look)

    def start(self, _):
        self._thread.start()

    def _look(self):
        while not self._over.is_set():
            if self._stat.read_text().rpartition(")")[2].split()[0] == "t":
                self._times.append(time.monotonic())
            time.sleep(0.0005)

    def end(self):
        """Milliseconds."""
        self._over.set()
        self._thread.join()
        if not self._times:
            raise BenchmarkError("gcore stopped nothing")
        return (self._times[-1] - self._times[0]) * 1000


def measure(setup):
    setup.need_memory(setup.size)
    core = setup.disk / "core"
    stops, peaks, extra, theirs = [], [], [], []
    with idle_target(setup.memory_target, "--size", str(setup.size), "--write-rate", str(_WRITES)) as pid:
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
        for number in range(setup.pairs + 1):
            watch = Watch()
            run = children.run(
                str(setup.sluice), "core", "-t", str(pid), "-o", str(core), "--json", "--progress", "none",
                "--memory-budget", f"{_BUDGET}M", watch=watch.start,
            )
            figures = run.json
            stop = figures["rounds"][-1]["stopped_us"] / 1000
            setup.progress(f"core: stopped for {stop:.1f} ms, in {run.wall_seconds:.1f} s")
            taken = core.stat().st_blocks * 512
            core.unlink()
            settle()
            # The first one makes what others find.
            if number > 0:
                stops.append(stop)
                peaks.append(watch.end() / MIB)
                extra.append(taken / _resident(pid))
            else:
                watch.end()
        theirs = [_gcore_stop(setup, pid, core) for _ in range(min(3, setup.pairs))] if shutil.which("gcore") else []
    low, median, high = statistics.quantiles(stops, n=4, method="inclusive")
    peer = f"gcore: {statistics.median(theirs):.0f} ms" if theirs else "no gcore here"
    what = f"{size_text(setup.size)}, {threads} threads, {_WRITES} pages written a second"
    yield limited(
        "core-stop",
        f"core of {what}: stopped for",
        "ms",
        median,
        setup.bound("core-stop", at_most(10 + 0.1 * threads)).value,
        peer=peer,
        figures={"stops": stops, "quartiles": [low, high], "gcore": theirs, "threads": threads},
    )
    yield limited(
        "core-memory",
        "peak memory of that above the budget",
        "MiB",
        max(peaks) - _BUDGET,
        setup.bound("core-memory", at_most(24)).value,
        figures={"peaks": peaks},
    )
    yield limited(
        "core-disk",
        "what the core takes on the disk, of the memory in use",
        "of it",
        max(extra),
        setup.bound("core-disk", at_most(1.02)).value,
        figures={"shares": extra},
        digits=3,
    )


def _resident(pid):
    """The memory that the process has, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise BenchmarkError(f"the kernel does not tell what memory process {pid} has")


def _gcore_stop(setup, pid, core):
    watch = StopWatch(pid)
    children.run("gcore", "-o", str(core), str(pid), watch=watch.start)
    stop = watch.end()
    setup.progress(f"gcore: stopped for {stop:.0f} ms")
    core.with_name(f"{core.name}.{pid}").unlink()
    settle()
    return stop
