"""Pages over a network: runs of `sluice page-server` and its clients, and of the bare pair that they are measured against."""

import contextlib
import os
import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from . import children
from .errors import BenchmarkError


@dataclass(frozen=True)
class Network:
    """Where the server and the clients are: what their commands begin with, and the server's address."""

    address: str = "127.0.0.1"
    of_server: tuple = ()
    of_client: tuple = ()


LOOPBACK = Network()


@contextlib.contextmanager
def veth():
    """A pair of virtual network cards, each in a network namespace of its own."""
    with contextlib.ExitStack() as stack:
        server, client = (stack.enter_context(_network_namespace()) for _ in range(2))
        within = [("nsenter", f"--net=/proc/{pid}/ns/net", "--") for pid in (server, client)]
        names = ("sluice-server", "sluice-client")
        _configure(within[0], f"link add {names[0]} type veth peer name {names[1]} netns {client}")
        # The addresses are of a range that is for documentation, and for nobody to be reached at.
        for number, (prefix, name) in enumerate(zip(within, names), start=1):
            _configure(prefix, f"address add 192.0.2.{number}/24 dev {name}")
            _configure(prefix, f"link set {name} up")
        yield Network("192.0.2.1", *within)


@contextlib.contextmanager
def _network_namespace():
    """Gives the pid of a process that holds it."""
    child = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--net", "sh", "-c", "echo; exec sleep infinity"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )
    try:
        if child.stdout.readline() != b"\n":
            raise BenchmarkError("no network namespace can be made")
        yield child.pid
    finally:
        children.end(child)
        child.stdout.close()


def _configure(prefix, command):
    done = subprocess.run([*prefix, "ip", *command.split()], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"ip {command}: {done.stderr.strip()}")


class PageServer:
    """A server of Sluice's that listens: a context, at whose end it is gone."""

    def __init__(self, setup, directory, *options, network=LOOPBACK):
        self._command = [
            *network.of_server, str(setup.sluice), "page-server", "-D", str(directory),
            "--address", network.address, *options,
        ]
        self.network = network
        self._last_line = ""

    def __enter__(self):
        self._child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *self._command],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        self.pid = self._child.pid
        self.port = self._wait_for_port()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_):
        children.end(self._child)
        self._reader.join()
        self._child.stderr.close()

    def expect_end(self):
        """That a server for one session has ended well."""
        if (code := self._child.wait()) != 0:
            raise BenchmarkError(f"the page server failed with {code}: {self._last_line.strip()}")

    def _wait_for_port(self):
        for line in self._child.stderr:
            if found := re.search(r"port (\d+)$", line.rstrip()):
                return found[1]
            self._last_line = line
        self._child.wait()
        self._child.stderr.close()
        raise BenchmarkError(f"the page server does not listen: {self._last_line.strip()}")

    def _read(self):
        for line in self._child.stderr:
            self._last_line = line


def send(setup, server, pid, directory, *options):
    """Sends the memory of a process to the server; gives the run and its figures."""
    finished = children.run(
        *server.network.of_client, str(setup.sluice), "pre-dump", "-t", str(pid), "-D", str(directory), "--json",
        "--progress", "none", "--page-server", "--address", server.network.address, "--port", server.port, *options,
    )
    return finished, finished.json


@dataclass
class Sent:
    """What bare-wire's sender did."""

    bytes: int
    seconds: float
    cpu_seconds: float


def bare_wire(setup, size, file, certificate=None, network=LOOPBACK):
    """Sends so many bytes into a file by bare-wire, over TLS with a certificate and its key; no file: nowhere."""
    receiver = subprocess.Popen(
        [
            "setpriv", "--pdeathsig", "KILL", "--", *network.of_server, str(setup.bare_wire), "receive",
            network.address, str(file or "-"), *map(str, certificate or ()),
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )
    try:
        port = receiver.stdout.readline().strip()
        if not port:
            raise BenchmarkError("bare-wire does not listen")
        figures = children.run(
            *network.of_client, str(setup.bare_wire), "send", network.address, port, str(size),
            *(["tls"] if certificate else []),
        ).json
        if receiver.wait() != 0:
            raise BenchmarkError("bare-wire could not receive")
    finally:
        children.end(receiver)
        receiver.stdout.close()
    return Sent(figures["bytes"], figures["seconds"], figures["cpu_seconds"])


def at_once(functions):
    """Calls them all at the same time, and gives their results."""
    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result() for future in [pool.submit(function) for function in functions]]


def make_certificate(directory):
    """A certificate that is its own authority, and its key, both for 127.0.0.1."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    name = LOOPBACK.address
    children.run(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
        "-addext", f"subjectAltName=IP:{name}", "-keyout", str(key), "-out", str(certificate),
    )
    return certificate, key


def is_root():
    return os.geteuid() == 0
