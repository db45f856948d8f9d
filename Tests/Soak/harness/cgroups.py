"""Cgroups of version 2 of our own."""

import contextlib
import os
import time
import uuid

_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_LONGEST_END_S = 10


class Cgroup:
    """One that is directly below the first of all."""

    def __init__(self, path):
        self.path = path

    @classmethod
    def make(cls, name):
        """None where none can be made."""
        for mount in _MOUNTS:
            path = f"{mount}/sluice-soak-{name}-{uuid.uuid4().hex}"
            with contextlib.suppress(OSError):
                os.mkdir(path)
                if os.path.exists(f"{path}/cgroup.freeze"):
                    return cls(path)
                os.rmdir(path)
        return None

    @property
    def can_kill(self):
        return os.path.exists(f"{self.path}/cgroup.kill")

    @property
    def asks_for_freezing(self):
        with self.open("cgroup.freeze") as file:
            return file.read(1) == b"1"

    def open(self, name):
        return open(f"{self.path}/{name}", "rb", buffering=0)

    def add(self, pid):
        # It may have ended.
        with contextlib.suppress(ProcessLookupError):
            self._write("cgroup.procs", str(pid))

    def enter(self):
        """Moves who calls this."""
        self._write("cgroup.procs", "0")

    def kill(self):
        self._write("cgroup.kill", "1")

    def freeze(self):
        self._write("cgroup.freeze", "1")

    def thaw(self):
        self._write("cgroup.freeze", "0")

    def end(self):
        """Removes it, as soon as it is empty."""
        end = time.monotonic() + _LONGEST_END_S
        while True:
            try:
                os.rmdir(self.path)
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def _write(self, name, text):
        file = os.open(f"{self.path}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)
