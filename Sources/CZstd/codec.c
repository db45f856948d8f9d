#ifdef SLUICE_ZSTD

#include "CSluiceZstd.h"
#include "zstd_functions.h"

// Neither type has members of its own: each is the library's.
#define COMPRESSOR(it) ((ZSTD_CCtx *)(void *)(it))
#define EXPANDER(it) ((ZSTD_DCtx *)(void *)(it))

static int failure(size_t result) {
  switch (sluice_zstd.ZSTD_getErrorCode_(result)) {
    case ZSTD_error_memory_allocation:
      return SLUICE_ZSTD_NO_MEMORY;
    case ZSTD_error_frameParameter_windowTooLarge:
      return SLUICE_ZSTD_WINDOW_TOO_LONG;
    case ZSTD_error_dstSize_tooSmall:
      return SLUICE_ZSTD_NO_ROOM;
    case ZSTD_error_prefix_unknown:
    case ZSTD_error_version_unsupported:
    case ZSTD_error_frameParameter_unsupported:
    case ZSTD_error_corruption_detected:
    case ZSTD_error_checksum_wrong:
    case ZSTD_error_dictionary_corrupted:
    case ZSTD_error_dictionary_wrong:
    case ZSTD_error_srcSize_wrong:
      return SLUICE_ZSTD_DAMAGED;
    default:
      return SLUICE_ZSTD_FAILED;
  }
}

// Whatever else is wrong with a frame: the library has many words for it.
static int damage(size_t result) {
  int found = failure(result);
  return found == SLUICE_ZSTD_FAILED ? SLUICE_ZSTD_DAMAGED : found;
}

static bool is_error(size_t result) { return sluice_zstd.ZSTD_isError_(result) != 0; }

int sluice_zstd_compressor_make(int level, struct sluice_zstd_compressor **compressor) {
  int result = sluice_zstd_load();
  if (result < 0) return result;
  ZSTD_CCtx *made = sluice_zstd.ZSTD_createCCtx_();
  if (made == NULL) return SLUICE_ZSTD_NO_MEMORY;
  size_t set = sluice_zstd.ZSTD_CCtx_setParameter_(made, ZSTD_c_compressionLevel, level);
  if (!is_error(set)) set = sluice_zstd.ZSTD_CCtx_setParameter_(made, ZSTD_c_checksumFlag, 1);
  if (is_error(set)) {
    sluice_zstd.ZSTD_freeCCtx_(made);
    return failure(set);
  }
  *compressor = (struct sluice_zstd_compressor *)(void *)made;
  return 0;
}

void sluice_zstd_compressor_free(struct sluice_zstd_compressor *compressor) {
  sluice_zstd.ZSTD_freeCCtx_(COMPRESSOR(compressor));
}

size_t sluice_zstd_compressor_bytes(struct sluice_zstd_compressor *compressor) {
  return sluice_zstd.ZSTD_sizeof_CCtx_(COMPRESSOR(compressor));
}

ssize_t sluice_zstd_compress(struct sluice_zstd_compressor *compressor, void *frame, size_t capacity, const void *bytes,
                             size_t count) {
  size_t result = sluice_zstd.ZSTD_compress2_(COMPRESSOR(compressor), frame, capacity, bytes, count);
  return is_error(result) ? failure(result) : (ssize_t)result;
}

int sluice_zstd_expander_make(unsigned longest_window, struct sluice_zstd_expander **expander) {
  int result = sluice_zstd_load();
  if (result < 0) return result;
  ZSTD_DCtx *made = sluice_zstd.ZSTD_createDCtx_();
  if (made == NULL) return SLUICE_ZSTD_NO_MEMORY;
  size_t set = sluice_zstd.ZSTD_DCtx_setParameter_(made, ZSTD_d_windowLogMax, (int)longest_window);
  if (is_error(set)) {
    sluice_zstd.ZSTD_freeDCtx_(made);
    return failure(set);
  }
  *expander = (struct sluice_zstd_expander *)(void *)made;
  return 0;
}

void sluice_zstd_expander_free(struct sluice_zstd_expander *expander) {
  sluice_zstd.ZSTD_freeDCtx_(EXPANDER(expander));
}

ssize_t sluice_zstd_expand(struct sluice_zstd_expander *expander, void *bytes, size_t capacity, const void *frame,
                           size_t count) {
  // The library itself would go on with what follows the frame.
  size_t length = sluice_zstd.ZSTD_findFrameCompressedSize_(frame, count);
  if (is_error(length)) return damage(length);
  if (length != count) return SLUICE_ZSTD_DAMAGED;
  size_t result = sluice_zstd.ZSTD_decompressDCtx_(EXPANDER(expander), bytes, capacity, frame, count);
  return is_error(result) ? damage(result) : (ssize_t)result;
}

int sluice_zstd_expand_part(struct sluice_zstd_expander *expander, void *bytes, size_t capacity, size_t *made,
                            const void *stream, size_t count, size_t *used) {
  ZSTD_outBuffer output = {bytes, capacity, 0};
  ZSTD_inBuffer input = {stream, count, 0};
  size_t result = sluice_zstd.ZSTD_decompressStream_(EXPANDER(expander), &output, &input);
  *made = output.pos;
  *used = input.pos;
  if (is_error(result)) return damage(result);
  return result == 0 ? 0 : 1;
}

#endif
