/* SPDX-License-Identifier: MIT */
/*
 * One stub for each vector: its number goes where C expects its first argument, and the common part
 * saves what C may change. All else is kept by C itself, so it is the unwinder's business to find
 * it in the frames of C: the CFI here says where the saved registers are, and that the others are
 * unchanged.
 *
 * There is one ring, so %gs is always the kernel's. CFA here is the address behind what the CPU
 * pushed. The CPU aligned its stack to 16: with its 5 words and the 9 registers it is aligned
 * again. Each stub is a function: the table holds entries, which stay when this cell is replaced.
 */

/* cpu_local.h, as far as it is needed here; interrupts.c compares. */
#define CPU_LOCAL_HOLD			16
#define CPU_LOCAL_INTERRUPT_DEPTH	44

	.macro cpu_pushed size
	.cfi_startproc
	.cfi_signal_frame
	.cfi_def_cfa rsp, \size
	.cfi_offset rip, -40
	.cfi_offset rsp, -16
	.endm

	.macro push_register name
	pushq	%\name
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset \name, 0
	.endm

	.macro pop_register name
	popq	%\name
	.cfi_adjust_cfa_offset -8
	.cfi_restore \name
	.endm

	.macro push_others
	push_register rax
	push_register rcx
	push_register rdx
	push_register rsi
	push_register r8
	push_register r9
	push_register r10
	push_register r11
	.endm

	.macro pop_all
	pop_register r11
	pop_register r10
	pop_register r9
	pop_register r8
	pop_register rsi
	pop_register rdx
	pop_register rcx
	pop_register rax
	pop_register rdi
	.endm

	.macro stub number
	.balign	16
	.type	interrupts_stub_\number, @function	/* so gates hold its entry, which survives a swap */
interrupts_stub_\number:
	.cfi_remember_state
	push_register rdi
	movl	$\number, %edi
	jmp	interrupts_common
	.size	interrupts_stub_\number, . - interrupts_stub_\number
	.cfi_restore_state
	.endm

	.section .text.interrupts_stubs, "ax", @progbits
	.altmacro
	.set	number, 0
	.macro stub_for number
	stub	\number
	.endm
	cpu_pushed 40		/* one description for all: that is a third of the size */
	.rept	223
	stub_for %number
	.set	number, number + 1
	.endr
	.cfi_endproc

	.balign	16
	.type	interrupts_common, @function
interrupts_common:
	cpu_pushed 48
	.cfi_offset rdi, -48
	push_others
	cld
	incl	%gs:CPU_LOCAL_HOLD
	incl	%gs:CPU_LOCAL_INTERRUPT_DEPTH
	call	interrupts_dispatch
	decl	%gs:CPU_LOCAL_INTERRUPT_DEPTH
	decl	%gs:CPU_LOCAL_HOLD
	jz	2f
1:	.cfi_remember_state
	pop_all
	iretq
	.cfi_restore_state
2:	leaq	72(%rsp), %rdi
	call	interrupts_reschedule	/* from here on, this may be another CPU */
	jmp	1b
	.cfi_endproc
	.size	interrupts_common, . - interrupts_common

	/* The interrupt went away before the local APIC could say which it was. */
	.balign	16
	.type	interrupts_spurious, @function
interrupts_spurious:
	cpu_pushed 40
	push_register rdi
	push_others
	cld
	call	interrupts_note_spurious
	pop_all
	iretq
	.cfi_endproc
	.size	interrupts_spurious, . - interrupts_spurious

	.section .rodata.interrupts_stubs, "a", @progbits
	.balign	8
	.globl	interrupts_stubs
	.hidden	interrupts_stubs
	.type	interrupts_stubs, @object
interrupts_stubs:
	.macro address_of_stub number
	.quad	interrupts_stub_\number
	.endm
	.set	number, 0
	.rept	223
	address_of_stub %number
	.set	number, number + 1
	.endr
	.quad	interrupts_spurious
	.size	interrupts_stubs, . - interrupts_stubs

	.section .note.GNU-stack, "", @progbits
