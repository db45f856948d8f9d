// trial-target: a process that goes through a trial, and tells whether anything happened to it meanwhile that should not
// have: lost or changed memory, system calls that ended early, wrong times, lost or extra signals, changed registers, a
// handler of SIGTRAP that is no longer its own, a stray descriptor. For tests of programs that copy memory, stop threads
// or run system calls in them.
//
//   trial-target TRIAL [OPTION]...      --help lists both
//
// There are two processes: the subject, which goes through the trial and is the one to be copied, and its keeper, which
// starts it, wakes it where it waits, and speaks for it. The keeper says "ready pid=PID", with the subject's pid and, where
// there is memory that stays, area=START-END, once. Then it obeys lines on standard input:
//
//   check    the subject looks through all its memory -> "ok turns=N work=N interrupted=N latest_us=N", or
//            "harmed TEXT", or "ended TEXT" if the subject is gone, or "stuck" if it does not go on for a minute
//
// `interrupted` counts system calls that ended with EINTR though nobody sent a signal: some calls do so whenever a thread is
// stopped. `latest_us` is how much later than asked a sleep ended. Both end when standard input does.
//
// Exit codes: 0; 1 a system call failed; 2 wrong usage; 77 the trial is not possible here.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "filter.h"
#include "options.h"
#include "self.h"
#include "shared.h"
#include "trials.h"

static const int64_t PATIENCE_US = 60 * 1000000;

static struct {
  pid_t subject;
  const struct trial *trial;
  const struct settings *settings;
  int exit_code; // of a subject that has ended
  int64_t next_wake; // 0: it is not known to wait
  bool is_checking;
  uint64_t turns_before;
  int64_t check_began;
} keeper;

static void (*verify)(void);

void trial_begins(void (*verification)(void)) {
  verify = verification;
  self_remember();
  atomic_store(&shared->is_ready, true);
}

void turn_ends(void) {
  self_check();
  uint64_t wanted = atomic_load(&shared->checks_wanted);
  if (wanted != atomic_load(&shared->checks_done)) {
    if (verify != NULL) verify();
    atomic_store(&shared->checks_done, wanted);
  }
  atomic_fetch_add(&shared->turns, 1);
}

static _Noreturn void be_subject(pid_t parent, const struct options *options) {
  // It ends with its keeper.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) die("prctl");
  if (getppid() != parent) _exit(1);
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(nothing, 1) < 0) die("opening /dev/null");
  if (nothing > 2) close(nothing);
  filter_system_calls(options->filter);
  options->trial->run(&options->settings);
  die("a trial has ended");
}

// Whether the subject still runs; says it if not.
static bool is_alive(void) {
  int status;
  if (keeper.subject == 0 || waitpid(keeper.subject, &status, WNOHANG) == 0) return keeper.subject != 0;
  if (WIFSIGNALED(status))
    printf("ended by signal %d\n", WTERMSIG(status));
  else
    printf("ended with exit code %d\n", WEXITSTATUS(status));
  fflush(stdout);
  keeper.subject = 0;
  keeper.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  return false;
}

static void answer_check(void) {
  if (atomic_load(&shared->harm_told))
    printf("harmed %s (and %" PRIu64 " more)\n", shared->first_harm, atomic_load(&shared->harms) - 1);
  else
    printf("ok turns=%" PRIu64 " work=%" PRIu64 " interrupted=%" PRIu64 " latest_us=%" PRIu64 "\n",
           atomic_load(&shared->turns), atomic_load(&shared->work), atomic_load(&shared->interrupted),
           atomic_load(&shared->latest_us));
  fflush(stdout);
  keeper.is_checking = false;
}

static void go_on_checking(void) {
  if (!keeper.is_checking) return;
  // A whole turn after the check: it does go on.
  if (atomic_load(&shared->checks_done) == atomic_load(&shared->checks_wanted) &&
      atomic_load(&shared->turns) >= keeper.turns_before + 2) {
    answer_check();
  } else if (now_us() - keeper.check_began > PATIENCE_US) {
    puts("stuck");
    fflush(stdout);
    keeper.is_checking = false;
  }
}

static void begin_check(void) {
  keeper.turns_before = atomic_load(&shared->turns);
  keeper.check_began = now_us();
  keeper.is_checking = true;
  atomic_fetch_add(&shared->checks_wanted, 1);
}

static void wake_if_due(void) {
  if (keeper.trial->wake == NULL) return;
  uint32_t wait = atomic_load(&shared->waits), woken = atomic_load(&shared->wakes);
  if (wait == woken) return;
  if (keeper.next_wake == 0)
    keeper.next_wake = now_us() + 1000 + (int64_t)(rand() % (int)keeper.settings->period_ms) * 1000;
  if (now_us() < keeper.next_wake) return;
  keeper.next_wake = 0;
  atomic_store(&shared->wakes, wait);
  keeper.trial->wake(keeper.subject, wait);
}

// False at the end of the input.
static bool obey(void) {
  char line[64];
  if (fgets(line, sizeof line, stdin) == NULL) return false;
  if (strcmp(line, "check\n") != 0) {
    puts("failed no such command");
    fflush(stdout);
  } else if (is_alive()) {
    begin_check();
  }
  return true;
}

static void tell_ready(void) {
  printf("ready pid=%d", (int)keeper.subject);
  if (atomic_load(&shared->area_end) != 0)
    printf(" area=0x%" PRIx64 "-0x%" PRIx64, atomic_load(&shared->area_start), atomic_load(&shared->area_end));
  putchar('\n');
  fflush(stdout);
}

static void keep(void) {
  struct pollfd input = {.fd = 0, .events = POLLIN};
  bool told = false;
  for (;;) {
    // A command at a time, and none while a check goes on: so stdio never has a second line in store.
    int ready = poll(keeper.is_checking ? NULL : &input, keeper.is_checking ? 0 : 1, 1);
    if (ready < 0 && errno != EINTR) die("poll");
    if (ready > 0 && !obey()) return;
    if (keeper.subject == 0) continue;
    if (!told && atomic_load(&shared->is_ready)) {
      tell_ready();
      told = true;
    }
    wake_if_due();
    if ((!told || keeper.is_checking) && !is_alive()) {
      if (!told) exit(keeper.exit_code);
      keeper.is_checking = false;
    }
    if (keeper.subject != 0) go_on_checking();
  }
}

int main(int count, char **arguments) {
  struct options options = options_parse(count, arguments);
  if (options.is_resumed) {
    // The subject, which has executed itself.
    shared_find();
    options.trial->run(&options.settings);
    die("a trial has ended");
  }
  // One line a read, so that poll sees the next one.
  setvbuf(stdin, NULL, _IONBF, 0);
  shared_make();
  // What was inherited is nobody's to lose.
  if (close_range(SHARED_DESCRIPTOR + 1, ~0U, 0) != 0) die("close_range");
  if (options.trial->prepare != NULL) options.trial->prepare(&options.settings);
  keeper.trial = options.trial;
  keeper.settings = &options.settings;
  pid_t own = getpid();
  keeper.subject = fork();
  if (keeper.subject < 0) die("fork");
  if (keeper.subject == 0) be_subject(own, &options);
  keep();
  if (keeper.subject != 0) kill(keeper.subject, SIGKILL);
  return 0;
}
