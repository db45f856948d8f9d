// copy-holes: what bare-read's copy makes of pages that are gone when it comes to them.
//
//   copy-holes         reads ten pages of its own, of which the third to the fifth and the last two are unmapped
//                      -> "read=N vanished=N first=N last=N": pages, and the numbers found in those that were read last
//   copy-holes ended   reads a process that has ended, which fails
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../peers/bare-read/copy.h"
#include "../../peers/bare-read/die.h"

static char buffer[BUFFER_BYTES];

static pid_t ended_process(void) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    if (pid < 0 || waitpid(pid, NULL, 0) != pid)
        die("no process that ends");
    return pid;
}

int main(int count, char **arguments) {
    bool is_ended = count == 2 && arguments[1][0] == 'e';
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    char *area = mmap(NULL, 10 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED)
        die("mmap");
    for (uint64_t index = 0; index < 10; index++)
        area[index * page] = (char)(index + 1);
    if (munmap(area + 2 * page, 3 * page) != 0 || munmap(area + 8 * page, 2 * page) != 0)
        die("munmap");
    uint64_t start = (uint64_t)area;
    // One ends in the middle of the first hole and another begins there; the second hole is at the end of the last.
    struct run at[] = {{start, 3 * page}, {start + 3 * page, 3 * page}, {start + 6 * page, 4 * page}};
    struct runs runs = {at, 3, 3, 10 * page};
    struct share share = share_of(&runs, is_ended ? ended_process() : getpid(), 0, 1);
    struct copied copied = share_copy(&share, buffer);
    printf("read=%" PRIu64 " vanished=%" PRIu64, copied.bytes / page, copied.vanished_bytes / page);
    printf(" first=%d last=%d\n", buffer[0], buffer[2 * page]);
    return 0;
}
