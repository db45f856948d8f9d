"""The experiments, in the order of the table. Each gives one or more of its rows."""

from . import alternate, budget, disk, mappings, memory, read, rounds, stalls, startup, tmpfs, write_cost

# Pairs of the rows that an experiment gives and the function that does it.
ALL = (
    (("disk", "disk-cpu", "disk-cpu-copy"), disk.measure),
    (("tmpfs",), tmpfs.measure),
    (("read",), read.measure_one),
    (("read-2",), read.measure_two),
    (("alternate",), alternate.measure),
    (("budget",), budget.measure),
    (("vmas",), mappings.measure_many),
    (("sparse",), mappings.measure_sparse),
    (("memory",), memory.measure),
    (("startup",), startup.measure),
    (("stops", "stops-threads"), rounds.measure_stops),
    (("injection", "injection-threads"), rounds.measure_injection),
    (("stall", "stall-threads"), stalls.measure),
    (("write-cost", "write-cost-huge", "write-cost-threads"), write_cost.measure),
    (("idle-round", "idle-round-threads"), rounds.measure_idle),
    (("spread-round", "spread-round-huge"), rounds.measure_spread),
    (("rounds-memory", "rounds-memory-threads"), rounds.measure_memory),
)

ROW_NAMES = tuple(name for names, _ in ALL for name in names)
