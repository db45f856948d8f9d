#define _GNU_SOURCE
#include "kept.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "raw.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif

#if HAS_RAW_CALLS && !defined(IS_SANITIZED)

// Of what begins as zeros (.bss) so much is kept as it is.
static const uintptr_t MOST_ZEROS = 1 << 20;
// On both sides of where the thread's pointer points: glibc's own record of the thread, and the C library's variables.
static const uintptr_t NEAR_THREAD_POINTER = 8 << 10;

// Where glibc, since 2.35, has what rseq(2) was told of, seen from the thread's pointer.
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));
enum { RSEQ_LEAST = 32 };

static uintptr_t down_to_page(uintptr_t address) { return address & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1); }

static uintptr_t up_to_page(uintptr_t address) { return down_to_page(address + (uintptr_t)sysconf(_SC_PAGESIZE) - 1); }

// Adds a range, in its place by address; what overlaps becomes one. One that does not fit makes the count too large.
static void keep(struct kept *kept, uintptr_t start, uintptr_t end) {
  struct range added = {.start = down_to_page(start), .end = up_to_page(end)};
  if (kept->count >= KEPT_MOST) {
    kept->count = KEPT_MOST + 1;
    return;
  }
  unsigned at = kept->count++;
  for (; at > 0 && kept->ranges[at - 1].start > added.start; at--) kept->ranges[at] = kept->ranges[at - 1];
  kept->ranges[at] = added;
}

static bool holds(const struct dl_phdr_info *object, uintptr_t address) {
  for (unsigned at = 0; at < object->dlpi_phnum; at++) {
    const ElfW(Phdr) *part = &object->dlpi_phdr[at];
    if (part->p_type == PT_LOAD && address - (object->dlpi_addr + part->p_vaddr) < part->p_memsz) return true;
  }
  return false;
}

static void keep_part(struct kept *kept, const struct dl_phdr_info *object, const ElfW(Phdr) * part) {
  uintptr_t start = object->dlpi_addr + part->p_vaddr, end = start + part->p_memsz;
  keep(kept, start, end);
  struct range zeros = {.start = up_to_page(start + part->p_filesz), .end = up_to_page(end)};
  if (zeros.start >= zeros.end || zeros.end - zeros.start <= MOST_ZEROS || kept->cleared_count == CLEARED_MOST) return;
  kept->cleared[kept->cleared_count++] = zeros;
}

static int keep_object(struct dl_phdr_info *object, size_t size, void *context) {
  (void)size;
  struct kept *kept = context;
  // glibc's version is a text in its own read-only data; the loader's address is 0 where there is none.
  bool is_kept = holds(object, (uintptr_t)&keep_object) || holds(object, (uintptr_t)gnu_get_libc_version()) ||
                 holds(object, getauxval(AT_BASE));
  for (unsigned at = 0; is_kept && at < object->dlpi_phnum; at++) {
    const ElfW(Phdr) *part = &object->dlpi_phdr[at];
    if (part->p_type == PT_LOAD) keep_part(kept, object, part);
    uintptr_t own = (uintptr_t)object->dlpi_tls_data;
    if (part->p_type == PT_TLS && own != 0) keep(kept, own, own + part->p_memsz);
  }
  return 0;
}

#if defined(__x86_64__)
// The shadow stack's top; 0 where there is none.
static uintptr_t shadow_stack(void) {
  uintptr_t top = 0;
  __asm__ volatile("rdsspq %0" : "+r"(top));
  return top;
}
#else
static uintptr_t shadow_stack(void) { return 0; }
#endif

void find_kept(struct kept *kept, struct range stack) {
  kept->count = kept->cleared_count = 0;
  keep(kept, stack.start, stack.end);
  uintptr_t pointer = (uintptr_t)__builtin_thread_pointer();
  keep(kept, pointer - NEAR_THREAD_POINTER, pointer + NEAR_THREAD_POINTER);
  if (&__rseq_offset != NULL && &__rseq_size != NULL && __rseq_size > 0) {
    uintptr_t rseq = pointer + (uintptr_t)__rseq_offset;
    keep(kept, rseq, rseq + (__rseq_size < RSEQ_LEAST ? RSEQ_LEAST : __rseq_size));
  }
  uintptr_t shadow = shadow_stack();
  if (shadow != 0) keep(kept, shadow - 1, shadow + 1);
  dl_iterate_phdr(keep_object, kept);
  if (kept->count > KEPT_MOST) kept->count = 0;
}

// Whatever is in there; that nothing is, is no error.
static long unmap(uintptr_t start, uintptr_t end) { return start < end ? RAW(SYS_munmap, start, end - start) : 0; }

void let_go_of_others(const struct kept *kept) {
  if (kept->count == 0) return;
  for (unsigned at = 0; at < kept->cleared_count; at++) {
    const struct range *zeros = &kept->cleared[at];
    RAW(SYS_madvise, zeros->start, zeros->end - zeros->start, MADV_DONTNEED);
  }
  uintptr_t from = 0;
  for (unsigned at = 0; at < kept->count; at++) {
    unmap(from, kept->ranges[at].start);
    if (kept->ranges[at].end > from) from = kept->ranges[at].end;
  }
  // Where addresses end depends on the processor and the kernel, and beyond that is EINVAL: so from far to near. Some
  // kernels leave out the last page.
  enum { MOST_BITS = 57, FEWEST_BITS = 32, SMALLEST_PAGE = 4096 };
  for (unsigned bits = MOST_BITS; bits >= FEWEST_BITS; bits--) {
    uintptr_t end = (uintptr_t)1 << bits;
    if (unmap(from, end) != -EINVAL || unmap(from, end - SMALLEST_PAGE) != -EINVAL) return;
  }
}

#else

void find_kept(struct kept *kept, struct range stack) {
  (void)stack;
  kept->count = kept->cleared_count = 0;
}

void let_go_of_others(const struct kept *kept) { (void)kept; }

#endif
