// Threads that change mappings of their own as fast as they can: map, unmap, move, shrink, protect, drop, guard and write them, and fork.
// Nothing in there is checked; the rest of memory must not suffer from what a dumper makes of it.
#ifndef MEMORY_TARGET_CHURN_H
#define MEMORY_TARGET_CHURN_H

enum { MAX_CHURNERS = 16 };

struct churn {
    void *base, *end;
    unsigned threads;
};

void churn_map(struct churn *churn);
void churn_start(const struct churn *churn);

#endif
