"""Good clients of a page server, whose memory must arrive whatever the others do."""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import closing, contextmanager
from pathlib import Path

from . import comparison, outside
from .errors import Harm, SoakError
from .wire import ADD, CLOSE, LAYOUTS, OPEN_ANSWERED, PAGE, PRESENT, connect, process, receive

_LONGEST_DUMP_S = 300
_MOST_RUNS, _MOST_PAGES = 20, 300
# Each session has a pid of its own, and none that a process has: what is taken away after it was compared is then
# nobody's parent.
_pids = itertools.count(1 << 24)


def send_pages(server, is_control=False):
    """A session of random pages, zeros among them; what the server has of it is compared, and taken away.

    As a control it is compared with something else, by one bit.
    """
    pid = next(_pids)
    with closing(connect(server.port)) as connection:
        client = "%s:%d" % connection.getsockname()
        try:
            sent = _session(connection, pid)
        except OSError as error:
            server.expect_alive()
            raise Harm(f"a good client, {client}: {error}; the server says: {server.reason(client)}") from error
    report = server.take_report(lambda report: report["client"] == client)
    with _taken(server, report["images_dir"]) as images:
        if is_control:
            sent[-1] = sent[-1][:-1] + bytes([sent[-1][-1] ^ 1])
        received = b"".join(file.read_bytes() for file in images.glob("pages-*.img"))
        if received != b"".join(sent):
            raise Harm(f"the pages of {client} are not what it has sent ({report})")
        if not (images / f"pagemap-{pid}.img").exists():
            raise Harm(f"the images of {client} have no pagemap of process {pid}")


def _session(connection, pid):
    """All of one; the runs that were sent."""
    layout = random.choice(LAYOUTS)
    sent, address = [], 0
    connection.sendall(layout.header(OPEN_ANSWERED, owner=process(pid)))
    _expect(connection, b"\0", "OPEN")
    for _ in range(random.randrange(1, _MOST_RUNS)):
        address += PAGE * random.randrange(1, 1 << 20)
        count = random.randrange(1, _MOST_PAGES)
        run = b"".join(bytes(PAGE) if random.random() < 0.2 else random.randbytes(PAGE) for _ in range(count))
        connection.sendall(layout.header(ADD, count, address, process(pid), PRESENT) + run)
        sent.append(run)
        address += len(run)
    connection.sendall(layout.header(CLOSE))
    _expect(connection, bytes(4), "CLOSE")
    return sent


def _expect(connection, wanted, of):
    if (answer := receive(connection, len(wanted))) != wanted:
        raise Harm(f"a good client's {of} was answered by {answer.hex() or 'the end of the connection'}")


def pre_dump(programs, server, pid, directory):
    """A pre-dump of a process that stands still; what the server has of it is compared, and taken away.

    No other of that process may be under way: the server might have the one build on the other.
    """
    report = send_process(programs, server, pid, directory)
    with _taken(server, report["images_dir"]) as images:
        return comparison.expect_equal(programs, pid, images)


def send_process(programs, server, pid, directory):
    """A pre-dump of a process; what the server says of a session with it, whose images are left there, whole."""
    done = subprocess.run(
        [
            str(programs.sluice), "pre-dump", "-t", str(pid), "-D", str(directory), "--tracker", "none", "--progress",
            "none", "--memory-budget", "1M", "--page-server", "--address", "127.0.0.1", "--port", str(server.port),
            "--json",
        ],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LONGEST_DUMP_S, check=False,
    )
    if done.returncode != 0:
        server.expect_alive()
        raise Harm(
            f"a pre-dump to the page server failed with {done.returncode}: {done.stderr.strip()}; the server said: "
            f"{server.last_line()}"
        )
    report = server.take_report(lambda report: Path(report["images_dir"], f"pagemap-{pid}.img").exists())
    if report["pages"] != json.loads(done.stdout)["pages_written"]:
        raise Harm(f"the page server counts other pages than its client: {report}, {done.stdout.strip()}")
    # That is where the client is. At once: another session may look whether it builds on these images.
    inventory = Path(report["images_dir"], "inventory.img")
    shutil.copy(directory / "inventory.img", inventory.with_suffix(".new"))
    inventory.with_suffix(".new").rename(inventory)
    shutil.rmtree(directory)
    return report


@contextmanager
def standing_process(programs, *options):
    """A process with random memory that is stopped; its pid."""
    child = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", str(programs.memory_target), "--random", "--seconds", "86400", *options],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )
    try:
        if not child.stdout.readline().startswith(b"ready"):
            raise SoakError("memory-target does not get ready")
        os.kill(child.pid, signal.SIGSTOP)
        while outside.state(child.pid) != "T":
            time.sleep(0.001)
        yield child.pid
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


@contextmanager
def _taken(server, images):
    """The images of a session, out of the server's sight; they are removed at the end."""
    place = server.directory.with_suffix(".taken") / Path(images).name
    place.parent.mkdir(exist_ok=True)
    # At once: the server must not find a part of them.
    Path(images).rename(place)
    try:
        yield place
    finally:
        shutil.rmtree(place)
