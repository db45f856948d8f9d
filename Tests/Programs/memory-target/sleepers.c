#define _GNU_SOURCE
#include "sleepers.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "status.h"

enum { STACK_SIZE = 64 * 1024 };

static void *sleep_for_good(void *unused) {
    for (;;)
        pause();
    return unused;
}

void sleepers_start(uint64_t count) {
    pthread_t thread;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK_SIZE);
    for (uint64_t at = 0; at < count; at++)
        if ((errno = pthread_create(&thread, &small, sleep_for_good, NULL)) != 0)
            die_errno("cannot start thread %llu of --sleepers", (unsigned long long)at);
    pthread_attr_destroy(&small);
}
