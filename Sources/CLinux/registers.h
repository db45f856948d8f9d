// What differs from processor to processor in having a thread make a system call.
#ifndef REGISTERS_H
#define REGISTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#if defined(__x86_64__)
#include <sys/user.h>
struct registers {
  struct user_regs_struct general;
};
#elif defined(__aarch64__)
#include <asm/ptrace.h>
struct registers {
  struct user_pt_regs general;
  /// The number of the system call that the thread is in; -1 for none.
  int32_t call;
};
#else
struct registers {
  char none;
};
#endif

// The headers of Debian 12 lack this (include/uapi/linux/ptrace.h).
#define GET_RSEQ_CONFIGURATION 0x420f

struct rseq_configuration {
  uint64_t area;
  uint32_t size, signature, flags, pad;
};

#pragma GCC visibility push(hidden)

/// Whether there is anything for this processor here.
bool can_change_registers(void);

/// The instruction that calls the kernel. Returns its length, at most 4.
unsigned call_instruction(uint8_t bytes[4]);

/// Of a traced thread that stands still. 0 or -errno.
int read_registers(pid_t thread, struct registers *registers);
int write_registers(pid_t thread, const struct registers *registers);

/// Whether the thread runs programs of the kind that we are.
bool is_native(const struct registers *registers);

uint64_t instruction_pointer(const struct registers *registers);

/// Has the thread make a system call next, by the instruction at `address`.
void set_call(struct registers *registers, uint64_t address, long number, long first);

/// What the system call returned.
long call_result(const struct registers *registers);

/// Whether a thread that waits in this system call, and is had to make another, waits on for the time that was left.
bool survives_stop(long number);

/// Whether a system call with these arguments, of a thread that waits in it, ends early with a part of its work done when the
/// thread stops.
bool is_cut_short(long number, const uint64_t arguments[6]);

/// Where the kernel writes the time that is left (struct timespec or timeval, 16 bytes) when the wait in this system call is
/// interrupted by a stop. Returns how many places were found; 0 stands for none.
size_t find_rest_of_wait(long number, const uint64_t arguments[6], uint64_t found[2]);

/// Where the thread was in a system call that ends early (EINTR) whenever its thread stops, without having done
/// anything: has the kernel decide, as it does for others, whether it is to be begun anew, which is so unless a signal
/// is handled meanwhile. Whether it was in such a call: then its registers are changed.
bool begin_call_anew(struct registers *registers);

#pragma GCC visibility pop

#endif
