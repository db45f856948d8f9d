#define _GNU_SOURCE
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct trial *const LISTS[] = {writing_trials,  churn_trials,  huge_trials,  task_trials,     program_trials,
                                            direct_trials,   ring_trials,   aio_trials,   fault_trials,    blocked_trials,
                                            sleeping_trials, signal_trials, compute_trials, related_trials,
                                            growing_trials,  moving_trials,  merging_trials, marking_trials,  worker_trials};

static const char OPTIONS_HELP[] =
    "\n"
    "  --size SIZE        memory of the trial (suffix K, M or G; default 32M)\n"
    "  --huge             in transparent huge pages\n"
    "  --rate N           pages a second (default: as many as can be)\n"
    "  --count N          threads, children or requests at once (default 4)\n"
    "  --period MS        the longest wait (default 40)\n"
    "  --file PATH        for trials that read past the page cache: made there, and unlinked\n"
    "  --seccomp kill|errno   userfaultfd(2) kills the process, or is not permitted\n";

enum option_code { SIZE = 256, HUGE_PAGES, RATE, COUNT, PERIOD, FILE_PATH, SECCOMP, RESUMED, HELP };

static const struct option OPTIONS[] = {
    {"size", required_argument, NULL, SIZE},       {"huge", no_argument, NULL, HUGE_PAGES},
    {"rate", required_argument, NULL, RATE},       {"count", required_argument, NULL, COUNT},
    {"period", required_argument, NULL, PERIOD},   {"file", required_argument, NULL, FILE_PATH},
    {"seccomp", required_argument, NULL, SECCOMP}, {"resumed", no_argument, NULL, RESUMED},
    {"help", no_argument, NULL, HELP},             {NULL, 0, NULL, 0},
};

static _Noreturn void usage_error(const char *what, const char *text) {
  fprintf(stderr, "trial-target: %s: %s (see --help)\n", what, text);
  exit(2);
}

static unsigned long number(const char *text, const char *suffixes, const char *option) {
  char *end;
  unsigned long value = strtoul(text, &end, 10);
  const char *suffix = *end != 0 ? strchr(suffixes, *end) : NULL;
  if (end == text || value == 0 || value > 1UL << 40 || (*end != 0 && (suffix == NULL || end[1] != 0)))
    usage_error(option, "wants a number");
  return suffix == NULL ? value : value << 10 * (suffix - suffixes + 1);
}

static void print_help(void) {
  puts("Usage: trial-target TRIAL [OPTION]...\n");
  for (size_t list = 0; list < sizeof LISTS / sizeof *LISTS; list++)
    for (const struct trial *trial = LISTS[list]; trial->name != NULL; trial++) printf("  %-18s %s\n", trial->name, trial->what);
  fputs(OPTIONS_HELP, stdout);
}

static const struct trial *find(const char *name) {
  for (size_t list = 0; list < sizeof LISTS / sizeof *LISTS; list++)
    for (const struct trial *trial = LISTS[list]; trial->name != NULL; trial++)
      if (strcmp(trial->name, name) == 0) return trial;
  usage_error(name, "there is no such trial");
}

static enum filter filter_named(const char *name) {
  if (strcmp(name, "kill") == 0) return FILTER_KILLS;
  if (strcmp(name, "errno") == 0) return FILTER_REFUSES;
  usage_error("--seccomp", "kill or errno");
}

struct options options_parse(int count, char **arguments) {
  struct options options = {
      .settings = {.size = 32 << 20, .count = 4, .period_ms = 40, .arguments = arguments},
  };
  int code;
  while ((code = getopt_long(count, arguments, "", OPTIONS, NULL)) != -1) {
    switch (code) {
      case SIZE:
        // Whole huge pages.
        options.settings.size = (number(optarg, "KMG", "--size") + (2 << 20) - 1) & ~(size_t)((2 << 20) - 1);
        break;
      case HUGE_PAGES:
        options.settings.huge = true;
        break;
      case RATE:
        options.settings.rate = number(optarg, "", "--rate");
        break;
      case COUNT:
        options.settings.count = (unsigned)number(optarg, "", "--count");
        break;
      case PERIOD:
        options.settings.period_ms = (unsigned)number(optarg, "", "--period");
        break;
      case FILE_PATH:
        options.settings.file = optarg;
        break;
      case SECCOMP:
        options.filter = filter_named(optarg);
        break;
      case RESUMED:
        options.is_resumed = true;
        break;
      case HELP:
        print_help();
        exit(0);
      default:
        exit(2);
    }
  }
  if (optind + 1 != count) usage_error("usage", "one trial is wanted");
  options.trial = find(arguments[optind]);
  return options;
}
