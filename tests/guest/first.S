// SPDX-License-Identifier: Apache-2.0
// A guest of a few instructions, which tells when a VMM has got to the first of them: it puts one
// character out at 0x9000000, where microvm and QEMU's "virt" have a PL011, and powers off.

    .globl _start
_start:
    b 1f
    nop
    .quad 0                            // text_offset
    .quad 0x1000                       // image_size
    .quad 0xa                          // little endian, 4 KiB pages, anywhere in memory
    .quad 0, 0, 0
    .ascii "ARM\x64"
    .long 0
1:  mov x0, #0x9000000
    mov w1, #'!'
    str w1, [x0]
    mov x0, #0x0008
    movk x0, #0x8400, lsl #16          // PSCI SYSTEM_OFF (Arm DEN 0022, 5.10)
    hvc #0
2:  b 2b
