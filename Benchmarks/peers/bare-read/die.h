#ifndef BARE_READ_DIE_H
#define BARE_READ_DIE_H

#include <stdio.h>
#include <stdlib.h>

// Says what went wrong and exits with 1.
#define die(...) (fputs("bare-read: ", stderr), fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))

#endif
