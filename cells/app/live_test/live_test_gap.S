/* SPDX-License-Identifier: MIT */
/* A function behind which a walk finds no caller, though it has one. */

	.section .text.live_test_gap, "ax", @progbits
	.globl	live_test_gap
	.hidden	live_test_gap
	.type	live_test_gap, @function
live_test_gap:					/* (function, argument) */
	.cfi_startproc
	.cfi_undefined rip
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	movq	%rdi, %rax
	movq	%rsi, %rdi
	call	*%rax
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_endproc
	.size	live_test_gap, . - live_test_gap

	.section .note.GNU-stack, "", @progbits
