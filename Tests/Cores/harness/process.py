"""What a process has in memory, and what of it the kernel would dump: core(5), proc(5), and the kernel's own rules."""

import ctypes
import fcntl
import os
import struct
from typing import NamedTuple

from .elf import file_data
from .errors import CoreError
from .ranges import common, joined

PAGE = os.sysconf("SC_PAGE_SIZE")

# Nothing behind it can be read as a file: [vsyscall], which is the kernel's.
_END = 1 << 63

# The bits of /proc/PID/coredump_filter.
_PRIVATE_ANONYMOUS, _SHARED_ANONYMOUS, _PRIVATE_FILE, _SHARED_FILE, _ELF_HEADERS, _PRIVATE_HUGE, _SHARED_HUGE = range(7)

# Bits of an entry of /proc/PID/pagemap, and the categories of PAGEMAP_SCAN that say the same.
_ENTRY_PRESENT, _ENTRY_SWAPPED = 1 << 63, 1 << 62
_SCAN_PRESENT, _SCAN_SWAPPED = 1 << 3, 1 << 4
_SCAN = struct.Struct("<12Q")
_PAGEMAP_SCAN = 3 << 30 | _SCAN.size << 16 | ord("f") << 8 | 16
_SCAN_REGIONS = 4096


class Mapping(NamedTuple):
    start: int
    end: int
    offset: int
    name: str
    flags: frozenset
    anonymous: int  # bytes that are the process' own

    @property
    def is_special(self):
        """Of the kernel's own: [vdso], [vvar], [vsyscall]. Those are dumped whole, as far as they can be read."""
        return self.name.startswith(("[v", "[uprobes]"))

    @property
    def has_file(self):
        return self.name.startswith("/") or self.name.startswith("anon_inode:") or "ht" in self.flags


class Process:
    def __init__(self, pid):
        self.pid = pid
        try:
            self._memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
            self._pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY)
            with open(f"/proc/{pid}/coredump_filter", encoding="ascii") as file:
                self.filter = int(file.read(), 16)
        except OSError as error:
            raise CoreError(f"process {pid}: {error.strerror}") from error
        self.mappings = list(self._read_mappings())

    def require_stopped(self):
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{thread}/stat", encoding="utf-8", errors="replace") as file:
                state = file.read().rpartition(")")[2].split()[0]
            if state not in "tTZX":
                raise CoreError(f"thread {thread} of process {self.pid} is not stopped, but in state {state}")

    def _read_mappings(self):
        current = None
        with open(f"/proc/{self.pid}/smaps", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                word = line.split(None, 1)[0]
                if not word.endswith(":"):
                    addresses, _, offset, _, _, *name = line.rstrip("\n").split(None, 5)
                    start, end = (int(part, 16) for part in addresses.split("-"))
                    current, own = (start, end, int(offset, 16), name[0] if name else ""), 0
                elif word in ("Anonymous:", "Swap:"):
                    own += int(line.split()[1]) << 10
                elif word == "VmFlags:":
                    yield Mapping(*current, frozenset(line.split()[1:]), own)

    def read(self, address, count):
        """Bytes of memory, fewer where the rest cannot be read."""
        if address >= _END:
            return b""
        parts, missing = [], count
        while missing:
            try:
                part = os.pread(self._memory, missing, address + count - missing)
            except OSError:
                break
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def readable(self, start, end, most=1 << 20):
        """The bytes of a range in pieces, as (address, bytes), without the pages that nobody can read."""
        while start < end:
            part = self.read(start, min(most, end - start))
            if part:
                yield start, part
            start += len(part)
            if len(part) < min(most, end - start + len(part)):
                start = (start // PAGE + 1) * PAGE

    def dumped(self, mapping):
        """What the kernel's own core would have of a mapping: a range, and whether that is sure. Not so where the process has
        written to a private mapping and has nothing of its own in it any more: only the kernel knows that.
        """
        flags, whole, none = mapping.flags, (mapping.start, mapping.end), (mapping.start, mapping.start)
        if mapping.is_special:
            return whole, True
        if "dd" in flags:
            return none, True
        if "ht" in flags:
            return (whole if self._wants(_SHARED_HUGE if "sh" in flags else _PRIVATE_HUGE) else none), True
        if "io" in flags:
            return none, True
        if "sh" in flags:
            kind = _SHARED_ANONYMOUS if self._is_nameless(mapping) else _SHARED_FILE
            return (whole if self._wants(kind) else none), True
        if mapping.anonymous and self._wants(_PRIVATE_ANONYMOUS):
            return whole, True
        is_sure = not self._wants(_PRIVATE_ANONYMOUS)
        if not mapping.has_file:
            return none, is_sure
        if self._wants(_PRIVATE_FILE):
            return whole, True
        if self._wants(_ELF_HEADERS) and mapping.offset == 0 and "rd" in flags and self._is_program(mapping):
            return (mapping.start, mapping.start + PAGE), is_sure
        return none, is_sure

    def _wants(self, bit):
        return self.filter >> bit & 1 == 1

    def _map_file(self, mapping):
        return f"/proc/{self.pid}/map_files/{mapping.start:x}-{mapping.end:x}"

    def _is_nameless(self, mapping):
        """A file without a name is anonymous memory to the kernel."""
        try:
            return os.stat(self._map_file(mapping)).st_nlink == 0
        except OSError:
            return not mapping.has_file or mapping.name.endswith(" (deleted)")

    def _is_program(self, mapping):
        try:
            if os.stat(self._map_file(mapping)).st_mode & 0o111:
                return True
        except OSError:
            pass
        return self.read(mapping.start, 4) == b"\x7fELF"

    def content(self, mapping):
        """Where a mapping may have other bytes than zeros."""
        ranges = list(self.pages(mapping.start, mapping.end))
        if mapping.is_special:
            return [(mapping.start, mapping.end)]
        if mapping.has_file:
            ranges += self._of_file(mapping)
        return joined(ranges)

    def _of_file(self, mapping):
        try:
            descriptor = os.open(self._map_file(mapping), os.O_RDONLY)
        except OSError:
            return [(mapping.start, mapping.end)]
        try:
            shift = mapping.start - mapping.offset
            data = [
                ((start + shift) // PAGE * PAGE, -(-(end + shift) // PAGE) * PAGE)
                for start, end in file_data(descriptor, mapping.offset, mapping.offset + mapping.end - mapping.start)
            ]
            return common(joined(data), [(mapping.start, mapping.end)])
        finally:
            os.close(descriptor)

    def pages(self, start, end):
        """Pages that are there or swapped out."""
        if start >= _END:
            return
        try:
            yield from self._scan(start, end)
        except OSError:  # Before Linux 6.7.
            yield from self._entries(start, end)

    def _scan(self, start, end):
        regions = (ctypes.c_uint64 * (3 * _SCAN_REGIONS))()
        while start < end:
            argument = bytearray(_SCAN.pack(
                _SCAN.size, 0, start, end, 0, ctypes.addressof(regions), _SCAN_REGIONS, 0, 0, 0,
                _SCAN_PRESENT | _SCAN_SWAPPED, _SCAN_PRESENT | _SCAN_SWAPPED))
            count = fcntl.ioctl(self._pagemap, _PAGEMAP_SCAN, argument)
            for at in range(count):
                yield regions[3 * at], regions[3 * at + 1]
            start = _SCAN.unpack(argument)[4]

    def _entries(self, start, end):
        most = 1 << 17
        while start < end:
            entries = os.pread(self._pagemap, min(most, (end - start) // PAGE) * 8, start // PAGE * 8)
            if not entries:
                return
            if entries.count(0) != len(entries):
                for at, (entry,) in enumerate(struct.iter_unpack("<Q", entries)):
                    if entry & (_ENTRY_PRESENT | _ENTRY_SWAPPED):
                        page = start + at * PAGE
                        yield page, page + PAGE
            start += len(entries) // 8 * PAGE
