// SPDX-License-Identifier: Apache-2.0
// Exception vectors of EL1 (Arm ARM, D1.4.1). Only "current EL with SP_ELx" can happen; anything
// else is reported as unexpected. The frame's layout is ExceptionFrame in exceptions.h.

#define FRAME_SIZE 272
#define FRAME_X30 240                  // x30, then the time stamp
#define FRAME_ELR 256                  // ELR, then SPSR

    .macro save_caller_registers
    stp x2, x3, [sp, #16]
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    .endm

    .macro restore_caller_registers
    ldp x2, x3, [sp, #16]
    ldp x4, x5, [sp, #32]
    ldp x6, x7, [sp, #48]
    ldp x8, x9, [sp, #64]
    ldp x10, x11, [sp, #80]
    ldp x12, x13, [sp, #96]
    ldp x14, x15, [sp, #112]
    ldp x16, x17, [sp, #128]
    .endm

    .macro unexpected kind
    .balign 128
    stp x0, x1, [sp, #-FRAME_SIZE]!
    mov x1, #\kind
    b full_frame
    .endm

    .text
    .balign 2048
    .globl exception_vectors
exception_vectors:
    unexpected 0                       // current EL with SP_EL0
    unexpected 1
    unexpected 2
    unexpected 3
    unexpected 4                       // current EL with SP_ELx: synchronous

    // IRQ. The time stamp comes first, then only what the C++ handler may change is saved: this
    // is the path whose length the latency mode measures. ELR and SPSR stay in their registers,
    // since handlers take no exceptions; x18 is left alone by all our code (-ffixed-x18).
    .balign 128
    stp x0, x1, [sp, #-FRAME_SIZE]!
    isb
    mrs x0, cntvct_el0
    save_caller_registers
    stp x30, x0, [sp, #FRAME_X30]
    mov x0, sp
    bl HandleIrq
    restore_caller_registers
    ldr x30, [sp, #FRAME_X30]
    ldp x0, x1, [sp], #FRAME_SIZE
    eret

    unexpected 6                       // FIQ
    unexpected 7                       // SError
    .irp kind, 8, 9, 10, 11, 12, 13, 14, 15
    unexpected \kind                   // from a lower EL
    .endr

full_frame:
    save_caller_registers
    stp x18, x19, [sp, #144]
    stp x20, x21, [sp, #160]
    stp x22, x23, [sp, #176]
    stp x24, x25, [sp, #192]
    stp x26, x27, [sp, #208]
    stp x28, x29, [sp, #224]
    stp x30, xzr, [sp, #FRAME_X30]
    mrs x2, elr_el1
    mrs x3, spsr_el1
    stp x2, x3, [sp, #FRAME_ELR]
    mov x0, sp
    bl HandleException
    ldp x0, x1, [sp, #FRAME_ELR]
    msr elr_el1, x0
    msr spsr_el1, x1
    restore_caller_registers
    ldp x18, x19, [sp, #144]
    ldp x20, x21, [sp, #160]
    ldp x22, x23, [sp, #176]
    ldp x24, x25, [sp, #192]
    ldp x26, x27, [sp, #208]
    ldp x28, x29, [sp, #224]
    ldr x30, [sp, #FRAME_X30]
    ldp x0, x1, [sp], #FRAME_SIZE
    eret
