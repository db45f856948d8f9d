#ifndef IMAGE_COMPARE_INVENTORY_H
#define IMAGE_COMPARE_INVENTORY_H

#include <stdint.h>

// Checks the form of inventory.img and reports what is wrong. Returns dump_uptime in microseconds, 0 if there is none.
uint64_t inventory_check(int descriptor, const char *name);

#endif
