#define _GNU_SOURCE
#include "failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print(const char *format, va_list arguments) {
    // What was found before the failure comes first, also when both go to one file.
    fflush(stdout);
    fputs("image-compare: ", stderr);
    vfprintf(stderr, format, arguments);
}

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

void fail_errno(const char *format, ...) {
    int error = errno;
    va_list arguments;
    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
    fprintf(stderr, ": %s\n", strerror(error));
    exit(2);
}

void *allocate(unsigned long size) {
    void *memory = calloc(1, size);
    if (!memory)
        fail_errno("cannot allocate %lu bytes", size);
    return memory;
}
