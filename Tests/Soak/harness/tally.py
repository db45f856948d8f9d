"""What came of it, for each kind of process."""

from dataclasses import dataclass, field

_COLUMNS = ("", "cycles", "gave up", "tasks", "pages equal", "stop ms", "EINTR", "latest ms", "HARMED")


@dataclass
class _Count:
    cycles: int = 0
    gave_up: int = 0
    tasks: int = 0
    pages: int = 0
    interrupted: int = 0
    latest_us: int = 0
    harms: int = 0
    stops_us: list = field(default_factory=list)


class Tally:
    def __init__(self, kinds):
        self._counts = {kind.name: _Count() for kind in kinds}

    @property
    def has_all(self):
        """Whether each kind was tried; one that only gave up shows nothing."""
        return all(count.cycles or count.harms for count in self._counts.values())

    @property
    def is_harmed(self):
        return any(count.harms or count.cycles == count.gave_up for count in self._counts.values())

    def add(self, kind, outcome):
        count = self._counts[kind.name]
        count.cycles += 1
        count.gave_up += outcome.gave_up
        count.tasks += outcome.tasks
        count.pages += outcome.pages
        count.interrupted += outcome.interrupted
        count.latest_us = max(count.latest_us, outcome.latest_us)
        if not outcome.gave_up:
            count.stops_us.append(outcome.stop_us)

    def add_harm(self, kind):
        self._counts[kind.name].harms += 1

    def table(self):
        lines = [_COLUMNS]
        for name, count in self._counts.items():
            stop = sorted(count.stops_us)[len(count.stops_us) // 2] / 1000 if count.stops_us else 0
            lines.append((
                name, str(count.cycles), str(count.gave_up), str(count.tasks), str(count.pages), f"{stop:.1f}",
                str(count.interrupted), f"{count.latest_us / 1000:.1f}", str(count.harms or ""),
            ))
        total = self._counts.values()
        lines.append((
            "all", str(sum(count.cycles for count in total)), str(sum(count.gave_up for count in total)),
            str(sum(count.tasks for count in total)), str(sum(count.pages for count in total)), "", "", "",
            str(sum(count.harms for count in total) or "none"),
        ))
        widths = [max(map(len, column)) for column in zip(*lines)]
        return "\n".join(
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines
        )
