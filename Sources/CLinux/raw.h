// System calls by the instruction itself, and the few things that go with them: for what runs in a helper (helper.h),
// which has none of the memory that the C library needs. To call another library's function can take that library's and
// the loader's memory, as where functions are looked up when they are first called.
//
// Loops go over volatile bytes, or the compiler may make calls of the C library out of them.
#ifndef RAW_H
#define RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>

#if defined(__x86_64__)

#define HAS_RAW_CALLS 1

static inline long raw_call(long number, long a, long b, long c, long d, long e, long f) {
  register long fourth __asm__("r10") = d;
  register long fifth __asm__("r8") = e;
  register long sixth __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth)
                   : "rcx", "r11", "memory");
  return result;
}

#elif defined(__aarch64__)

#define HAS_RAW_CALLS 1

static inline long raw_call(long number, long a, long b, long c, long d, long e, long f) {
  register long which __asm__("x8") = number;
  register long first __asm__("x0") = a;
  register long second __asm__("x1") = b;
  register long third __asm__("x2") = c;
  register long fourth __asm__("x3") = d;
  register long fifth __asm__("x4") = e;
  register long sixth __asm__("x5") = f;
  __asm__ volatile("svc #0"
                   : "+r"(first)
                   : "r"(which), "r"(second), "r"(third), "r"(fourth), "r"(fifth), "r"(sixth)
                   : "memory");
  return first;
}

#else

#include <errno.h>
#include <unistd.h>

#define HAS_RAW_CALLS 0

static inline long raw_call(long number, long a, long b, long c, long d, long e, long f) {
  long result = syscall(number, a, b, c, d, e, f);
  return result < 0 ? -errno : result;
}

#endif

/// A system call with up to six arguments; its result, or -errno.
#define RAW(...) RAW_OF_SIX(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define RAW_OF_SIX(number, a, b, c, d, e, f, ...) \
  raw_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline void copy_bytes(void *to, const void *from, size_t length) {
  volatile char *target = to;
  const volatile char *source = from;
  for (size_t at = 0; at < length; at++) target[at] = source[at];
}

static inline void clear_bytes(void *bytes, size_t length) {
  volatile char *target = bytes;
  for (size_t at = 0; at < length; at++) target[at] = 0;
}

static inline bool are_equal(const void *one, const void *other, size_t length) {
  const volatile char *first = one, *second = other;
  for (size_t at = 0; at < length; at++)
    if (first[at] != second[at]) return false;
  return true;
}

static inline size_t text_length(const char *text) {
  const volatile char *bytes = text;
  size_t length = 0;
  while (bytes[length] != '\0') length++;
  return length;
}

/// Writes a text with its end; returns where that end is.
static inline char *add_text(char *at, const char *text) {
  size_t length = text_length(text);
  copy_bytes(at, text, length + 1);
  return at + length;
}

/// The same for a number in decimal, at most 20 digits.
static inline char *add_number(char *at, unsigned long number) {
  char digits[20];
  size_t count = 0;
  do digits[count++] = (char)('0' + number % 10);
  while ((number /= 10) != 0);
  while (count > 0) *at++ = digits[--count];
  *at = '\0';
  return at;
}

#endif
