#include "sluice_hash.h"

#if !__has_include(<xxhash.h>)
#error "xxHash is missing: install Debian's package libxxhash-dev"
#endif
#include <xxhash.h>

static struct sluice_page_hash halves(XXH128_hash_t hash) {
  return (struct sluice_page_hash){.low = hash.low64, .high = hash.high64};
}

void sluice_hash_pages(const void *bytes, size_t page_count, size_t page_size, uint64_t seed,
                       struct sluice_page_hash *hashes) {
  for (size_t page = 0; page < page_count; page++) {
    hashes[page] = halves(XXH3_128bits_withSeed((const char *)bytes + page * page_size, page_size, seed));
  }
}

struct sluice_page_hash sluice_hash_block(const void *bytes, size_t count, uint64_t seed) {
  return halves(XXH3_128bits_withSeed(bytes, count, seed));
}
