#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "die.h"

static struct sockaddr_in address_of(const char *text, const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
        die("%s is no address of IPv4", text);
    return address;
}

static int new_socket(void) {
    int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made < 0)
        die("socket: %s", strerror(errno));
    return made;
}

static void check(int result, const char *what) {
    if (result < 0)
        die("%s: %s", what, gnutls_strerror(result));
}

static void begin_tls(struct wire *wire, unsigned role, const char *certificate, const char *key) {
    check(gnutls_certificate_allocate_credentials(&wire->credentials), "credentials");
    if (certificate)
        check(gnutls_certificate_set_x509_key_file(wire->credentials, certificate, key, GNUTLS_X509_FMT_PEM),
              certificate);
    check(gnutls_init(&wire->tls, role), "TLS");
    check(gnutls_set_default_priority(wire->tls), "the default priorities");
    check(gnutls_credentials_set(wire->tls, GNUTLS_CRD_CERTIFICATE, wire->credentials), "credentials");
    gnutls_transport_set_int(wire->tls, wire->socket);
    int result;
    do {
        result = gnutls_handshake(wire->tls);
    } while (result < 0 && !gnutls_error_is_fatal(result));
    check(result, "handshake");
}

struct wire wire_accept(const char *address, const char *certificate, const char *key) {
    struct sockaddr_in own = address_of(address, "0");
    socklen_t size = sizeof own;
    int listener = new_socket();
    if (bind(listener, (struct sockaddr *)&own, size) < 0 || listen(listener, 1) < 0)
        die("listening at %s: %s", address, strerror(errno));
    if (getsockname(listener, (struct sockaddr *)&own, &size) < 0)
        die("getsockname: %s", strerror(errno));
    printf("%u\n", ntohs(own.sin_port));
    fflush(stdout);
    struct wire wire = {.socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC)};
    if (wire.socket < 0)
        die("accept: %s", strerror(errno));
    close(listener);
    if (certificate)
        begin_tls(&wire, GNUTLS_SERVER, certificate, key);
    return wire;
}

struct wire wire_connect(const char *address, const char *port, bool is_tls) {
    struct sockaddr_in peer = address_of(address, port);
    struct wire wire = {.socket = new_socket()};
    if (connect(wire.socket, (struct sockaddr *)&peer, sizeof peer) < 0)
        die("connecting to %s:%s: %s", address, port, strerror(errno));
    if (is_tls)
        begin_tls(&wire, GNUTLS_CLIENT, NULL, NULL);
    return wire;
}

static ssize_t send_some(struct wire *wire, const void *bytes, size_t count) {
    if (!wire->tls) {
        ssize_t sent = send(wire->socket, bytes, count, MSG_NOSIGNAL);
        if (sent < 0)
            die("sending: %s", strerror(errno));
        return sent;
    }
    ssize_t sent;
    do {
        sent = gnutls_record_send(wire->tls, bytes, count);
    } while (sent == GNUTLS_E_AGAIN || sent == GNUTLS_E_INTERRUPTED);
    check((int)(sent < 0 ? sent : 0), "sending");
    return sent;
}

void wire_send(struct wire *wire, const void *bytes, size_t count) {
    for (size_t done = 0; done < count;)
        done += (size_t)send_some(wire, (const char *)bytes + done, count - done);
}

size_t wire_receive(struct wire *wire, void *bytes, size_t count) {
    ssize_t got;
    if (wire->tls) {
        do {
            got = gnutls_record_recv(wire->tls, bytes, count);
        } while (got < 0 && !gnutls_error_is_fatal((int)got));
        check((int)(got < 0 ? got : 0), "receiving");
    } else {
        got = recv(wire->socket, bytes, count, 0);
        if (got < 0)
            die("receiving: %s", strerror(errno));
    }
    if (got == 0)
        die("the connection has ended too early");
    return (size_t)got;
}

void wire_receive_all(struct wire *wire, void *bytes, size_t count) {
    for (size_t done = 0; done < count;)
        done += wire_receive(wire, (char *)bytes + done, count - done);
}

void wire_close(struct wire *wire) {
    if (wire->tls) {
        gnutls_bye(wire->tls, GNUTLS_SHUT_WR);
        gnutls_deinit(wire->tls);
        gnutls_certificate_free_credentials(wire->credentials);
    }
    close(wire->socket);
}
