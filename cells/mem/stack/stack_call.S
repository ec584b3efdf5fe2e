/* SPDX-License-Identifier: MIT */
/*
 * void stack_call(vaddr_t top, void (*function)(void *argument), void *argument)
 *
 * RBP keeps the caller's stack, and the CFI says so: an unwinder walks from one stack to the other.
 */

	.section .text.stack_call, "ax", @progbits
	.balign	16
	.globl	stack_call
	.type	stack_call, @function
stack_call:
	.cfi_startproc
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	movq	%rsp, %rbp
	.cfi_def_cfa_register rbp
	movq	%rdi, %rsp
	movq	%rdx, %rdi
	call	*%rsi
	movq	%rbp, %rsp
	.cfi_def_cfa_register rsp
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbp
	ret
	.cfi_endproc
	.size	stack_call, . - stack_call

	.section .note.GNU-stack, "", @progbits
