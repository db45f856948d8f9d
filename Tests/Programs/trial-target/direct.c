// Threads that read a file past the page cache: the device writes into memory while nothing runs that does.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "blocks.h"
#include "memory.h"
#include "shared.h"
#include "trials.h"

struct reader {
  pthread_mutex_t lock;  // held while it reads
  struct landing *landing;
  unsigned number;
};

static int file;
static struct reader *readers;
static unsigned reader_count;

static void *read_without_end(void *argument) {
  struct reader *reader = argument;
  // Each goes its own way.
  for (unsigned skip = reader->number * 13; skip > 0; skip--) random_word();
  for (;;) {
    pthread_mutex_lock(&reader->lock);
    struct arrival arrival = arrival_at_random(reader->landing);
    ssize_t got = pread(file, arrival_place(reader->landing, &arrival), arrival.blocks * page_size(),
                        (off_t)(arrival.first_block * page_size()));
    if (got < 0 && errno == EINTR) {
      atomic_fetch_add(&shared->interrupted, 1);
    } else {
      arrival_check(reader->landing, &arrival, got);
    }
    pthread_mutex_unlock(&reader->lock);
  }
  return NULL;
}

static void verify(void) {
  for (unsigned at = 0; at < reader_count; at++) {
    pthread_mutex_lock(&readers[at].lock);
    landing_check(readers[at].landing, NULL);
    pthread_mutex_unlock(&readers[at].lock);
  }
}

static _Noreturn void read_directly(const struct settings *settings) {
  file = blocks_open(settings);
  struct landing *landings = landings_make(settings);
  reader_count = settings->count;
  readers = calloc(reader_count, sizeof *readers);
  if (readers == NULL) die("calloc");
  for (unsigned at = 0; at < reader_count; at++) {
    readers[at] = (struct reader){.lock = PTHREAD_MUTEX_INITIALIZER, .landing = &landings[at], .number = at};
    pthread_t thread;
    if (pthread_create(&thread, NULL, read_without_end, &readers[at]) != 0) die("pthread_create");
  }
  trial_begins(verify);
  for (;;) {
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    turn_ends();
  }
}

const struct trial direct_trials[] = {
    {.name = "direct", .what = "--count threads that read --file with O_DIRECT", .run = read_directly},
    {0},
};
