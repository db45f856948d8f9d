// Another process' memory: reading it, and asking the kernel for the state of its pages.
#ifndef SLUICE_MEMORY_H
#define SLUICE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// A run of bytes in an address space. It has the layout of struct iovec, so that an array of runs
/// is handed to process_vm_readv as it stands (asserted in memory.c).
struct sluice_run {
  uint64_t address;
  uint64_t length;
} __attribute__((swift_name("MemoryRun")));

/// The most runs that one process_vm_readv takes (IOV_MAX).
#define SLUICE_MAX_RUNS 1024

/// process_vm_readv(2) of `run_count` runs of process `pid` into one block. Returns the bytes read,
/// which end before the first page that could not be read, or -errno (EFAULT: the very first).
ssize_t sluice_process_vm_readv(pid_t pid, void *bytes, size_t capacity, const struct sluice_run *runs,
                                size_t run_count);

/// What PAGEMAP_SCAN says of a page: the PAGE_IS_* bits of Documentation/admin-guide/mm/pagemap.rst.
enum sluice_page_category {
  SLUICE_PAGE_WPALLOWED = 1 << 0,
  SLUICE_PAGE_WRITTEN = 1 << 1,
  SLUICE_PAGE_FILE = 1 << 2,
  SLUICE_PAGE_PRESENT = 1 << 3,
  SLUICE_PAGE_SWAPPED = 1 << 4,
  SLUICE_PAGE_PFNZERO = 1 << 5,
  SLUICE_PAGE_HUGE = 1 << 6,
  SLUICE_PAGE_SOFT_DIRTY = 1 << 7,
  SLUICE_PAGE_GUARD = 1 << 8,
};

/// The kernel's struct page_region: pages from `start` to before `end` that share their categories.
struct sluice_page_region {
  uint64_t start;
  uint64_t end;
  uint64_t categories;
} __attribute__((swift_name("PageRegion")));

/// The kernel's struct pm_scan_arg (Documentation/admin-guide/mm/pagemap.rst; 96 bytes, asserted).
struct sluice_scan {
  uint64_t size;
  uint64_t flags;
  uint64_t start;
  uint64_t end;
  uint64_t walk_end;
  uint64_t vec;
  uint64_t vec_len;
  uint64_t max_pages;
  uint64_t category_inverted;
  uint64_t category_mask;
  uint64_t category_anyof_mask;
  uint64_t return_mask;
};

/// For `flags`: the pages that match are write-protected as well (PM_SCAN_WP_MATCHING).
#define SLUICE_SCAN_PROTECTS 1

/// PAGEMAP_SCAN on an open /proc/PID/pagemap. Returns the number of regions filled, or -errno: ENOTTY
/// where the kernel has no such ioctl (before 6.7), EINVAL for a category that it does not know.
/// `scan->walk_end` is set to where the walk ended.
int sluice_pagemap_scan(int pagemap, struct sluice_scan *scan, struct sluice_page_region *regions,
                        size_t capacity);

/// Sleeps for so many microseconds, for which others have the mmap_lock of a process.
void sluice_leave_lock(uint32_t microseconds);

/// A mapping, as the kernel tells of one when it is asked for it (struct procmap_query).
struct sluice_mapping {
  uint64_t start;
  uint64_t end;
  /// The size of its pages in bytes, which is another for hugetlbfs.
  uint64_t page_size;
  /// The device of the mapped file's filesystem, and the file's inode; 0 for anonymous memory.
  uint32_t device_major;
  uint32_t device_minor;
  uint64_t inode;
  /// Whether the process may read it now.
  bool is_readable;
} __attribute__((swift_name("MappingAnswer")));

/// Asks the kernel (PROCMAP_QUERY on an open /proc/PID/maps, Linux 6.11) for the mapping that `address`
/// is in, or else the next one above. Returns 1 and fills `mapping`, 0 when there is none, or -errno: ENOTTY
/// where the kernel has no such ioctl, ESRCH when the memory is gone.
int sluice_next_mapping(int maps, uint64_t address, struct sluice_mapping *mapping);

/// The number of the first of `count` entries of /proc/PID/pagemap that has any of the bits; `count` when there is none.
size_t sluice_first_with(uint64_t bits, const uint64_t *entries, size_t count);

/// The device of the hugetlbfs that the kernel keeps for itself, and from which MAP_HUGETLB, memfd_create and
/// shmget take pages of 2^`page_shift` bytes. Returns 0 or -errno: ENODEV or EINVAL where there is no such size.
int sluice_hugetlb_device(unsigned page_shift, uint32_t *major_number, uint32_t *minor_number);

/// Finds the pages that are all zeros. `bits` has a bit for each page, which is set when it is; the lowest bit
/// of the first word is the first page. Returns how many are.
size_t sluice_find_zero_pages(const void *bytes, size_t page_count, size_t page_size, uint64_t *bits);

/// The size of a page in bytes, of this machine.
size_t sluice_page_size(void);

/// Whether this kernel keeps the soft-dirty bit: a fresh page of our own is written and looked at.
/// Returns 1, 0 or -errno.
int sluice_soft_dirty_works(void);

/// The frame number of the 4 KiB zero page, 0 if the kernel does not tell it, or -errno.
int64_t sluice_zero_page_frame(void);

/// A private anonymous mapping that is not inherited over fork (MADV_DONTFORK): a child would copy
/// pages that the kernel has pinned for I/O. NULL, with `*error` set, when there is none to be had.
void *sluice_map_buffers(size_t length, int *error);

int sluice_unmap(void *address, size_t length);

/// Gives the memory of whole pages back to the kernel; they read as zeros then. Where the kernel refuses (memory that is
/// locked), it stays.
void sluice_give_memory_back(void *address, size_t length);

#endif
