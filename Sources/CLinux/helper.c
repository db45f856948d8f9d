#define _GNU_SOURCE
#include "helper.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"

static _Noreturn void run(int socket, const char *name, void (*body)(int socket)) {
  // Whatever ends a terminal's or a service's programs is not meant for a helper, which ends by itself.
  setsid();
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  prctl(PR_SET_NAME, name, 0, 0, 0);
  // Nothing else is kept open: a pipe would never end for its reader, nor a lock be let go of.
  if (socket != 0) dup2(socket, 0);
  close_range(1, ~0U, 0);
  body(0);
  _exit(0);
}

int start_helper(const char *name, void (*body)(int socket)) {
  int sockets[2];
  if (FAULTY(SLUICE_FAULT_GUARD, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets)) < 0) return -errno;
  // Twice: so it is nobody's child, and nobody need wait for it.
  pid_t child = fork();
  if (child == 0) {
    pid_t grandchild = fork();
    if (grandchild == 0) run(sockets[1], name, body);
    _exit(grandchild < 0 ? errno : 0);
  }
  int error = child < 0 ? errno : 0;
  close(sockets[1]);
  if (child > 0) {
    int status = 0;
    if (TEMP_FAILURE_RETRY(waitpid(child, &status, 0)) == child && WIFEXITED(status)) error = WEXITSTATUS(status);
  }
  if (error == 0) return sockets[0];
  close(sockets[0]);
  return -error;
}

int send_message(int socket, const void *bytes, size_t length, int file) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof file)] = {0};
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
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
  return TEMP_FAILURE_RETRY(sendmsg(socket, &message, MSG_NOSIGNAL)) < 0 ? -errno : 0;
}

int receive_message(int socket, void *bytes, size_t length, int *file) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof *file)];
  struct iovec part = {.iov_base = bytes, .iov_len = length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  *file = -1;
  ssize_t got = TEMP_FAILURE_RETRY(recvmsg(socket, &message, MSG_CMSG_CLOEXEC));
  if (got < 0) return -errno;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header && header->cmsg_type == SCM_RIGHTS) memcpy(file, CMSG_DATA(header), sizeof *file);
  return (size_t)got == length ? 0 : -EPIPE;
}
