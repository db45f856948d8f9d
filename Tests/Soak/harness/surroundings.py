"""What goes on around a subject while it is copied: the kernel merges its pages, or another run copies it, too."""

import contextlib
import subprocess
from pathlib import Path

from . import rounds
from .errors import Harm, Skipped

_KSM = Path("/sys/kernel/mm/ksm")
# As fast as it goes: pages that are alike are to be merged within a round or two.
_MERGING = {"sleep_millisecs": "10", "pages_to_scan": "20000", "run": "1"}
_LONGEST_END = 300


@contextlib.contextmanager
def merging():
    """The kernel merges pages of those who ask for it; afterwards all is set as before."""
    try:
        before = {name: (_KSM / name).read_text() for name in _MERGING}
        for name, value in _MERGING.items():
            (_KSM / name).write_text(value)
    except OSError as error:
        raise Skipped(f"the kernel merges no pages: {error}") from error
    try:
        yield
    finally:
        for name, value in before.items():
            (_KSM / name).write_text(value)


@contextlib.contextmanager
def another_run(programs, subject, directory):
    """Another run of `sluice` makes rounds of the subject at the same time, and must end well."""
    command = rounds.arguments(programs, subject.pid, directory, programs.round_count)
    with open(directory.with_suffix(".errors"), "w+", encoding="utf-8") as errors:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            yield
            code = child.wait(_LONGEST_END)
        except subprocess.TimeoutExpired as error:
            raise Harm(f"the other sluice did not end within {_LONGEST_END} s") from error
        finally:
            child.kill()
            child.wait()
        errors.seek(0)
        if code != 0:
            raise Harm(f"the other sluice failed with {code}: {errors.read().strip()}")
