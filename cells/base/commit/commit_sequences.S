/* SPDX-License-Identifier: MIT */
/*
 * The sequences of commit.h. A label before an instruction is where rip is when everything before has been
 * executed. Registers that commit_settle() looks at are not changed before the end.
 */

	.macro sequence name
	.balign	16
	.globl	\name
	.type	\name, @function
\name:
	.cfi_startproc
	.endm

	.macro ends name
	.cfi_endproc
	.size	\name, . - \name
	.endm

	.section .text.commit_sequences, "ax", @progbits
	.balign	16
.Lbegin:

	/* rdi: a, rsi: x, rdx: b, rcx: y */
	sequence commit_two_
	movq	%rsi, (%rdi)
.Ltwo:
	movq	%rcx, (%rdx)
.Ltwo_end:
	ret
	ends	commit_two_

	/* and r8: c, r9: z */
	sequence commit_three_
	movq	%rsi, (%rdi)
.Lthree:
	movq	%rcx, (%rdx)
.Lthree_last:
	movq	%r9, (%r8)
.Lthree_end:
	ret
	ends	commit_three_

	/* rdi: to, rsi: from */
	sequence commit_move_
	movq	(%rsi), %rax
	movq	%rax, (%rdi)
.Lmove:
	movq	$0, (%rsi)
.Lmove_end:
	ret
	ends	commit_move_

	/* rdi: the next store, rsi: behind the last, r8: the first */
	sequence commit_all
	shlq	$4, %rsi
	addq	%rdi, %rsi
	movq	%rdi, %r8
	cmpq	%rsi, %rdi
	je	.Lall_end
.Lall:
	movq	(%rdi), %rax
	movq	8(%rdi), %rcx
	movq	%rcx, (%rax)
.Lall_stored:
	addq	$16, %rdi
	cmpq	%rsi, %rdi
	jne	.Lall
.Lall_end:
	ret
	ends	commit_all

	/* rdi: word, rsi: expected, rdx: next, rcx: also, r8: value */
	sequence commit_exchange_
	movq	%rsi, %rax
	lock cmpxchgq %rdx, (%rdi)
.Lexchange:
	jne	1f
.Lexchange_store:
	movq	%r8, (%rcx)
.Lexchange_end:
	movl	$1, %eax
	ret
1:	xorl	%eax, %eax
	ret
	ends	commit_exchange_

	/* rdi: stack, rsi: out, r10: offset; r9:r8 is what the stack is expected to be */
	sequence commit_pop
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	movq	%rdx, %r10
	movq	8(%rdi), %rdx		/* in this order: see free_stack.h */
	movq	(%rdi), %rax
1:	testq	%rax, %rax
	je	.Lpop_end
	movq	(%rax), %rbx
	movl	$0xffffffff, %ecx	/* one pop more, one thing less */
	addq	%rdx, %rcx
	movq	%rax, %r8
	movq	%rdx, %r9
	lock cmpxchg16b (%rdi)
.Lpop:
	jne	1b
.Lpop_done:
	subq	%r10, %rax
	movq	%rax, (%rsi)
.Lpop_end:
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	ret
	ends	commit_pop

	/* rdi: stack, rsi: link, r10: slot, r11: value; r9:r8 as above */
	sequence commit_push
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	movq	%rdx, %r10
	movq	%rcx, %r11
	movq	%rsi, %rbx
	movq	8(%rdi), %rdx
	movq	(%rdi), %rax
1:	movq	%rax, (%rsi)
	leaq	1(%rdx), %rcx
	movq	%rax, %r8
	movq	%rdx, %r9
	lock cmpxchg16b (%rdi)
.Lpush:
	jne	1b
.Lpush_store:
	movq	%r11, (%r10)
.Lpush_end:
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	ret
	ends	commit_push

	/* Here, because a distance within one section needs no relocation. */
	.balign	16
	.globl	commit_place_of
	.hidden	commit_place_of
	.type	commit_place_of, @function
commit_place_of:
	.cfi_startproc
	leaq	.Lbegin(%rip), %rax
	subq	%rax, %rdi
	movq	%rdi, %rax
	ret
	.cfi_endproc
	.size	commit_place_of, . - commit_place_of

	.section .rodata.commit_places, "a", @progbits
	.balign	4
	.globl	commit_places
	.hidden	commit_places
	.type	commit_places, @object
commit_places:
	.irp	place, two, two_end, three, three_last, three_end, move, move_end, all, all_stored, all_end
	.long	.L\place - .Lbegin
	.endr
	.irp	place, exchange, exchange_store, exchange_end, pop, pop_done, pop_end
	.long	.L\place - .Lbegin
	.endr
	.irp	place, push, push_store, push_end
	.long	.L\place - .Lbegin
	.endr
	.long	commit_place_of - .Lbegin
	.size	commit_places, . - commit_places

	.section .note.GNU-stack, "", @progbits
