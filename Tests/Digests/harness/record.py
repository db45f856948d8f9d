"""The digests that are kept in the repository, and where other images differ from those of before."""

import json

from . import images
from .errors import DigestError

# A long list of entries is kept in groups, which say well enough where something differs.
_MOST_LINES, _GROUP = 128, 32


class Record:
    """For each case and each of its results a digest of every range of every process, and what it is a digest of.

    Cases that must come to the same have it in common: results and lists of entries are kept by their digests.
    """

    def __init__(self, path):
        self._path = path
        # By case, then by the name of a result.
        self._results = {}
        self._listings = {}
        if path.exists():
            content = json.loads(path.read_text(encoding="utf-8"))
            for case, results in content["cases"].items():
                self._results[case] = {name: dict(content["results"][digest]) for name, digest in results.items()}
            self._listings = content["listings"]

    def has(self, case):
        return case.name in self._results

    def take(self, case, found, lacking):
        """Keeps the lines of all keys of all results, and of ranges that say nothing here what was found elsewhere."""
        before, now = self._results.get(case.name, {}), {}
        for result, keys in found.items():
            old = before.get(result, {}).items()
            now[result] = {key: digest for key, digest in old if key.rpartition("/")[2] in lacking}
            for key, lines in keys.items():
                now[result][key] = _digest(lines)
                self._listings[now[result][key]] = _grouped(lines)
        self._results[case.name] = now

    def difference(self, case, result, key, lines):
        """The first line that is not as recorded: the one before and the one now; None where all are."""
        recorded = self._results[case.name].get(result, {}).get(key)
        if recorded is None:
            raise DigestError(f"{case.name}: {result}: there is no digest of {key}: --record makes it")
        if recorded == _digest(lines):
            return None
        before, now = self._listings[recorded], _grouped(lines)
        for old, new in zip(before, now):
            if old != new:
                return old, new
        if len(before) > len(now):
            return before[len(now)], None
        return None, now[len(before)]

    def write(self, cases):
        """Writes the digests of these cases and no others, in a form in which a change can be read."""
        results, names = {}, {}
        for case in cases:
            for name, found in self._results.get(case.name, {}).items():
                digest = _digest(f"{key} {value}" for key, value in sorted(found.items()))
                results[digest] = found
                names.setdefault(case.name, {})[name] = digest
        listings = {digest for found in results.values() for digest in found.values()}
        content = {
            "cases": names,
            "results": results,
            "listings": {digest: self._listings[digest] for digest in sorted(listings)},
        }
        text = ",\n".join(f"{json.dumps(part)}: {_members(values)}" for part, values in content.items())
        self._path.write_text("{\n" + text + "\n}\n", encoding="utf-8")


def _members(values):
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in values.items()) + "\n}"


def _digest(lines):
    return images.short_digest("\n".join(lines).encode())


def _grouped(lines):
    if len(lines) <= _MOST_LINES:
        return lines
    groups = (lines[at : at + _GROUP] for at in range(0, len(lines), _GROUP))
    return [f"{group[0].split(' ')[0]} and {len(group) - 1} more, {_digest(group)}" for group in groups]


def lines_of(target, directory, name):
    """What is digested of a directory of images, by keys that are the same on every machine."""
    found = {f"{name}/files": images.file_lines(directory, target.pids)}
    for process, pid in target.pids.items():
        for part in target.ranges:
            if part.name not in target.lacking:
                found[f"{name}/{process}/{part.name}"] = images.listing(directory, pid, part.start, part.end)
    return found


def wrong_page(target, directory, key, line):
    """The first page of an entry whose bytes are not those of the process, for a message."""
    _, process, name = key.split("/")
    start = next(part.start for part in target.ranges if part.name == name)
    address = start + int(line.split("+")[0]) * images.PAGE
    number, entries = images.pagemap(directory, target.pids[process])
    entry = next(entry for entry in entries if entry.address == address)
    if entry.offset is None:
        return ""
    with open(directory / f"pages-{number}.img", "rb") as pages:
        pages.seek(entry.offset)
        for index in range(entry.pages):
            page = address + index * images.PAGE
            if pages.read(images.PAGE) != target.memory(process, page, images.PAGE):
                return f"; page {page:#x} is not as it is now in the process"
    return ""
