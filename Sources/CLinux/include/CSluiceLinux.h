// What Swift cannot call by itself on Linux: functions that glibc declares only under _GNU_SOURCE,
// variadic ones, and ioctls. Every function returns a negative errno on failure, so that no Swift
// code has to read `errno` after a suspension may have moved it to another thread.
//
// The headers of this module must not define _GNU_SOURCE nor include liburing.h: either breaks
// debug builds, in which Swift's Glibc module and this one would disagree about `fd_set`.
#ifndef CSLUICELINUX_H
#define CSLUICELINUX_H

#include "sluice_beneath.h"
#include "sluice_capabilities.h"
#include "sluice_cgroup.h"
#include "sluice_errno.h"
#include "sluice_faults.h"
#include "sluice_files.h"
#include "sluice_guard.h"
#include "sluice_hash.h"
#include "sluice_inject.h"
#include "sluice_memory.h"
#include "sluice_numa.h"
#include "sluice_process.h"
#include "sluice_ptrace.h"
#include "sluice_reaper.h"
#include "sluice_ring.h"
#include "sluice_sockets.h"
#include "sluice_threads.h"
#include "sluice_trial.h"
#include "sluice_userfault.h"

#endif
