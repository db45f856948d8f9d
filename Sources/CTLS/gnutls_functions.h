// GnuTLS, which is loaded when the first certificate is read: a program that encrypts nothing does not pay for it, in memory
// and at its start, and goes without where it is not installed.
#ifndef SLUICE_GNUTLS_H
#define SLUICE_GNUTLS_H

#if !__has_include(<gnutls/gnutls.h>)
#error "GnuTLS is missing: install Debian's package libgnutls28-dev, or leave out the trait TLS"
#endif
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

/// The functions that are used.
#define SLUICE_GNUTLS_FUNCTIONS(_) \
  _(gnutls_alert_get) \
  _(gnutls_alert_get_name) \
  _(gnutls_alert_send) \
  _(gnutls_alert_send_appropriate) \
  _(gnutls_bye) \
  _(gnutls_certificate_allocate_credentials) \
  _(gnutls_certificate_free_credentials) \
  _(gnutls_certificate_get_peers) \
  _(gnutls_certificate_get_trust_list) \
  _(gnutls_certificate_send_x509_rdn_sequence) \
  _(gnutls_certificate_server_set_request) \
  _(gnutls_certificate_set_x509_crl_mem) \
  _(gnutls_certificate_set_x509_key_mem) \
  _(gnutls_certificate_set_x509_system_trust) \
  _(gnutls_certificate_set_x509_trust_mem) \
  _(gnutls_certificate_verification_status_print) \
  _(gnutls_credentials_set) \
  _(gnutls_deinit) \
  _(gnutls_handshake) \
  _(gnutls_init) \
  _(gnutls_privkey_deinit) \
  _(gnutls_privkey_import_x509_raw) \
  _(gnutls_privkey_init) \
  _(gnutls_record_check_pending) \
  _(gnutls_record_get_max_size) \
  _(gnutls_record_recv) \
  _(gnutls_record_send) \
  _(gnutls_session_get_verify_cert_status) \
  _(gnutls_session_set_verify_cert) \
  _(gnutls_set_default_priority) \
  _(gnutls_strerror) \
  _(gnutls_transport_set_errno) \
  _(gnutls_transport_set_ptr) \
  _(gnutls_transport_set_pull_function) \
  _(gnutls_transport_set_pull_timeout_function) \
  _(gnutls_transport_set_push_function) \
  _(gnutls_x509_crl_deinit) \
  _(gnutls_x509_crl_get_raw_issuer_dn) \
  _(gnutls_x509_crl_list_import2) \
  _(gnutls_x509_crt_deinit) \
  _(gnutls_x509_crt_get_dn_by_oid) \
  _(gnutls_x509_crt_import) \
  _(gnutls_x509_crt_init) \
  _(gnutls_x509_crt_list_import2) \
  _(gnutls_x509_trust_list_get_issuer_by_dn)

#define SLUICE_GNUTLS_POINTER(name) __typeof__(&name) name##_;
struct sluice_gnutls {
  SLUICE_GNUTLS_FUNCTIONS(SLUICE_GNUTLS_POINTER)
  gnutls_free_function *free_;
};
#undef SLUICE_GNUTLS_POINTER

/// Those of the library, once `load_gnutls` has succeeded.
extern struct sluice_gnutls sluice_gnutls;

/// Loads the library. 0, or SLUICE_TLS_NOT_INSTALLED where it is not to be had; any thread may call, and more than once.
int load_gnutls(void);

#ifndef SLUICE_GNUTLS_LOADER
#define gnutls_alert_get (*sluice_gnutls.gnutls_alert_get_)
#define gnutls_alert_get_name (*sluice_gnutls.gnutls_alert_get_name_)
#define gnutls_alert_send (*sluice_gnutls.gnutls_alert_send_)
#define gnutls_alert_send_appropriate (*sluice_gnutls.gnutls_alert_send_appropriate_)
#define gnutls_bye (*sluice_gnutls.gnutls_bye_)
#define gnutls_certificate_allocate_credentials (*sluice_gnutls.gnutls_certificate_allocate_credentials_)
#define gnutls_certificate_free_credentials (*sluice_gnutls.gnutls_certificate_free_credentials_)
#define gnutls_certificate_get_peers (*sluice_gnutls.gnutls_certificate_get_peers_)
#define gnutls_certificate_get_trust_list (*sluice_gnutls.gnutls_certificate_get_trust_list_)
#define gnutls_certificate_send_x509_rdn_sequence (*sluice_gnutls.gnutls_certificate_send_x509_rdn_sequence_)
#define gnutls_certificate_server_set_request (*sluice_gnutls.gnutls_certificate_server_set_request_)
#define gnutls_certificate_set_x509_crl_mem (*sluice_gnutls.gnutls_certificate_set_x509_crl_mem_)
#define gnutls_certificate_set_x509_key_mem (*sluice_gnutls.gnutls_certificate_set_x509_key_mem_)
#define gnutls_certificate_set_x509_system_trust (*sluice_gnutls.gnutls_certificate_set_x509_system_trust_)
#define gnutls_certificate_set_x509_trust_mem (*sluice_gnutls.gnutls_certificate_set_x509_trust_mem_)
#define gnutls_certificate_verification_status_print (*sluice_gnutls.gnutls_certificate_verification_status_print_)
#define gnutls_credentials_set (*sluice_gnutls.gnutls_credentials_set_)
#define gnutls_deinit (*sluice_gnutls.gnutls_deinit_)
#define gnutls_handshake (*sluice_gnutls.gnutls_handshake_)
#define gnutls_init (*sluice_gnutls.gnutls_init_)
#define gnutls_privkey_deinit (*sluice_gnutls.gnutls_privkey_deinit_)
#define gnutls_privkey_import_x509_raw (*sluice_gnutls.gnutls_privkey_import_x509_raw_)
#define gnutls_privkey_init (*sluice_gnutls.gnutls_privkey_init_)
#define gnutls_record_check_pending (*sluice_gnutls.gnutls_record_check_pending_)
#define gnutls_record_get_max_size (*sluice_gnutls.gnutls_record_get_max_size_)
#define gnutls_record_recv (*sluice_gnutls.gnutls_record_recv_)
#define gnutls_record_send (*sluice_gnutls.gnutls_record_send_)
#define gnutls_session_get_verify_cert_status (*sluice_gnutls.gnutls_session_get_verify_cert_status_)
#define gnutls_session_set_verify_cert (*sluice_gnutls.gnutls_session_set_verify_cert_)
#define gnutls_set_default_priority (*sluice_gnutls.gnutls_set_default_priority_)
#define gnutls_strerror (*sluice_gnutls.gnutls_strerror_)
#define gnutls_transport_set_errno (*sluice_gnutls.gnutls_transport_set_errno_)
#define gnutls_transport_set_ptr (*sluice_gnutls.gnutls_transport_set_ptr_)
#define gnutls_transport_set_pull_function (*sluice_gnutls.gnutls_transport_set_pull_function_)
#define gnutls_transport_set_pull_timeout_function (*sluice_gnutls.gnutls_transport_set_pull_timeout_function_)
#define gnutls_transport_set_push_function (*sluice_gnutls.gnutls_transport_set_push_function_)
#define gnutls_x509_crl_deinit (*sluice_gnutls.gnutls_x509_crl_deinit_)
#define gnutls_x509_crl_get_raw_issuer_dn (*sluice_gnutls.gnutls_x509_crl_get_raw_issuer_dn_)
#define gnutls_x509_crl_list_import2 (*sluice_gnutls.gnutls_x509_crl_list_import2_)
#define gnutls_x509_crt_deinit (*sluice_gnutls.gnutls_x509_crt_deinit_)
#define gnutls_x509_crt_get_dn_by_oid (*sluice_gnutls.gnutls_x509_crt_get_dn_by_oid_)
#define gnutls_x509_crt_import (*sluice_gnutls.gnutls_x509_crt_import_)
#define gnutls_x509_crt_init (*sluice_gnutls.gnutls_x509_crt_init_)
#define gnutls_x509_crt_list_import2 (*sluice_gnutls.gnutls_x509_crt_list_import2_)
#define gnutls_x509_trust_list_get_issuer_by_dn (*sluice_gnutls.gnutls_x509_trust_list_get_issuer_by_dn_)
#undef gnutls_free
#define gnutls_free (*(*sluice_gnutls.free_))
#endif

#endif
