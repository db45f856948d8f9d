// What the wrappers of this module make their system calls through. In release builds nothing is left of it.
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>
#include <stddef.h>

#include "sluice_faults.h"

#ifdef SLUICE_FAULTS
/// Whether the call is to fail, with errno set. `count` may be NULL.
bool sluice_fault_strikes(enum sluice_fault_site site, size_t *count);
#else
#define sluice_fault_strikes(site, count) false
#endif

/// A call that gives -1 and sets errno when it fails.
#define FAULTY(site, call) (sluice_fault_strikes(site, NULL) ? -1 : (call))
/// The same for one that is asked for `count` bytes, a variable.
#define FAULTY_COUNT(site, count, call) (sluice_fault_strikes(site, &(count)) ? -1 : (call))
/// A call that gives a negative errno when it fails, as those of liburing do.
#define FAULTY_RESULT(site, call) (sluice_fault_strikes(site, NULL) ? -errno : (call))

#endif
