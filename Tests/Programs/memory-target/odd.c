#define _GNU_SOURCE
#include "odd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mapping.h"
#include "status.h"

enum { PAGES = 64, HEAP_BLOCKS = 64, HEAP_BLOCK_SIZE = 64 * 1024 };
enum { FILE_GENERATION = 1, COPIED_GENERATION = 2 };

static struct {
    void *unreadable, *file, *only_read, *huge, *zero_written, *shared, *read_only;
    size_t huge_half; // size of one huge page
    uint64_t *heap[HEAP_BLOCKS];
} odd;

static size_t page_words(void) { return page_size() / sizeof(uint64_t); }

static struct pattern static_pattern(enum region region, uint64_t index) { return (struct pattern){region, index, 1, false}; }

static void fill_pages(void *base, uint64_t pages, enum region region) {
    for (uint64_t index = 0; index < pages; index++)
        pattern_fill(page_at(base, index), page_words(), static_pattern(region, index));
}

static void check_pages(struct check *check, void *base, uint64_t pages, enum region region) {
    for (uint64_t index = 0; index < pages; index++)
        check_block(check, page_at(base, index), page_size(), static_pattern(region, index));
}

static void check_zero_pages(struct check *check, void *base, uint64_t pages, const char *name) {
    for (uint64_t index = 0; index < pages; index++)
        check_zero(check, page_at(base, index), page_size(), name, index);
}

// volatile, since a compiler may leave out a load nobody uses, or a store of what is there already.
static void read_pages(void *base, uint64_t pages) {
    for (uint64_t index = 0; index < pages; index++)
        (void)*(volatile unsigned char *)page_at(base, index);
}

static void write_zeroes(void *base, uint64_t pages) {
    volatile uint64_t *words = base;
    for (uint64_t at = 0; at < pages * page_words(); at++)
        words[at] = 0;
}

static void *map_pages(const char *what) { return map_guarded(PAGES * page_size(), page_size(), 0, what); }

static void map_protected(void) {
    odd.unreadable = map_pages("the unreadable region");
    fill_pages(odd.unreadable, PAGES, REGION_UNREADABLE);
    set_protection(odd.unreadable, PAGES * page_size(), PROT_NONE, "the unreadable region");
    odd.read_only = map_pages("the read-only region");
    fill_pages(odd.read_only, PAGES, REGION_READ_ONLY);
    set_protection(odd.read_only, PAGES * page_size(), PROT_READ, "the read-only region");
}

static void check_protected(struct check *check) {
    size_t size = PAGES * page_size();
    set_protection(odd.unreadable, size, PROT_READ, "the unreadable region");
    check_pages(check, odd.unreadable, PAGES, REGION_UNREADABLE);
    set_protection(odd.unreadable, size, PROT_NONE, "the unreadable region");
    check_pages(check, odd.read_only, PAGES, REGION_READ_ONLY);
}

static struct pattern file_pattern(uint64_t index, bool copied) {
    return (struct pattern){REGION_FILE, index, copied ? COPIED_GENERATION : FILE_GENERATION, false};
}

static bool file_page_is_copied(uint64_t index) { return index % 2 == 1; }

static int create_file(const char *path, size_t size) {
    int descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor < 0)
        die_errno("cannot create --odd-file %s", path);
    unsigned char *content = malloc(size);
    if (!content)
        die_errno("malloc");
    for (uint64_t index = 0; index < PAGES; index++)
        pattern_fill((uint64_t *)page_at(content, index), page_words(), file_pattern(index, false));
    ssize_t written = write(descriptor, content, size);
    if (written != (ssize_t)size) {
        if (written >= 0)
            errno = ENOSPC;
        die_errno("cannot write --odd-file %s", path);
    }
    free(content);
    return descriptor;
}

static void map_file(const char *path) {
    size_t size = PAGES * page_size();
    int descriptor = create_file(path, size);
    odd.file = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
    if (odd.file == MAP_FAILED)
        die_errno("mmap of --odd-file %s", path);
    close(descriptor);
    read_pages(odd.file, PAGES);
    for (uint64_t index = 0; index < PAGES; index++)
        if (file_page_is_copied(index))
            pattern_fill(page_at(odd.file, index), page_words(), file_pattern(index, true));
}

static void check_file(struct check *check) {
    for (uint64_t index = 0; index < PAGES; index++)
        check_block(check, page_at(odd.file, index), page_size(), file_pattern(index, file_page_is_copied(index)));
}

static size_t huge_page_size(void) {
    size_t size = 2 * 1024 * 1024;
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "re");
    if (file) {
        if (fscanf(file, "%zu", &size) != 1)
            size = 2 * 1024 * 1024;
        fclose(file);
    }
    return size;
}

static uint64_t huge_half_pages(void) { return odd.huge_half / page_size(); }

static void *huge_read_half(void) { return (unsigned char *)odd.huge + odd.huge_half; }

static void map_zero_kinds(void) {
    odd.only_read = map_pages("the only-read region");
    // Else a single read fault would map the huge zero page.
    advise(odd.only_read, PAGES * page_size(), MADV_NOHUGEPAGE);
    read_pages(odd.only_read, PAGES);
    odd.zero_written = map_pages("the zero-written region");
    write_zeroes(odd.zero_written, PAGES);
    odd.huge_half = huge_page_size();
    odd.huge = map_guarded(2 * odd.huge_half, odd.huge_half, 0, "the huge-page region");
    advise(odd.huge, 2 * odd.huge_half, MADV_HUGEPAGE);
    fill_pages(odd.huge, huge_half_pages(), REGION_HUGE);
    read_pages(huge_read_half(), huge_half_pages());
}

static void check_zero_kinds(struct check *check) {
    check_zero_pages(check, odd.only_read, PAGES, "only-read");
    check_zero_pages(check, odd.zero_written, PAGES, "zero-written");
    check_pages(check, odd.huge, huge_half_pages(), REGION_HUGE);
    check_zero_pages(check, huge_read_half(), huge_half_pages(), "huge-read");
}

static void map_shared(void) {
    odd.shared = mmap(NULL, PAGES * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (odd.shared == MAP_FAILED)
        die_errno("mmap of the shared region");
    fill_pages(odd.shared, PAGES, REGION_SHARED);
}

// Below malloc's threshold for mmap, so that brk grows.
static void grow_heap(void) {
    for (unsigned at = 0; at < HEAP_BLOCKS; at++) {
        odd.heap[at] = malloc(HEAP_BLOCK_SIZE);
        if (!odd.heap[at])
            die_errno("malloc");
        pattern_fill(odd.heap[at], HEAP_BLOCK_SIZE / sizeof(uint64_t), static_pattern(REGION_HEAP, at));
    }
}

static void check_heap(struct check *check) {
    for (unsigned at = 0; at < HEAP_BLOCKS; at++)
        check_block(check, odd.heap[at], HEAP_BLOCK_SIZE, static_pattern(REGION_HEAP, at));
}

void odd_map(const char *file_path) {
    map_protected();
    map_file(file_path);
    map_zero_kinds();
    map_shared();
    grow_heap();
}

void odd_check(struct check *check) {
    check_protected(check);
    check_file(check);
    check_zero_kinds(check);
    check_pages(check, odd.shared, PAGES, REGION_SHARED);
    check_heap(check);
}

void odd_stack_fill(uint64_t block[ODD_STACK_WORDS]) { pattern_fill(block, ODD_STACK_WORDS, static_pattern(REGION_STACK, 0)); }

void odd_stack_check(const uint64_t block[ODD_STACK_WORDS], struct check *check) {
    check_block(check, block, ODD_STACK_WORDS * sizeof(uint64_t), static_pattern(REGION_STACK, 0));
}
