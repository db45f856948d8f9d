#ifndef SLUICE_ZSTD

// A build without zstd: nobody gets a compressor or an expander.
#include "CSluiceZstd.h"

int sluice_zstd_load(void) { return SLUICE_ZSTD_ABSENT; }

int sluice_zstd_compressor_make(int level, struct sluice_zstd_compressor **compressor) {
  (void)level, (void)compressor;
  return SLUICE_ZSTD_ABSENT;
}

void sluice_zstd_compressor_free(struct sluice_zstd_compressor *compressor) { (void)compressor; }

size_t sluice_zstd_compressor_bytes(struct sluice_zstd_compressor *compressor) {
  (void)compressor;
  return 0;
}

ssize_t sluice_zstd_compress(struct sluice_zstd_compressor *compressor, void *frame, size_t capacity, const void *bytes,
                             size_t count) {
  (void)compressor, (void)frame, (void)capacity, (void)bytes, (void)count;
  return SLUICE_ZSTD_ABSENT;
}

int sluice_zstd_expander_make(unsigned longest_window, struct sluice_zstd_expander **expander) {
  (void)longest_window, (void)expander;
  return SLUICE_ZSTD_ABSENT;
}

void sluice_zstd_expander_free(struct sluice_zstd_expander *expander) { (void)expander; }

ssize_t sluice_zstd_expand(struct sluice_zstd_expander *expander, void *bytes, size_t capacity, const void *frame,
                           size_t count) {
  (void)expander, (void)bytes, (void)capacity, (void)frame, (void)count;
  return SLUICE_ZSTD_ABSENT;
}

int sluice_zstd_expand_part(struct sluice_zstd_expander *expander, void *bytes, size_t capacity, size_t *made,
                            const void *stream, size_t count, size_t *used) {
  (void)expander, (void)bytes, (void)capacity, (void)stream, (void)count;
  *made = *used = 0;
  return SLUICE_ZSTD_ABSENT;
}

#endif
