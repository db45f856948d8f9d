#define _GNU_SOURCE
#include "target.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "failure.h"

struct target {
    int pid, memory, states, frame_flags;
    uint64_t zero_frame; // 0: frame numbers are hidden
    FILE *mappings;
    char *line;
    size_t line_size;
    bool line_pending; // `line` was read and not used yet
};

enum { KPF_THP = 22, KPF_ZERO_PAGE = 24 };
static const uint64_t FRAME_MASK = (UINT64_C(1) << 55) - 1;

static int open_proc(int pid, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        fail_errno("cannot open %s", path);
    return descriptor;
}

static FILE *stream_proc(int pid, const char *name) {
    FILE *file = fdopen(open_proc(pid, name), "r");
    if (!file)
        fail_errno("cannot read /proc/%d/%s", pid, name);
    return file;
}

static char thread_state(int pid, int thread) {
    char name[32], content[1024];
    snprintf(name, sizeof name, "task/%d/stat", thread);
    int descriptor = open_proc(pid, name);
    ssize_t length = read(descriptor, content, sizeof content - 1);
    if (length < 0)
        fail_errno("cannot read /proc/%d/%s", pid, name);
    close(descriptor);
    content[length] = 0;
    // The command name before it may itself contain parentheses and blanks.
    const char *end = strrchr(content, ')');
    if (!end || end[1] != ' ' || end[2] == 0)
        fail("cannot understand /proc/%d/%s", pid, name);
    return end[2];
}

static void check_stopped(int pid) {
    DIR *threads = fdopendir(open_proc(pid, "task"));
    struct dirent *thread;
    if (!threads)
        fail_errno("cannot read /proc/%d/task", pid);
    while ((thread = readdir(threads))) {
        if (!isdigit((unsigned char)thread->d_name[0]))
            continue;
        int number = atoi(thread->d_name);
        char state = thread_state(pid, number);
        // A dead thread changes nothing any more.
        if (!strchr("TtZX", state))
            fail("thread %d of process %d is not stopped (state %c); stop it, or use --live", number, pid, state);
    }
    closedir(threads);
}

// The kernel maps one and the same page wherever private memory was only read.
static uint64_t own_zero_frame(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint64_t state = 0;
    // Three pages: whatever its alignment, no huge page fits, and the read maps a single page.
    unsigned char *memory = mmap(NULL, 3 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail_errno("mmap");
    (void)madvise(memory, 3 * page, MADV_NOHUGEPAGE);
    (void)*(volatile unsigned char *)memory;
    int states = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (states < 0)
        fail_errno("cannot open /proc/self/pagemap");
    if (pread(states, &state, sizeof state, (off_t)((uintptr_t)memory / page * sizeof state)) != sizeof state)
        fail_errno("cannot read /proc/self/pagemap");
    close(states);
    munmap(memory, 3 * page);
    return page_has(state, PAGE_PRESENT) ? state & FRAME_MASK : 0;
}

struct target *target_open(int pid, bool live) {
    struct target *target = allocate(sizeof *target);
    if (!live)
        check_stopped(pid);
    target->pid = pid;
    target->memory = open_proc(pid, "mem");
    target->states = open_proc(pid, "pagemap");
    // smaps rather than maps: the same lines, and the flags that tell hugetlb and device memory.
    target->mappings = stream_proc(pid, "smaps");
    target->zero_frame = own_zero_frame();
    target->frame_flags = target->zero_frame ? open("/proc/kpageflags", O_RDONLY | O_CLOEXEC) : -1;
    return target;
}

int target_vpid(int pid) {
    FILE *status = stream_proc(pid, "status");
    char line[512];
    int vpid = -1;
    while (fgets(line, sizeof line, status)) {
        if (strncmp(line, "NSpid:", 6) != 0)
            continue;
        char *last = strrchr(line, '\t');
        if (last)
            vpid = atoi(last + 1);
        break;
    }
    fclose(status);
    if (vpid <= 0)
        fail("cannot find NSpid in /proc/%d/status; give --vpid", pid);
    return vpid;
}

static bool next_line(struct target *target) {
    if (target->line_pending) {
        target->line_pending = false;
        return true;
    }
    ssize_t length = getline(&target->line, &target->line_size, target->mappings);
    if (length > 0 && target->line[length - 1] == '\n')
        target->line[length - 1] = 0;
    if (length < 0 && ferror(target->mappings))
        fail_errno("cannot read /proc/%d/smaps", target->pid);
    return length > 0;
}

struct header {
    uint64_t inode;
    unsigned device_major, device_minor;
};

static bool parse_header(const char *line, struct vma *vma, struct header *header) {
    int name_at = 0;
    int found = sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %x:%x %" SCNu64 " %n", &vma->start, &vma->end, vma->permissions,
                       &header->device_major, &header->device_minor, &header->inode, &name_at);
    if (found != 6 || name_at == 0)
        return false;
    snprintf(vma->name, sizeof vma->name, "%s", line[name_at] ? line + name_at : "(anonymous)");
    return true;
}

static bool flags_have(const char *flags, const char *flag) {
    for (const char *at = flags; (at = strstr(at, flag)); at++)
        if (at > flags && at[-1] == ' ' && (at[2] == ' ' || at[2] == 0))
            return true;
    return false;
}

static bool is_never_dumped_name(const char *name) {
    static const char *const names[] = {"[vvar]", "[vvar_vclock]", "[vsyscall]", "[uprobes]", "/[aio] (deleted)"};
    for (size_t at = 0; at < sizeof names / sizeof *names; at++)
        if (strcmp(name, names[at]) == 0)
            return true;
    return false;
}

static enum vma_class classify(const struct vma *vma, const struct header *header, const char *flags) {
    if (strcmp(vma->name, "[vdso]") == 0)
        return VMA_VDSO;
    if (is_never_dumped_name(vma->name) || vma->permissions[3] != 'p')
        return VMA_NEVER;
    // ht hugetlb; io, pf device memory
    if (flags_have(flags, "ht") || flags_have(flags, "io") || flags_have(flags, "pf"))
        return VMA_NEVER;
    if (flags_have(flags, "dp")) // MAP_DROPPABLE
        return VMA_EITHER;
    return header->inode != 0 ? VMA_PRIVATE_FILE : VMA_PRIVATE_ANONYMOUS;
}

bool target_next_vma(struct target *target, struct vma *vma) {
    struct header header, unused_header;
    struct vma unused;
    if (!next_line(target))
        return false;
    if (!parse_header(target->line, vma, &header))
        fail("cannot understand a line of /proc/%d/smaps: %s", target->pid, target->line);
    const char *flags = "";
    while (next_line(target)) {
        if (strncmp(target->line, "VmFlags:", 8) == 0) {
            flags = target->line;
            break;
        }
        if (parse_header(target->line, &unused, &unused_header)) {
            target->line_pending = true;
            break;
        }
    }
    vma->class = classify(vma, &header, flags);
    return true;
}

void target_page_states(const struct target *target, uint64_t start, uint64_t *states, size_t pages) {
    size_t wanted = pages * sizeof *states, done = 0;
    off_t offset = (off_t)(start / (uint64_t)sysconf(_SC_PAGESIZE) * sizeof *states);
    while (done < wanted) {
        ssize_t got = pread(target->states, (char *)states + done, wanted - done, offset + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            fail_errno("cannot read /proc/%d/pagemap", target->pid);
        if (got == 0)
            fail("/proc/%d/pagemap ends at 0x%" PRIx64 "; has the process died?", target->pid, start);
        done += (size_t)got;
    }
}

bool target_frames_visible(const struct target *target) { return target->zero_frame != 0; }

bool target_is_zero_page(const struct target *target, uint64_t state) {
    return target->zero_frame != 0 && page_has(state, PAGE_PRESENT) && (state & FRAME_MASK) == target->zero_frame;
}

bool target_is_huge_zero_page(const struct target *target, uint64_t state) {
    uint64_t flags, frame = state & FRAME_MASK;
    if (target->frame_flags < 0 || !page_has(state, PAGE_PRESENT) || frame == 0)
        return false;
    if (pread(target->frame_flags, &flags, sizeof flags, (off_t)(frame * sizeof flags)) != sizeof flags)
        return false;
    return (flags >> KPF_ZERO_PAGE & 1) && (flags >> KPF_THP & 1);
}

size_t target_read(const struct target *target, uint64_t address, void *into, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(target->memory, (char *)into + done, size - done, (off_t)(address + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}
