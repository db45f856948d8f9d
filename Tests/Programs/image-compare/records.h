// An image file: magic numbers, then records of a length and that many bytes. Read through a small buffer, from front to back.
#ifndef IMAGE_COMPARE_RECORDS_H
#define IMAGE_COMPARE_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"

enum { RECORDS_BUFFER = 64 * 1024, LONGEST_RECORD = 32 * 1024 };

struct records {
    int descriptor;
    const char *name; // for messages
    uint64_t position; // of the next byte in the file
    size_t at, end;    // what of the buffer is still unread
    unsigned char buffer[RECORDS_BUFFER];
    unsigned char record[LONGEST_RECORD];
};

void records_start(struct records *records, int descriptor, const char *name);
uint32_t records_magic(struct records *records, const char *what);

// False at the end of the file. The message is valid until the next call.
bool records_next(struct records *records, struct message *message);

#endif
