#define _GNU_SOURCE
#include "registers.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared.h"

#ifdef __x86_64__

enum { VECTORS = 16, RED_ZONE_WORDS = 16 };

// The assembly below knows these places by number.
struct registers {
  uint64_t general[6];   // rbx rbp r12 r13 r14 r15
  uint64_t argument[6];  // rdi rsi rdx r10 r8 r9
  uint8_t vector[VECTORS][32];
  uint32_t mxcsr;
  uint16_t x87_control, unused[5];
  struct {
    uint8_t byte[16];  // of which 10 count
  } x87[3];
  uint64_t red_zone[RED_ZONE_WORDS];
  uint64_t flags;
};
_Static_assert(offsetof(struct registers, vector) == 96, "as the assembly has it");
_Static_assert(offsetof(struct registers, mxcsr) == 608, "as the assembly has it");
_Static_assert(offsetof(struct registers, x87) == 624, "as the assembly has it");
_Static_assert(offsetof(struct registers, red_zone) == 672, "as the assembly has it");
_Static_assert(offsetof(struct registers, flags) == 800, "as the assembly has it");

// Sets all registers to those of `before`, makes the system call `number`, or counts up to 0 if it is negative, and puts
// all registers into `after`.
long call_with_registers(long number, const struct registers *before, struct registers *after, long has_avx);

__asm__(
    ".text\n.globl call_with_registers\n.type call_with_registers, @function\n"
    "call_with_registers:\n"
    "  push %rbx\n  push %rbp\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  push %rdx\n  push %rcx\n"
    "  mov %rdi, %rax\n  mov %rsi, %r11\n"
    "  .set word, 0\n  .rept 16\n"
    "  mov 672 + 8 * word(%r11), %r10\n  mov %r10, -8 - 8 * word(%rsp)\n"
    "  .set word, word + 1\n  .endr\n"
    "  test %rcx, %rcx\n  jz 1f\n"
    "  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n  vmovdqu 96 + 32 * \\n(%r11), %ymm\\n\n  .endr\n"
    "  jmp 2f\n"
    "1:\n"
    "  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n  movdqu 96 + 32 * \\n(%r11), %xmm\\n\n  .endr\n"
    "2:\n"
    "  ldmxcsr 608(%r11)\n  fninit\n  fldcw 612(%r11)\n  fldt 624(%r11)\n  fldt 640(%r11)\n  fldt 656(%r11)\n"
    "  mov 0(%r11), %rbx\n  mov 8(%r11), %rbp\n  mov 16(%r11), %r12\n"
    "  mov 24(%r11), %r13\n  mov 32(%r11), %r14\n  mov 40(%r11), %r15\n"
    "  mov 48(%r11), %rdi\n  mov 56(%r11), %rsi\n  mov 64(%r11), %rdx\n"
    "  mov 72(%r11), %r10\n  mov 80(%r11), %r8\n  mov 88(%r11), %r9\n"
    "  test %rax, %rax\n  js 3f\n"
    "  syscall\n  jmp 4f\n"
    "3:\n  inc %rax\n  jnz 3b\n"
    "4:\n"
    "  mov 8(%rsp), %rcx\n"
    "  mov %rbx, 0(%rcx)\n  mov %rbp, 8(%rcx)\n  mov %r12, 16(%rcx)\n"
    "  mov %r13, 24(%rcx)\n  mov %r14, 32(%rcx)\n  mov %r15, 40(%rcx)\n"
    "  mov %rdi, 48(%rcx)\n  mov %rsi, 56(%rcx)\n  mov %rdx, 64(%rcx)\n"
    "  mov %r10, 72(%rcx)\n  mov %r8, 80(%rcx)\n  mov %r9, 88(%rcx)\n"
    "  .set word, 0\n  .rept 16\n"
    "  mov -8 - 8 * word(%rsp), %r11\n  mov %r11, 672 + 8 * word(%rcx)\n"
    "  .set word, word + 1\n  .endr\n"
    "  pushfq\n  pop %r11\n  mov %r11, 800(%rcx)\n  cld\n"
    "  stmxcsr 608(%rcx)\n  fnstcw 612(%rcx)\n  fstpt 656(%rcx)\n  fstpt 640(%rcx)\n  fstpt 624(%rcx)\n"
    "  cmpq $0, (%rsp)\n  je 5f\n"
    "  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n  vmovdqu %ymm\\n, 96 + 32 * \\n(%rcx)\n  .endr\n"
    "  vzeroupper\n  jmp 6f\n"
    "5:\n"
    "  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n  movdqu %xmm\\n, 96 + 32 * \\n(%rcx)\n  .endr\n"
    "6:\n"
    // What C expects.
    "  fninit\n  movl $0x1f80, (%rsp)\n  ldmxcsr (%rsp)\n"
    "  add $16, %rsp\n  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbp\n  pop %rbx\n"
    "  ret\n.size call_with_registers, . - call_with_registers\n");

static struct registers known(const long argument[6]) {
  static uint64_t seed = 0x9e3779b97f4a7c15;
  struct registers registers;
  uint64_t *word = (uint64_t *)&registers;
  for (size_t at = 0; at < sizeof registers / sizeof *word; at++) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    word[at] = seed;
  }
  for (size_t at = 0; at < 6; at++) registers.argument[at] = (uint64_t)argument[at];
  // Valid ones, and other than those that a process has at its start: rounding down, and rounding to zero.
  registers.mxcsr = 0x3f80;
  registers.x87_control = 0x0f7f;
  memset(registers.unused, 0, sizeof registers.unused);
  for (size_t at = 0; at < 3; at++) {
    memset(registers.x87[at].byte + 10, 0, 6);
    // Between 1 and 2: the integer bit is set, and the exponent that of 1.
    registers.x87[at].byte[7] |= 0x80;
    registers.x87[at].byte[8] = 0xff;
    registers.x87[at].byte[9] = 0x3f;
  }
  return registers;
}

static void compare(const struct registers *before, const struct registers *after, int has_avx, long number) {
  static const char *const general[] = {"rbx", "rbp", "r12", "r13", "r14", "r15"};
  static const char *const argument[] = {"rdi", "rsi", "rdx", "r10", "r8", "r9"};
  enum { TRAP_FLAG = 0x100, DIRECTION_FLAG = 0x400 };
  for (size_t at = 0; at < 6; at++)
    if (before->general[at] != after->general[at]) harmed("%s changed during system call %ld", general[at], number);
  for (size_t at = 0; at < 6; at++)
    if (before->argument[at] != after->argument[at]) harmed("%s changed during system call %ld", argument[at], number);
  for (size_t at = 0; at < VECTORS; at++)
    if (memcmp(before->vector[at], after->vector[at], has_avx ? 32 : 16) != 0)
      harmed("vector register %zu changed during system call %ld", at, number);
  if (before->mxcsr != after->mxcsr) harmed("mxcsr became %x during system call %ld", after->mxcsr, number);
  if (before->x87_control != after->x87_control)
    harmed("the x87 control word became %x during system call %ld", after->x87_control, number);
  for (size_t at = 0; at < 3; at++)
    if (memcmp(before->x87[at].byte, after->x87[at].byte, 10) != 0)
      harmed("x87 register %zu changed during system call %ld", at, number);
  if (memcmp(before->red_zone, after->red_zone, sizeof before->red_zone) != 0)
    harmed("the red zone changed during system call %ld", number);
  if (after->flags & (TRAP_FLAG | DIRECTION_FLAG))
    harmed("the flags are %llx after system call %ld", (unsigned long long)after->flags, number);
}

static long watched(long number, const long argument[6]) {
  int has_avx = __builtin_cpu_supports("avx") != 0;
  struct registers before = known(argument), after;
  long result = call_with_registers(number, &before, &after, has_avx);
  compare(&before, &after, has_avx, number);
  return result;
}

void watched_steps(long steps) {
  static const long none[6];
  long result = watched(-steps, none);
  if (result != 0) harmed("counting to 0 came to %ld", result);
}

#else

// Elsewhere only what the call answers is looked at.
static long watched(long number, const long argument[6]) {
  long result = syscall(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
  return result < 0 ? -errno : result;
}

void watched_steps(long steps) {
  volatile long at = 0;
  while (at < steps) at = at + 1;
}

#endif

long watched_call(struct call call, int restarts) {
  for (;;) {
    long result = watched(call.number, call.argument);
    // The kernel's own codes for a call that begins again are not for programs to see.
    if (result <= -512 && result > -4096) harmed("system call %ld answered %ld", call.number, result);
    if (result != -EINTR || !restarts) return result;
    atomic_fetch_add(&shared->interrupted, 1);
  }
}
