// What a side shows of itself, and whom it trusts.
#ifndef SLUICE_TLS_CREDENTIALS_H
#define SLUICE_TLS_CREDENTIALS_H

#include <stddef.h>

/// A certificate with its key, authorities and revocations, all in memory. Once it is filled any number of sessions on any
/// threads can use it at the same time.
struct sluice_tls_credentials;

/// Which of the two files of `sluice_tls_set_certificate` does not do.
enum sluice_tls_fault {
  SLUICE_TLS_FAULT_NONE = 0,
  SLUICE_TLS_FAULT_CERTIFICATE = 1,
  SLUICE_TLS_FAULT_KEY = 2,
  /// Each is fine, and they do not belong together.
  SLUICE_TLS_FAULT_PAIR = 3,
};

int sluice_tls_credentials_make(struct sluice_tls_credentials **credentials);

void sluice_tls_credentials_free(struct sluice_tls_credentials *credentials);

/// Trusts the certificates in a PEM file. Returns how many there are.
int sluice_tls_trust(struct sluice_tls_credentials *credentials, const void *pem, size_t count);

/// Trusts what the system trusts. Returns how many certificates that is.
int sluice_tls_trust_system(struct sluice_tls_credentials *credentials);

/// Takes a PEM file with lists of revoked certificates. Returns how many of the lists are of authorities that are trusted
/// already.
int sluice_tls_revoke(struct sluice_tls_credentials *credentials, const void *pem, size_t count);

/// Takes our own certificate, with those between it and the authority behind it if there are any, and its private key.
int sluice_tls_set_certificate(struct sluice_tls_credentials *credentials, const void *certificate,
                               size_t certificate_count, const void *key, size_t key_count,
                               enum sluice_tls_fault *fault);

/// Overwrites a key that is not needed any more, which no compiler leaves out.
void sluice_tls_wipe(void *bytes, size_t count);

#endif
