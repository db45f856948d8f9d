// Stands between a client of a page server and the server, and does harm.
//
//   wire LISTEN SERVER flip    passes everything on, and flips a bit in one page: "flipped ADDRESS"
//   wire LISTEN SERVER stall   passes on what comes until pages come, and then nothing more: "stalled"; when one end has
//                              gone, the connection to the other is ended, too. What comes meanwhile is lost: behind it
//                              comes the word that an end has gone.
//
// LISTEN and SERVER are ports of this machine. Says "listening" first; one connection, then it ends.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAGE = 4096, OLD_HEADER = 24, NEW_HEADER = 32, STALL_AFTER = 256 * 1024, LEAST_PAGES = 64 };
enum { ADD = 1, ADD_WITH_FLAGS = 6, FLAG_PRESENT = 4 };

static bool flips, has_flipped;
// What the client sends is headers, and behind some of them pages.
static struct {
    unsigned char header[NEW_HEADER];
    size_t have, size; // size is 0 as long as it is not known
    uint64_t pages_left, until_flip;
} stream;

static void say(const char *text) {
    puts(text);
    fflush(stdout);
}

static uint64_t number_at(size_t at, size_t size) {
    uint64_t value = 0;
    memcpy(&value, stream.header + at, size);
    return value;
}

static void take_header(void) {
    bool is_old = stream.size == OLD_HEADER;
    uint64_t command = number_at(0, 4), pages = is_old ? number_at(4, 4) : number_at(8, 8);
    uint64_t address = is_old ? number_at(8, 8) : number_at(16, 8);
    bool has_data = (command & 0xffff) == ADD || ((command & 0xffff) == ADD_WITH_FLAGS && command >> 16 & FLAG_PRESENT);
    stream.have = 0;
    stream.pages_left = has_data ? pages * PAGE : 0;
    stream.until_flip = UINT64_MAX;
    if (flips && !has_flipped && has_data && pages >= LEAST_PAGES) {
        stream.until_flip = pages / 2 * PAGE + PAGE / 2;
        printf("flipped %" PRIx64 "\n", address + pages / 2 * PAGE);
        fflush(stdout);
    }
}

// Goes through what the client sends, and changes it.
static void look_at(unsigned char *bytes, size_t count) {
    for (size_t at = 0; at < count;) {
        if (stream.pages_left > 0) {
            uint64_t step = count - at < stream.pages_left ? count - at : stream.pages_left;
            if (stream.until_flip < step) {
                bytes[at + stream.until_flip] ^= 1;
                has_flipped = true;
                stream.until_flip = UINT64_MAX;
            } else if (stream.until_flip != UINT64_MAX) {
                stream.until_flip -= step;
            }
            stream.pages_left -= step;
            at += step;
            continue;
        }
        stream.header[stream.have++] = bytes[at++];
        // Headers are of 24 bytes, whose last 8 are never 0, or of 32, in the first of which these are.
        if (stream.size == 0 && stream.have == OLD_HEADER)
            stream.size = number_at(16, 8) ? OLD_HEADER : NEW_HEADER;
        if (stream.have == stream.size)
            take_header();
    }
}

static struct sockaddr_in local(const char *port) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)atoi(port)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int accept_at(const char *port) {
    struct sockaddr_in address = local(port);
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) ||
        bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1))
        err(1, "listening at %s", port);
    say("listening");
    int client = accept(listener, NULL, NULL);
    if (client < 0)
        err(1, "accept");
    close(listener);
    return client;
}

static int connect_to(const char *port) {
    struct sockaddr_in address = local(port);
    int server = socket(AF_INET, SOCK_STREAM, 0);
    if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof address))
        err(1, "connecting to %s", port);
    return server;
}

// Passes on what there is. Returns its size; 0 when nothing more comes, or nobody is there to take it.
static size_t pass(int from, int to, bool is_from_client) {
    static unsigned char bytes[64 * 1024];
    ssize_t count = read(from, bytes, sizeof bytes);
    if (count <= 0)
        return 0;
    if (flips && is_from_client)
        look_at(bytes, (size_t)count);
    for (ssize_t at = 0; at < count;) {
        ssize_t done = send(to, bytes + at, (size_t)(count - at), MSG_NOSIGNAL);
        if (done < 0)
            return 0;
        at += done;
    }
    return (size_t)count;
}

// Whether there may be more.
static bool lose(int from) {
    static unsigned char bytes[64 * 1024];
    return read(from, bytes, sizeof bytes) > 0;
}

int main(int count, char **arguments) {
    if (count != 4 || (strcmp(arguments[3], "flip") && strcmp(arguments[3], "stall")))
        errx(2, "usage: wire LISTEN SERVER flip|stall");
    flips = !strcmp(arguments[3], "flip");
    int client = accept_at(arguments[1]), server = connect_to(arguments[2]);
    struct pollfd ends[2] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
    size_t passed = 0;
    while (flips || passed < STALL_AFTER) {
        if (poll(ends, 2, -1) < 0)
            err(1, "poll");
        if (ends[1].revents && !pass(server, client, false))
            break;
        if (ends[0].revents) {
            size_t size = pass(client, server, true);
            if (size == 0)
                break;
            passed += size;
        }
    }
    if (!flips && passed >= STALL_AFTER) {
        say("stalled");
        do {
            if (poll(ends, 2, -1) < 0)
                err(1, "poll");
        } while ((!ends[0].revents || lose(client)) && (!ends[1].revents || lose(server)));
    }
    return 0;
}
