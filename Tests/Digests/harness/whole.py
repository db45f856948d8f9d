"""Two directories of images, made by two programs of the same processes, compared byte for byte.

All files are, but for the fields that tell when they were made, how long that took, and a number that each chain draws by
lot. These are blanked, where they stand and nowhere else.
"""

import os
import stat
import struct

from . import images
from .errors import DigestError

_PAGES_PER_BLOCK = 256
_HASH_MAGIC = 0x536C7404
# The words of a block of hashes before its own: its mark, their number, and a checksum of two.
_BLOCK_HEAD = 4
# In the first block: when the images were made, and the seed.
_UPTIME, _SEED = 3, 4
_INVENTORY_UPTIME = 8
# Of stats-dump: the times of stopping, being stopped, collecting and writing.
_TIMES = (1, 2, 3, 4)


def difference(one, other, pids):
    """Where the files below two directories differ first, in words; None where they do not."""
    names = _names(one)
    if names != _names(other):
        return f"only one of both has {', '.join(sorted(set(names) ^ set(_names(other))))}"
    for name in names:
        if found := _file_difference(one / name, other / name, pids):
            return f"{name}: {found}"
    return None


def _names(top):
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


def _file_difference(one, other, pids):
    old, new = os.lstat(one), os.lstat(other)
    rights = [f"{status.st_mode:o} {status.st_uid} {status.st_gid}" for status in (old, new)]
    if rights[0] != rights[1]:
        return f"mode, owner and group are {rights[1]} instead of {rights[0]}"
    if stat.S_ISLNK(old.st_mode):
        old, new = os.readlink(one), os.readlink(other)
        return None if old == new else f"leads to {new} instead of {old}"
    if stat.S_ISDIR(old.st_mode):
        return None
    kind = one.name.partition("-")[0]
    if kind == "pages":
        return _pages_difference(one, other, pids)
    old, new = _BLANKED.get(kind, _as_it_is)(one.read_bytes(), other.read_bytes())
    if old == new:
        return None
    if kind == "pagemap":
        return _pagemap_difference(one, other)
    at = next((at for at, (a, b) in enumerate(zip(old, new)) if a != b), min(len(old), len(new)))
    return f"byte {at} differs (of {len(old)} and {len(new)} without times)"


def _as_it_is(old, new):
    return old, new


def _pagemap_difference(one, other):
    old, new = (images.records(path.read_bytes(), 2) for path in (one, other))
    for number, (a, b) in enumerate(zip(old, new)):
        if a != b:
            return f"record {number} is {b} instead of {a}"
    return f"there are {len(new)} records instead of {len(old)}"


def _pages_difference(one, other, pids):
    size = _PAGES_PER_BLOCK * images.PAGE
    with open(one, "rb") as old, open(other, "rb") as new:
        for number in range(1 << 40):
            a, b = old.read(size), new.read(size)
            if a != b:
                at = next(at for at in range(size) if a[at : at + 1] != b[at : at + 1])
                offset = number * size + at
                return f"byte {at % images.PAGE} of page {offset // images.PAGE} differs{_place(one, offset, pids)}"
            if not a:
                return None


def _place(path, offset, pids):
    """The address of a page in a pages file."""
    for process, pid in pids.items():
        if not (path.parent / f"pagemap-{pid}.img").exists():
            continue
        number, entries = images.pagemap(path.parent, pid)
        for entry in entries:
            if path.name == f"pages-{number}.img" and entry.offset is not None:
                if entry.offset <= offset < entry.offset + entry.pages * images.PAGE:
                    return f": {process} {entry.address + offset - entry.offset:#x}"
    return ""


def _inventories(old, new):
    return tuple(_record_without(content, 1, [_INVENTORY_UPTIME]) for content in (old, new))


def _statistics(old, new):
    without = []
    for content in (old, new):
        ((entry,),) = images.records(content, 2)
        without.append((content[:8], [field for field in images.fields(entry[1]) if field[0] not in _TIMES]))
    return tuple(without)


def _record_without(content, magics, numbers):
    (record,) = images.records(content, magics)
    return content[: 4 * magics], [field for field in record if field[0] not in numbers]


def _hashes(old, new):
    """Those of two chains with other seeds are other ones, of pages at the same addresses."""
    blocks = [_blocks(content) for content in (old, new)]
    hides_hashes = blocks[0][0][_BLOCK_HEAD + _SEED] != blocks[1][0][_BLOCK_HEAD + _SEED]
    return tuple(_blanked_blocks(each, hides_hashes) for each in blocks)


def _blocks(content):
    words = struct.unpack(f"<{len(content) // 8}Q", content)
    at, blocks = 0, []
    while at < len(words):
        if words[at] != _HASH_MAGIC << 32 | len(blocks):
            raise DigestError(f"hashes have no block at word {at}")
        size = _BLOCK_HEAD + words[at + 1]
        blocks.append(list(words[at : at + size]))
        at += size
    return blocks


def _blanked_blocks(blocks, hides_hashes):
    for number, block in enumerate(blocks):
        # The checksum is one of what is blanked, too.
        block[2:4] = [0, 0]
        if number == 0:
            block[_BLOCK_HEAD + _UPTIME] = block[_BLOCK_HEAD + _SEED] = 0
        elif hides_hashes:
            at = _BLOCK_HEAD
            while at < len(block):
                count = 2 * block[at + 1]
                block[at + 2 : at + 2 + count] = [0] * count
                at += 2 + count
    return blocks


_BLANKED = {"inventory.img": _inventories, "stats": _statistics, "hashes": _hashes}
