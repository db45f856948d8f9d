"""Controls: one dirty page that is forgotten in one round must be noticed, or all the comparing is worth nothing."""

import os
import subprocess

from . import comparison, outside, rounds
from .errors import Harm, SoakError
from .subjects import Kind

# Its pages are written often enough that two rounds in succession have some of them, with different content.
_OFTEN = Kind("write-20000", ["write", "--rate", "20000", "--size", "8M"])
# Each of its pages is written once more and never again: what a round forgets, no later one makes good.
# Slowly enough that some are left when round 3 begins, though a debug build makes the rounds.
_ONCE = Kind("write-once", ["write-once", "--rate", "5000", "--size", "256M"])


def by_damage(programs, directory):
    """Has the images forget a page that the last round had: the reader is put to the test.

    The last, because a round takes again what the one before it had, and would make good what was forgotten there.
    """
    with _stopped(_OFTEN, programs, directory) as subject:
        images = directory / "images"
        done = subprocess.run(
            [str(programs.images), "forget", str(images / str(programs.round_count)), str(subject.pid)],
            capture_output=True, text=True, check=False,
        )
        if done.returncode != 0:
            raise SoakError(f"the control cannot be made: {done.stderr.strip()}")
        _expect_one_page(programs, subject, images)


def by_tracker(programs, directory):
    """Has Sluice's tracker miss one page that was written before round 3 (SLUICE_FORGET_DIRTY, debug builds only)."""
    with _stopped(_ONCE, programs, directory, forgets=True) as subject:
        _expect_one_page(programs, subject, directory / "images")


class _stopped:
    """A subject after its rounds, stopped."""

    def __init__(self, kind, programs, directory, forgets=False):
        self._kind, self._programs, self._directory, self._forgets = kind, programs, directory, forgets

    def __enter__(self):
        self._subject = self._kind.start(self._programs, self._directory)
        environment = dict(os.environ)
        if self._forgets:
            start, end = self._subject.area
            # The first dirty page in there, in round 3.
            environment["SLUICE_FORGET_DIRTY"] = f"3:{start:#x}-{end:#x}"
        try:
            rounds.run(
                self._programs, self._subject, self._directory / "images", self._programs.round_count, "--final",
                "--leave-stopped", environment=environment,
            )
            return self._subject
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        outside.resume(outside.tree(self._subject.pid))
        self._subject.end()


def _expect_one_page(programs, subject, images):
    is_equal, counts, said = comparison.compare(programs, subject.pid, images / str(programs.round_count))
    if is_equal or counts["differing"] != 1 or counts["missing"] != 0:
        raise Harm(f"one page was forgotten, and the comparison did not find just that:\n{said}")
