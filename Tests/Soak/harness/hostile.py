"""Clients of a page server that break off, lie, or send anything."""

import contextlib
import random
import time

from .wire import ADD, CLOSE, GET, IN_PARENT, LAYOUTS, NEW, OLD, OPEN_ANSWERED, PAGE, PARENT, PRESENT
from .wire import connect, process, receive, reset

_OWNER = process(17)
_BYTES = bytes([7]) * PAGE
# More than a session may have.
_TOO_MANY_PAGES = 1 << 20
_MANY_OBJECTS = 500


class _Client:
    """A connection, and what its kind sends."""

    def __init__(self, connection):
        self.connection = connection
        self.layout = random.choice(LAYOUTS)

    def send(self, *parts):
        self.connection.sendall(b"".join(parts))

    def header(self, *arguments, **named):
        return self.layout.header(*arguments, **named)

    def open(self):
        self.send(self.header(OPEN_ANSWERED, owner=_OWNER))

    def pages(self, address, count=1, owner=_OWNER, flags=PRESENT):
        return self.header(ADD, count, address, owner, flags)

    def wait(self):
        """Until the server has had enough."""
        while self.connection.recv(1 << 16):
            pass


def _nothing(_):
    pass


def _reset_at_once(client):
    reset(client.connection)


def _garbage(client):
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    client.wait()


def _tls(client):
    client.send(bytes.fromhex("160301020001") + random.randbytes(511))
    client.wait()


def _random_bytes(client):
    client.send(random.randbytes(random.randrange(1, 1 << 16)))
    client.wait()


def _random_headers(client):
    """Each is a header, and some are even right."""
    client.open()
    for _ in range(random.randrange(1, 50)):
        command = random.choice([1, 2, 3, OPEN_ANSWERED, PARENT, ADD, GET, CLOSE, 0x1024, random.randrange(1 << 16)])
        count = random.choice([0, 1, 2, random.randrange(client.layout.most_pages)])
        address = random.choice([0, PAGE * random.randrange(1 << 20), random.randrange(1 << 64)])
        owner = random.choice([_OWNER, process(random.randrange(1 << 16)), random.randrange(1 << 64)])
        # Not one that ends a session well.
        flags = random.randrange(1, 8) if command in (CLOSE, 0x1024) else random.randrange(8)
        client.send(client.header(command, count, address, owner, flags))
    client.wait()


def _half_header(client):
    client.send(client.header(OPEN_ANSWERED, owner=_OWNER)[:10])


def _end_in_pages(client):
    client.open()
    client.send(client.pages(0x1000, 3), _BYTES, _BYTES[:100])


def _end_after_pages(client):
    client.open()
    client.send(client.pages(0x1000), _BYTES)


def _reset_in_pages(client):
    client.open()
    count = random.randrange(2, 2000)
    client.send(client.pages(0x1000, count), _BYTES * random.randrange(1, count))
    reset(client.connection)


def _shut_in_pages(client):
    """It ends only its own direction, and listens for whatever may come."""
    client.open()
    client.send(client.pages(0x1000, 3), _BYTES)
    client.connection.shutdown(1)
    client.wait()


def _huge_count(client):
    client.layout = NEW
    client.open()
    client.send(client.pages(0x1000, 1 << 63))
    client.wait()


def _out_of_order(client):
    client.open()
    client.send(client.pages(0x2000), _BYTES, client.pages(0x1000))
    client.wait()


def _overlap(client):
    client.open()
    client.send(client.pages(0x1000, 2), _BYTES, _BYTES, client.pages(0x2000))
    client.wait()


def _unopened(client):
    client.open()
    client.send(client.pages(0, owner=process(18)))
    client.wait()


def _second_open(client):
    client.open()
    client.open()
    client.wait()


def _many_objects(client):
    """Each of which is a pagemap and a file of pages, and then it ends."""
    for pid in range(1, _MANY_OBJECTS):
        client.send(client.header(OPEN_ANSWERED, owner=process(pid)), client.pages(0x1000, owner=process(pid)), _BYTES)
        receive(client.connection, 1)


def _slow_header(client):
    client.open()
    for byte in client.header(CLOSE)[:12]:
        time.sleep(0.1)
        client.send(bytes([byte]))
    client.wait()


def _slow_pages(client):
    client.open()
    client.send(client.pages(0x1000, 100))
    for _ in range(40):
        time.sleep(0.05)
        client.send(b"\1")
    client.wait()


def _silent(client):
    client.wait()


def _half_open(client):
    """Some pages come, and then nothing any more, not even an end."""
    client.open()
    client.send(client.pages(0x1000, 600), _BYTES * 500)
    client.wait()


def _deaf(client):
    """It asks, and takes no answer."""
    question = client.header(PARENT, owner=_OWNER) * 1000
    client.connection.settimeout(10)
    while True:
        client.send(question)


def _no_parent(client):
    client.open()
    client.send(client.pages(0x1000, flags=IN_PARENT))
    client.wait()


def _unknown_object(client):
    client.send(client.header(OPEN_ANSWERED, owner=0x1103))
    client.wait()


def _too_much(client):
    client.open()
    client.send(client.pages(0x1000, _TOO_MANY_PAGES))
    client.wait()


def _too_much_in_parts(client):
    client.open()
    for number in range(_TOO_MANY_PAGES // 256):
        client.send(client.pages(0x1000 + number * 256 * PAGE, 256), _BYTES * 256)


def _bad_page(client):
    client.open()
    client.send(client.pages(0x1001))
    client.wait()


def _lazy(client):
    client.send(client.header(GET, 1, 0x1000, _OWNER))
    client.wait()


def _other_layout(client):
    """Its headers change in the middle."""
    client.layout = OLD
    client.open()
    client.layout = NEW
    client.send(client.pages(0x1000), _BYTES, client.pages(0x9000), _BYTES)
    client.connection.shutdown(1)
    client.wait()


# What it is called, and what it does: all end without anything that is to be kept.
KINDS = {
    act.__name__.lstrip("_").replace("_", "-"): act
    for act in (
        _nothing, _reset_at_once, _garbage, _tls, _random_bytes, _random_headers, _half_header, _end_in_pages,
        _end_after_pages, _reset_in_pages, _shut_in_pages, _huge_count, _out_of_order, _overlap, _unopened, _second_open,
        _many_objects, _slow_header, _slow_pages, _silent, _half_open, _deaf, _no_parent, _unknown_object, _too_much,
        _too_much_in_parts, _bad_page, _lazy, _other_layout,
    )
}


def run(kind, port):
    """One session of that kind, to its end. What cannot be sent any more, or is answered by a reset, was enough."""
    connection = connect(port)
    with contextlib.closing(connection):
        # A wait that does not end is not among what is to be expected, but for the deaf one's, whose server may be slow.
        with contextlib.suppress(ConnectionError):
            try:
                KINDS[kind](_Client(connection))
            except TimeoutError:
                if kind != "deaf":
                    raise
