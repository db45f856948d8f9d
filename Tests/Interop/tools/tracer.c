// Traces a process, as a debugger does, and does nothing else; until it is killed or they are gone.
//
//   tracer PID      says "traced" when it does
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **arguments) {
    char path[64];
    if (count != 2)
        errx(2, "usage: tracer PID");
    snprintf(path, sizeof path, "/proc/%s/task", arguments[1]);
    DIR *threads = opendir(path);
    if (!threads)
        err(1, "%s", path);
    for (struct dirent *thread; (thread = readdir(threads));) {
        if (thread->d_name[0] == '.')
            continue;
        if (ptrace(PTRACE_SEIZE, atoi(thread->d_name), NULL, NULL) != 0)
            err(1, "tracing thread %s", thread->d_name);
    }
    closedir(threads);
    puts("traced");
    fflush(stdout);
    // Whatever they stop for, they go on, with the signal if it was one.
    int status;
    for (pid_t thread; (thread = waitpid(-1, &status, __WALL)) > 0;)
        if (WIFSTOPPED(status))
            ptrace(PTRACE_CONT, thread, NULL, status >> 16 ? 0 : WSTOPSIG(status));
    return 0;
}
