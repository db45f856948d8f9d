// Walks the process and the images together, in address order.
#ifndef IMAGE_COMPARE_COMPARE_H
#define IMAGE_COMPARE_COMPARE_H

#include <stdbool.h>

#include "chain.h"
#include "target.h"

struct compare_options {
    bool list, live, allow_extra_zero;
};

// Fills `report`, and prints what was let pass.
void compare(struct target *target, struct chain *chain, struct compare_options options);

#endif
