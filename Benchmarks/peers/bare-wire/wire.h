#ifndef BARE_WIRE_WIRE_H
#define BARE_WIRE_WIRE_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>

// A connection. Whatever fails ends the program.
struct wire {
    int socket;
    // NULL where nothing is encrypted.
    gnutls_session_t tls;
    gnutls_certificate_credentials_t credentials;
};

// Listens at a port that is free, prints it, and takes one connection; encrypted where there is a certificate.
struct wire wire_accept(const char *address, const char *certificate, const char *key);

struct wire wire_connect(const char *address, const char *port, bool is_tls);

void wire_send(struct wire *wire, const void *bytes, size_t count);

// Takes what there is, 1 byte at least.
size_t wire_receive(struct wire *wire, void *bytes, size_t count);

void wire_receive_all(struct wire *wire, void *bytes, size_t count);

void wire_close(struct wire *wire);

#endif
