// Runs a command and says what it took: how long, and the most memory of three kinds at any time.
//
//   held FILE COMMAND...    the command's exit status is this one's; FILE gets one line:
//                            "wall_us N peak_kib N pipes_kib N slab_kib N"
//
// peak is the command's resident memory by the kernel's own count; pipes, what was in its pipes, which nobody else counts as
// its memory; slab, by how much the kernel's own objects grew, whoever they are for. The latter two are looked at a hundred
// times a second.
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const long LOOK_NANOSECONDS = 10 * 1000 * 1000;

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t slab_kib(void)
{
    FILE *file = fopen("/proc/meminfo", "r");
    char line[256];
    uint64_t value = 0;
    if (!file)
        err(125, "/proc/meminfo");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Slab: %" SCNu64, &value) == 1)
            break;
    fclose(file);
    return value;
}

// What is in the pipes that a process has open. Each has two ends, which would be counted twice.
static uint64_t pipes_bytes(pid_t pid)
{
    char directory[64], path[400], target[64];
    snprintf(directory, sizeof directory, "/proc/%d/fd", (int)pid);
    DIR *descriptors = opendir(directory);
    uint64_t sum = 0;
    if (!descriptors)
        return 0; // it has ended
    for (struct dirent *entry; (entry = readdir(descriptors));) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length < 5 || strncmp(target, "pipe:", 5))
            continue;
        snprintf(path, sizeof path, "/proc/%d/fdinfo/%s", (int)pid, entry->d_name);
        FILE *info = fopen(path, "r");
        unsigned flags = O_WRONLY;
        if (info) {
            char line[128];
            while (fgets(line, sizeof line, info))
                if (sscanf(line, "flags: %o", &flags) == 1)
                    break;
            fclose(info);
        }
        if ((flags & O_ACCMODE) != O_RDONLY)
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        int pipe = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), count = 0;
        if (pipe < 0)
            continue;
        if (ioctl(pipe, FIONREAD, &count) == 0 && count > 0)
            sum += (uint64_t)count;
        close(pipe);
    }
    closedir(descriptors);
    return sum;
}

int main(int count, char **arguments)
{
    if (count < 3)
        errx(125, "usage: held FILE COMMAND...");
    uint64_t slab_before = slab_kib(), slab = slab_before, pipes = 0, began = now_us();
    pid_t child = fork();
    if (child < 0)
        err(125, "fork");
    if (child == 0) {
        execvp(arguments[2], arguments + 2);
        err(127, "%s", arguments[2]);
    }
    int status;
    struct rusage usage;
    pid_t ended;
    while ((ended = wait4(child, &status, WNOHANG, &usage)) == 0) {
        uint64_t held = pipes_bytes(child), objects = slab_kib();
        if (held > pipes)
            pipes = held;
        if (objects > slab)
            slab = objects;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NANOSECONDS}, NULL);
    }
    uint64_t wall = now_us() - began;
    if (ended < 0)
        err(125, "wait4");
    FILE *file = fopen(arguments[1], "w");
    if (!file || fprintf(file, "wall_us %" PRIu64 " peak_kib %ld pipes_kib %" PRIu64 " slab_kib %" PRIu64 "\n", wall,
                         usage.ru_maxrss, pipes / 1024, slab - slab_before) < 0 ||
        fclose(file))
        err(125, "%s", arguments[1]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
