"""What came of it, for each kind of process."""

from dataclasses import dataclass, field

_COLUMNS = ("", "cycles", "gave up", "again", "tasks", "pages equal", "stop ms", "EINTR", "latest ms", "HARMED")


@dataclass
class _Count:
    cycles: int = 0
    gave_up: int = 0
    again: int = 0
    tasks: int = 0
    pages: int = 0
    interrupted: int = 0
    latest_us: int = 0
    harms: int = 0
    skipped: str = ""
    stops_us: list = field(default_factory=list)

    @property
    def is_done(self):
        return bool(self.cycles or self.harms or self.skipped)


class Tally:
    def __init__(self, kinds):
        self._counts = {kind.name: _Count() for kind in kinds}

    @property
    def has_all(self):
        """Whether each kind was tried or cannot be."""
        return all(count.is_done for count in self._counts.values())

    @property
    def has_nothing(self):
        """Whether none was compared: that tells nothing."""
        return all(count.cycles == count.gave_up and not count.harms for count in self._counts.values())

    @property
    def is_harmed(self):
        """Whether anything went wrong; a kind that only gave up shows nothing."""
        return any(count.harms or 0 < count.cycles == count.gave_up for count in self._counts.values())

    def has(self, kind):
        """Whether that kind was tried or cannot be."""
        return self._counts[kind.name].is_done

    def is_skipped(self, kind):
        return bool(self._counts[kind.name].skipped)

    def add(self, kind, outcome):
        count = self._counts[kind.name]
        count.cycles += 1
        count.gave_up += outcome.gave_up
        count.again += outcome.again
        count.tasks += outcome.tasks
        count.pages += outcome.pages
        count.interrupted += outcome.interrupted
        count.latest_us = max(count.latest_us, outcome.latest_us)
        if not outcome.gave_up:
            count.stops_us.append(outcome.stop_us)

    def add_harm(self, kind):
        self._counts[kind.name].harms += 1

    def skip(self, kind, reason):
        self._counts[kind.name].skipped = reason

    def skip_rest(self, reason):
        """Those that were not come to."""
        for count in self._counts.values():
            if not count.is_done:
                count.skipped = reason

    def table(self):
        lines = [_COLUMNS]
        for name, count in self._counts.items():
            if count.skipped and not count.cycles:
                continue
            stop = sorted(count.stops_us)[len(count.stops_us) // 2] / 1000 if count.stops_us else 0
            lines.append((
                name, str(count.cycles), str(count.gave_up), str(count.again), str(count.tasks), str(count.pages),
                f"{stop:.1f}", str(count.interrupted), f"{count.latest_us / 1000:.1f}", str(count.harms or ""),
            ))
        total = self._counts.values()
        lines.append((
            "all", str(sum(count.cycles for count in total)), str(sum(count.gave_up for count in total)),
            str(sum(count.again for count in total)), str(sum(count.tasks for count in total)),
            str(sum(count.pages for count in total)), "", "", "", str(sum(count.harms for count in total) or "none"),
        ))
        widths = [max(map(len, column)) for column in zip(*lines)]
        rows = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
        skipped = [f"skipped: {name}: {count.skipped}" for name, count in self._counts.items() if count.skipped]
        return "\n".join([*rows, *skipped])
