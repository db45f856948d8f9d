"""ELF cores of 64 bits, little-endian, by the description of the format in elf(5) and core(5)."""

import os
import struct
from bisect import bisect_right
from typing import NamedTuple

from .errors import CoreError
from .ranges import common, joined

_ET_CORE, _PT_LOAD, _PT_NOTE = 4, 1, 4
_PN_XNUM = 0xFFFF
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")


class Segment(NamedTuple):
    """A PT_LOAD."""
    flags: int
    offset: int
    start: int
    saved: int  # bytes in the file
    size: int  # bytes in memory

    @property
    def saved_end(self):
        return self.start + self.saved

    @property
    def end(self):
        return self.start + self.size


class Note(NamedTuple):
    owner: str
    kind: int
    content: bytes


class Core:
    """A core that is read where it is needed."""

    def __init__(self, path):
        self.path = path
        try:
            self._file = open(path, "rb", buffering=0)
        except OSError as error:
            raise CoreError(f"{path}: {error.strerror}") from error
        self.file_size = os.fstat(self._file.fileno()).st_size
        header = _HEADER.unpack(self._part(0, _HEADER.size))
        if header[0][:7] != b"\x7fELF\x02\x01\x01" or header[1] != _ET_CORE:
            raise CoreError(f"{path}: this is no core of 64 bits")
        self.machine = header[2]
        segments_at, sections_at, segment_size, segments = header[5], header[6], header[9], header[10]
        if segment_size != _SEGMENT.size:
            raise CoreError(f"{path}: its program headers are of {segment_size} bytes")
        if segments == _PN_XNUM:
            # The first section header's sh_info then has the number.
            segments = _SECTION.unpack(self._part(sections_at, _SECTION.size))[7]
        table = self._part(segments_at, segments * _SEGMENT.size)
        self.segments, self._notes_at = [], []
        for kind, flags, offset, start, _, saved, size, _ in _SEGMENT.iter_unpack(table):
            if kind == _PT_LOAD:
                self.segments.append(Segment(flags, offset, start, saved, size))
            elif kind == _PT_NOTE:
                self._notes_at.append((offset, saved))
        self.segments.sort(key=lambda segment: segment.start)
        self._starts = [segment.start for segment in self.segments]

    def _part(self, offset, count):
        parts, missing = [], count
        while missing:
            part = os.pread(self._file.fileno(), min(missing, 1 << 30), offset + count - missing)
            if not part:
                raise CoreError(f"{self.path}: it ends before byte {offset + count}")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def faults(self):
        """What no core should have, in sentences."""
        result = []
        for one, next_one in zip(self.segments, self.segments[1:]):
            if one.end > next_one.start:
                result.append(f"the PT_LOADs at {one.start:#x} and {next_one.start:#x} overlap")
        for segment in self.segments:
            if segment.saved > segment.size:
                result.append(f"the PT_LOAD at {segment.start:#x} has more bytes in the file than in memory")
            if segment.offset + segment.saved > self.file_size:
                result.append(f"the PT_LOAD at {segment.start:#x} ends behind the end of the file")
        return result

    def saved(self):
        """The addresses whose bytes are in the file."""
        return joined((segment.start, segment.saved_end) for segment in self.segments)

    def listed(self):
        """The addresses that have a header, whether their bytes are in the file or not."""
        return joined((segment.start, segment.end) for segment in self.segments)

    def read(self, address, count):
        """Bytes of memory; None where they are not in one segment's part of the file."""
        segment = self._segment(address)
        if segment is None or address + count > segment.saved_end:
            return None
        return self._part(segment.offset + address - segment.start, count)

    def _segment(self, address):
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self.segments[index].saved_end:
            return None
        return self.segments[index]

    def pieces(self, ranges, most):
        """Cuts ranges of saved addresses so that each is in one segment, and no longer than `most`."""
        each = [(segment.start, segment.saved_end) for segment in self.segments if segment.saved]
        for start, end in _cut(common(joined(ranges), self.saved()), each):
            while start < end:
                yield start, min(end, start + most)
                start += most

    def data(self):
        """The saved addresses at which the file has no hole."""
        result = []
        for segment in self.segments:
            for start, end in file_data(self._file.fileno(), segment.offset, segment.offset + segment.saved):
                result.append((segment.start + start - segment.offset, segment.start + end - segment.offset))
        return joined(result)

    def notes(self):
        result = []
        for offset, size in self._notes_at:
            content, at = self._part(offset, size), 0
            while at + 12 <= len(content):
                name_size, size, kind = struct.unpack_from("<III", content, at)
                at += 12
                name = content[at:at + name_size].rstrip(b"\0").decode("ascii", "replace")
                at += (name_size + 3) & ~3
                result.append(Note(name, kind, content[at:at + size]))
                at += (size + 3) & ~3
        return result


def _cut(ranges, borders):
    """Cuts ranges at the ends of others, which cover them."""
    result, j = [], 0
    for start, end in ranges:
        while start < end:
            while borders[j][1] <= start:
                j += 1
            result.append((start, min(end, borders[j][1])))
            start = result[-1][1]
    return result


def file_data(descriptor, start, end):
    """Where a file has no hole, between two offsets."""
    at = start
    while at < end:
        try:
            first = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # Nothing but holes from here on.
            return
        if first >= end:
            return
        try:
            at = min(os.lseek(descriptor, first, os.SEEK_HOLE), end)
        except OSError:
            at = end
        yield first, at
