// Stands before the library's own header, which generated code includes by this name: where that is missing, what is to be
// installed is said.
#ifndef SLUICE_PROTOBUF_C_H
#define SLUICE_PROTOBUF_C_H

#if !__has_include_next(<protobuf-c/protobuf-c.h>)
#error "protobuf-c is missing: install Debian's package libprotobuf-c-dev"
#endif
#include_next <protobuf-c/protobuf-c.h>

#endif
