// image-compare: says whether CRIU images hold exactly the memory of a stopped process. The independent reader: it shares no code with
// Sluice and uses no protobuf library, so that a mistake in Sluice's reading cannot hide one in its writing.
//
// Exit codes: 0 the images are right; 1 they differ from the process or have errors of form; 2 wrong usage, an unreadable process, or images
// so broken that they cannot be compared.
#define _GNU_SOURCE
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"
#include "compare.h"
#include "failure.h"
#include "report.h"
#include "target.h"

static const char HELP[] =
    "Usage: image-compare --pid PID --images DIR [OPTION]...\n"
    "Compares the memory of a stopped process with its CRIU pre-dump images, and checks the form of the images.\n"
    "\n"
    "  --pid PID            the process; it must be stopped\n"
    "  --images DIR         the images; parents are followed by their \"parent\" links\n"
    "  --vpid N             the number in pagemap-N.img (default: the pid in the process's own namespace)\n"
    "  --list               print one line for each mapping\n"
    "  --live               the process may run (differences are then to be expected)\n"
    "  --allow-extra-zero   pages in the images without need are no difference if they are all zero\n"
    "  --help\n"
    "\n"
    "Prints a line for each kind of difference, then a summary:\n"
    "  expected=N in_images=N equal=N differing=N missing=N extra=N form_errors=N\n"
    "\n"
    "Exit codes: 0 the images are right; 1 they differ, or have errors of form; 2 wrong usage, an unreadable process,\n"
    "or images so broken that they cannot be compared.\n";

struct options {
    int pid, vpid;
    const char *images;
    struct compare_options compare;
};

static int positive_number(const char *option, const char *text) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == 0 || *end != 0 || value <= 0 || value > INT_MAX)
        fail("--%s: \"%s\" is not a positive number (see --help)", option, text);
    return (int)value;
}

enum option_code { PID = 256, IMAGES, VPID, LIST, LIVE, ALLOW_EXTRA_ZERO, HELP_OPTION };

static const struct option OPTIONS[] = {
    {"pid", required_argument, NULL, PID},
    {"images", required_argument, NULL, IMAGES},
    {"vpid", required_argument, NULL, VPID},
    {"list", no_argument, NULL, LIST},
    {"live", no_argument, NULL, LIVE},
    {"allow-extra-zero", no_argument, NULL, ALLOW_EXTRA_ZERO},
    {"help", no_argument, NULL, HELP_OPTION},
    {NULL, 0, NULL, 0},
};

static void take(struct options *options, int code) {
    switch ((enum option_code)code) {
    case PID: options->pid = positive_number("pid", optarg); break;
    case IMAGES: options->images = optarg; break;
    case VPID: options->vpid = positive_number("vpid", optarg); break;
    case LIST: options->compare.list = true; break;
    case LIVE: options->compare.live = true; break;
    case ALLOW_EXTRA_ZERO: options->compare.allow_extra_zero = true; break;
    case HELP_OPTION: fputs(HELP, stdout); exit(0);
    }
}

static struct options parse(int count, char **arguments) {
    struct options options = {0};
    int code;
    opterr = 0;
    while ((code = getopt_long(count, arguments, ":", OPTIONS, NULL)) != -1) {
        if (code == '?' || code == ':')
            fail("%s \"%s\" (see --help)", code == '?' ? "unknown option" : "a value is missing after", arguments[optind - 1]);
        take(&options, code);
    }
    if (optind < count)
        fail("unexpected argument \"%s\" (see --help)", arguments[optind]);
    if (!options.pid || !options.images)
        fail("--pid and --images are needed (see --help)");
    return options;
}

int main(int count, char **arguments) {
    struct options options = parse(count, arguments);
    struct target *target = target_open(options.pid, options.compare.live);
    int vpid = options.vpid ? options.vpid : target_vpid(options.pid);
    struct chain *chain = chain_open(options.images, vpid);
    compare(target, chain, options.compare);
    bool right = report_print();
    if (fflush(stdout) != 0)
        fail_errno("cannot write the result");
    return right ? 0 : 1;
}
