// What differs from processor to processor in having a thread make a system call.
#ifndef REGISTERS_H
#define REGISTERS_H

#include <stdbool.h>
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

/// Where the thread was in a system call that ends early (EINTR) whenever its thread stops, without having done
/// anything: has the kernel decide, as it does for others, whether it is to be begun anew, which is so unless a signal
/// is handled meanwhile.
void begin_call_anew(struct registers *registers);

#pragma GCC visibility pop

#endif
