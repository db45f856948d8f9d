"""The experiments, in the order of the table. Each gives one or more of its rows."""

from . import (
    alternate, budget, cached, core, disk, final, forecast, mappings, memory, page_server, read, rounds, scale, stalls, startup,
    stops, throttle, tmpfs, write_cost,
)
from .variants import HUGE, MANY_THREADS, PLAIN, each

# Pairs of the rows that an experiment gives and the function that does it.
ALL = (
    (("disk", "disk-cpu", "disk-cpu-copy"), disk.measure),
    (("tmpfs",), tmpfs.measure),
    (("tmpfs-half",), tmpfs.measure_half),
    (("tmpfs-quarter",), tmpfs.measure_quarter),
    (("cached",), cached.measure),
    (("cached-criu",), cached.measure_criu),
    (("read",), read.measure_one),
    (("read-2",), read.measure_two),
    (("alternate",), alternate.measure),
    (("budget",), budget.measure),
    (("final-share",), final.measure),
    (("final-slow-disk",), final.measure_slow),
    (("final-stop",), stops.measure_scattered),
    (("final-stop-dense",), stops.measure_dense),
    (("final-stop-disk",), stops.measure_disk),
    (("predicted",), stops.measure_predicted),
    (("forecast-total", "forecast-stop"), forecast.measure),
    (("fixed-round",), stops.measure_fixed),
    (("core-stop", "core-memory", "core-disk"), core.measure),
    (("vmas",), mappings.measure_many),
    (("sparse",), mappings.measure_sparse),
    (("scale-size", "scale-memory"), scale.measure_size),
    (("scale-mappings",), scale.measure_mappings),
    (("scale-processes",), scale.measure_processes),
    (("scale-threads",), scale.measure_threads),
    (("memory",), memory.measure),
    (("startup",), startup.measure),
    (("page-server",), page_server.measure),
    (("page-server-veth",), page_server.measure_veth),
    (("page-server-four",), page_server.measure_four),
    (("page-server-tls",), page_server.measure_tls),
    (("page-server-criu",), page_server.measure_criu),
    (("throttle",), throttle.measure),
    *each("stops", rounds.measure_stops, PLAIN, MANY_THREADS),
    *each("injection", rounds.measure_injection, PLAIN, MANY_THREADS),
    *each("stall", stalls.measure, PLAIN, MANY_THREADS),
    *each("write-cost", write_cost.measure, PLAIN, HUGE, MANY_THREADS),
    *each("idle-round", rounds.measure_idle, PLAIN, MANY_THREADS),
    *each("spread-round", rounds.measure_spread, PLAIN, HUGE),
    *each("rounds-memory", rounds.measure_memory, PLAIN, MANY_THREADS),
)

ROW_NAMES = tuple(name for names, _ in ALL for name in names)
