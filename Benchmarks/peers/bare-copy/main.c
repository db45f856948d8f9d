// bare-copy: what it costs to read the memory of a process and to write it from the same buffers, with nothing between.
//
// One thread reads by process_vm_readv into a buffer of 1 MiB, hands that to the disk by io_uring (direct, registered
// buffers, 8 in flight) and takes the buffer that was written last for the next. bare-read and fio do one half each:
// bare-read's buffer stays in the processor's cache, and fio's buffers are never changed. Who does both changes buffers
// that the disk has just read, and pays for that where the disk is a program on another processor.
//
// Prints {"bytes":N,"cpu_seconds":S}: of reading and writing, without the search for the pages. Exit codes: 0 done; 1 a
// system call failed; 2 wrong usage.
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../bare-read/die.h"
#include "../bare-read/runs.h"

enum { BUFFER_BYTES = 1 << 20, BUFFERS = 16, IN_FLIGHT = 8 };

struct copy {
    pid_t pid;
    int file;
    char *buffers;
    struct io_uring ring;
    unsigned free[BUFFERS], free_count, in_flight;
    // How much is in each buffer.
    size_t bytes[BUFFERS];
};

static double seconds_of(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

static void begin(struct copy *copy, const char *path, uint64_t size) {
    copy->file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
    if (copy->file < 0)
        die("%s: %s", path, strerror(errno));
    int error = posix_fallocate(copy->file, 0, (off_t)size);
    if (error != 0)
        die("making room in %s: %s", path, strerror(error));
    copy->buffers = mmap(NULL, (size_t)BUFFERS * BUFFER_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (copy->buffers == MAP_FAILED)
        die("no memory for the buffers");
    error = io_uring_queue_init(IN_FLIGHT, &copy->ring, 0);
    if (error < 0)
        die("setting up io_uring: %s", strerror(-error));
    struct iovec places[BUFFERS];
    for (unsigned index = 0; index < BUFFERS; index++) {
        places[index] = (struct iovec){copy->buffers + (size_t)index * BUFFER_BYTES, BUFFER_BYTES};
        copy->free[copy->free_count++] = index;
    }
    error = io_uring_register_buffers(&copy->ring, places, BUFFERS);
    if (error < 0)
        die("registering the buffers: %s", strerror(-error));
}

static void take(struct copy *copy, struct io_uring_cqe *written) {
    unsigned index = (unsigned)io_uring_cqe_get_data64(written);
    if (written->res != (int)copy->bytes[index])
        die("writing: %s", written->res < 0 ? strerror(-written->res) : "less than was asked for");
    io_uring_cqe_seen(&copy->ring, written);
    copy->free[copy->free_count++] = index;
    copy->in_flight--;
}

static void take_one(struct copy *copy) {
    struct io_uring_cqe *written;
    int error = io_uring_wait_cqe(&copy->ring, &written);
    if (error < 0)
        die("waiting for a write: %s", strerror(-error));
    take(copy, written);
}

static void copy_piece(struct copy *copy, uint64_t address, size_t bytes, uint64_t offset) {
    if (copy->in_flight == IN_FLIGHT)
        take_one(copy);
    unsigned index = copy->free[--copy->free_count];
    copy->bytes[index] = bytes;
    struct iovec here = {copy->buffers + (size_t)index * BUFFER_BYTES, bytes}, there = {(void *)address, bytes};
    ssize_t got = process_vm_readv(copy->pid, &here, 1, &there, 1, 0);
    if (got != (ssize_t)bytes)
        die("reading memory: %s", got < 0 ? strerror(errno) : "less than is there");
    struct io_uring_sqe *write = io_uring_get_sqe(&copy->ring);
    if (!write)
        die("no room in the io_uring");
    io_uring_prep_write_fixed(write, copy->file, here.iov_base, (unsigned)bytes, offset, (int)index);
    io_uring_sqe_set_data64(write, index);
    int error = io_uring_submit(&copy->ring);
    if (error < 0)
        die("submitting a write: %s", strerror(-error));
    copy->in_flight++;
    struct io_uring_cqe *written;
    while (io_uring_peek_cqe(&copy->ring, &written) == 0)
        take(copy, written);
}

int main(int count, char **arguments) {
    char *end = NULL;
    long pid = count == 3 ? strtol(arguments[1], &end, 10) : 0;
    if (pid < 1 || pid > INT32_MAX || *end != 0) {
        fputs("usage: bare-copy PID FILE\n", stderr);
        return 2;
    }
    struct copy copy = {.pid = (pid_t)pid};
    struct runs runs = runs_of(copy.pid);
    begin(&copy, arguments[2], runs.bytes);
    double cpu_before = cpu_seconds();
    uint64_t offset = 0;
    for (size_t index = 0; index < runs.count; index++)
        for (uint64_t at = 0; at < runs.at[index].bytes; at += BUFFER_BYTES) {
            uint64_t left = runs.at[index].bytes - at;
            size_t bytes = left < BUFFER_BYTES ? left : BUFFER_BYTES;
            copy_piece(&copy, runs.at[index].start + at, bytes, offset);
            offset += bytes;
        }
    while (copy.in_flight > 0)
        take_one(&copy);
    if (fsync(copy.file) < 0)
        die("fsync: %s", strerror(errno));
    printf("{\"bytes\":%" PRIu64 ",\"cpu_seconds\":%.6f}\n", runs.bytes, cpu_seconds() - cpu_before);
    return 0;
}
