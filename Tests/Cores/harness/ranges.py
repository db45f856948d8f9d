"""Ranges of numbers, as pairs of a first and an end; lists of them are sorted and do not touch."""


def joined(ranges):
    """The same numbers in as few ranges as there can be."""
    result = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def common(left, right):
    """What is in both lists."""
    result, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end:
            result.append((start, end))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return result


def without(left, right):
    """What is in the first list and not in the second."""
    result, j = [], 0
    for start, end in left:
        while j < len(right) and right[j][1] <= start:
            j += 1
        k, at = j, start
        while k < len(right) and right[k][0] < end:
            if at < right[k][0]:
                result.append((at, right[k][0]))
            at = max(at, right[k][1])
            k += 1
        if at < end:
            result.append((at, end))
    return result


def size(ranges):
    return sum(end - start for start, end in ranges)


def differing(found, expected, address):
    """The ranges in which bytes differ; those less than 16 bytes apart are one."""
    result = []
    for block in range(0, len(found), 4096):
        if found[block:block + 4096] == expected[block:block + 4096]:
            continue
        for at in range(block, min(block + 4096, len(found))):
            if found[at] != expected[at]:
                if result and address + at - result[-1][1] < 16:
                    result[-1] = (result[-1][0], address + at + 1)
                else:
                    result.append((address + at, address + at + 1))
    return result
