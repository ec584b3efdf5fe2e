/* SPDX-License-Identifier: MIT */
/*
 * Where a stack begins, and the switch of native programs, which keeps all registers by itself.
 */

#if __STDC_HOSTED__
	.section .text.context_switch, "ax", @progbits
	.globl	context_switch
	.type	context_switch, @function
context_switch:
	.cfi_startproc
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r12, 0
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r13, 0
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r14, 0
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r15, 0
	leaq	.Lresume(%rip), %rax
	movq	%rax, (%rdi)
	movq	%rsp, 8(%rdi)
	movq	8(%rsi), %rsp
	jmpq	*(%rsi)
.Lresume:
	movq	%rdx, %rax			/* what is carried */
	popq	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore r15
	popq	%r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore r14
	popq	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore r13
	popq	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore r12
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbp
	ret
	.cfi_endproc
	.size	context_switch, . - context_switch
#endif

	.section .text.context_first, "ax", @progbits
	.globl	context_first
	.hidden	context_first
	.type	context_first, @function
context_first:
	.cfi_startproc
	.cfi_undefined rip			/* there is no caller */
	movq	(%rsp), %rdi			/* struct first_context */
	movq	8(%rsp), %rax
	xorl	%ebp, %ebp
	call	*%rax
	ud2
	.cfi_endproc
	.size	context_first, . - context_first

	.section .note.GNU-stack, "", @progbits
