// bare-wire: how fast bytes go over a connection into a file, with nothing between.
//
// The sender sends one buffer of 1 MiB again and again; the receiver takes what there is, up to 1 MiB, and writes that to
// the file from the same buffer. One thread each. With a certificate and its key both speak TLS by GnuTLS, with its default
// priorities, and nobody's certificate is checked.
//
//   bare-wire receive ADDRESS FILE [CERTIFICATE KEY]   prints the port, a line, and takes one connection; "-" is no file
//   bare-wire send ADDRESS PORT BYTES [tls]            prints {"bytes":N,"seconds":S,"cpu_seconds":S}
//
// The sender's clock runs from before it connects until the receiver says that all is written. Exit codes: 0 done; 1 a
// call failed; 2 wrong usage.
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "die.h"
#include "wire.h"

enum { BUFFER_BYTES = 1 << 20, SEED = 1 };

static char buffer[BUFFER_BYTES];

static double seconds_of(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void write_all(int file, size_t count, uint64_t offset) {
    for (size_t done = 0; done < count;) {
        ssize_t written = pwrite(file, buffer + done, count - done, (off_t)(offset + done));
        if (written <= 0)
            die("writing: %s", written < 0 ? strerror(errno) : "nothing was written");
        done += (size_t)written;
    }
}

static void receive(const char *address, const char *path, const char *certificate, const char *key) {
    bool is_kept = strcmp(path, "-") != 0;
    int file = is_kept ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    if (is_kept && file < 0)
        die("%s: %s", path, strerror(errno));
    struct wire wire = wire_accept(address, certificate, key);
    uint64_t size;
    wire_receive_all(&wire, &size, sizeof size);
    for (uint64_t done = 0; done < size;) {
        size_t got = wire_receive(&wire, buffer, size - done < BUFFER_BYTES ? size - done : BUFFER_BYTES);
        if (is_kept)
            write_all(file, got, done);
        done += got;
    }
    wire_send(&wire, "", 1);
    wire_close(&wire);
}

static void send_all(const char *address, const char *port, uint64_t size, bool is_tls) {
    // Random, so that nobody on the way could make it smaller.
    srandom(SEED);
    for (size_t at = 0; at < BUFFER_BYTES; at++)
        buffer[at] = (char)random();
    double began = now(), cpu_before = cpu_seconds();
    struct wire wire = wire_connect(address, port, is_tls);
    wire_send(&wire, &size, sizeof size);
    for (uint64_t done = 0; done < size;) {
        size_t count = size - done < BUFFER_BYTES ? size - done : BUFFER_BYTES;
        wire_send(&wire, buffer, count);
        done += count;
    }
    char answer;
    wire_receive_all(&wire, &answer, 1);
    printf("{\"bytes\":%" PRIu64 ",\"seconds\":%.6f,\"cpu_seconds\":%.6f}\n", size, now() - began,
           cpu_seconds() - cpu_before);
    wire_close(&wire);
}

static int usage(void) {
    fputs("usage: bare-wire receive ADDRESS FILE [CERTIFICATE KEY] | send ADDRESS PORT BYTES [tls]\n", stderr);
    return 2;
}

int main(int count, char **arguments) {
    const char *what = count > 1 ? arguments[1] : "";
    if (strcmp(what, "receive") == 0 && (count == 4 || count == 6)) {
        receive(arguments[2], arguments[3], count == 6 ? arguments[4] : NULL, count == 6 ? arguments[5] : NULL);
        return 0;
    }
    if (strcmp(what, "send") == 0 && (count == 5 || count == 6)) {
        char *end = NULL;
        uint64_t size = strtoull(arguments[4], &end, 10);
        if (size == 0 || *end != 0 || (count == 6 && strcmp(arguments[5], "tls") != 0))
            return usage();
        send_all(arguments[2], arguments[3], size, count == 6);
        return 0;
    }
    return usage();
}
