"""The client's end of the page-server protocol, written down once more: it shares nothing with Sluice."""

import os
import socket
import struct
from dataclasses import dataclass

PAGE = os.sysconf("SC_PAGE_SIZE")
HOLE, OPEN, OPEN_ANSWERED, PARENT, ADD, GET, CLOSE = 2, 3, 4, 5, 6, 7, 0x1023
IN_PARENT, LAZY, PRESENT = 1, 2, 4
# Longer than any server that lives takes, on a machine that does much else.
_PATIENCE_S = 120


@dataclass(frozen=True)
class Layout:
    """How headers are laid out: up to CRIU 4.1.1, and from 4.2 on."""

    form: str

    @property
    def most_pages(self):
        return (1 << 32) - 1 if "4xQ" not in self.form else (1 << 64) - 1

    def header(self, command, count=0, address=0, owner=0, flags=0):
        return struct.pack(self.form, command | flags << 16, count, address, owner)


OLD, NEW = Layout("=IIQQ"), Layout("=I4xQQQ")
LAYOUTS = (OLD, NEW)


def process(pid):
    """A process, as headers name it."""
    return pid << 8 | 1


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def receive(connection, count):
    """So many bytes, or fewer where the connection ends."""
    received = b""
    while len(received) < count:
        part = connection.recv(count - len(received))
        if not part:
            break
        received += part
    return received


def reset(connection):
    """Ends it without a farewell: whatever is under way is lost, and the peer gets an error."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
