"""Two programs of ours on the same rows, taking turns: whether the one is worse than the other."""

from dataclasses import replace

from .ratios import NOISY, Comparison
from .table import matrix

# Of each turn. What the turns differ by is told apart from what the programs differ by.
PAIRS = 3


def compare(setup, other, experiments, names):
    """A table with a line for each row: the program's figure by the other's, in turns, as many as `setup.pairs`.

    The figure is the row's ratio to its peer, or its value where it has a limit instead.
    """
    lines = []
    for own_names, experiment in experiments:
        wanted = [name for name in own_names if name in names]
        if wanted:
            lines += _lines(setup, other, wanted, experiment)
    return matrix("", ["this", "other", "this / other [q1 q3]", "other to itself", ""], lines)


def _lines(setup, other, names, experiment):
    figures = {name: ([], []) for name in names}
    for turn in range(setup.pairs):
        setup.progress(f"{names[0]}: turn {turn + 1} of {setup.pairs}")
        # Who comes second finds the machine as the first has left it: both are first as often.
        parties = list(enumerate((setup.sluice, other)))
        for party, program in parties if turn % 2 == 0 else reversed(parties):
            for row in experiment(replace(setup, sluice=program, pairs=PAIRS)):
                if row.name in figures and row.figures:
                    figures[row.name][party].append(_figure(row))
    return [_line(name, *both) for name, both in figures.items()]


def _figure(row):
    figures = row.figures
    return figures["value"] if "value" in figures else figures["ratio"]["median"]


def _line(name, ours, others):
    if len(ours) < 3 or len(ours) != len(others):
        return [name, "", "", "", "", "not measured"]
    # A row of differences may be around nothing, of which there are no parts.
    if min(ours + others) <= 0:
        return [name, _middle(ours), _middle(others), "", "", "around 0"]
    comparison = Comparison(ours, others)
    own = comparison.own_spread
    noise = "noisy" if own.high / own.low > NOISY else ""
    return [name, _middle(ours), _middle(others), str(comparison.ratio), str(own), noise]


def _middle(values):
    low, *_, high = values = sorted(values)
    return f"{values[len(values) // 2]:.3f} ({low:.3f}–{high:.3f})"
