// bare-pipe: how fast the memory of a process can be read and written to a file, with nothing between but buffers.
//
// One thread reads by process_vm_readv, another one writes by pwrite, and 8 buffers of 1 MiB go round between them. With
// "loop" one thread does both in turns, from one buffer. The process must be stopped. The file is new, and nobody waits for
// a disk: it is a tmpfs's, or stays in the page cache.
//
// Finds the pages first; the time is taken from the first read to the end of the last write.
//
// Prints {"bytes":N,"seconds":S}. Exit codes: 0 done; 1 a system call failed; 2 wrong usage.
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../bare-read/copy.h"
#include "../bare-read/die.h"

enum { BUFFERS = 8 };

struct pipe {
    struct share share;
    int file;
    char *buffers;
    pthread_mutex_t lock;
    pthread_cond_t has_changed;
    // Counted from the start, so that the buffer of each is its number's rest.
    uint64_t read, written;
    size_t bytes[BUFFERS];
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static char *buffer_of(const struct pipe *pipe, uint64_t number) { return pipe->buffers + number % BUFFERS * BUFFER_BYTES; }

static void write_all(int file, const char *bytes, size_t count, uint64_t offset) {
    for (size_t done = 0; done < count;) {
        ssize_t written = pwrite(file, bytes + done, count - done, (off_t)(offset + done));
        if (written <= 0)
            die("writing: %s", written < 0 ? strerror(errno) : "nothing was written");
        done += (size_t)written;
    }
}

static void *read_all(void *argument) {
    struct pipe *pipe = argument;
    for (uint64_t number = 0;; number++) {
        pthread_mutex_lock(&pipe->lock);
        while (number - pipe->written == BUFFERS)
            pthread_cond_wait(&pipe->has_changed, &pipe->lock);
        pthread_mutex_unlock(&pipe->lock);
        size_t bytes = share_next(&pipe->share, buffer_of(pipe, number));
        pthread_mutex_lock(&pipe->lock);
        // Nothing stands for the end.
        pipe->bytes[number % BUFFERS] = bytes;
        pipe->read++;
        pthread_cond_signal(&pipe->has_changed);
        pthread_mutex_unlock(&pipe->lock);
        if (bytes == 0)
            return NULL;
    }
}

static uint64_t run_pair(struct pipe *pipe) {
    pthread_t reader;
    int error = pthread_create(&reader, NULL, read_all, pipe);
    if (error != 0)
        die("starting a thread: %s", strerror(error));
    uint64_t offset = 0;
    for (uint64_t number = 0;; number++) {
        pthread_mutex_lock(&pipe->lock);
        while (pipe->read == number)
            pthread_cond_wait(&pipe->has_changed, &pipe->lock);
        size_t bytes = pipe->bytes[number % BUFFERS];
        pthread_mutex_unlock(&pipe->lock);
        if (bytes == 0)
            break;
        write_all(pipe->file, buffer_of(pipe, number), bytes, offset);
        offset += bytes;
        pthread_mutex_lock(&pipe->lock);
        pipe->written++;
        pthread_cond_signal(&pipe->has_changed);
        pthread_mutex_unlock(&pipe->lock);
    }
    pthread_join(reader, NULL);
    return offset;
}

static uint64_t run_loop(struct pipe *pipe) {
    uint64_t offset = 0;
    for (size_t bytes; (bytes = share_next(&pipe->share, pipe->buffers)) > 0; offset += bytes)
        write_all(pipe->file, pipe->buffers, bytes, offset);
    return offset;
}

int main(int count, char **arguments) {
    bool is_loop = count == 4 && strcmp(arguments[3], "loop") == 0;
    char *end = NULL;
    long pid = count == 3 || is_loop ? strtol(arguments[1], &end, 10) : 0;
    if (pid < 1 || pid > INT32_MAX || *end != 0) {
        fputs("usage: bare-pipe PID FILE [loop]\n", stderr);
        return 2;
    }
    struct runs runs = runs_of((pid_t)pid);
    struct pipe pipe = {
        .share = share_of(&runs, (pid_t)pid, 0, 1),
        .file = open(arguments[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600),
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .has_changed = PTHREAD_COND_INITIALIZER,
    };
    if (pipe.file < 0)
        die("%s: %s", arguments[2], strerror(errno));
    pipe.buffers = mmap(NULL, (size_t)BUFFERS * BUFFER_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (pipe.buffers == MAP_FAILED)
        die("no memory for the buffers");
    double began = now();
    uint64_t bytes = is_loop ? run_loop(&pipe) : run_pair(&pipe);
    printf("{\"bytes\":%" PRIu64 ",\"seconds\":%.6f}\n", bytes, now() - began);
    return 0;
}
