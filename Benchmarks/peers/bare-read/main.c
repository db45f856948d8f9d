// bare-read: how fast the memory of a process can be read at all, by process_vm_readv and nothing else.
//
// Finds the pages first; the time is taken from the moment that the first thread starts to read until the last one has
// ended. Each thread reads its share of the pages into a buffer of 1 MiB of its own.
//
// Prints {"bytes":N,"vanished_bytes":N,"runs":N,"seconds":S,"cpu_seconds":S}: what was read, and what a process that
// runs has unmapped before it could be. Exit codes: 0 done; 1 a system call failed; 2 wrong usage.
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "copy.h"
#include "die.h"

enum { MOST_THREADS = 256 };

struct worker {
    struct share share;
    struct copied copied;
    pthread_t thread;
    double began, ended;
};

static pthread_barrier_t ready, go, done;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *work(void *argument) {
    struct worker *worker = argument;
    void *buffer = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (buffer == MAP_FAILED)
        die("no memory for a buffer");
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&go);
    worker->began = now();
    worker->copied = share_copy(&worker->share, buffer);
    worker->ended = now();
    pthread_barrier_wait(&done);
    return NULL;
}

static void start(struct worker *workers, unsigned count) {
    pthread_barrier_init(&ready, NULL, count + 1);
    pthread_barrier_init(&go, NULL, count + 1);
    pthread_barrier_init(&done, NULL, count + 1);
    for (unsigned index = 0; index < count; index++) {
        int error = pthread_create(&workers[index].thread, NULL, work, &workers[index]);
        if (error != 0)
            die("starting a thread: %s", strerror(error));
    }
}

// From the first thread's start to the last one's end.
static double seconds_taken(const struct worker *workers, unsigned count) {
    double began = workers[0].began, ended = workers[0].ended;
    for (unsigned index = 1; index < count; index++) {
        began = workers[index].began < began ? workers[index].began : began;
        ended = workers[index].ended > ended ? workers[index].ended : ended;
    }
    return ended - began;
}

static double seconds_of(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

static long number(const char *text, long most) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == 0 || *end != 0 || value < 1 || value > most) {
        fprintf(stderr, "bare-read: \"%s\" is not a number from 1 to %ld\n", text, most);
        exit(2);
    }
    return value;
}

int main(int count, char **arguments) {
    if (count != 3) {
        fputs("usage: bare-read PID THREADS\n", stderr);
        return 2;
    }
    pid_t pid = (pid_t)number(arguments[1], INT32_MAX);
    unsigned threads = (unsigned)number(arguments[2], MOST_THREADS);
    static struct worker workers[MOST_THREADS];
    struct runs runs = runs_of(pid);
    for (unsigned index = 0; index < threads; index++)
        workers[index].share = share_of(&runs, pid, index, threads);

    start(workers, threads);
    pthread_barrier_wait(&ready);
    double cpu_before = cpu_seconds();
    pthread_barrier_wait(&go);
    pthread_barrier_wait(&done);
    double cpu = cpu_seconds() - cpu_before;
    struct copied all = {0};
    for (unsigned index = 0; index < threads; index++) {
        all.bytes += workers[index].copied.bytes;
        all.vanished_bytes += workers[index].copied.vanished_bytes;
    }
    printf("{\"bytes\":%" PRIu64 ",\"vanished_bytes\":%" PRIu64 ",", all.bytes, all.vanished_bytes);
    printf("\"runs\":%zu,\"seconds\":%.6f,\"cpu_seconds\":%.6f}\n", runs.count, seconds_taken(workers, threads), cpu);
    return 0;
}
