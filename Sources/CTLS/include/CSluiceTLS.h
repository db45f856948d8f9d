// TLS with certificates at both ends, by GnuTLS, over a socket that somebody else owns. Every function returns a negative
// number on failure: one of GnuTLS', or one of those in sluice_tls_errors.h. Nothing here is global but what GnuTLS itself
// has, and no header of GnuTLS' is needed to use it.
//
// Built without SLUICE_TLS the functions are there and fail with SLUICE_TLS_ABSENT.
#ifndef CSLUICETLS_H
#define CSLUICETLS_H

#include "sluice_tls_credentials.h"
#include "sluice_tls_errors.h"
#include "sluice_tls_session.h"

#endif
