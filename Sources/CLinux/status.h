// Single lines of what /proc tells of a process or a thread, without allocating: for helpers and for stops.
#ifndef STATUS_H
#define STATUS_H

#include <sys/types.h>

#pragma GCC visibility push(hidden)

/// The first character of the value that a line of a `status` file has, or '\0' where there is no such line.
///
/// `line` begins with the end of the line before, as "\nSeccomp:\t": a process' name may hold anything but that. 0 or
/// -errno: ESRCH when what the file is of has ended.
int status_value(const char *path, const char *line, char *value);

/// Whether a process dumps core at this moment. 1, 0, or -errno: ESRCH when it has ended.
int dumps_core(pid_t pid);

#pragma GCC visibility pop

#endif
