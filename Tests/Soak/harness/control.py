"""Controls: one dirty page that is forgotten in one round must be noticed, or all the comparing is worth nothing."""

import os
import subprocess

from . import comparison, outside, rounds
from .errors import Harm, SoakError
from .subjects import Kind

# Each of its pages is written once more and never again: what a round forgets, no later one makes good.
_KIND = Kind("write-once", ["write-once", "--rate", "20000", "--size", "256M"])


def by_damage(programs, directory):
    """Has the images forget a page that round 2 had: the reader is put to the test."""
    with _stopped(programs, directory) as subject:
        images = directory / "images"
        uppers = [str(images / str(number)) for number in range(3, programs.round_count + 1)]
        done = subprocess.run(
            [str(programs.images), "forget", str(images / "2"), str(subject.pid), *uppers],
            capture_output=True, text=True, check=False,
        )
        if done.returncode != 0:
            raise SoakError(f"the control cannot be made: {done.stderr.strip()}")
        _expect_one_page(programs, subject, images)


def by_tracker(programs, directory):
    """Has Sluice take one dirty page of round 3 for a clean one (SLUICE_FORGET_DIRTY, debug builds only)."""
    with _stopped(programs, directory, forgets=True) as subject:
        _expect_one_page(programs, subject, directory / "images")


class _stopped:
    """A subject after its rounds, stopped."""

    def __init__(self, programs, directory, forgets=False):
        self._programs, self._directory, self._forgets = programs, directory, forgets

    def __enter__(self):
        self._subject = _KIND.start(self._programs, self._directory)
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
