// What the two processes of this program have in common: the subject, which goes through the trial and is what others
// copy, and its keeper, which starts it, wakes it and speaks for it. In shared memory, which no copy is made of.
#ifndef TRIAL_TARGET_SHARED_H
#define TRIAL_TARGET_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The descriptor of the shared memory in both, and in what the subject executes.
enum { SHARED_DESCRIPTOR = 3 };

// The exit code where a trial is not possible here.
enum { NOT_POSSIBLE = 77 };

struct shared {
  _Atomic uint64_t turns;        // rounds of the trial that have ended well or not
  _Atomic uint64_t work;         // what the trial counts: writes, forks, reads
  _Atomic uint64_t interrupted;  // system calls that ended with EINTR and should not have
  _Atomic uint64_t latest_us;    // how much later than asked a wait ended, at worst

  _Atomic uint64_t harms;
  char first_harm[256];  // complete as soon as `harms` is not 0 and `harm_told` is set
  _Atomic bool harm_told;

  _Atomic uint64_t checks_wanted, checks_done;

  // The subject is about to wait for its keeper the so-many-th time, and how often the keeper has woken it.
  _Atomic uint32_t waits, wakes;
  _Atomic uint32_t futex;

  _Atomic bool is_ready;
  _Atomic uint64_t area_start, area_end;  // the memory that the trial is about; 0 if there is none that stays
};

extern struct shared *shared;

// Makes the shared memory, or finds it again after an exec.
void shared_make(void);
void shared_find(void);

// Notes that something happened to the subject that should not have. It goes on: others are to see what comes of it.
void harmed(const char *format, ...) __attribute__((format(printf, 1, 2)));

// The trial cannot go on, for a reason that is nobody's harm.
_Noreturn void die(const char *doing);

// The same before the trial has begun, where kernels, filesystems and machines differ in whether they let it.
_Noreturn void not_possible(const char *doing);

int64_t now_us(void);

#endif
