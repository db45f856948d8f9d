#ifdef SLUICE_TLS

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>

#define SLUICE_GNUTLS_LOADER
#include "gnutls_functions.h"
#include "sluice_tls_errors.h"

struct sluice_gnutls sluice_gnutls;
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
  void *library = dlopen("libgnutls.so.30", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) return;
  bool is_whole = find(library, "gnutls_free", &sluice_gnutls.free_);
#define SLUICE_GNUTLS_FIND(name) is_whole = find(library, #name, &sluice_gnutls.name##_) && is_whole;
  SLUICE_GNUTLS_FUNCTIONS(SLUICE_GNUTLS_FIND)
#undef SLUICE_GNUTLS_FIND
  is_loaded = is_whole;
}

int load_gnutls(void) {
  pthread_once(&once, load);
  return is_loaded ? 0 : SLUICE_TLS_NOT_INSTALLED;
}

#endif
