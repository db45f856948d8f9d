#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "helper.h"
#include "raw.h"

// In a helper, too: no function of the C library.

static void begin(struct msghdr *message, struct iovec *part) {
  clear_bytes(message, sizeof *message);
  message->msg_iov = part;
  message->msg_iovlen = 1;
}

int send_message(int socket, const void *bytes, size_t length, int file) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof file)];
  struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
  struct msghdr message;
  begin(&message, &part);
  if (file >= 0) {
    clear_bytes(control, sizeof control);
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof file);
    copy_bytes(CMSG_DATA(header), &file, sizeof file);
  }
  long result;
  do result = RAW(SYS_sendmsg, socket, &message, MSG_NOSIGNAL);
  while (result == -EINTR);
  return result < 0 ? (int)result : 0;
}

int receive_message(int socket, void *bytes, size_t length, int *file) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof *file)];
  struct iovec part = {.iov_base = bytes, .iov_len = length};
  struct msghdr message;
  begin(&message, &part);
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  *file = -1;
  long got;
  do got = RAW(SYS_recvmsg, socket, &message, MSG_CMSG_CLOEXEC);
  while (got == -EINTR);
  if (got < 0) return (int)got;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header && header->cmsg_type == SCM_RIGHTS) copy_bytes(file, CMSG_DATA(header), sizeof *file);
  return (size_t)got == length ? 0 : -EPIPE;
}
