"""How near what `dirty-rate` forecasts comes to what rounds and their last stop really take."""

import statistics
from pathlib import Path

from .. import children
from ..ratios import at_most
from ..rows import limited
from ..setup import MIB, settle
from ..sluice import remove_images
from ..table import matrix
from ..targets import idle_target, java, redis

_JAVA_SOURCE = Path(__file__).resolve().parents[3] / "Tests/Soak/programs/Load.java"
_SECONDS = 5
_RUNS = 3


def _targets(setup):
    """Titles, and functions that start a process which goes on writing."""
    size = ("--size", str(min(setup.size, 512 * MIB)))
    for rate in ("500", "20000"):
        yield f"memory-target, {rate} pages a second", lambda rate=rate: idle_target(
            setup.memory_target, *size, "--write-rate", rate
        )
    yield "redis-server under load", lambda: redis(setup.disk)
    yield "a Java virtual machine", lambda: java(_JAVA_SOURCE)


def _nearest(value, low, high):
    return min(max(value, low), high)


def _off(forecast, real):
    """How often the greater of the two has the smaller one."""
    return max(forecast, real) / min(forecast, real)


def _measure(setup, pid):
    """Pairs of forecasts and what came, in milliseconds: of the whole, and of the stop."""
    images = setup.disk / "images"
    # The forecast is for a copying rate, which is the user's to know: as it is onto this disk.
    rates = []
    for _ in range(_RUNS):
        settle()
        figures = children.run(
            str(setup.sluice), "pre-dump", "-t", str(pid), "-D", str(images), "--json", "--progress", "none"
        ).json
        rates.append(figures["bytes_written"] * 10**6 // figures["duration_us"])
        remove_images(images)
    rate = statistics.median_low(rates)
    wholes, stops = [], []
    for _ in range(_RUNS):
        settle()
        forecast = children.run(
            str(setup.sluice), "dirty-rate", "-t", str(pid), "--seconds", str(_SECONDS), "--copy-rate", str(rate), "--json"
        ).json["forecast"]
        run = children.run(
            str(setup.sluice), "pre-dump", "-t", str(pid), "-D", str(images), "--rounds", "8", "--final", "--json",
            "--progress", "none",
        )
        last = run.output.strip().splitlines()[-1]
        stopped = children.Finished(0, 0, last).json["stopped_us"] / 1000
        low, high = forecast["stop_seconds_least"] * 1000, forecast["stop_seconds_most"] * 1000
        wholes.append((forecast["total_seconds"] * 1000, run.wall_seconds * 1000))
        stops.append(((low, high), stopped))
        remove_images(images)
    return rate, wholes, stops


def measure(setup):
    whole_figures, stop_figures, lines = {}, {}, []
    for title, start in _targets(setup):
        with start() as pid:
            rate, whole_figures[title], stop_figures[title] = _measure(setup, pid)
        setup.progress(f"forecast: {title}")
        for (whole, real), ((low, high), stop) in zip(whole_figures[title], stop_figures[title]):
            lines.append([title, f"{rate >> 20}", f"{whole:.0f}", f"{real:.0f}", f"{low:.1f} to {high:.1f}", f"{stop:.1f}"])
    details = "Forecasts and what came, in ms\n" + matrix(
        "process", ["MiB/s", "in all", "really", "stopped for", "really"], lines
    )
    # A process whose runs differ is not what a forecast can be blamed for: the median of each counts.
    worst_whole = max(
        _off(1, statistics.median(forecast / real for forecast, real in pairs)) for pairs in whole_figures.values()
    )
    worst_stop = max(
        _off(1, statistics.median(_nearest(real, *span) / real for span, real in pairs)) for pairs in stop_figures.values()
    )
    yield limited(
        "forecast-total", "dirty-rate's forecast of all rounds and the stop, of the worst process", "times off", worst_whole,
        setup.bound("forecast-total", at_most(2)).value, details=details, figures={"runs": whole_figures}, digits=2,
    )
    yield limited(
        "forecast-stop", "the same of the stop, from the nearer end of the range", "times off", worst_stop,
        setup.bound("forecast-stop", at_most(2)).value, figures={"runs": stop_figures}, digits=2,
    )
