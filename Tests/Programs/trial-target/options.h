// What was asked for on the command line.
#ifndef TRIAL_TARGET_OPTIONS_H
#define TRIAL_TARGET_OPTIONS_H

#include <stdbool.h>

#include "filter.h"
#include "trials.h"

struct options {
  const struct trial *trial;
  struct settings settings;
  enum filter filter;
  bool is_resumed;  // by the subject itself, after an exec
};

// Exits if it is wrong.
struct options options_parse(int count, char **arguments);

#endif
