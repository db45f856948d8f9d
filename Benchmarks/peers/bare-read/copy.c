#define _GNU_SOURCE
#include "copy.h"

#include <errno.h>
#include <stdbool.h>
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

// The pieces that one call reads from there on, of `most` bytes at most; `taken` is how many they have.
static size_t next_pieces(const struct run *run, uint64_t offset, size_t most, struct iovec *pieces, size_t *taken) {
    size_t count = 0;
    *taken = 0;
    for (; *taken < most && count < MOST_PIECES; run++, offset = 0) {
        size_t bytes = run->bytes - offset < most - *taken ? run->bytes - offset : most - *taken;
        pieces[count++] = (struct iovec){(void *)(run->start + offset), bytes};
        *taken += bytes;
    }
    return count;
}

static struct copied copy(const struct share *share, char *buffer, bool keeps) {
    struct iovec pieces[MOST_PIECES], whole = {.iov_base = buffer};
    struct copied copied = {0};
    const struct run *run = share->first;
    uint64_t offset = share->offset, left = share->bytes, page = (uint64_t)sysconf(_SC_PAGESIZE);
    while (left > 0) {
        size_t count = next_pieces(run, offset, left < BUFFER_BYTES ? left : BUFFER_BYTES, pieces, &whole.iov_len);
        ssize_t got = process_vm_readv(share->pid, &whole, 1, pieces, count, 0);
        uint64_t passed;
        if (got > 0) {
            // Less than was asked for if the page after that is gone; the next call begins with it.
            copied.bytes += passed = (uint64_t)got;
            if (keeps)
                whole.iov_base = buffer + copied.bytes;
        } else if (got < 0 && errno == EFAULT) {
            copied.vanished_bytes += passed = page;
        } else {
            die("reading memory: %s", got < 0 ? strerror(errno) : "nothing was read");
        }
        left -= passed;
        for (offset += passed; left > 0 && offset >= run->bytes; run++)
            offset -= run->bytes;
    }
    return copied;
}

struct copied share_copy(const struct share *share, void *buffer) { return copy(share, buffer, false); }

struct copied share_keep(const struct share *share, void *memory) { return copy(share, memory, true); }
