/* SPDX-License-Identifier: MIT */
/*
 * One stub for each vector: makes the stack the same for exceptions with and without an error code,
 * pushes the vector, and goes on in the common part, which pushes the registers in the order of
 * struct exception_frame, calls exceptions_handle(), and goes on with what is in the frame then.
 *
 * There is one ring, so %gs is always the kernel's. The CFI says how to get back to the interrupted
 * instruction and all its registers, so that an unwinder can walk through. CFA here is the address
 * behind what the CPU pushed.
 *
 * Each stub is a function, so what is in the table of their addresses, and from there in the CPU's, are
 * entries: they stay when this cell is replaced.
 */

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

	.macro stub vector, has_error_code
	.balign	16
	.type	exceptions_stub_\vector, @function	/* so gates hold its entry, which survives a swap */
exceptions_stub_\vector:
	.if	\has_error_code
	cpu_pushed 48
	.else
	cpu_pushed 40
	pushq	$0
	.cfi_adjust_cfa_offset 8
	.endif
	pushq	$\vector
	.cfi_adjust_cfa_offset 8
	jmp	exceptions_common
	.cfi_endproc
	.size	exceptions_stub_\vector, . - exceptions_stub_\vector
	.endm

	.section .text.exceptions_stubs, "ax", @progbits
	/* 8, 10 to 14, 17, 21, 29 and 30 come with an error code. */
	.altmacro
	.set	vector, 0
	.macro stub_for number
	.if	(0x60227d00 >> \number) & 1
	stub	\number, 1
	.else
	stub	\number, 0
	.endif
	.endm
	.rept	32
	stub_for %vector
	.set	vector, vector + 1
	.endr

	.balign	16
	.type	exceptions_common, @function
exceptions_common:
	cpu_pushed 56
	push_register rax
	push_register rbx
	push_register rcx
	push_register rdx
	push_register rsi
	push_register rdi
	push_register rbp
	push_register r8
	push_register r9
	push_register r10
	push_register r11
	push_register r12
	push_register r13
	push_register r14
	push_register r15
	cld
	movq	%rsp, %rdi	/* the CPU aligned its stack to 16; 22 words later it still is */
	call	exceptions_handle
	pop_register r15
	pop_register r14
	pop_register r13
	pop_register r12
	pop_register r11
	pop_register r10
	pop_register r9
	pop_register r8
	pop_register rbp
	pop_register rdi
	pop_register rsi
	pop_register rdx
	pop_register rcx
	pop_register rbx
	pop_register rax
	addq	$16, %rsp	/* vector, error code */
	.cfi_adjust_cfa_offset -16
	iretq
	.cfi_endproc
	.size	exceptions_common, . - exceptions_common

	.section .rodata.exceptions_stubs, "a", @progbits
	.balign	8
	.globl	exceptions_stubs
	.hidden	exceptions_stubs
	.type	exceptions_stubs, @object
exceptions_stubs:
	.macro address_of_stub number
	.quad	exceptions_stub_\number
	.endm
	.set	vector, 0
	.rept	32
	address_of_stub %vector
	.set	vector, vector + 1
	.endr
	.size	exceptions_stubs, . - exceptions_stubs

	.section .note.GNU-stack, "", @progbits
