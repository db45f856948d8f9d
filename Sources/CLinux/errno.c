#define _GNU_SOURCE
#include <string.h>

#include "sluice_errno.h"

const char *sluice_errno_name(struct sluice_errno error) {
  const char *name = strerrorname_np(error.code);
  return name != NULL ? name : "unknown errno";
}

const char *sluice_errno_text(struct sluice_errno error) {
  const char *text = strerrordesc_np(error.code);
  return text != NULL ? text : "unknown error";
}
