"""What a directory of images has at some addresses, read without any of Sluice's code."""

import hashlib
import os
import struct
from dataclasses import dataclass

from .errors import DigestError

PAGE = 4096
_MAGICS = (0x54564319, 0x56084025)
_PRESENT = 4
# Long enough that no two contents have the same by chance.
_DIGITS = 12


@dataclass(frozen=True)
class Entry:
    """An entry of a pagemap, and where its pages are in the pages file (None where they are not)."""

    address: int
    pages: int
    flags: int
    offset: int | None

    @property
    def end(self):
        return self.address + self.pages * PAGE


def fields(message):
    """The fields of a protobuf message in their order: numbers and values, which are numbers or bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    found = []
    while at < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            found.append((number, varint()))
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            found.append((number, int.from_bytes(message[at : at + size], "little")))
            at += size
        elif kind == 2:
            size = varint()
            found.append((number, message[at : at + size]))
            at += size
        else:
            raise DigestError(f"a protobuf field of kind {kind}")
    return found


def records(content, magics):
    """The messages of an image that begins with so many magic numbers."""
    at = 4 * magics
    found = []
    while at < len(content):
        (size,) = struct.unpack_from("<I", content, at)
        at += 4
        if at + size > len(content):
            raise DigestError("a record is longer than its file")
        found.append(fields(content[at : at + size]))
        at += size
    return found


def pagemap(directory, pid):
    """The number of the pages file of a process, and its entries."""
    path = directory / f"pagemap-{pid}.img"
    content = path.read_bytes()
    if struct.unpack_from("<2I", content) != _MAGICS:
        raise DigestError(f"{path}: is no pagemap")
    head, *rest = records(content, len(_MAGICS))
    entries, offset = [], 0
    for record in rest:
        values = dict(record)
        # The address, the number of pages as it was and as it is now, the flags: each once, and nothing else.
        if [number for number, _ in record] != [1, 2, 4, 5] or values[2] != values[5]:
            raise DigestError(f"{path}: has a record of {record}")
        is_present = values[4] & _PRESENT
        entries.append(Entry(values[1], values[5], values[4], offset if is_present else None))
        offset += values[5] * PAGE if is_present else 0
    size = os.stat(directory / f"pages-{dict(head)[1]}.img").st_size
    if size != offset:
        raise DigestError(f"{path}: its pages file has {size} bytes instead of {offset}")
    return dict(head)[1], entries


def listing(directory, pid, start, end):
    """A line for each entry that touches the addresses: first page from there, pages, flags, digest of the pages' bytes."""
    number, entries = pagemap(directory, pid)
    lines = []
    with open(directory / f"pages-{number}.img", "rb") as pages:
        for entry in entries:
            if entry.end <= start or entry.address >= end:
                continue
            text = "-"
            if entry.offset is not None:
                pages.seek(entry.offset)
                text = short_digest(pages.read(entry.pages * PAGE))
            lines.append(f"{(entry.address - start) // PAGE}+{entry.pages} {entry.flags} {text}")
    return lines


def short_digest(content):
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def file_lines(directory, pids):
    """A line for each file, by names that do not depend on pids."""
    names = {str(pid): process for process, pid in pids.items()}
    lines = []
    for path in directory.iterdir():
        stem, dash, rest = path.name.partition("-")
        pid, dot, suffix = rest.partition(".")
        known = names.get(pid) if stem != "pages" else None
        name = f"{stem}{dash}{known}{dot}{suffix}" if known else path.name
        lines.append(f"{name} -> {os.readlink(path)}" if path.is_symlink() else name)
    return sorted(lines)
