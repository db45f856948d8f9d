"""Ratios of paired runs, and what they say of a bound."""

import statistics
from dataclasses import dataclass

# A peer whose own neighbouring runs differ by more than this, from quartile to quartile, measures little.
NOISY = 1.25


@dataclass
class Spread:
    """The median of some ratios, and their quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values):
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def __str__(self):
        return f"{self.median:.2f} [{self.low:.2f} {self.high:.2f}]"


@dataclass
class Bound:
    """What a ratio must not fall below, or rise above."""

    value: float
    is_least: bool

    def is_met(self, ratio, tolerance=None):
        """Whether the ratio keeps the bound, or misses it by no more than the peer differs from itself."""
        if self.is_least:
            return ratio >= self.value * min(1, tolerance.low if tolerance else 1)
        return ratio <= self.value * max(1, tolerance.high if tolerance else 1)

    def __str__(self):
        return f"{'≥' if self.is_least else '≤'} {self.value:.2f}"


def at_least(value):
    return Bound(value, is_least=True)


def at_most(value):
    return Bound(value, is_least=False)


@dataclass
class Comparison:
    """Figures of runs that took turns: ours[i] and then peers[i]."""

    ours: list
    peers: list

    @property
    def ratio(self):
        return Spread.of([our / peer for our, peer in zip(self.ours, self.peers)])

    @property
    def own_spread(self):
        """How the peer's neighbouring runs differ, which is how far a ratio can be trusted."""
        return Spread.of([later / earlier for earlier, later in zip(self.peers, self.peers[1:])])

    def verdict(self, bound):
        ratio, own = self.ratio.median, self.own_spread
        noise = ", noisy" if own.high / own.low > NOISY else ""
        if bound.is_met(ratio):
            return "met" + noise
        return ("met within the spread" if bound.is_met(ratio, own) else "MISSED") + noise


@dataclass
class Excess:
    """By how much ours[i] is more than peers[i], of runs that took turns, in parts of what is allowed."""

    ours: list
    peers: list
    allowed: float

    @property
    def ratio(self):
        return Spread.of([(our - peer) / self.allowed for our, peer in zip(self.ours, self.peers)])

    @property
    def own_spread(self):
        """How the peer's neighbouring runs differ."""
        return Spread.of([(later - earlier) / self.allowed for earlier, later in zip(self.peers, self.peers[1:])])

    @property
    def verdict(self):
        own = self.own_spread
        # What the peer's own runs differ by is no excuse here: the median alone counts.
        return ("met" if self.ratio.median <= 1 else "MISSED") + (", noisy" if own.high - own.low > 1 else "")


def take_turns(parties, pairs, before, progress):
    """Runs the parties in turn, `pairs` times after a warm-up of each, and gives the results of each.

    Neighbours share what the machine does to them: that makes their ratio worth more than their rates.
    """
    results = [[] for _ in parties]
    for turn in range(pairs + 1):
        progress("warming up" if turn == 0 else f"pair {turn} of {pairs}")
        for party, own in zip(parties, results):
            before()
            result = party()
            if turn > 0:
                own.append(result)
    return results
