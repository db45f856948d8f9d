// The bytes of one protobuf message, field by field. Nothing outside [at, end) is ever looked at.
#ifndef IMAGE_COMPARE_MESSAGE_H
#define IMAGE_COMPARE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

struct message {
    const unsigned char *at, *end;
};

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct field {
    uint64_t number;
    enum wire_type type;
    uint64_t value; // of a varint; 0 for the other types, whose bytes are skipped
};

enum message_step { MESSAGE_FIELD, MESSAGE_END, MESSAGE_BROKEN };

enum message_step message_next(struct message *message, struct field *field);

#endif
