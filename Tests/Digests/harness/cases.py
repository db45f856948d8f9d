"""The cases: layouts of memory, trackers, and ways to the images."""

from dataclasses import dataclass

STEPS = (1, 2, 3)

# What the trackers need of the kernel, by the names that `sluice check` has.
NEEDS = {
    "soft-dirty": ["soft-dirty"],
    "write-protect": ["userfaultfd-wp-async"],
    "both": ["soft-dirty", "userfaultfd-wp-async"],
}

# What values of options need; the last is needed to tell pages of zeros from others.
_OPTION_NEEDS = {"direct": "direct", "scan": "PAGEMAP_SCAN", "pagemap": "CAP_SYS_ADMIN"}


@dataclass(frozen=True)
class Case:
    """Three dumps of one process, each on top of the one before, and what is done with them afterwards.

    `way` is chain (three runs, upon the stopped process), rounds (one run; the process writes between its rounds) or still
    (one run upon the stopped process).
    """

    layout: str
    tracker: str
    way: str
    options: tuple = ()
    then: tuple = ()

    @property
    def name(self):
        return " ".join([self.layout, self.tracker, self.way, *self.options, *self.then])

    @property
    def needs(self):
        return NEEDS.get(self.tracker, []) + [need for option, need in _OPTION_NEEDS.items() if option in self.options]

    @property
    def clears_dirty_bits(self):
        """Whether a dump changes what a second one of the same process would find."""
        return self.tracker in ("soft-dirty", "both")


def _cases():
    for layout in ("memory", "many", "tree", "threads"):
        yield Case(layout, "none", "chain", then=("flatten",))
        yield Case(layout, "content", "chain", then=("flatten", "dedup"))
        yield Case(layout, "soft-dirty", "chain", then=("flatten", "dedup"))
        for tracker in ("write-protect", "content", "both", "soft-dirty"):
            yield Case(layout, tracker, "rounds")
        yield Case(layout, "write-protect", "still")
    for options in (
        ("--io", "buffered"),
        ("--io", "direct"),
        ("--write-engine", "pwrite"),
        ("--no-register-buffers",),
        ("--memory-budget", "1M"),
        ("--readers", "2"),
        ("--queue-depth", "1"),
        ("--page-states", "pagemap"),
        ("--page-states", "scan"),
        ("--sync",),
        ("--auto-dedup",),
    ):
        yield Case("memory", "content", "chain", options)
    for options in (("--final",), ("--memory-budget", "1M"), ("--readers", "2"), ("--auto-dedup",)):
        yield Case("memory", "write-protect", "rounds", options)
    # Several processes, with all that makes threads wait for each other.
    yield Case("tree", "content", "chain", ("--memory-budget", "1M", "--readers", "2", "--queue-depth", "1"))
    yield Case("tree", "write-protect", "rounds", ("--final", "--readers", "2"))
    yield Case("many", "content", "chain", ("--memory-budget", "1M", "--readers", "2"))


CASES = list(_cases())
