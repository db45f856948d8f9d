#ifdef SLUICE_ZSTD

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>

#include "CSluiceZstd.h"
#include "zstd_functions.h"

// Since when all of the functions are there to stay.
enum { OLDEST_VERSION = 10400 };

struct sluice_zstd sluice_zstd;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool is_loaded;

static bool find(void *library, const char *name, void *place) {
  void *found = dlsym(library, name);
  // ISO C has no cast from an object to a function.
  *(void **)place = found;
  return found != NULL;
}

static void load(void) {
  // By the number of its interface, which the header is of.
  void *library = dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) return;
  bool is_whole = true;
#define SLUICE_ZSTD_FIND(name) is_whole = find(library, #name, &sluice_zstd.name##_) && is_whole;
  SLUICE_ZSTD_FUNCTIONS(SLUICE_ZSTD_FIND)
#undef SLUICE_ZSTD_FIND
  is_loaded = is_whole && sluice_zstd.ZSTD_versionNumber_() >= OLDEST_VERSION;
}

int sluice_zstd_load(void) {
  pthread_once(&once, load);
  return is_loaded ? 0 : SLUICE_ZSTD_NOT_INSTALLED;
}

#endif
