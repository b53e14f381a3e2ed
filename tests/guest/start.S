// SPDX-License-Identifier: Apache-2.0
// The way in: image header, drop to EL1, self-relocation, .bss, first stack.
// Header and entry state: Linux Documentation/arch/arm64/booting.rst (x0 = device tree, MMU off,
// interrupts masked, EL1 or EL2).

#define HCR_EL2_RW (1 << 31)           // EL1 is AArch64
#define CNTHCTL_EL2_EL1_TIMERS 3       // EL1PCTEN | EL1PCEN: no timer access traps
#define CPTR_EL2_NO_TRAPS 0x33ff       // the RES1 bits; nothing traps (E2H = 0)
#define CPACR_EL1_FPEN (3 << 20)       // libfdt is compiled with SIMD instructions
#define SCTLR_EL1_OFF 0x30d00800       // the RES1 bits; MMU and caches off
#define SPSR_EL1H_MASKED 0x3c5
#define R_AARCH64_RELATIVE 1027

    .section .head, "ax"
    .globl _start
_start:
    b primary_entry
    nop
    .quad 0                            // text_offset
    .quad __image_end - _start         // image_size, .bss and stack included
    .quad 0xa                          // little endian, 4 KiB pages, anywhere in memory
    .quad 0, 0, 0
    .ascii "ARM\x64"
    .long 0

    .text
primary_entry:
    mov x20, x0
    bl enter_el1

    // The image is linked at 0: a relative relocation is "load address + addend".
    adr x0, _start
    adrp x1, __rela_start
    add x1, x1, :lo12:__rela_start
    adrp x2, __rela_end
    add x2, x2, :lo12:__rela_end
1:  cmp x1, x2
    b.hs 2f
    ldp x3, x4, [x1], #16
    ldr x5, [x1], #8
    cmp x4, #R_AARCH64_RELATIVE
    b.ne hang
    add x5, x5, x0
    str x5, [x0, x3]
    b 1b

2:  adrp x1, __bss_start
    add x1, x1, :lo12:__bss_start
    adrp x2, __image_end
    add x2, x2, :lo12:__image_end
3:  stp xzr, xzr, [x1], #16
    cmp x1, x2
    b.lo 3b

    // Everything above was written past the caches: drop what they may hold of it.
    dmb sy
    mrs x3, ctr_el0
    ubfx x3, x3, #16, #4               // DminLine: log2 of the smallest line, in words
    mov x4, #4
    lsl x4, x4, x3
4:  dc ivac, x0
    add x0, x0, x4
    cmp x0, x2
    b.lo 4b
    dsb sy
    ic iallu
    dsb sy
    isb

    adrp x1, __stack_top
    add x1, x1, :lo12:__stack_top
    mov sp, x1
    bl install_vectors
    mov x29, xzr
    adr x0, _start
    adrp x1, __image_end
    add x1, x1, :lo12:__image_end
    mov x2, x20
    bl Main
hang:
    wfi
    b hang

// PSCI CPU_ON enters here with x0 = SecondaryStart (secondary.h).
    .globl secondary_entry
secondary_entry:
    bl enter_el1
    ldp x1, x2, [x0]
    ldp x3, x4, [x0, #16]
    ldr x5, [x0, #32]
    mov sp, x1
    msr ttbr0_el1, x2
    msr tcr_el1, x3
    msr mair_el1, x4
    tlbi vmalle1
    dsb nsh
    isb
    msr sctlr_el1, x5
    isb
    bl install_vectors
    mov x29, xzr
    bl SecondaryMain
    b hang

install_vectors:
    adrp x9, exception_vectors
    add x9, x9, :lo12:exception_vectors
    msr vbar_el1, x9
    mov x9, #CPACR_EL1_FPEN
    msr cpacr_el1, x9
    isb
    ret

// Returns in EL1 with exceptions masked, from EL1 or EL2 (Arm ARM, D1.4). Uses x9 only.
enter_el1:
    msr daifset, #0xf
    mrs x9, CurrentEL
    cmp x9, #(2 << 2)
    b.ne 6f
    mov x9, #HCR_EL2_RW
    msr hcr_el2, x9
    mrs x9, midr_el1
    msr vpidr_el2, x9
    mrs x9, mpidr_el1
    msr vmpidr_el2, x9
    mov x9, #CNTHCTL_EL2_EL1_TIMERS
    msr cnthctl_el2, x9
    msr cntvoff_el2, xzr
    mov x9, #CPTR_EL2_NO_TRAPS
    msr cptr_el2, x9
    msr hstr_el2, xzr
    adrp x9, el2_vectors
    add x9, x9, :lo12:el2_vectors
    msr vbar_el2, x9
    mrs x9, id_aa64pfr0_el1
    ubfx x9, x9, #24, #4               // GIC system registers implemented?
    cbz x9, 5f
    mrs x9, S3_4_C12_C9_5              // ICC_SRE_EL2
    orr x9, x9, #1                     // SRE
    orr x9, x9, #8                     // Enable: EL1 may use its own
    msr S3_4_C12_C9_5, x9
    isb
    msr S3_4_C12_C11_0, xzr            // ICH_HCR_EL2
5:  mov x9, #(SCTLR_EL1_OFF & 0xffff)
    movk x9, #(SCTLR_EL1_OFF >> 16), lsl #16
    msr sctlr_el1, x9
    mov x9, #SPSR_EL1H_MASKED
    msr spsr_el2, x9
    msr elr_el2, x30
    eret
6:  ret

// Left behind at EL2: an HVC nobody serves answers NOT_SUPPORTED (SMC Calling Convention, 5.2).
    .balign 2048
el2_vectors:
    .rept 8
    b hang
    .balign 128
    .endr
    mov x0, #-1                        // synchronous, from AArch64 EL1
    eret
    .balign 128
    .rept 7
    b hang
    .balign 128
    .endr
