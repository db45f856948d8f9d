"""A `sluice page-server --serve` that is tried, and what can be seen of it."""

import json
import os
import re
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from .errors import Harm, SoakError

_LONGEST_WAIT_S = 120
# A server with nothing to do stays as it is for so long.
_QUIET_S = 1.5
# Of sessions that failed, the last ones.
_MOST_REASONS = 1000


@dataclass(frozen=True)
class Condition:
    """What it takes, where no session is under way."""

    resident: int
    descriptors: int
    threads: int

    def __str__(self):
        return f"{self.resident / 2**20:.1f} MiB, {self.descriptors} descriptors, {self.threads} threads"


class Server:
    """A context, at whose end it is gone."""

    def __init__(self, sluice, directory, *options):
        self.directory = directory
        self._log_path = directory.with_suffix(".log")
        self._command = [
            str(sluice), "page-server", "-D", str(directory), "--address", "127.0.0.1", "--serve", "--json", *options,
        ]
        self._changed = threading.Condition()
        self._reports = []
        self._reasons = {}
        self.count = 0

    def __enter__(self):
        with open(self._log_path, "wb") as log:
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.pid = self._child.pid
        self.port = self._wait_for_port()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_):
        self._child.kill()
        self._child.wait()
        self._reader.join()
        self._child.stdout.close()

    def _wait_for_port(self):
        end = time.monotonic() + _LONGEST_WAIT_S
        while time.monotonic() < end and self._child.poll() is None:
            if found := re.search(r"port (\d+)$", self._log_path.read_text(), re.MULTILINE):
                return int(found[1])
            time.sleep(0.01)
        raise SoakError(f"the page server does not listen: {self._log_path.read_text().strip()}")

    def _read(self):
        for line in self._child.stdout:
            report = json.loads(line)
            with self._changed:
                self.count += 1
                # Nobody asks for those of others.
                if report.get("images_dir"):
                    self._reports.append(report)
                else:
                    self._reasons[report["client"]] = report.get("reason", "nothing came")
                    if len(self._reasons) > _MOST_REASONS:
                        self._reasons.pop(next(iter(self._reasons)))
                self._changed.notify_all()

    def expect_alive(self):
        if (code := self._child.poll()) is not None:
            raise Harm(f"the page server has ended with {code}: {self.last_line()}")

    def end(self, limit):
        """Has it end as its owner would, within so many seconds."""
        self._child.terminate()
        try:
            return self._child.wait(limit)
        except subprocess.TimeoutExpired as error:
            raise Harm(f"the page server does not end within {limit} s") from error

    def last_line(self):
        lines = self._log_path.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it did not say why"

    def take_report(self, matches):
        """Of the session that has kept something and is the one that is looked for, as soon as there is one."""

        def find():
            return next((report for report in self._reports if matches(report)), None)

        with self._changed:
            report = self._changed.wait_for(find, _LONGEST_WAIT_S)
            if report is None:
                raise Harm("the page server says nothing of a good session")
            self._reports.remove(report)
            return report

    def reason(self, client):
        """Why the session of a client has failed, as far as the server has said so by now."""
        time.sleep(_QUIET_S)
        with self._changed:
            return self._reasons.get(client, "nothing")

    def expect_no_other(self):
        """That all sessions that have kept something were asked for."""
        with self._changed:
            for report in self._reports:
                raise Harm(f"the page server has kept what a bad client sent: {report}")

    def condition(self):
        """Waits until no session is under way, and looks."""
        end = time.monotonic() + _LONGEST_WAIT_S
        before, since = None, 0
        while time.monotonic() < end:
            self.expect_alive()
            now = (self.count, self._descriptors())
            if now != before:
                before, since = now, time.monotonic()
            if time.monotonic() - since > _QUIET_S:
                return Condition(self._status("VmRSS") << 10, now[1], self._status("Threads"))
            time.sleep(0.05)
        raise Harm("the page server does not come to rest")

    @property
    def peak(self):
        return self._status("VmHWM") << 10

    def _descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def _status(self, name):
        return int(re.search(rf"^{name}:\s*(\d+)", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)[1])
