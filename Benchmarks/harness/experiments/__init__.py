"""The experiments, in the order of the table. Each gives one or more of its rows."""

from . import alternate, budget, disk, mappings, memory, read, startup, tmpfs

# Pairs of the rows that an experiment gives and the function that does it.
ALL = (
    (("disk", "disk-cpu"), disk.measure),
    (("tmpfs",), tmpfs.measure),
    (("read",), read.measure_one),
    (("read-2",), read.measure_two),
    (("alternate",), alternate.measure),
    (("budget",), budget.measure),
    (("vmas",), mappings.measure_many),
    (("sparse",), mappings.measure_sparse),
    (("memory",), memory.measure),
    (("startup",), startup.measure),
)

ROW_NAMES = tuple(name for names, _ in ALL for name in names)
