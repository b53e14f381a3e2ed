// SPDX-License-Identifier: Apache-2.0
// One function per kind of access a guest can try, and a table of them: struct Probe in probes.h.
// x0 = address, x1 = value, result in x0. An exception anywhere in here makes the function return
// to its caller (exceptions.cc).

#define PLAIN_LOAD 0
#define PLAIN_STORE 1
#define ODD_LOAD 2
#define ODD_STORE 3
#define ATOMIC 4
#define FIRMWARE_CALL 5

    .arch armv8.1-a

    .macro probe kind, name, instructions:vararg
    .pushsection .rodata.str, "aMS", %progbits, 1
7770:
    .asciz "\name"
    .popsection
    .pushsection .data.rel.ro, "aw"
    .balign 8
    .quad 7770b, 7771f, \kind
    .popsection
7771:
    \instructions
    ret
    .endm

    .macro exclusive_pair
    ldxr w2, [x0]
    stxr w3, w1, [x0]
    clrex
    .endm

    .pushsection .data.rel.ro, "aw"
    .balign 8
    .globl probe_table
probe_table:
    .popsection

    .text
    .globl probes_start
probes_start:
    // The forms a hypervisor can decode from the syndrome (Arm ARM, ESR_EL2.ISV).
    probe PLAIN_LOAD, ldrb, ldrb w0, [x0]
    probe PLAIN_LOAD, ldrh, ldrh w0, [x0]
    probe PLAIN_LOAD, ldr_w, ldr w0, [x0]
    probe PLAIN_LOAD, ldr_x, ldr x0, [x0]
    probe PLAIN_STORE, strb, strb w1, [x0]
    probe PLAIN_STORE, strh, strh w1, [x0]
    probe PLAIN_STORE, str_w, str w1, [x0]
    probe PLAIN_STORE, str_x, str x1, [x0]
    probe ODD_LOAD, ldrsb, ldrsb x0, [x0]
    probe ODD_LOAD, ldrsh, ldrsh w0, [x0]
    probe ODD_LOAD, ldrsw, ldrsw x0, [x0]
    probe ODD_LOAD, ldar, ldar w0, [x0]
    probe ODD_LOAD, ldr_xzr, ldr xzr, [x0]
    probe ODD_STORE, stlr, stlr w1, [x0]

    // The forms it cannot: pairs, write-back, exclusives, vectors, atomics.
    probe ODD_LOAD, ldp_w, ldp w2, w3, [x0]
    probe ODD_LOAD, ldp_x, ldp x2, x3, [x0]
    probe ODD_LOAD, ldnp, ldnp x2, x3, [x0]
    probe ODD_LOAD, ldr_post, ldr w2, [x0], #4
    probe ODD_LOAD, ldr_pre, ldr x2, [x0, #8]!
    probe ODD_LOAD, ldxr, ldxr w2, [x0]
    probe ODD_LOAD, ldaxp, ldaxp x2, x3, [x0]
    probe ODD_LOAD, ldr_q, ldr q0, [x0]
    probe ODD_LOAD, ld1, ld1 {v0.4s}, [x0]
    probe ODD_STORE, stp_w, stp w1, w1, [x0]
    probe ODD_STORE, stp_x, stp x1, x1, [x0]
    probe ODD_STORE, str_post, str w1, [x0], #4
    probe ODD_STORE, str_pre, strb w1, [x0, #1]!
    probe ODD_STORE, str_q, str q0, [x0]
    probe ODD_STORE, stxr, exclusive_pair
    probe ATOMIC, ldadd, ldadd w1, w2, [x0]
    probe ATOMIC, swp, swp x1, x2, [x0]
    probe ATOMIC, cas, cas w2, w1, [x0]

    // Cache operations.
    probe ODD_STORE, dc_zva, dc zva, x0
    probe ODD_LOAD, dc_cvac, dc cvac, x0
    probe ODD_LOAD, dc_civac, dc civac, x0
    probe ODD_LOAD, dc_ivac, dc ivac, x0
    probe ODD_LOAD, ic_ivau, ic ivau, x0
    probe ODD_LOAD, prfm, prfm pldl1keep, [x0]

    // x0 is the function identifier.
    probe FIRMWARE_CALL, hvc, hvc #0
    probe FIRMWARE_CALL, hvc_imm, hvc #0x1234
    probe FIRMWARE_CALL, smc, smc #0
    probe FIRMWARE_CALL, smc_imm, smc #0x1234

    // Jumps to an address; what is there, if it runs at all, sees our caller in x30.
    .globl probe_branch
probe_branch:
    br x0
    .globl probes_end
probes_end:

    .pushsection .data.rel.ro, "aw"
    .globl probe_table_end
probe_table_end:
    .popsection
