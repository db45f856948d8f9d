// bare-stop: for how long a process has to stand still to be copied at all: its threads are stopped by ptrace(2), its pages
// read into memory that is there before, as many bytes as there are, and the threads let go.
//
// Finds the pages and starts its threads first. Prints
// {"bytes":N,"threads":N,"seconds":S,"stop_seconds":S,"read_seconds":S}: the first is from the first thread that is told
// to stop until the last one is let go; the others are parts of it. Exit codes: 0 done; 1 a system call failed; 2 wrong
// usage.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "../bare-read/copy.h"
#include "../bare-read/die.h"

enum { MOST_READERS = 256, MOST_THREADS = 1 << 16 };

struct reader {
    struct share share;
    char *memory;
    pthread_t thread;
    uint64_t bytes;
};

static pthread_barrier_t go, done;
static pid_t threads[MOST_THREADS];
static size_t thread_count;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *read_share(void *argument) {
    struct reader *reader = argument;
    pthread_barrier_wait(&go);
    reader->bytes = share_keep(&reader->share, reader->memory).bytes;
    pthread_barrier_wait(&done);
    return NULL;
}

static void list_threads(pid_t pid) {
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *directory = opendir(path);
    if (directory == NULL)
        die("%s: %s", path, strerror(errno));
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        if (thread_count == MOST_THREADS)
            die("too many threads");
        threads[thread_count++] = (pid_t)atoi(entry->d_name);
    }
    closedir(directory);
}

static void for_all(enum __ptrace_request request, const char *doing) {
    for (size_t at = 0; at < thread_count; at++)
        if (ptrace(request, threads[at], NULL, NULL) != 0)
            die("%s thread %d: %s", doing, (int)threads[at], strerror(errno));
}

static void wait_for_all(void) {
    for (size_t at = 0; at < thread_count; at++) {
        int status;
        if (waitpid(threads[at], &status, __WALL) != threads[at] || !WIFSTOPPED(status))
            die("thread %d does not stop", (int)threads[at]);
    }
}

static long number(const char *text, long most) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == 0 || *end != 0 || value < 1 || value > most) {
        fprintf(stderr, "bare-stop: \"%s\" is not a number from 1 to %ld\n", text, most);
        exit(2);
    }
    return value;
}

int main(int count, char **arguments) {
    if (count != 3) {
        fputs("usage: bare-stop PID READERS\n", stderr);
        return 2;
    }
    pid_t pid = (pid_t)number(arguments[1], INT32_MAX);
    unsigned readers = (unsigned)number(arguments[2], MOST_READERS);
    static struct reader all[MOST_READERS];
    struct runs runs = runs_of(pid);
    char *memory =
        mmap(NULL, runs.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        die("no memory for what is read");
    list_threads(pid);
    pthread_barrier_init(&go, NULL, readers + 1);
    pthread_barrier_init(&done, NULL, readers + 1);
    for (unsigned index = 0; index < readers; index++) {
        all[index].share = share_of(&runs, pid, index, readers);
        all[index].memory = memory;
        memory += all[index].share.bytes;
        int error = pthread_create(&all[index].thread, NULL, read_share, &all[index]);
        if (error != 0)
            die("starting a thread: %s", strerror(error));
    }
    // Until they stand at the barrier.
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);

    for_all(PTRACE_SEIZE, "tracing");
    double began = now();
    for_all(PTRACE_INTERRUPT, "stopping");
    wait_for_all();
    double stands = now();
    pthread_barrier_wait(&go);
    pthread_barrier_wait(&done);
    double is_read = now();
    for_all(PTRACE_DETACH, "letting go of");
    double ended = now();
    uint64_t bytes = 0;
    for (unsigned index = 0; index < readers; index++)
        bytes += all[index].bytes;
    printf("{\"bytes\":%" PRIu64 ",\"threads\":%zu,\"seconds\":%.6f,", bytes, thread_count, ended - began);
    printf("\"stop_seconds\":%.6f,\"read_seconds\":%.6f}\n", stands - began, is_read - stands);
    return 0;
}
