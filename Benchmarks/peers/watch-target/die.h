#ifndef WATCH_TARGET_DIE_H
#define WATCH_TARGET_DIE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Says which system call failed, and exits with 1.
#define die(what) (fprintf(stderr, "watch-target: %s: %s\n", what, strerror(errno)), exit(1))

#endif
