#define _GNU_SOURCE
#include "status.h"

#include <errno.h>
#include <fcntl.h>

#include "raw.h"

// In a helper, too: no function of the C library.

static const char *find(const char *text, size_t length, const char *line, size_t line_length) {
  for (size_t at = 0; at + line_length <= length; at++)
    if (text[at] == line[0] && are_equal(text + at, line, line_length)) return text + at;
  return NULL;
}

// A line may be behind that of the groups, of which there may be 65536: so the file is read to its end, in parts of which
// each begins with the end of the one before.
int status_value(const char *path, const char *line, char *value) {
  char text[4096];
  size_t kept = 0, line_length = text_length(line);
  long file = RAW(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return file == -ENOENT ? -ESRCH : (int)file;
  int result = 0;
  *value = '\0';
  for (;;) {
    long got;
    do got = RAW(SYS_read, file, text + kept, sizeof text - kept);
    while (got == -EINTR);
    if (got <= 0) {
      result = (int)got;
      break;
    }
    size_t length = kept + (size_t)got;
    const char *found = find(text, length, line, line_length);
    if (found != NULL && found + line_length < text + length) {
      *value = found[line_length];
      break;
    }
    kept = length < line_length ? length : line_length;
    copy_bytes(text, text + length - kept, kept);
  }
  RAW(SYS_close, file);
  return result;
}

int dumps_core(pid_t pid) {
  char path[64], value;
  add_text(add_number(add_text(path, "/proc/"), (unsigned long)pid), "/status");
  int result = status_value(path, "\nCoreDumping:\t", &value);
  return result < 0 ? result : value == '1';
}
