// What a process keeps unless somebody else changes it: its descriptors, the handler of SIGTRAP, its signal mask, its
// alternate stack.
#ifndef TRIAL_TARGET_SELF_H
#define TRIAL_TARGET_SELF_H

// Takes the present state for the right one.
void self_remember(void);

// Notes a harm for everything that is different. By the thread that remembered it.
void self_check(void);

#endif
