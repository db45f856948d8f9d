// System calls, and plain computing, of which every register is known before and looked at afterwards.
#ifndef TRIAL_TARGET_REGISTERS_H
#define TRIAL_TARGET_REGISTERS_H

#include <stdint.h>

struct call {
  long number;
  long argument[6];
};

// Makes the call; notes a harm for every register, floating-point ones included, flag and word of the red zone that it
// should have left alone and did not. The kernel's answer: a negative errno for an error. A call that was interrupted
// (EINTR) is counted, and made again, if `restarts`.
long watched_call(struct call call, int restarts);

// Computes for so many steps without a system call, and looks at all of that as well.
void watched_steps(long steps);

#endif
