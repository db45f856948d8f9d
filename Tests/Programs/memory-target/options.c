#define _GNU_SOURCE
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "churn.h"
#include "mapping.h"
#include "writers.h"

static const char HELP[] =
    "Usage: memory-target [OPTION]...\n"
    "A process whose memory is checked by itself: a test subject for programs that copy memory.\n"
    "\n"
    "  --size SIZE            memory of the main area (suffix K, M, G or T; default 64M)\n"
    "  --memory KIND          what it is made of: private (default) or shared anonymous memory, memfd, sysv, hugetlb\n"
    "  --write-rate N|max     pages of it rewritten per second, at random positions (default 0)\n"
    "  --writers N            threads that rewrite (default 1)\n"
    "  --layout dense|alternate  populate every page, or every other one (default dense)\n"
    "  --huge-pages yes|no    advise for or against transparent huge pages (default: the system's)\n"
    "  --random               pseudo-random content\n"
    "  --vmas N               N more one-page mappings that cannot merge\n"
    "  --sparse SIZE --sparse-pages N  a mapping of SIZE with N populated pages\n"
    "  --churn N              N threads that change mappings of their own as fast as they can\n"
    "  --odd                  one region of every odd kind (PROT_NONE, copied file pages, zero pages, ...)\n"
    "  --odd-file PATH        where --odd puts its file (default: the status file's name + \".odd\"); it is kept\n"
    "  --remap                mappings that come, move, change and go at random all the while\n"
    "  --sleepers N           N more threads, which do nothing\n"
    "  --status FILE          append status lines here (default: standard output)\n"
    "  --seconds N            exit after N seconds of running (default 600)\n"
    "  --help\n"
    "\n"
    "Status lines: \"ready pid=N\" when all is populated; \"failed TEXT\" if that is impossible.\n"
    "With --churn, \"ready\" also tells where it changes mappings, and where the pages of --vmas are.\n"
    "  SIGUSR1  check all memory: \"check ok pages=N generation=N writes=N longest_stall_us=N\" (with\n"
    "           --remap also \"remaps=N\", its operations) or \"check FAILED TEXT\"\n"
    "  SIGUSR2  forget the longest stall and the write count: \"reset\"\n"
    "  SIGHUP   execute the program anew, with the same options; \"ready\" is said again\n"
    "  SIGTERM  exit\n"
    "\n"
    "Exit codes: 0 ended by SIGTERM or --seconds; 1 a system call failed; 2 wrong usage.\n";

static _Noreturn void usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
static _Noreturn void usage_error(const char *format, ...) {
    va_list arguments;
    fputs("memory-target: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs(" (see --help)\n", stderr);
    exit(2);
}

static uint64_t number(const char *option, const char *text, char **end) {
    errno = 0;
    unsigned long long value = strtoull(text, end, 10);
    if (!isdigit((unsigned char)text[0]) || errno != 0)
        usage_error("--%s: \"%s\" is not a number", option, text);
    return value;
}

static uint64_t plain_number(const char *option, const char *text, uint64_t least, uint64_t most) {
    char *end;
    uint64_t value = number(option, text, &end);
    if (*end != 0)
        usage_error("--%s: \"%s\" is not a number", option, text);
    if (value < least || value > most)
        usage_error("--%s: %s is not between %llu and %llu", option, text, (unsigned long long)least, (unsigned long long)most);
    return value;
}

static uint64_t size(const char *option, const char *text) {
    static const char suffixes[] = "KMGT";
    char *end;
    uint64_t value = number(option, text, &end);
    const char *suffix = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
    if (*end != 0 && (!suffix || end[1] != 0))
        usage_error("--%s: \"%s\" is not a size (a number, then K, M, G or T)", option, text);
    unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
    // 2^47 bytes are more than a process can map, and leave room for later sums.
    if (value > (UINT64_C(1) << 47) >> shift)
        usage_error("--%s: %s is more than a process can map", option, text);
    return value << shift;
}

static unsigned choice(const char *option, const char *text, const char *const choices[2]) {
    for (unsigned at = 0; at < 2; at++)
        if (strcmp(text, choices[at]) == 0)
            return at;
    usage_error("--%s: \"%s\" is neither %s nor %s", option, text, choices[0], choices[1]);
}

static enum backing backing(const char *option, const char *text) {
    for (unsigned at = 0; at < BACKING_COUNT; at++)
        if (strcmp(text, BACKING_NAMES[at]) == 0)
            return at;
    usage_error("--%s: \"%s\" is no kind of memory", option, text);
}

enum option_code { SIZE = 256, MEMORY, RATE, WRITERS, LAYOUT, HUGE_PAGES, RANDOM, VMAS, SPARSE, SPARSE_PAGES, CHURN, REMAP, SLEEPERS, ODD, ODD_FILE, STATUS, SECONDS, HELP_OPTION };

static const struct option OPTIONS[] = {
    {"size", required_argument, NULL, SIZE},
    {"memory", required_argument, NULL, MEMORY},
    {"write-rate", required_argument, NULL, RATE},
    {"writers", required_argument, NULL, WRITERS},
    {"layout", required_argument, NULL, LAYOUT},
    {"huge-pages", required_argument, NULL, HUGE_PAGES},
    {"random", no_argument, NULL, RANDOM},
    {"vmas", required_argument, NULL, VMAS},
    {"sparse", required_argument, NULL, SPARSE},
    {"sparse-pages", required_argument, NULL, SPARSE_PAGES},
    {"churn", required_argument, NULL, CHURN},
    {"odd", no_argument, NULL, ODD},
    {"odd-file", required_argument, NULL, ODD_FILE},
    {"remap", no_argument, NULL, REMAP},
    {"sleepers", required_argument, NULL, SLEEPERS},
    {"status", required_argument, NULL, STATUS},
    {"seconds", required_argument, NULL, SECONDS},
    {"help", no_argument, NULL, HELP_OPTION},
    {NULL, 0, NULL, 0},
};

static void copy_path(struct options *options, const char *path, const char *ending) {
    if (snprintf(options->odd_path, sizeof options->odd_path, "%s%s", path, ending) >= (int)sizeof options->odd_path)
        usage_error("--odd-file: the path is too long");
}

static void take(struct options *options, int code, const char *name, const char *value) {
    static const char *const layouts[] = {"dense", "alternate"}, *const yes_no[] = {"yes", "no"};
    switch ((enum option_code)code) {
    case SIZE: options->size = size(name, value); break;
    case MEMORY: options->backing = backing(name, value); break;
    case RATE:
        options->pages_per_second = strcmp(value, "max") == 0 ? UNLIMITED_RATE : (double)plain_number(name, value, 0, 1000000000);
        break;
    case WRITERS: options->writers = (unsigned)plain_number(name, value, 1, MAX_WRITERS); break;
    case LAYOUT: options->layout = choice(name, value, layouts) ? LAYOUT_ALTERNATE : LAYOUT_DENSE; break;
    case HUGE_PAGES: options->huge_pages = choice(name, value, yes_no) ? HUGE_PAGES_NO : HUGE_PAGES_YES; break;
    case RANDOM: options->random = true; break;
    case VMAS: options->vmas = plain_number(name, value, 0, 10000000); break;
    case SPARSE: options->sparse_size = size(name, value); break;
    case SPARSE_PAGES: options->sparse_pages = plain_number(name, value, 0, UINT32_MAX); break;
    case CHURN: options->churners = (unsigned)plain_number(name, value, 0, MAX_CHURNERS); break;
    case ODD: options->odd = true; break;
    case ODD_FILE: copy_path(options, value, ""); break;
    case REMAP: options->remap = true; break;
    case SLEEPERS: options->sleepers = plain_number(name, value, 0, 100000); break;
    case STATUS: options->status_path = value; break;
    case SECONDS: options->seconds = plain_number(name, value, 1, UINT32_MAX); break;
    case HELP_OPTION: fputs(HELP, stdout); exit(0);
    }
}

static void check_together(struct options *options, uint64_t page) {
    if (options->sparse_size < page && options->sparse_pages > 0)
        usage_error("--sparse-pages needs --sparse SIZE");
    if (options->sparse_pages > options->sparse_size / page)
        usage_error("--sparse-pages: more pages than --sparse SIZE has");
    if (options->odd_path[0] && !options->odd)
        usage_error("--odd-file needs --odd");
    if (!options->odd || options->odd_path[0])
        return;
    if (!options->status_path)
        usage_error("--odd needs --odd-file or --status");
    copy_path(options, options->status_path, ".odd");
}

struct options options_parse(int count, char **arguments) {
    struct options options = {.size = UINT64_C(64) << 20, .writers = 1, .seconds = 600};
    int code, at = 0;
    opterr = 0;
    while ((code = getopt_long(count, arguments, ":", OPTIONS, &at)) != -1) {
        if (code == '?' || code == ':')
            usage_error("%s \"%s\"", code == '?' ? "unknown option" : "a value is missing after", arguments[optind - 1]);
        take(&options, code, OPTIONS[at].name, optarg);
    }
    if (optind < count)
        usage_error("unexpected argument \"%s\"", arguments[optind]);
    check_together(&options, page_size());
    return options;
}
