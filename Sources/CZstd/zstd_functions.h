// The functions of libzstd's that are used: all of them belong to its stable interface since 1.4.0.
#ifndef SLUICE_ZSTD_FUNCTIONS_H
#define SLUICE_ZSTD_FUNCTIONS_H

#if !__has_include(<zstd.h>)
#error "zstd is missing: install Debian's package libzstd-dev, or leave out the trait Zstd"
#endif
#include <zstd.h>
#include <zstd_errors.h>

#define SLUICE_ZSTD_FUNCTIONS(_) \
  _(ZSTD_CCtx_setParameter) \
  _(ZSTD_DCtx_setParameter) \
  _(ZSTD_compress2) \
  _(ZSTD_createCCtx) \
  _(ZSTD_createDCtx) \
  _(ZSTD_decompressDCtx) \
  _(ZSTD_decompressStream) \
  _(ZSTD_findFrameCompressedSize) \
  _(ZSTD_freeCCtx) \
  _(ZSTD_freeDCtx) \
  _(ZSTD_getErrorCode) \
  _(ZSTD_isError) \
  _(ZSTD_sizeof_CCtx) \
  _(ZSTD_versionNumber)

#define SLUICE_ZSTD_POINTER(name) __typeof__(&name) name##_;
struct sluice_zstd {
  SLUICE_ZSTD_FUNCTIONS(SLUICE_ZSTD_POINTER)
};
#undef SLUICE_ZSTD_POINTER

/// Those of the library, once `sluice_zstd_load` has succeeded.
extern struct sluice_zstd sluice_zstd;

#endif
