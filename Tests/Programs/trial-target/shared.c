#define _GNU_SOURCE
#include "shared.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct shared *shared;

void shared_make(void) {
  // The next program has it too.
  int descriptor = memfd_create("trial", 0);
  if (descriptor < 0 || ftruncate(descriptor, sizeof *shared) != 0) die("making the shared memory");
  if (descriptor != SHARED_DESCRIPTOR) {
    if (dup2(descriptor, SHARED_DESCRIPTOR) < 0) die("dup2");
    close(descriptor);
  }
  shared_find();
}

void shared_find(void) {
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_DESCRIPTOR, 0);
  if (shared == MAP_FAILED) die("mapping the shared memory");
}

void harmed(const char *format, ...) {
  char text[sizeof shared->first_harm];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  fprintf(stderr, "trial-target: harmed: %s\n", text);
  if (atomic_fetch_add(&shared->harms, 1) > 0) return;
  strcpy(shared->first_harm, text);
  atomic_store(&shared->harm_told, true);
}

void die(const char *doing) {
  fprintf(stderr, "trial-target: %s: %s\n", doing, strerror(errno));
  exit(1);
}

void not_possible(const char *doing) {
  fprintf(stderr, "trial-target: %s: %s\n", doing, strerror(errno));
  exit(NOT_POSSIBLE);
}

int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
