#define _GNU_SOURCE
#include "copy.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "die.h"

enum { MOST_PIECES = 1024 }; // IOV_MAX

struct share share_of(const struct runs *runs, pid_t pid, unsigned index, unsigned count) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), pages = runs->bytes / page;
    uint64_t begin = pages * index / count * page, end = pages * (index + 1) / count * page;
    uint64_t offset = begin;
    const struct run *run = runs->at;
    for (; begin < end && offset >= run->bytes; run++)
        offset -= run->bytes;
    return (struct share){pid, run, offset, end - begin};
}

void share_copy(const struct share *share, void *buffer) {
    struct iovec pieces[MOST_PIECES];
    const struct run *run = share->first;
    uint64_t offset = share->offset, left = share->bytes;
    while (left > 0) {
        size_t count = 0;
        uint64_t room = left < BUFFER_BYTES ? left : BUFFER_BYTES, taken = 0;
        while (taken < room && count < MOST_PIECES) {
            uint64_t bytes = run->bytes - offset < room - taken ? run->bytes - offset : room - taken;
            pieces[count++] = (struct iovec){(void *)(run->start + offset), bytes};
            taken += bytes;
            offset += bytes;
            if (offset == run->bytes) {
                offset = 0;
                run++;
            }
        }
        struct iovec whole = {buffer, taken};
        ssize_t got = process_vm_readv(share->pid, &whole, 1, pieces, count, 0);
        if (got != (ssize_t)taken)
            die("reading memory: %s", got < 0 ? strerror(errno) : "less than is there");
        left -= taken;
    }
}
