#define _GNU_SOURCE
#include "mapping.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "status.h"

size_t page_size(void) {
    static size_t size;
    // Threads may write the same value here at the same time only after main has already set it.
    if (size == 0)
        size = (size_t)sysconf(_SC_PAGESIZE);
    return size;
}

void set_protection(void *start, size_t size, int protection, const char *what) {
    if (mprotect(start, size, protection) == 0)
        return;
    die_errno("mprotect of %zu bytes for %s%s", size, what, errno == ENOMEM ? " (more VMAs than vm.max_map_count allows?)" : "");
}

void advise(void *start, size_t size, int advice) {
    // Kernels without transparent huge pages refuse the advice and need none.
    (void)madvise(start, size, advice);
}

void *map_guarded(size_t size, size_t alignment, int extra_flags, const char *what) {
    size_t guard = page_size();
    size_t slack = alignment > guard ? alignment : 0;
    size_t total = 0;
    if (__builtin_add_overflow(size, slack + 2 * guard, &total)) {
        errno = ENOMEM;
        die_errno("mmap for %s", what);
    }
    unsigned char *reserved = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | extra_flags, -1, 0);
    if (reserved == MAP_FAILED)
        die_errno("mmap of %zu bytes for %s", total, what);
    uintptr_t start = (uintptr_t)reserved + guard;
    start = (start + alignment - 1) / alignment * alignment;
    set_protection((void *)start, size, PROT_READ | PROT_WRITE, what);
    return (void *)start;
}

static struct pattern vma_pattern(const struct many_vmas *vmas, uint64_t index) {
    return (struct pattern){REGION_VMAS, index, 1, vmas->random};
}

void many_vmas_map(struct many_vmas *vmas) {
    if (vmas->count == 0)
        return;
    size_t page = page_size();
    vmas->base = map_guarded(vmas->count * page, page, 0, "--vmas");
    advise(vmas->base, vmas->count * page, MADV_NOHUGEPAGE);
    for (uint64_t index = 0; index < vmas->count; index++) {
        void *start = page_at(vmas->base, index);
        pattern_fill(start, page / sizeof(uint64_t), vma_pattern(vmas, index));
        // Every other page loses the right to be written: neighbours that differ do not merge.
        if (index % 2 == 1)
            set_protection(start, page, PROT_READ, "--vmas");
    }
}

void many_vmas_check(const struct many_vmas *vmas, struct check *check) {
    for (uint64_t index = 0; index < vmas->count; index++)
        check_block(check, page_at(vmas->base, index), page_size(), vma_pattern(vmas, index));
}

static void *sparse_page(const struct sparse *sparse, uint64_t index) {
    uint64_t step = sparse->size / page_size() / sparse->count;
    return page_at(sparse->base, index * step);
}

static struct pattern sparse_pattern(const struct sparse *sparse, uint64_t index) {
    return (struct pattern){REGION_SPARSE, index, 1, sparse->random};
}

void sparse_map(struct sparse *sparse) {
    if (sparse->size == 0)
        return;
    sparse->base = map_guarded(sparse->size, page_size(), MAP_NORESERVE, "--sparse");
    // A huge page would populate 511 neighbours of each page.
    advise(sparse->base, sparse->size, MADV_NOHUGEPAGE);
    for (uint64_t index = 0; index < sparse->count; index++)
        pattern_fill(sparse_page(sparse, index), page_size() / sizeof(uint64_t), sparse_pattern(sparse, index));
}

void sparse_check(const struct sparse *sparse, struct check *check) {
    for (uint64_t index = 0; index < sparse->count; index++)
        check_block(check, sparse_page(sparse, index), page_size(), sparse_pattern(sparse, index));
}
