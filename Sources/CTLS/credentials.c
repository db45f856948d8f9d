#ifdef SLUICE_TLS

#define _GNU_SOURCE
#include "sluice_tls_credentials.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

int sluice_tls_credentials_make(struct sluice_tls_credentials **credentials) {
  struct sluice_tls_credentials *made = calloc(1, sizeof *made);
  if (made == NULL) return GNUTLS_E_MEMORY_ERROR;
  int error = gnutls_certificate_allocate_credentials(&made->held);
  if (error < 0) {
    free(made);
    return error;
  }
  *credentials = made;
  return 0;
}

void sluice_tls_credentials_free(struct sluice_tls_credentials *credentials) {
  gnutls_certificate_free_credentials(credentials->held);
  free(credentials);
}

/// GnuTLS counts in 32 bits, and changes nothing of what it is given here.
static int as_datum(const void *bytes, size_t count, gnutls_datum_t *datum) {
  if (count > UINT_MAX) return GNUTLS_E_INVALID_REQUEST;
  *datum = (gnutls_datum_t){.data = (void *)bytes, .size = (unsigned)count};
  return 0;
}

int sluice_tls_trust(struct sluice_tls_credentials *credentials, const void *pem, size_t count) {
  gnutls_datum_t datum;
  int error = as_datum(pem, count, &datum);
  if (error < 0) return error;
  int added = gnutls_certificate_set_x509_trust_mem(credentials->held, &datum, GNUTLS_X509_FMT_PEM);
  return added == 0 ? GNUTLS_E_NO_CERTIFICATE_FOUND : added;
}

int sluice_tls_trust_system(struct sluice_tls_credentials *credentials) {
  return gnutls_certificate_set_x509_system_trust(credentials->held);
}

/// How many of the lists are of authorities that are trusted.
static int count_known(gnutls_x509_trust_list_t trusted, const gnutls_x509_crl_t *lists, unsigned count) {
  int known = 0;
  for (unsigned i = 0; i < count; i++) {
    gnutls_datum_t name;
    gnutls_x509_crt_t issuer;
    if (gnutls_x509_crl_get_raw_issuer_dn(lists[i], &name) < 0) continue;
    if (gnutls_x509_trust_list_get_issuer_by_dn(trusted, &name, &issuer, 0) >= 0) {
      gnutls_x509_crt_deinit(issuer);
      known++;
    }
    gnutls_free(name.data);
  }
  return known;
}

int sluice_tls_revoke(struct sluice_tls_credentials *credentials, const void *pem, size_t count) {
  gnutls_datum_t datum;
  int error = as_datum(pem, count, &datum);
  if (error < 0) return error;
  gnutls_x509_crl_t *lists = NULL;
  unsigned list_count = 0;
  error = gnutls_x509_crl_list_import2(&lists, &list_count, &datum, GNUTLS_X509_FMT_PEM, 0);
  if (error < 0) return error;
  gnutls_x509_trust_list_t trusted;
  gnutls_certificate_get_trust_list(credentials->held, &trusted);
  int known = count_known(trusted, lists, list_count);
  for (unsigned i = 0; i < list_count; i++) gnutls_x509_crl_deinit(lists[i]);
  gnutls_free(lists);
  // All of them, by GnuTLS' own rules: with one that is too old nobody is accepted.
  error = gnutls_certificate_set_x509_crl_mem(credentials->held, &datum, GNUTLS_X509_FMT_PEM);
  return error < 0 ? error : known;
}

static int check_certificate(const gnutls_datum_t *pem) {
  gnutls_x509_crt_t *list = NULL;
  unsigned count = 0;
  int error = gnutls_x509_crt_list_import2(&list, &count, pem, GNUTLS_X509_FMT_PEM, 0);
  if (error < 0) return error;
  for (unsigned i = 0; i < count; i++) gnutls_x509_crt_deinit(list[i]);
  gnutls_free(list);
  return 0;
}

static int check_key(const gnutls_datum_t *pem) {
  gnutls_privkey_t key;
  int error = gnutls_privkey_init(&key);
  if (error < 0) return error;
  error = gnutls_privkey_import_x509_raw(key, pem, GNUTLS_X509_FMT_PEM, NULL, 0);
  gnutls_privkey_deinit(key);
  return error;
}

int sluice_tls_set_certificate(struct sluice_tls_credentials *credentials, const void *certificate,
                               size_t certificate_count, const void *key, size_t key_count,
                               enum sluice_tls_fault *fault) {
  gnutls_datum_t certificate_datum, key_datum;
  // Each by itself first: GnuTLS does not tell which of the two it does not like.
  *fault = SLUICE_TLS_FAULT_CERTIFICATE;
  int error = as_datum(certificate, certificate_count, &certificate_datum);
  if (error == 0) error = check_certificate(&certificate_datum);
  if (error < 0) return error;
  *fault = SLUICE_TLS_FAULT_KEY;
  error = as_datum(key, key_count, &key_datum);
  if (error == 0) error = check_key(&key_datum);
  if (error < 0) return error;
  *fault = SLUICE_TLS_FAULT_PAIR;
  error = gnutls_certificate_set_x509_key_mem(credentials->held, &certificate_datum, &key_datum, GNUTLS_X509_FMT_PEM);
  if (error < 0) return error;
  *fault = SLUICE_TLS_FAULT_NONE;
  return 0;
}

void sluice_tls_wipe(void *bytes, size_t count) { explicit_bzero(bytes, count); }

#endif
