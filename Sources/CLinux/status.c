#define _GNU_SOURCE
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

// A line may be behind that of the groups, of which there may be 65536: so the file is read to its end, in parts of which
// each begins with the end of the one before.
int status_value(const char *path, const char *line, char *value) {
  char text[4096];
  size_t kept = 0, line_length = strlen(line);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno == ENOENT ? -ESRCH : -errno;
  int result = 0;
  *value = '\0';
  for (;;) {
    ssize_t got = TEMP_FAILURE_RETRY(read(file, text + kept, sizeof text - kept));
    if (got <= 0) {
      if (got < 0) result = -errno;
      break;
    }
    size_t length = kept + (size_t)got;
    const char *found = memmem(text, length, line, line_length);
    if (found != NULL && found + line_length < text + length) {
      *value = found[line_length];
      break;
    }
    kept = length < line_length ? length : line_length;
    memmove(text, text + length - kept, kept);
  }
  close(file);
  return result;
}
