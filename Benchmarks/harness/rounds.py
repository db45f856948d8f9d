"""Runs of sluice that make rounds while the process goes on."""

import json
import queue
import subprocess
import threading

from . import children, sluice
from .errors import BenchmarkError

# None of the rules by which rounds end early.
_ALL_ROUNDS = ("--until-pages", "0", "--until-skipped", "100", "--max-growth", "1000000000")
_LONGEST_ROUND = 300


class Rounds:
    """Rounds that are being made: a context, at whose end none is made any more and the images are gone.

    The pages of old ones are removed meanwhile, as those of many large rounds may fill the disk; where only the first
    is large, `keep_old` spares the rounds after it the disk's work of giving back that much.
    """

    def __init__(self, setup, pid, *options, count=1_000_000, keep_old=False):
        self._images = setup.disk / "rounds"
        self._command = [
            str(setup.sluice), "pre-dump", "-t", str(pid), "-D", str(self._images), "--json", "--progress", "none",
            "--tracker", setup.tracker, "--rounds", str(count), *_ALL_ROUNDS, *options,
        ]
        self._keep_old = keep_old
        self._lines = queue.Queue()
        self.reports = []

    def __enter__(self):
        self._child = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.pid = self._child.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_):
        # A round that is being made is given up.
        self._child.terminate()
        self._child.wait()
        self._reader.join()
        self._child.stdout.close()
        sluice.remove_images(self._images)

    def next(self):
        """The next round's report, as soon as it is made; None when there was the last."""
        try:
            line = self._lines.get(timeout=_LONGEST_ROUND)
        except queue.Empty:
            raise BenchmarkError(f"no round within {_LONGEST_ROUND} s") from None
        if line is None:
            if (code := self._child.wait()) != 0:
                raise BenchmarkError(f"sluice failed with {code} after {len(self.reports)} rounds")
            return None
        self.reports.append(json.loads(line))
        return self.reports[-1]

    def all(self):
        """Waits for the last one."""
        while self.next() is not None:
            pass
        return self.reports

    def so_far(self):
        """The reports of the rounds that have been made by now."""
        while not self._lines.empty():
            self.next()
        return self.reports

    def _read(self):
        for line in self._child.stdout:
            self._lines.put(line)
            if not self._keep_old:
                self._remove_old(json.loads(line)["round"])
        self._lines.put(None)

    def _remove_old(self, round_number):
        # No round reads what is in the pages of those before it.
        for pages in (self._images / str(round_number - 2)).glob("pages-*.img"):
            # Its length stays all the while: by that a round tells that it is whole.
            if size := pages.stat().st_size:
                children.run("fallocate", "--punch-hole", "--length", str(size), str(pages))


def run(setup, pid, count, *options, keep_old=False):
    """So many rounds; their reports."""
    with Rounds(setup, pid, *options, count=count, keep_old=keep_old) as rounds:
        return rounds.all()
