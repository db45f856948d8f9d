#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper.h"
#include "sluice_guard.h"

enum { HOLD = 'h', RELEASE = 'r', READY = 'y' };

// Takes a command, and the descriptor that comes with it, if one does.
static ssize_t take(int socket, char *command, int *file) {
  char control[CMSG_SPACE(sizeof *file)];
  struct iovec part = {.iov_base = command, .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t got = TEMP_FAILURE_RETRY(recvmsg(socket, &message, MSG_CMSG_CLOEXEC));
  struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
  if (header && header->cmsg_type == SCM_RIGHTS) memcpy(file, CMSG_DATA(header), sizeof *file);
  return got;
}

// The guard.
static _Noreturn void guard(int socket) {
  int held = -1;
  while (1) {
    char command = 0;
    int file = -1;
    if (take(socket, &command, &file) <= 0) break;
    if (held >= 0) close(held);
    held = command == HOLD ? file : -1;
    char ready = READY;
    if (TEMP_FAILURE_RETRY(send(socket, &ready, 1, MSG_NOSIGNAL)) != 1) break;
  }
  if (held >= 0) (void)!TEMP_FAILURE_RETRY(write(held, "0", 1));
  _exit(0);
}

int sluice_guard_start(void) { return start_helper("sluice-guard", guard); }

static int tell(int guard, char command, int file) {
  char control[CMSG_SPACE(sizeof file)] = {0};
  struct iovec part = {.iov_base = &command, .iov_len = 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (file >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof file);
    memcpy(CMSG_DATA(header), &file, sizeof file);
  }
  if (TEMP_FAILURE_RETRY(sendmsg(guard, &message, MSG_NOSIGNAL)) < 0) return -errno;
  char answer = 0;
  ssize_t got = TEMP_FAILURE_RETRY(recv(guard, &answer, 1, 0));
  if (got < 0) return -errno;
  return got == 1 && answer == READY ? 0 : -EPIPE;
}

int sluice_guard_hold(int guard, int file) { return tell(guard, HOLD, file); }

int sluice_guard_release(int guard) { return tell(guard, RELEASE, -1); }
