// The kernel's error numbers, with the names that people search for.
#ifndef SLUICE_ERRNO_H
#define SLUICE_ERRNO_H

#include <stdint.h>

/// An error number of the kernel (positive, as in errno.h).
struct sluice_errno {
  int32_t code;
} __attribute__((swift_name("SystemErrno")));

/// "ENOSPC" for 28; "unknown errno" for a number that has no name.
const char *sluice_errno_name(struct sluice_errno error)
    __attribute__((swift_name("getter:SystemErrno.cName(self:)")));

/// "No space left on device" for 28, untranslated.
const char *sluice_errno_text(struct sluice_errno error)
    __attribute__((swift_name("getter:SystemErrno.cText(self:)")));

#endif
