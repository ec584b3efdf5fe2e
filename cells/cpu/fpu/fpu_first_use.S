/* SPDX-License-Identifier: MIT */
/*
 * Where a task goes on instead of at its first vector instruction: asks for an area, with all
 * registers and flags as they were afterwards, and returns to that instruction, or to fpu_refused,
 * where the stack is as at the instruction. The address to return to comes from fpu_prepare(), so a
 * walk of the stack ends here.
 */
	.macro keep name
	pushq	%\name
	.cfi_adjust_cfa_offset 8
	.endm

	.macro bring_back name
	popq	%\name
	.cfi_adjust_cfa_offset -8
	.endm

	.section .text.fpu_first_use, "ax", @progbits
	.globl	fpu_first_use
	.hidden	fpu_first_use
	.type	fpu_first_use, @function
fpu_first_use:
	.cfi_startproc
	.cfi_undefined rip
	keep	rax				/* becomes the address */
	pushfq
	.cfi_adjust_cfa_offset 8
	keep	rax
	keep	rcx
	keep	rdx
	keep	rsi
	keep	rdi
	keep	r8
	keep	r9
	keep	r10
	keep	r11
	keep	rbp
	.cfi_rel_offset rbp, 0
	movq	%rsp, %rbp
	.cfi_def_cfa_register rbp
	andq	$-16, %rsp
	cld
	call	fpu_prepare
	movq	%rbp, %rsp
	.cfi_def_cfa_register rsp
	movq	%rax, 88(%rsp)
	bring_back rbp
	.cfi_restore rbp
	bring_back r11
	bring_back r10
	bring_back r9
	bring_back r8
	bring_back rdi
	bring_back rsi
	bring_back rdx
	bring_back rcx
	bring_back rax
	popfq
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_endproc
	.size	fpu_first_use, . - fpu_first_use

	.globl	fpu_refused
	.hidden	fpu_refused
	.type	fpu_refused, @function
fpu_refused:
	.cfi_startproc
	.cfi_undefined rip
	fnop				/* raises #NM: CR0.TS is set */
	ud2
	.cfi_endproc
	.size	fpu_refused, . - fpu_refused

	.section .note.GNU-stack, "", @progbits
