"""Runs of the real CRIU, where there is one."""

import socket
import subprocess
import time
from pathlib import Path

from . import children
from .errors import BenchmarkError

# It is told nowhere that the server listens but in its log.
_LONGEST_START_S = 10


class Criu:
    """One that is at hand."""

    def __init__(self, program, version):
        # That of the interop tests has its libraries beside it.
        libraries = program.parent / "lib"
        loader = [str(libraries / "ld.so"), "--library-path", str(libraries)] if libraries.is_dir() else []
        self._command = [*loader, str(program)]
        self.version = version
        # A pre-dump takes a kernel that tracks soft-dirty pages; what a dump sends is the same, and little is beside it.
        tracks = self._run("check", "--feature", "mem_dirty_track").returncode == 0
        self.action = ["pre-dump"] if tracks else ["dump", "--leave-running", "--shell-job"]

    @classmethod
    def found(cls, setup):
        """The one that was named, or the one that the interop tests fetched; None where there is none."""
        if not setup.criu.exists():
            return None
        criu = cls(setup.criu, "")
        done = criu._run("--version")
        if done.returncode != 0:
            raise BenchmarkError(f"{setup.criu} does not run here: {done.stderr.strip()}")
        criu.version = f"CRIU {done.stdout.split()[1]}"
        return criu

    def _run(self, *arguments):
        return subprocess.run(
            [*self._command, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False,
        )

    def dump(self, pid, directory):
        """A pre-dump, or a dump, into the directory; its time from start to end, in seconds."""
        directory.mkdir(exist_ok=True)
        began = time.monotonic()
        done = self._run(*self.action, "-t", str(pid), "-D", str(directory), "-o", "criu.log", "-v1")
        took = time.monotonic() - began
        if done.returncode != 0:
            raise BenchmarkError(f"{self.version}: {_last_line(directory / 'criu.log')}")
        return took

    def send(self, pid, client, received):
        """A pre-dump, or a dump, to a page server, both CRIU's; its time from start to end, in seconds."""
        for directory in (client, received):
            directory.mkdir(exist_ok=True)
        port = _free_port()
        log = received / "page-server.log"
        command = ["page-server", "-D", str(received), "--address", "127.0.0.1", "--port", port, "-v4", "-o", log.name]
        server = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *self._command, *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        try:
            _wait_until_listening(log)
            began = time.monotonic()
            done = self._run(
                *self.action, "-t", str(pid), "-D", str(client), "--page-server", "--address", "127.0.0.1", "--port",
                port, "-o", "client.log", "-v1",
            )
            took = time.monotonic() - began
            if done.returncode != 0:
                raise BenchmarkError(f"{self.version}: {_last_line(client / 'client.log')}")
            if server.wait() != 0:
                raise BenchmarkError(f"{self.version}: {_last_line(log)}")
        finally:
            children.end(server)
        return took


def _wait_until_listening(log):
    end = time.monotonic() + _LONGEST_START_S
    while "Running status-ready scripts" not in (log.read_text(errors="replace") if log.exists() else ""):
        if time.monotonic() > end:
            raise BenchmarkError("CRIU's page server does not listen")
        time.sleep(0.01)


def _free_port():
    """One that was free just now: CRIU does not say which one it has chosen."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def _last_line(path):
    lines = Path(path).read_text(errors="replace").strip().splitlines() if Path(path).exists() else []
    return lines[-1] if lines else "it did not say why"
