"""Thousands of connections at once, more than any server has room for."""

import contextlib
import errno
import random
import selectors
import socket
import time

from .wire import OLD, OPEN_ANSWERED, process, reset

# How long they stay.
_OPEN_S = 3


def run(server, count):
    """Connects so often without waiting, has those that are connected say something or nothing, and ends them all."""
    with selectors.DefaultSelector() as selector:
        connections = [_begin(server.port) for _ in range(count)]
        for connection in connections:
            selector.register(connection, selectors.EVENT_WRITE)
        end = time.monotonic() + _OPEN_S
        while (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                selector.unregister(key.fileobj)
                with contextlib.suppress(OSError):
                    _say_something(key.fileobj)
            if not selector.get_map():
                time.sleep(max(0, end - time.monotonic()))
    for connection in connections:
        if random.random() < 0.5:
            reset(connection)
        else:
            connection.close()


def _begin(port):
    connection = socket.socket()
    connection.setblocking(False)
    error = connection.connect_ex(("127.0.0.1", port))
    if error not in (0, errno.EINPROGRESS, errno.EAGAIN):
        raise OSError(error, "connecting, one of many")
    return connection


def _say_something(connection):
    opening = OLD.header(OPEN_ANSWERED, owner=process(17))
    connection.send(random.choice([b"", b"\0", opening[:5], opening, opening * 2, random.randbytes(100)]))
