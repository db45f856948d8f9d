"""Random memory to a page server that writes onto a tmpfs, against a bare loop that sends and one that receives."""

import contextlib
import time

from ..criu import Criu
from ..errors import BenchmarkError
from ..ratios import Comparison, at_least, take_turns
from ..rows import compared, skipped
from ..setup import GB, settle, size_text
from ..sluice import remove_images
from ..targets import idle_target, stopped_target
from ..wires import LOOPBACK, PageServer, at_once, bare_wire, is_root, make_certificate, send, veth
from .tmpfs import warm

_BOUND = 0.80
_SESSIONS = 4


def measure(setup):
    yield _against_bare(setup, "page-server", "to a page server, loopback", LOOPBACK)


def measure_veth(setup):
    if not is_root():
        yield skipped("page-server-veth", "network namespaces take root")
        return
    with veth() as network:
        yield _against_bare(setup, "page-server-veth", "the same over veth between two namespaces", network)


def measure_tls(setup):
    certificate = make_certificate(setup.tmpfs)
    options = (
        "--tls", "--tls-cacert", str(certificate[0]), "--tls-cert", str(certificate[0]), "--tls-key",
        str(certificate[1]),
    )
    yield _against_bare(setup, "page-server-tls", "the same over TLS, loopback", LOOPBACK, certificate, options)


def _against_bare(setup, name, what, network, certificate=None, options=()):
    place = _Place(setup)
    with stopped_target(setup.memory_target, "--size", str(setup.size)) as pid:
        place.warm()

        def ours():
            with PageServer(setup, place.received, *options, network=network) as server:
                layout = ("--page-server-layout", "32") if options else ()
                run, figures = send(setup, server, pid, place.client, *options, *layout)
                server.expect_end()
            return figures["bytes_written"] / run.wall_seconds / GB

        def peer():
            sent = bare_wire(setup, setup.size, place.file, certificate, network)
            return sent.bytes / sent.seconds / GB

        rates = take_turns([ours, peer], setup.pairs, place.clean, setup.progress)
    place.clean()
    return compared(
        name,
        f"{size_text(setup.size)} {what}; bare {'GnuTLS' if certificate else 'send and receive'}",
        "GB/s",
        Comparison(*rates),
        setup.bound(name, at_least(_BOUND)),
    )


def measure_four(setup):
    """Sessions at once, in one server and its one budget, against so many bare pairs."""
    place = _Place(setup)
    share = setup.size // _SESSIONS
    with contextlib.ExitStack() as stack:
        pids = [
            stack.enter_context(stopped_target(setup.memory_target, "--size", str(share))) for _ in range(_SESSIONS)
        ]
        place.warm()

        def ours():
            with PageServer(setup, place.received, "--serve") as server:
                began = time.monotonic()
                runs = at_once([
                    lambda pid=pid: send(setup, server, pid, place.client / str(pid)) for pid in pids
                ])
                took = time.monotonic() - began
            return sum(figures["bytes_written"] for _, figures in runs) / took / GB

        def peers():
            began = time.monotonic()
            sent = at_once([
                lambda number=number: bare_wire(setup, share, place.file.with_suffix(f".{number}"))
                for number in range(_SESSIONS)
            ])
            return sum(run.bytes for run in sent) / (time.monotonic() - began) / GB

        def clean():
            for number in range(_SESSIONS):
                place.file.with_suffix(f".{number}").unlink(missing_ok=True)
            place.clean()
            place.client.mkdir()

        rates = take_turns([ours, peers], setup.pairs, clean, setup.progress)
        clean()
    place.clean()
    yield compared(
        "page-server-four",
        f"{_SESSIONS} sessions of {size_text(share)} each at once, one server; {_SESSIONS} bare pairs",
        "GB/s",
        Comparison(*rates),
        setup.bound("page-server-four", at_least(_BOUND)),
    )


def measure_criu(setup):
    criu = Criu.found(setup)
    if criu is None:
        yield skipped("page-server-criu", "there is no CRIU 4.2: make interop fetches it, or name one with --criu")
        return
    place = _Place(setup)
    # CRIU leaves stopped processes out.
    with idle_target(setup.memory_target, "--size", str(setup.size)) as pid:
        place.warm()

        def ours():
            with PageServer(setup, place.received) as server:
                run, figures = send(setup, server, pid, place.client)
                server.expect_end()
            return figures["bytes_written"] / run.wall_seconds / GB

        def theirs():
            seconds = criu.send(pid, place.client, place.received)
            sent = _bytes_of_pages(place.received)
            if sent < setup.size:
                raise BenchmarkError(f"{criu.version} has sent {sent} of {setup.size} bytes")
            return sent / seconds / GB

        rates = take_turns([ours, theirs], setup.pairs, place.clean, setup.progress)
    place.clean()
    yield compared(
        "page-server-criu",
        f"{size_text(setup.size)} to a page server, loopback; {criu.version}'s own pair ({criu.action[0]})",
        "GB/s",
        Comparison(*rates),
        setup.bound("page-server-criu", at_least(1.4)),
    )


def _bytes_of_pages(directory):
    return sum(file.stat().st_size for file in directory.glob("pages-*.img"))


class _Place:
    """Where pages come to."""

    def __init__(self, setup):
        self._size = setup.size
        self.received, self.client = setup.tmpfs / "received", setup.tmpfs / "client"
        self.file = setup.tmpfs / "file"
        setup.need_memory(2 * setup.size)

    def warm(self):
        warm(self.file, self._size)

    def clean(self):
        remove_images(self.received)
        remove_images(self.client)
        self.file.unlink(missing_ok=True)
        settle()
