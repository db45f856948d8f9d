// A filter of system calls as a container has one.
#ifndef TRIAL_TARGET_FILTER_H
#define TRIAL_TARGET_FILTER_H

enum filter { FILTER_NONE, FILTER_KILLS, FILTER_REFUSES };

// From now on userfaultfd(2) kills this process, or is not permitted.
void filter_system_calls(enum filter filter);

#endif
