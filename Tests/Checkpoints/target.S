// The process of which the images in `small` are. It has two threads that compute without end, with values in every register
// that a reader can know: see README.md. No library, so that its images are small.
    .macro call number, a=0, b=0, c=0, d=0, e=0, f=0
    mov $\number, %eax
    movabs $\a, %rdi
    movabs $\b, %rsi
    mov $\c, %rdx
    mov $\d, %r10
    mov $\e, %r8
    mov $\f, %r9
    syscall
    .endm

    .macro map at, size, protection, flags
    // mmap: MAP_ANONYMOUS and MAP_FIXED_NOREPLACE beside the flags.
    call 9, \at, \size, \protection, (\flags | 0x100020), -1, 0
    .endm

    // Every register: the base plus its number.
    .macro fill base
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    mov $(\base + 0x100 + \n), %rax
    vpbroadcastq %rax, %zmm\n
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    mov $(\base + 0x200 + \n), %rax
    kmovq %rax, %k\n
    .endr
    fldpi
    mov $(\base + 1), %rax
    mov $(\base + 2), %rbx
    mov $(\base + 3), %rcx
    mov $(\base + 4), %rdx
    mov $(\base + 5), %rsi
    mov $(\base + 6), %rdi
    mov $(\base + 7), %rbp
    mov $(\base + 8), %r8
    mov $(\base + 9), %r9
    mov $(\base + 10), %r10
    mov $(\base + 11), %r11
    mov $(\base + 12), %r12
    mov $(\base + 13), %r13
    mov $(\base + 14), %r14
    mov $(\base + 15), %r15
    .endm

    .globl _start
    .text
_start:
    // Private memory of 64 pages, of which some are written.
    map 0x100000000, 0x40000, 3, 2
    .irp page, 3, 7, 8, 9
    movabs $(0x100000000 + \page * 0x1000), %rbx
    movq $(0x1000 + \page), (%rbx)
    .endr
    // 3 GiB of it, of which two pages are written, 2 GiB apart.
    map 0x200000000, 0xc0000000, 3, 0x4002
    movabs $0x200000000, %rbx
    movq $0x2001, (%rbx)
    movabs $0x280000000, %rbx
    movq $0x2002, 0x10(%rbx)
    // Shared memory of 16 pages, with its sixth written; mapped once.
    map 0x500000000, 0x10000, 3, 1
    movabs $0x500005000, %rbx
    movq $0x5005, (%rbx)
    // What it wants in no core: MADV_DONTDUMP.
    map 0x600000000, 0x4000, 3, 2
    movabs $0x600000000, %rbx
    movq $0x6001, (%rbx)
    mov $28, %eax
    mov %rbx, %rdi
    mov $0x4000, %esi
    mov $16, %edx
    syscall
    // Reserved and never touched.
    map 0x700000000, 0x4000000, 0, 0x4002
    // The second thread, on a stack of its own: CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS.
    map 0x900000000, 0x4000, 3, 2
    mov $56, %eax
    mov $0xd0f00, %edi
    movabs $0x900003ff0, %rsi
    xor %edx, %edx
    xor %r10d, %r10d
    movabs $0x900000010, %r8
    syscall
    test %eax, %eax
    jz second
    mov %eax, %r12d
    // rt_sigprocmask(SIG_BLOCK, SIGUSR2 | SIGTERM), for the first thread alone; tgkill(SIGUSR2): it waits.
    lea blocked(%rip), %rsi
    mov $14, %eax
    xor %edi, %edi
    xor %edx, %edx
    mov $8, %r10d
    syscall
    mov $39, %eax
    syscall
    mov %eax, %edi
    mov %eax, %esi
    mov $12, %edx
    mov $234, %eax
    syscall
    // arch_prctl(ARCH_SET_FS)
    mov $158, %eax
    mov $0x1002, %edi
    movabs $0x100003100, %rsi
    syscall
    mov $1, %eax
    mov $1, %edi
    lea ready(%rip), %rsi
    mov $6, %edx
    syscall
    fill 0x1111000000000000
    jmp .
second:
    fill 0x2222000000000000
    jmp .

    .section .rodata
blocked:
    .quad 1 << 11 | 1 << 14
ready:
    .ascii "ready\n"
    .section .note.GNU-stack, "", @progbits
