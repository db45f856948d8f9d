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

// Reads the next bytes of the share, up to a buffer's worth and as far as one call comes.
static void read_some(struct share *share, void *buffer, size_t most, struct copied *copied) {
    struct iovec pieces[MOST_PIECES], whole = {.iov_base = buffer};
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), passed;
    size_t wanted = share->bytes < most ? share->bytes : most;
    size_t count = next_pieces(share->first, share->offset, wanted, pieces, &whole.iov_len);
    ssize_t got = process_vm_readv(share->pid, &whole, 1, pieces, count, 0);
    if (got > 0)
        // Less than was asked for if the page after that is gone; the next call begins with it.
        copied->bytes += passed = (uint64_t)got;
    else if (got < 0 && errno == EFAULT)
        copied->vanished_bytes += passed = page;
    else
        die("reading memory: %s", got < 0 ? strerror(errno) : "nothing was read");
    share->bytes -= passed;
    for (share->offset += passed; share->bytes > 0 && share->offset >= share->first->bytes; share->first++)
        share->offset -= share->first->bytes;
}

struct copied share_copy(const struct share *share, void *buffer) {
    struct copied copied = {0};
    for (struct share rest = *share; rest.bytes > 0;)
        read_some(&rest, buffer, BUFFER_BYTES, &copied);
    return copied;
}

struct copied share_keep(const struct share *share, void *memory) {
    struct copied copied = {0};
    for (struct share rest = *share; rest.bytes > 0;)
        read_some(&rest, (char *)memory + copied.bytes, BUFFER_BYTES, &copied);
    return copied;
}

size_t share_next(struct share *share, void *buffer) {
    struct copied copied = {0};
    while (share->bytes > 0 && copied.bytes < BUFFER_BYTES)
        read_some(share, (char *)buffer + copied.bytes, BUFFER_BYTES - copied.bytes, &copied);
    if (copied.vanished_bytes > 0)
        die("%llu bytes of a process that is stopped are gone", (unsigned long long)copied.vanished_bytes);
    return copied.bytes;
}
