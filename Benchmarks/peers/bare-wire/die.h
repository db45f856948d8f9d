#ifndef BARE_WIRE_DIE_H
#define BARE_WIRE_DIE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

// Says what went wrong and exits with 1. Needs _GNU_SOURCE, for the program's name.
#define die(...)                                                                                                       \
    (fprintf(stderr, "%s: ", program_invocation_short_name), fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))

#endif
