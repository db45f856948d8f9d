"""Controls: one dirty page that is forgotten in one round must be noticed, or all the comparing is worth nothing."""

import subprocess

from . import comparison, outside, rounds
from .errors import Harm, SoakError
from .subjects import Kind

# Its pages are written often enough that two rounds in succession have some of them, with different content.
_OFTEN = Kind("write-20000", ["write", "--rate", "20000", "--size", "8M"])


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


class _stopped:
    """A subject after its rounds, stopped."""

    def __init__(self, kind, programs, directory):
        self._kind, self._programs, self._directory = kind, programs, directory

    def __enter__(self):
        self._subject = self._kind.start(self._programs, self._directory)
        try:
            rounds.run(
                self._programs, self._subject, self._directory / "images", self._programs.round_count, "--final",
                "--leave-stopped",
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
