"""A row of the table: what was measured, and whether it is good enough."""

import statistics
from dataclasses import asdict, dataclass, field, replace

from .plots import Plot
from .ratios import Bound, Comparison, Excess


@dataclass
class Row:
    name: str
    what: str
    ours: str = ""
    peer: str = ""
    ratio: str = ""
    own_spread: str = ""
    bound: str = ""
    verdict: str = ""
    # For --json: what the row was made of.
    figures: dict = field(default_factory=dict)
    # Printed below the table.
    details: str = ""
    # How its figures grow; None where they do not.
    plot: Plot | None = None

    def with_plot(self, plot):
        """The same row with a plot, whose figures are among the row's."""
        return replace(self, plot=plot, figures={**self.figures, "plot": plot.figures})

    @property
    def is_missed(self):
        return self.verdict.startswith("MISSED")

    @property
    def has_failed(self):
        return self.verdict.startswith("failed")


def compared(name, what, unit, comparison: Comparison, bound: Bound):
    """A row of a ratio against a peer."""

    def absolute(values):
        return f"{statistics.median(values):.2f} {unit}"

    return Row(
        name=name,
        what=what,
        ours=absolute(comparison.ours),
        peer=absolute(comparison.peers),
        ratio=str(comparison.ratio),
        own_spread=str(comparison.own_spread),
        bound=str(bound),
        verdict=comparison.verdict(bound),
        figures={
            "unit": unit,
            "ours": comparison.ours,
            "peer": comparison.peers,
            "ratio": asdict(comparison.ratio),
            "own_spread": asdict(comparison.own_spread),
            "bound": asdict(bound),
        },
    )


def limited(name, what, unit, value, limit, peer="", details="", figures=None, digits=1):
    """A row of a figure that must stay below a limit."""
    return Row(
        name=name,
        what=what,
        ours=f"{value:.{digits}f} {unit}",
        peer=peer,
        ratio=f"{value / limit:.2f}",
        bound=f"≤ {limit:g} {unit}",
        verdict="met" if value <= limit else "MISSED",
        figures={"unit": unit, "value": value, "limit": limit, **(figures or {})},
        details=details,
    )


def exceeding(name, what, unit, excess: Excess, details="", figures=None):
    """A row of how much more something is than with a peer."""
    return Row(
        name=name,
        what=what,
        ours=f"{excess.ratio.median * excess.allowed:.2f} {unit} more",
        peer=f"{statistics.median(excess.peers):.2f} {unit}",
        ratio=str(excess.ratio),
        own_spread=str(excess.own_spread),
        bound=f"≤ {excess.allowed:g} {unit} more",
        verdict=excess.verdict,
        figures={
            "unit": unit,
            "ours": excess.ours,
            "peer": excess.peers,
            "ratio": asdict(excess.ratio),
            "own_spread": asdict(excess.own_spread),
            "limit": excess.allowed,
            **(figures or {}),
        },
        details=details,
    )


def skipped(name, reason):
    """A row of something that is not to be had here, which is nobody's fault."""
    return Row(name=name, what=reason, verdict="skipped")


def failed(name, error):
    """A row of something that could not be measured."""
    return Row(name=name, what=str(error), verdict="failed")
