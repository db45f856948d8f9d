// Compression by libzstd, which is loaded when it is first needed: a program that compresses nothing does not pay for it, in
// memory and at its start, and goes without where it is not installed. No header of libzstd's is needed to use this.
//
// Every function returns a negative number of `enum sluice_zstd_error` on failure. Built without SLUICE_ZSTD the functions
// are there and fail with SLUICE_ZSTD_ABSENT.
#ifndef CSLUICEZSTD_H
#define CSLUICEZSTD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum sluice_zstd_error {
  /// This build has no zstd.
  SLUICE_ZSTD_ABSENT = -1,
  /// libzstd.so.1 is not installed, or is older than 1.4.0.
  SLUICE_ZSTD_NOT_INSTALLED = -2,
  SLUICE_ZSTD_NO_MEMORY = -3,
  /// What should be expanded needs a longer window than the expander may have.
  SLUICE_ZSTD_WINDOW_TOO_LONG = -4,
  /// What should be expanded is no frame of zstd's, is damaged, or ends too early.
  SLUICE_ZSTD_DAMAGED = -5,
  /// What comes of it does not fit into the room for it.
  SLUICE_ZSTD_NO_ROOM = -6,
  /// Anything else: an argument that the library does not take.
  SLUICE_ZSTD_FAILED = -7,
};

/// Loads the library, if it is not loaded yet. Any thread may call, and more than once.
int sluice_zstd_load(void);

/// Makes frames, one at a time, each with a checksum of its content. For one thread at a time.
struct sluice_zstd_compressor;

/// `level` is one of zstd's, from 1 up; the library has more memory with higher ones.
int sluice_zstd_compressor_make(int level, struct sluice_zstd_compressor **compressor);

void sluice_zstd_compressor_free(struct sluice_zstd_compressor *compressor);

/// The memory that the library has for the compressor now.
size_t sluice_zstd_compressor_bytes(struct sluice_zstd_compressor *compressor);

/// Makes one frame of all bytes. Returns its length.
ssize_t sluice_zstd_compress(struct sluice_zstd_compressor *compressor, void *frame, size_t capacity, const void *bytes,
                             size_t count);

/// Expands frames. For one thread at a time.
struct sluice_zstd_expander;

/// `longest_window` is the logarithm (base 2) of the longest window for which `sluice_zstd_expand_part` takes memory.
int sluice_zstd_expander_make(unsigned longest_window, struct sluice_zstd_expander **expander);

void sluice_zstd_expander_free(struct sluice_zstd_expander *expander);

/// Expands what is exactly one frame. Returns the length of its content.
ssize_t sluice_zstd_expand(struct sluice_zstd_expander *expander, void *bytes, size_t capacity, const void *frame,
                           size_t count);

/// Expands as much of a stream of frames as there is, and as there is room for. Returns 0 where a frame has ended and all of
/// its content has been given out, 1 where more is to come.
int sluice_zstd_expand_part(struct sluice_zstd_expander *expander, void *bytes, size_t capacity, size_t *made,
                            const void *stream, size_t count, size_t *used);

#endif
