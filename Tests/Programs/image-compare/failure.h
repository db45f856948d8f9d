// Ways to give up. All of them print one line on stderr and exit with 2.
#ifndef IMAGE_COMPARE_FAILURE_H
#define IMAGE_COMPARE_FAILURE_H

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Adds the text of errno.
_Noreturn void fail_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

void *allocate(unsigned long size);

#endif
