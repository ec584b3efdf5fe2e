/* SPDX-License-Identifier: MIT */
/*
 * uint64_t interrupt_test_registers(void)
 *
 * Fills all registers but RSP, causes an interrupt of INTERRUPT_SOFTWARE and an exception (#BP),
 * and returns how many of the registers are different then.
 */

	.macro keep register
	pushq	%\register
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset \register, 0
	.endm

	.macro restore register
	popq	%\register
	.cfi_adjust_cfa_offset -8
	.cfi_restore \register
	.endm

	.section .text.interrupt_test_registers, "ax", @progbits
	.balign	16
	.globl	interrupt_test_registers
	.hidden	interrupt_test_registers
	.type	interrupt_test_registers, @function
interrupt_test_registers:
	.cfi_startproc
	keep	rbx
	keep	rbp
	keep	r12
	keep	r13
	keep	r14
	keep	r15
	.irp	register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
	movabsq	$0x1122334455667788, %\register
	.endr
	/* Something else in each: its name would do, a number is shorter. */
	addq	$1, %rbx
	addq	$2, %rcx
	addq	$3, %rdx
	addq	$4, %rsi
	addq	$5, %rdi
	addq	$6, %rbp
	addq	$7, %r8
	addq	$8, %r9
	addq	$9, %r10
	addq	$10, %r11
	addq	$11, %r12
	addq	$12, %r13
	addq	$13, %r14
	addq	$14, %r15
	std				/* a handler in C must find it cleared */
	int	$239
	int3
	cld
	subq	$1, %rbx
	subq	$2, %rcx
	subq	$3, %rdx
	subq	$4, %rsi
	subq	$5, %rdi
	subq	$6, %rbp
	subq	$7, %r8
	subq	$8, %r9
	subq	$9, %r10
	subq	$10, %r11
	subq	$11, %r12
	subq	$12, %r13
	subq	$13, %r14
	subq	$14, %r15
	/* All are equal now, if none has changed; RAX is compared with the number itself. */
	pushq	$0
	.cfi_adjust_cfa_offset 8
	.irp	register, rcx, rbx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
	cmpq	%\register, %rax
	setne	%cl
	movzbl	%cl, %ecx
	addq	%rcx, (%rsp)
	.endr
	movabsq	$0x1122334455667788, %rdx
	cmpq	%rdx, %rax
	setne	%cl
	movzbl	%cl, %ecx
	popq	%rax
	.cfi_adjust_cfa_offset -8
	addq	%rcx, %rax
	restore	r15
	restore	r14
	restore	r13
	restore	r12
	restore	rbp
	restore	rbx
	ret
	.cfi_endproc
	.size	interrupt_test_registers, . - interrupt_test_registers

	.section .note.GNU-stack, "", @progbits
