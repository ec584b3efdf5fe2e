/* SPDX-License-Identifier: MIT */
/*
 * Rules that compilers do not make: CFA and registers by expressions, a register in another
 * register, another stack, states within states, the frame of an interrupt.
 */
	.text

	.macro function name
	.globl	\name
	.type	\name, @function
\name:
	.cfi_startproc
	.endm

	.macro function_end name
	.cfi_endproc
	.size	\name, . - \name
	.endm

	.macro save name
	pushq	%\name
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset \name, 0
	.endm

	.macro restore name
	popq	%\name
	.cfi_adjust_cfa_offset -8
	.cfi_restore \name
	.endm

	/* Every register, in an order of its own, with a word between. */
	function corpus_asm_pushes
	save	r15
	save	rbx
	pushq	$77
	.cfi_adjust_cfa_offset 8
	save	rbp
	save	r12
	save	r14
	save	r13
	xorl	%ebx, %ebx
	xorl	%ebp, %ebp
	movl	$1, %r12d
	movl	$2, %r13d
	movl	$3, %r14d
	movl	$4, %r15d
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	call	corpus_from_assembly
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	restore	r13
	restore	r14
	restore	r12
	restore	rbp
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	restore	rbx
	restore	r15
	ret
	function_end corpus_asm_pushes

	/* The classic frame, left by `leave`, with a stack that grows meanwhile. */
	function corpus_asm_frame
	save	rbp
	movq	%rsp, %rbp
	.cfi_def_cfa_register rbp
	movq	%rbx, -8(%rbp)			/* before rsp is moved: below it */
	.cfi_offset rbx, -24
	subq	$16, %rsp
	movq	%rdi, %rbx
	pushq	%rdi
	pushq	%rdi
	call	corpus_from_assembly
	movq	-8(%rbp), %rbx
	.cfi_restore rbx
	leave
	.cfi_def_cfa rsp, 8
	.cfi_restore rbp
	ret
	function_end corpus_asm_frame

	/*
	 * The stack is aligned to 64 and the old rsp lies at [rsp + 8]: CFA = [rsp + 8] + 8.
	 * DW_CFA_def_cfa_expression: breg7 8; deref; plus_uconst 8
	 */
	function corpus_asm_cfa_expression
	movq	%rsp, %rax
	.cfi_def_cfa_register rax
	andq	$-64, %rsp
	subq	$64, %rsp
	movq	%rax, 8(%rsp)
	.cfi_escape 0x0f, 5, 0x77, 8, 0x06, 0x23, 8
	call	corpus_from_assembly
	movq	8(%rsp), %rcx
	xorl	%eax, %eax
	movq	%rcx, %rsp
	.cfi_def_cfa rsp, 8
	ret
	function_end corpus_asm_cfa_expression

	/*
	 * rbx is saved as its complement, so it is a value: breg7 8; deref; not. r12 is saved where
	 * an expression says that begins with the CFA: plus_uconst would need a positive number, so
	 * lit24; minus.
	 */
	function corpus_asm_rule_expression
	subq	$24, %rsp
	.cfi_adjust_cfa_offset 24
	movq	%rbx, %rax
	notq	%rax
	movq	%rax, 8(%rsp)
	.cfi_escape 0x16, 3, 4, 0x77, 8, 0x06, 0x20
	movq	%r12, (%rsp)			/* at CFA - 32: const1u 32; minus */
	.cfi_escape 0x10, 12, 3, 0x08, 32, 0x1c
	movl	$5, %ebx
	movl	$6, %r12d
	movq	%rdi, 16(%rsp)
	/* The callee has no word of ours to trust but those at fixed places above it. */
	call	corpus_from_assembly
	movq	8(%rsp), %rbx
	notq	%rbx
	.cfi_restore rbx
	movq	(%rsp), %r12
	.cfi_restore r12
	addq	$24, %rsp
	.cfi_adjust_cfa_offset -24
	ret
	function_end corpus_asm_rule_expression

	/* rbp is in r8 for a while, the return address in r9. */
	function corpus_asm_register
	movq	%rbp, %r8
	.cfi_register rbp, r8
	movl	$9, %ebp
	popq	%r9
	.cfi_adjust_cfa_offset -8
	.cfi_register rip, r9
	leaq	1(%rdi), %rax
	movq	%r8, %rbp
	.cfi_restore rbp
	pushq	%r9
	.cfi_adjust_cfa_offset 8
	.cfi_restore rip
	ret
	function_end corpus_asm_register

	/* Exits within exits, each with a state of its own. */
	function corpus_asm_remembers
	save	rbx
	movq	%rdi, %rbx
	testb	$1, %dil
	jz	2f
	.cfi_remember_state
	save	r12
	.cfi_remember_state
	movq	%rdi, %r12
	testb	$2, %dil
	jz	1f
	popq	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore r12
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	xorl	%eax, %eax
	ret
1:	.cfi_restore_state
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	corpus_from_assembly
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	restore	r12
	restore	rbx
	ret
2:	.cfi_restore_state
	call	corpus_from_assembly
	restore	rbx
	ret
	function_end corpus_asm_remembers

	/* As the kernel's stack_call(). */
	function corpus_asm_switches_stack
	save	rbp
	movq	%rsp, %rbp
	.cfi_def_cfa_register rbp
	leaq	corpus_stack_end(%rip), %rsp
	call	corpus_from_assembly
	movq	%rbp, %rsp
	.cfi_def_cfa_register rsp
	restore	rbp
	ret
	function_end corpus_asm_switches_stack

	/*
	 * Pushes what a CPU pushes at an interrupt, "returns" to a label with iretq's layout left on the
	 * stack, and runs the body of a handler in a frame that is marked as a signal frame: whoever is
	 * above it was interrupted at that label, with all of its registers.
	 */
	function corpus_asm_interrupted
	save	rbx
	movq	%rdi, %rbx
	movq	%rsp, %rax
	pushq	$0				/* ss */
	.cfi_adjust_cfa_offset 8
	pushq	%rax				/* rsp */
	.cfi_adjust_cfa_offset 8
	pushfq
	.cfi_adjust_cfa_offset 8
	pushq	$0				/* cs */
	.cfi_adjust_cfa_offset 8
	leaq	1f(%rip), %rax
	pushq	%rax				/* rip */
	.cfi_adjust_cfa_offset 8
	jmp	interrupted_handler
1:	/* handler has taken its frame away */
	.cfi_def_cfa rsp, 16
	restore	rbx
	ret
	function_end corpus_asm_interrupted

	.type	interrupted_handler, @function
interrupted_handler:
	.cfi_startproc simple
	.cfi_signal_frame
	.cfi_def_cfa rsp, 40
	.cfi_offset rip, -40
	.cfi_offset rsp, -16
	save	rdi
	save	rbx
	movl	$3, %ebx
	call	corpus_from_assembly
	restore	rbx
	restore	rdi
	popq	%rcx				/* rip */
	.cfi_adjust_cfa_offset -8
	.cfi_register rip, rcx
	movq	16(%rsp), %rsp
	.cfi_def_cfa rsp, 0
	.cfi_same_value rsp
	jmp	*%rcx
	.cfi_endproc
	.size	interrupted_handler, . - interrupted_handler

	.bss
	.balign	16
	.globl	corpus_stack
corpus_stack:
	.skip	8192
	.globl	corpus_stack_end
corpus_stack_end:

	.section .note.GNU-stack, "", @progbits
