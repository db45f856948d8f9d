#define _GNU_SOURCE
#include "blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "shared.h"

// Other than those of any page that the process writes itself.
static uint64_t number_of_block(size_t block) { return UINT64_C(1) << 56 | block; }

int blocks_open(const struct settings *settings) {
  if (settings->file == NULL) {
    errno = EINVAL;
    die("this trial wants --file");
  }
  int file = open(settings->file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) die("making --file");
  void *page = aligned_alloc(page_size(), page_size());
  if (page == NULL) die("aligned_alloc");
  for (size_t block = 0; block < BLOCKS; block++) {
    page_fill(page, number_of_block(block));
    if (write(file, page, page_size()) != (ssize_t)page_size()) die("writing --file");
  }
  free(page);
  if (fsync(file) != 0) die("fsync of --file");
  int direct = open(settings->file, O_RDONLY | O_DIRECT | O_CLOEXEC);
  if (direct < 0) not_possible("opening --file past the page cache");
  unlink(settings->file);
  close(file);
  return direct;
}

struct landing *landings_make(const struct settings *settings) {
  size_t pages = settings->size / page_size() / settings->count;
  struct landing *landings = calloc(settings->count, sizeof *landings);
  if (landings == NULL) die("calloc");
  if (pages < MOST_BLOCKS_A_READ) {
    errno = EINVAL;
    die("--size is too small for --count");
  }
  char *start = map_apart(settings->size, settings->huge);
  for (unsigned at = 0; at < settings->count; at++) {
    landings[at] = (struct landing){
        .start = start + at * pages * page_size(), .pages = pages, .numbers = calloc(pages, sizeof(uint64_t))};
    if (landings[at].numbers == NULL) die("calloc");
    for (size_t page = 0; page < pages; page++) {
      landings[at].numbers[page] = page + 1;
      page_fill(landings[at].start + page * page_size(), page + 1);
    }
  }
  return landings;
}

struct arrival arrival_at_random(const struct landing *landing) {
  size_t blocks = 1 + random_below(MOST_BLOCKS_A_READ);
  return (struct arrival){.page = random_below(landing->pages - blocks + 1),
                          .blocks = blocks,
                          .first_block = random_below(BLOCKS - blocks + 1)};
}

void *arrival_place(const struct landing *landing, const struct arrival *arrival) {
  return landing->start + arrival->page * page_size();
}

void arrival_check(struct landing *landing, const struct arrival *arrival, long bytes) {
  if (bytes != (long)(arrival->blocks * page_size())) {
    harmed("a read of %zu blocks came to %ld", arrival->blocks, bytes);
    return;
  }
  for (size_t at = 0; at < arrival->blocks; at++) {
    size_t page = arrival->page + at;
    landing->numbers[page] = number_of_block(arrival->first_block + at);
    if (!page_is(landing->start + page * page_size(), landing->numbers[page]))
      harmed("what was read into page %zu is not there", page);
  }
  atomic_fetch_add(&shared->work, 1);
}

void landing_check(const struct landing *landing, const struct arrival *under_way) {
  for (size_t page = 0; page < landing->pages; page++) {
    if (under_way != NULL && page >= under_way->page && page < under_way->page + under_way->blocks) continue;
    if (!page_is(landing->start + page * page_size(), landing->numbers[page]))
      harmed("page %zu, read earlier, is not what it was", page);
  }
}
