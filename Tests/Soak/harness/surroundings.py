"""What goes on around a subject while it is copied: the kernel merges its pages, somebody freezes and thaws its cgroup, or
another run copies it, too."""

import contextlib
import random
import subprocess
import threading
from pathlib import Path

from . import outside, rounds
from .cgroups import Cgroup
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


class Flapping:
    """A cgroup that is frozen and thawed all the while, from when a subject is put into it."""

    _LONGEST_S = 0.02

    def __enter__(self):
        self._cgroup = Cgroup.make("flap")
        if self._cgroup is None:
            raise Skipped("no cgroup of version 2 can be made here")
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._flap, daemon=True)
        return self

    def begin(self, subject):
        for pid in outside.tree(subject.pid):
            self._cgroup.add(pid)
        self._thread.start()

    def rest(self):
        """Lets it run, for good."""
        self._is_over.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._cgroup.thaw()

    def __exit__(self, *_):
        self.rest()
        self._cgroup.end()

    def _flap(self):
        while not self._is_over.wait(random.random() * self._LONGEST_S):
            self._cgroup.freeze()
            self._is_over.wait(random.random() * self._LONGEST_S)
            self._cgroup.thaw()


class Calm:
    """Nothing of the kind."""

    def __enter__(self):
        return self

    def begin(self, _):
        pass

    def rest(self):
        pass

    def __exit__(self, *_):
        pass


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
