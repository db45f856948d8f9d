"""Random addresses in ranges."""


def random_addresses(ranges, count, random):
    """Addresses of whole words, half of them spread over all bytes, half over the ranges, so that small ones have some."""
    ranges = [(start, end) for start, end in ranges if end - start >= 8]
    if not ranges:
        return []
    sizes = [end - start for start, end in ranges]
    by_size = random.choices(ranges, sizes, k=count - count // 2)
    return sorted(random.randrange(start, end - 7, 8) for start, end in by_size + random.choices(ranges, k=count // 2))
