#include "faults.h"

#ifdef SLUICE_FAULTS

#include <errno.h>
#include <stdatomic.h>

static _Atomic(sluice_fault_handler) current;

void sluice_set_fault_handler(sluice_fault_handler handler) { atomic_store(&current, handler); }

bool sluice_fault_strikes(enum sluice_fault_site site, size_t *count) {
  sluice_fault_handler handler = atomic_load(&current);
  if (handler == NULL) return false;
  int32_t error = handler(site, count);
  if (error == 0) return false;
  errno = error;
  return true;
}

#endif
