#define _GNU_SOURCE
#include "message.h"

#include <stddef.h>

static bool take_varint(struct message *message, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; shift < 64 && message->at < message->end; shift += 7) {
        uint64_t byte = *message->at++;
        // The tenth byte has room for one bit.
        if (shift == 63 && byte > 1)
            return false;
        *value |= (byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool skip(struct message *message, uint64_t length) {
    if (length > (uint64_t)(message->end - message->at))
        return false;
    message->at += length;
    return true;
}

static bool take_value(struct message *message, struct field *field) {
    uint64_t length;
    field->value = 0;
    switch (field->type) {
    case WIRE_VARINT: return take_varint(message, &field->value);
    case WIRE_FIXED64: return skip(message, 8);
    case WIRE_FIXED32: return skip(message, 4);
    case WIRE_BYTES: return take_varint(message, &length) && skip(message, length);
    }
    return false; // groups, and types nobody has defined
}

enum message_step message_next(struct message *message, struct field *field) {
    uint64_t key;
    if (message->at == message->end)
        return MESSAGE_END;
    if (!take_varint(message, &key))
        return MESSAGE_BROKEN;
    field->number = key >> 3;
    field->type = (enum wire_type)(key & 7);
    if (field->number == 0 || field->number > 0x1fffffff)
        return MESSAGE_BROKEN;
    return take_value(message, field) ? MESSAGE_FIELD : MESSAGE_BROKEN;
}
