#define _GNU_SOURCE
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char status_path[PATH_MAX];

static void make_absolute(const char *path) {
    char directory[PATH_MAX];
    int length;
    if (path[0] == '/')
        length = snprintf(status_path, sizeof status_path, "%s", path);
    else if (getcwd(directory, sizeof directory))
        length = snprintf(status_path, sizeof status_path, "%s/%s", directory, path);
    else
        die_errno("getcwd");
    if (length >= (int)sizeof status_path) {
        status_path[0] = 0;
        errno = ENAMETOOLONG;
        die_errno("status file %s", path);
    }
}

void status_open(const char *path) {
    if (path)
        make_absolute(path);
}

// Opened anew for each line: a descriptor held open would tie a restore to the file's size at the dump.
static int append(const char *line, size_t length) {
    int descriptor = STDOUT_FILENO;
    if (status_path[0])
        descriptor = open(status_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor < 0)
        return -1;
    ssize_t written = write(descriptor, line, length);
    if (status_path[0])
        close(descriptor);
    return written == (ssize_t)length ? 0 : -1;
}

void status_line(const char *format, ...) {
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2)
        length = sizeof line - 2;
    line[length++] = '\n';
    if (append(line, length) == 0)
        return;
    fprintf(stderr, "memory-target: cannot append to %s: %s\n", status_path[0] ? status_path : "standard output", strerror(errno));
    exit(1);
}

void die_errno(const char *format, ...) {
    int error = errno;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "memory-target: %s: %s\n", text, strerror(error));
    char line[640];
    int length = snprintf(line, sizeof line, "failed %s: %s\n", text, strerror(error));
    if (status_path[0])
        (void)!append(line, length);
    exit(1);
}
