/* SPDX-License-Identifier: MIT */
/*
 * The switch of who waits, for the end of a function that has nothing left to keep: it returns to that
 * function's caller when the task goes on. The other end of a switch is here, in context_switch() or
 * in context_first; which registers go over says context.h.
 *
 *      rdi     the task that leaves, or the one that did
 *      rsi     the task that goes on; it is this one, when it does
 *      rdx     the record of this CPU, whose lock is let go
 *
 * What a callee keeps is lost: parking_park_bare().
 */
#if !__STDC_HOSTED__
#define CONTEXT_STACK	8			/* of a task: static_assert in dispatcher_priv.h */
#define STANDING	24
#define SIGNS_AFTER	0xffff

	.section .text.dispatcher_leave, "ax", @progbits
	.globl	dispatcher_leave
	.hidden	dispatcher_leave
	.type	dispatcher_leave, @function
dispatcher_leave:
	.cfi_startproc
	movq	$.Lback, (%rdi)
	movq	%rsp, CONTEXT_STACK(%rdi)
	movq	CONTEXT_STACK(%rsi), %rsp
	jmpq	*(%rsi)
.Lback:
	movq	$0, (%rdx)			/* unlocked */
	cmpl	$SIGNS_AFTER, STANDING(%rsi)
	ja	.Lsigns
	sti
	xorl	%eax, %eax			/* OK */
	ret
.Lsigns:
	movq	%rsi, %rdi
	jmp	dispatcher_wake_up
	.cfi_endproc
	.size	dispatcher_leave, . - dispatcher_leave
#endif

	.section .note.GNU-stack, "", @progbits
