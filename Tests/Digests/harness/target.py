"""layout-target: started at the same addresses, stopped, resumed, and told to write."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .errors import DigestError

_LONGEST_S = 30


@dataclass(frozen=True)
class Range:
    """Addresses that are the same on every machine."""

    name: str
    start: int
    end: int


class Target:
    """The processes of one layout, from their start to their end (a context manager)."""

    def __init__(self, program, layout, directory):
        self.layout = layout
        self.ranges = []
        # Why a range says nothing here.
        self.lacking = {}
        # The pid of each process by its name; the first one is the top of the tree.
        self.pids = {}
        # Nothing in the memory of the processes may come from whoever runs this, nor from the kernel, which would keep the
        # number of the processor in memory of the C library (rseq).
        self._child = subprocess.Popen(
            ["setarch", "-R", str(program), layout, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "GLIBC_TUNABLES": "glibc.pthread.rseq=0"},
            text=True,
        )
        try:
            while (line := self._line()) != "ready":
                self._take(line.split(" ", 3))
            self._rest()
        except BaseException:
            self._end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end()

    @property
    def top(self):
        return next(iter(self.pids.values()))

    def write(self, step):
        """Has every process and thread write what belongs to the step; they run afterwards."""
        for pid in self.pids.values():
            os.kill(pid, signal.SIGCONT)
        self._child.stdin.write(f"write {step}\n")
        self._child.stdin.flush()
        if (line := self._line()) != "done":
            raise DigestError(f"layout-target {self.layout}: {line}")
        self._rest()

    def stop(self):
        """Stops all processes, and waits until every thread of them stands still."""
        for pid in self.pids.values():
            os.kill(pid, signal.SIGSTOP)
        self._wait("T")

    def memory(self, process, address, size):
        """What the memory of a process has there now; nothing where it cannot be read."""
        try:
            with open(f"/proc/{self.pids[process]}/mem", "rb", buffering=0) as file:
                file.seek(address)
                return file.read(size)
        except OSError:
            return b""

    def _rest(self):
        """Waits until every thread waits for a command, and none still is in the middle of its answer."""
        self._wait("S")

    def _wait(self, state):
        end = time.monotonic() + _LONGEST_S
        while any(self._state(task) != state for pid in self.pids.values() for task in self._tasks(pid)):
            if time.monotonic() > end:
                raise DigestError(f"layout-target {self.layout}: its threads do not come to state {state}")
            time.sleep(0.001)

    def _take(self, words):
        match words:
            case ["process", name, pid]:
                self.pids[name] = int(pid)
            case ["range", name, start, end]:
                self.ranges.append(Range(name, int(start, 16), int(end, 16)))
            case ["lacking", name, *reason]:
                self.lacking[name] = " ".join(reason)
            case _:
                raise DigestError(f"layout-target {self.layout}: {' '.join(words)}")

    def _line(self):
        line = self._child.stdout.readline()
        if not line:
            raise DigestError(f"layout-target {self.layout} has ended with {self._child.wait()}")
        return line.rstrip("\n")

    @staticmethod
    def _tasks(pid):
        return Path(f"/proc/{pid}/task").iterdir()

    @staticmethod
    def _state(task):
        return (task / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]

    def _end(self):
        # Those below end with it.
        self._child.kill()
        self._child.wait()
        self._child.stdin.close()
        self._child.stdout.close()
