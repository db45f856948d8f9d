#define _GNU_SOURCE
#include "backing.h"

#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "mapping.h"
#include "status.h"

const char *const BACKING_NAMES[BACKING_COUNT] = {"private", "shared", "memfd", "sysv", "hugetlb"};

static void *map_flags(size_t size, int flags, int file, const char *what) {
    void *start = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, file, 0);
    if (start == MAP_FAILED)
        die_errno("mmap of %zu bytes for %s", size, what);
    return start;
}

static void *map_memfd(size_t size) {
    int file = memfd_create("area", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, (off_t)size) != 0)
        die_errno("a memfd of %zu bytes", size);
    return map_flags(size, MAP_SHARED, file, "a memfd");
}

static void *map_segment(size_t size) {
    int segment = shmget(IPC_PRIVATE, size, 0600);
    if (segment < 0)
        die_errno("shmget of %zu bytes", size);
    void *start = shmat(segment, NULL, 0);
    if (start == (void *)-1)
        die_errno("shmat");
    return start;
}

void *map_backing(enum backing backing, size_t size) {
    switch (backing) {
    case BACKING_SHARED: return map_flags(size, MAP_SHARED | MAP_ANONYMOUS, -1, "shared memory");
    case BACKING_MEMFD: return map_memfd(size);
    case BACKING_SYSV: return map_segment(size);
    case BACKING_HUGETLB: return map_flags(size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, "huge pages");
    default: return map_guarded(size, page_size(), 0, "--size");
    }
}
