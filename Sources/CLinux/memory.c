#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "faults.h"
#include "sluice_memory.h"

_Static_assert(sizeof(struct sluice_run) == sizeof(struct iovec), "runs are handed on as iovecs");
_Static_assert(offsetof(struct sluice_run, length) == offsetof(struct iovec, iov_len),
               "runs are handed on as iovecs");
_Static_assert(sizeof(struct sluice_scan) == 96, "struct pm_scan_arg has 96 bytes");

// The headers of Debian 12 are older than the ioctl.
#define SLUICE_PAGEMAP_SCAN _IOWR('f', 16, struct sluice_scan)

ssize_t sluice_process_vm_readv(pid_t pid, void *bytes, size_t capacity, const struct sluice_run *runs,
                                size_t run_count) {
  struct iovec local = {.iov_base = bytes, .iov_len = capacity};
  ssize_t done = FAULTY_COUNT(SLUICE_FAULT_PROCESS_READ, local.iov_len,
                              process_vm_readv(pid, &local, 1, (const struct iovec *)runs, run_count, 0));
  return done < 0 ? -errno : done;
}

int sluice_pagemap_scan(int pagemap, struct sluice_scan *scan, struct sluice_page_region *regions,
                        size_t capacity) {
  scan->size = sizeof *scan;
  scan->vec = (uint64_t)(uintptr_t)regions;
  scan->vec_len = capacity;
  int filled = TEMP_FAILURE_RETRY(FAULTY(SLUICE_FAULT_PAGEMAP_SCAN, ioctl(pagemap, SLUICE_PAGEMAP_SCAN, scan)));
  return filled < 0 ? -errno : filled;
}

void sluice_leave_lock(uint32_t microseconds) {
  // By default the kernel adds up to 50 us to a sleep.
  static _Thread_local bool is_exact = false;
  if (!is_exact) is_exact = prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL) == 0;
  (void)FAULTY(SLUICE_FAULT_LEAVE_LOCK, usleep(microseconds));
}

// The kernel's struct procmap_query (include/uapi/linux/fs.h), which Debian 12's headers lack.
struct procmap_query {
  uint64_t size;
  uint64_t query_flags;
  uint64_t query_addr;
  uint64_t vma_start;
  uint64_t vma_end;
  uint64_t vma_flags;
  uint64_t vma_page_size;
  uint64_t vma_offset;
  uint64_t inode;
  uint32_t dev_major;
  uint32_t dev_minor;
  uint32_t vma_name_size;
  uint32_t build_id_size;
  uint64_t vma_name_addr;
  uint64_t build_id_addr;
};
_Static_assert(sizeof(struct procmap_query) == 104, "struct procmap_query has 104 bytes");

#define SLUICE_PROCMAP_QUERY _IOWR('f', 17, struct procmap_query)
#define SLUICE_PROCMAP_QUERY_VMA_READABLE 0x01
#define SLUICE_PROCMAP_QUERY_COVERING_OR_NEXT_VMA 0x10

int sluice_next_mapping(int maps, uint64_t address, struct sluice_mapping *mapping) {
  struct procmap_query query = {
      .size = sizeof query,
      .query_flags = SLUICE_PROCMAP_QUERY_COVERING_OR_NEXT_VMA,
      .query_addr = address,
  };
  int result = TEMP_FAILURE_RETRY(FAULTY(SLUICE_FAULT_MAPPING_QUERY, ioctl(maps, SLUICE_PROCMAP_QUERY, &query)));
  if (result < 0) return errno == ENOENT ? 0 : -errno;
  *mapping = (struct sluice_mapping){
      .start = query.vma_start,
      .end = query.vma_end,
      .page_size = query.vma_page_size,
      .device_major = query.dev_major,
      .device_minor = query.dev_minor,
      .inode = query.inode,
      .is_readable = (query.vma_flags & SLUICE_PROCMAP_QUERY_VMA_READABLE) != 0,
  };
  return 1;
}

size_t sluice_first_with(uint64_t bits, const uint64_t *entries, size_t count) {
  // As a rule few have: a line at a time, which the compiler turns into wide instructions.
  size_t at = 0;
  for (; at + 8 <= count; at += 8) {
    uint64_t any = 0;
    for (size_t entry = 0; entry < 8; entry++) any |= entries[at + entry];
    if ((any & bits) != 0) break;
  }
  while (at < count && (entries[at] & bits) == 0) at++;
  return at;
}

int sluice_hugetlb_device(unsigned page_shift, uint32_t *major_number, uint32_t *minor_number) {
  // A file of no length takes no page.
  int file = memfd_create("sluice", MFD_CLOEXEC | MFD_HUGETLB | page_shift << MFD_HUGE_SHIFT);
  if (file < 0) return -errno;
  struct stat status;
  int result = fstat(file, &status) < 0 ? -errno : 0;
  close(file);
  if (result < 0) return result;
  *major_number = major(status.st_dev);
  *minor_number = minor(status.st_dev);
  return 0;
}

static bool is_zero(const uint64_t *words, size_t count) {
  // Most pages that are not zero show it in their first line; the rest is looked at a line at a time, which
  // the compiler turns into wide instructions.
  for (size_t line = 0; line < count; line += 8) {
    uint64_t any = 0;
    for (size_t word = 0; word < 8; word++) any |= words[line + word];
    if (any != 0) return false;
  }
  return true;
}

size_t sluice_find_zero_pages(const void *bytes, size_t page_count, size_t page_size, uint64_t *bits) {
  size_t found = 0;
  for (size_t page = 0; page < page_count; page++) {
    bool zero = is_zero((const uint64_t *)((const char *)bytes + page * page_size), page_size / 8);
    uint64_t bit = 1ULL << page % 64;
    bits[page / 64] = zero ? bits[page / 64] | bit : bits[page / 64] & ~bit;
    found += zero;
  }
  return found;
}

size_t sluice_page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

// The 64-bit entry of /proc/self/pagemap for the page that `address` is in.
static int own_pagemap_entry(const void *address, uint64_t *entry) {
  int pagemap = FAULTY(SLUICE_FAULT_OWN_PAGEMAP, open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (pagemap < 0) return -errno;
  off_t offset = (off_t)((uintptr_t)address / sluice_page_size() * sizeof *entry);
  ssize_t done = TEMP_FAILURE_RETRY(pread(pagemap, entry, sizeof *entry, offset));
  int error = done < 0 ? -errno : done == sizeof *entry ? 0 : -EIO;
  close(pagemap);
  return error;
}

static int entry_of_fresh_page(bool written, uint64_t *entry) {
  size_t size = sluice_page_size();
  if (sluice_fault_strikes(SLUICE_FAULT_OWN_PAGE, NULL)) return -errno;
  volatile char *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return -errno;
  // A huge zero page would have another frame than the one that is asked for.
  madvise((void *)page, size, MADV_NOHUGEPAGE);
  if (written) {
    page[0] = 1;
  } else {
    (void)page[0];
  }
  int error = own_pagemap_entry((const void *)page, entry);
  munmap((void *)page, size);
  return error;
}

int sluice_soft_dirty_works(void) {
  // A page that was just mapped and written is soft-dirty wherever there is such a bit, so nothing
  // need be cleared to find out; clearing would wipe the bits of whoever tracks this very process.
  uint64_t entry = 0;
  int error = entry_of_fresh_page(true, &entry);
  return error < 0 ? error : (int)(entry >> 55 & 1);
}

int64_t sluice_zero_page_frame(void) {
  uint64_t entry = 0;
  int error = entry_of_fresh_page(false, &entry);
  return error < 0 ? error : (int64_t)(entry & ((1ULL << 55) - 1));
}

void *sluice_map_buffers(size_t length, int *error) {
  void *address = MAP_FAILED;
  if (!sluice_fault_strikes(SLUICE_FAULT_MAP_BUFFERS, NULL)) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    address = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, -1, 0);
  }
  if (address == MAP_FAILED) {
    *error = errno;
    return NULL;
  }
  if (FAULTY(SLUICE_FAULT_PROTECT_BUFFERS, madvise(address, length, MADV_DONTFORK)) < 0) {
    *error = errno;
    sluice_unmap(address, length);
    return NULL;
  }
  return address;
}

void sluice_give_memory_back(void *address, size_t length) {
  (void)madvise(address, length, MADV_DONTNEED);
}

int sluice_unmap(void *address, size_t length) {
  if (FAULTY(SLUICE_FAULT_UNMAP_BUFFERS, munmap(address, length)) == 0) return 0;
  int error = errno;
  // What cannot be unmapped, since a neighbour would become a mapping too many (ENOMEM), can be emptied.
  madvise(address, length, MADV_DONTNEED);
  return -error;
}
