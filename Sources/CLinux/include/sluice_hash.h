// Hashes of pages: XXH3 with 128 bits, of libxxhash. Two different pages that nobody made for it have the same hash by a
// chance of one in 2^128. It is no cryptographic hash: who knows the seed can make two such pages.
#ifndef SLUICE_HASH_H
#define SLUICE_HASH_H

#include <stddef.h>
#include <stdint.h>

/// The hash of a page, as two halves.
struct sluice_page_hash {
  uint64_t low;
  uint64_t high;
} __attribute__((swift_name("PageHash")));

/// Hashes `page_count` pages that stand one behind the other; others with each seed.
void sluice_hash_pages(const void *bytes, size_t page_count, size_t page_size, uint64_t seed,
                       struct sluice_page_hash *hashes);

/// The hash of a block of bytes, another one with each seed.
struct sluice_page_hash sluice_hash_block(const void *bytes, size_t count, uint64_t seed);

#endif
