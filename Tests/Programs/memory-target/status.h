// The lines by which the target speaks to whoever tests it.
#ifndef MEMORY_TARGET_STATUS_H
#define MEMORY_TARGET_STATUS_H

// NULL: standard output. The path is made absolute, because a restored process may find itself elsewhere.
void status_open(const char *path);

// Appends one line (the newline is added) by a single write.
void status_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

// "memory-target: <text>: <errno text>" on stderr, "failed <the same>" in the status file, exit 1.
_Noreturn void die_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
