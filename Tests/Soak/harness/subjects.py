"""The processes that are copied, and what they say of themselves."""

import os
import re
import select
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from .errors import Harm, Late, Skipped, SoakError

_LONGEST_ANSWER = 90
# trial-target's, for a trial that this kernel or filesystem does not have.
_NOT_POSSIBLE = 77


@dataclass
class Answer:
    """What a subject says when it is asked how it is."""

    turns: int = 0
    work: int = 0
    interrupted: int = 0
    latest_us: int = 0


class Lines:
    """A program that is told a line and answers one."""

    def __init__(self, arguments, directory, name):
        self.name = name
        self.errors_path = directory / f"{name}.errors"
        with open(self.errors_path, "wb") as errors:
            self.child = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0, start_new_session=True
            )
        self._rest = b""

    def tell(self, line):
        try:
            self.child.stdin.write(line.encode() + b"\n")
        except BrokenPipeError as error:
            raise Harm(f"{self.name} is gone") from error

    def first_line(self):
        """Its first line; of one that takes too long for it, nobody has done anything to it yet."""
        try:
            return self.line()
        except Late as late:
            raise Skipped(str(late)) from late

    def line(self):
        end = time.monotonic() + _LONGEST_ANSWER
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self.child.stdout], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise Late(f"{self.name} did not answer within {_LONGEST_ANSWER} s")
            part = os.read(self.child.stdout.fileno(), 4096)
            if not part:
                raise Harm(f"{self.name} is gone: {self.last_error()}")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def end(self):
        # The whole session: a subject ends with its keeper, but only as soon as the kernel comes to that.
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()

    def last_error(self):
        """The last line of its standard error."""
        lines = self.errors_path.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with {self.child.wait()}"


class Subject:
    """A process that can be asked whether it was harmed."""

    # Signals and stops end such calls early, and nobody can help it.
    interruptions_a_stop = 0
    own_userfaultfds = 0
    # Copying it may fail for a documented reason, such as an exec in the middle of a round.
    may_give_up = False
    # So many of its processes have no images of their own, since another one has the memory or the name.
    left_out = 0

    def __init__(self, name):
        self.name = name
        self.pid = 0

    def check(self):
        """How it is; raises Harm if it is not well."""
        raise NotImplementedError

    def end(self):
        raise NotImplementedError


class Trial(Subject):
    """One of the trials of trial-target."""

    def __init__(self, name, program, directory, options):
        super().__init__(name)
        options = [str(directory / "blocks") if option == "FILE" else option for option in options]
        self._lines = Lines([str(program), *options], directory, name)
        try:
            self._get_ready()
        except BaseException:
            self._lines.end()
            raise

    def _get_ready(self):
        ready = self._lines.first_line()
        if ready == f"ended with exit code {_NOT_POSSIBLE}":
            raise Skipped(self._lines.last_error())
        match = re.fullmatch(r"ready pid=(\d+)(?: area=0x([0-9a-f]+)-0x([0-9a-f]+))?", ready)
        if not match:
            raise SoakError(f"{self.name}: {ready}: {self._lines.last_error()}")
        self.pid = int(match[1])
        self.area = (int(match[2], 16), int(match[3], 16)) if match[2] else None

    def check(self):
        self._lines.tell("check")
        answer = self._lines.line()
        if not answer.startswith("ok "):
            raise Harm(f"{self.name}: {answer}")
        return Answer(**{name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", answer)})

    def end(self):
        self._lines.end()


class Java(Subject):
    """A Java virtual machine whose heap is filled and collected all the while."""

    def __init__(self, name, java, source, directory):
        super().__init__(name)
        self._lines = Lines([java, "-Xmx192m", "-Xms64m", str(source)], directory, name)
        try:
            ready = self._lines.first_line()
            if ready != "ready":
                raise SoakError(f"{name}: {ready}")
        except BaseException:
            self._lines.end()
            raise
        self.pid = self._lines.child.pid

    def check(self):
        self._lines.tell("check")
        answer = self._lines.line()
        if not answer.startswith("ok "):
            raise Harm(f"{self.name}: {answer}")
        return Answer(work=int(answer.split()[1]))

    def end(self):
        self._lines.end()


class Redis(Subject):
    """A redis-server under load, on a socket of its own."""

    def __init__(self, name, directory):
        super().__init__(name)
        self._socket = directory / "redis.sock"
        self._log = open(directory / "redis.log", "wb")
        options = ["--port", "0", "--unixsocket", str(self._socket), "--save", "", "--dir", str(directory)]
        self._server = self._start(["redis-server", *options])
        self.pid = self._server.pid
        self._load = None
        try:
            self._wait_for_socket()
        except BaseException:
            self.end()
            raise
        self._load = self._start(
            ["redis-benchmark", "-s", str(self._socket), "-q", "-l", "-t", "set,get,lpush,hset", "-r", "50000", "-d", "400",
             "-n", "100000", "-c", "8"]
        )
        self._probes = 0

    def _wait_for_socket(self):
        end = time.monotonic() + _LONGEST_ANSWER
        while not self._socket.exists():
            if self._server.poll() is not None:
                raise SoakError(f"{self.name}: redis-server does not start: {Path(self._log.name).read_text()[-200:]}")
            if time.monotonic() > end:
                raise Skipped(f"redis-server did not start within {_LONGEST_ANSWER} s")
            time.sleep(0.01)

    def _start(self, arguments):
        return subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )

    def check(self):
        for number in range(max(0, self._probes - 5), self._probes):
            if (found := self._ask("GET", f"probe:{number}")) != f"value of {number}":
                raise Harm(f"{self.name}: probe {number} is {found!r}")
        if (answer := self._ask("SET", f"probe:{self._probes}", f"value of {self._probes}")) != "OK":
            raise Harm(f"{self.name}: {answer!r} instead of OK")
        self._probes += 1
        if self._load.poll() is not None:
            raise Harm(f"{self.name}: the load has ended, with {self._load.returncode}")
        return Answer(work=int(re.search(r"total_commands_processed:(\d+)", self._ask("INFO", "stats"))[1]))

    def _ask(self, *words):
        arguments = ["redis-cli", "-s", str(self._socket), *words]
        try:
            done = subprocess.run(arguments, capture_output=True, text=True, timeout=_LONGEST_ANSWER, check=False)
        except subprocess.TimeoutExpired as error:
            raise Harm(f"{self.name} did not answer within {_LONGEST_ANSWER} s") from error
        return done.stdout.strip() or done.stderr.strip()

    def end(self):
        for child in (self._load, self._server):
            if child is not None:
                child.kill()
                child.wait()
        self._log.close()


@dataclass
class Kind:
    """A subject that can be made as often as it is wanted."""

    name: str
    options: list = field(default_factory=list)
    interruptions_a_stop: int = 0
    own_userfaultfds: int = 0
    may_give_up: bool = False
    left_out: int = 0
    # The kernel merges pages meanwhile.
    is_merged: bool = False
    # Somebody freezes and thaws the cgroup that it is in.
    flaps: bool = False
    # Another run of sluice copies it at the same time.
    has_another_run: bool = False

    def start(self, programs, directory):
        if self.name == "redis":
            subject = Redis(self.name, directory)
        elif self.name == "java":
            subject = Java(self.name, "java", programs.java_source, directory)
        else:
            subject = Trial(self.name, programs.trial_target, directory, self.options)
        subject.interruptions_a_stop = self.interruptions_a_stop
        subject.own_userfaultfds = self.own_userfaultfds
        subject.may_give_up = self.may_give_up
        subject.left_out = self.left_out
        return subject


# By name, trial and options. What --period and --rate are: such that rounds come at every moment of a turn.
KINDS = [
    Kind("write", ["write"]),
    Kind("write-huge", ["write", "--huge"]),
    Kind("write-100", ["write", "--rate", "100"]),
    Kind("write-10000", ["write", "--rate", "10000", "--size", "128M"]),
    Kind("write-1000-huge", ["write", "--rate", "1000", "--huge", "--size", "128M"]),
    Kind("write-once", ["write-once", "--rate", "20000"]),
    Kind("churn", ["churn"]),
    Kind("churn-many", ["churn", "--count", "16"]),
    Kind("growing", ["growing"]),
    Kind("moves", ["moves"]),
    Kind("merged", ["merged", "--size", "16M"], is_merged=True),
    Kind("own-bits", ["own-bits"]),
    Kind("split-collapse", ["split-collapse"]),
    Kind("fork", ["fork", "--size", "8M"]),
    Kind("fork-huge", ["fork", "--size", "8M", "--huge", "--count", "12"]),
    Kind("write-frozen", ["write", "--rate", "5000"], flaps=True),
    Kind("births-frozen", ["births"], flaps=True),
    Kind("write-two", ["write", "--rate", "10000"], has_another_run=True),
    Kind("churn-two", ["churn"], has_another_run=True),
    Kind("share", ["share", "--size", "16M"], left_out=1),
    Kind("names", ["names", "--size", "16M"], left_out=1),
    Kind("births", ["births"]),
    Kind("sleepers", ["sleepers", "--count", "200"]),
    # A round takes a quarter of a second after an execve: some come in the middle of one, which is made again, most between
    # two. Where rounds take longer than it runs one program, all tries may fail (exit code 75).
    Kind("exec", ["exec", "--period", "1500", "--size", "8M"], may_give_up=True),
    Kind("direct", ["direct", "--file", "FILE"]),
    Kind("direct-huge", ["direct", "--huge", "--file", "FILE"]),
    Kind("ring", ["ring", "--file", "FILE"], interruptions_a_stop=1),
    Kind("ring-huge", ["ring", "--huge", "--file", "FILE"], interruptions_a_stop=1),
    # A request that waits in a worker ends early when its process is left stopped, which is said.
    Kind("workers", ["workers"], interruptions_a_stop=1),
    Kind("aio", ["aio", "--file", "FILE"], interruptions_a_stop=1),
    Kind("aio-huge", ["aio", "--huge", "--file", "FILE"], interruptions_a_stop=1),
    Kind("own-faults", ["own-faults"], own_userfaultfds=1),
    Kind("read", ["read"]),
    Kind("recv", ["recv"]),
    Kind("epoll", ["epoll"]),
    Kind("ppoll", ["ppoll"]),
    Kind("futex", ["futex"]),
    Kind("sleep", ["sleep", "--period", "4000"]),
    Kind("sleep-short", ["sleep"]),
    Kind("sleep-until", ["sleep-until"]),
    Kind("wait", ["wait"]),
    Kind("suspend", ["suspend"]),
    Kind("handler", ["handler"]),
    Kind("compute", ["compute"]),
    Kind("compute-seccomp", ["compute", "--seccomp", "kill"]),
    Kind("sleep-seccomp", ["sleep", "--seccomp", "kill"]),
    Kind("read-seccomp", ["read", "--seccomp", "errno"]),
    Kind("write-seccomp", ["write", "--rate", "10000", "--seccomp", "kill"]),
    Kind("redis", interruptions_a_stop=0),
    Kind("java"),
]
