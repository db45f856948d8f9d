"""How long the program takes to start."""

from .. import children
from ..ratios import at_most
from ..rows import limited

_RUNS = 20


def measure(setup):
    ours, nothing = [], []
    for _ in range(_RUNS):
        ours.append(children.run(str(setup.sluice), "--version").wall_seconds * 1000)
        nothing.append(children.run("true").wall_seconds * 1000)
    yield limited(
        "startup",
        f"sluice --version, fastest of {_RUNS}; true",
        "ms",
        min(ours),
        setup.bound("startup", at_most(15)).value,
        peer=f"{min(nothing):.1f} ms",
        figures={"ours": ours, "peer": nothing},
    )
