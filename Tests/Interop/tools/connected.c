// Runs a command with the two ends of a TCP connection as descriptors.
//
//   connected FD FD COMMAND [ARGUMENT]...
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **arguments) {
    if (count < 4)
        errx(2, "usage: connected FD FD COMMAND [ARGUMENT]...");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || one < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&address, &size) || connect(one, (struct sockaddr *)&address, size))
        err(1, "connecting");
    int other = accept(listener, NULL, NULL);
    if (other < 0)
        err(1, "accept");
    int first = atoi(arguments[1]), second = atoi(arguments[2]);
    if (dup2(one, first) < 0 || dup2(other, second) < 0)
        err(1, "dup2");
    close(listener);
    close(one);
    close(other);
    execvp(arguments[3], arguments + 3);
    err(1, "%s", arguments[3]);
}
