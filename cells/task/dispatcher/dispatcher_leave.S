/* SPDX-License-Identifier: MIT */
/*
 * The switch of who waits, for the end of a function that has nothing left to keep: it returns to that
 * function's caller when the task goes on. The other end of a switch is here, in context_switch() or
 * in context_first; which registers go over says context.h.
 *
 *      rdi     the task that goes on; it is this one, when it does
 *      rsi     the task that leaves, or the one that did
 *      rdx     the record of this CPU, whose lock is let go
 *
 * What a callee keeps is lost: parking_park_bare().
 */
#if !__STDC_HOSTED__
#define CONTEXT_STACK	8			/* of a task: static_assert in dispatcher_priv.h */
#define STANDING	24
#define REASON		32
#define SIGNS_AFTER	0xffff
#define RESUME		16			/* of a call, which begins with the reason */

	.section .text.dispatcher_leave, "ax", @progbits
	.globl	dispatcher_leave
	.hidden	dispatcher_leave
	.type	dispatcher_leave, @function
dispatcher_leave:
	.cfi_startproc
	movq	$.Lback, (%rsi)
	movq	%rsp, CONTEXT_STACK(%rsi)
	movq	CONTEXT_STACK(%rdi), %rsp
	jmpq	*(%rdi)
.Lback:
	movq	$0, (%rdx)			/* unlocked */
	cmpl	$SIGNS_AFTER, STANDING(%rdi)
	ja	dispatcher_wake_up
	sti
	xorl	%eax, %eax			/* OK */
	ret
	.cfi_endproc
	.size	dispatcher_leave, . - dispatcher_leave

	.section .text.dispatcher_leave_call, "ax", @progbits
	.globl	dispatcher_leave_call
	.hidden	dispatcher_leave_call
	.type	dispatcher_leave_call, @function
dispatcher_leave_call:
	.cfi_startproc
	movq	$.Lresume, (%rsi)
	movq	%rsp, CONTEXT_STACK(%rsi)
	movq	CONTEXT_STACK(%rdi), %rsp
	jmpq	*(%rdi)
.Lresume:
	movq	$0, (%rdx)
	cmpl	$SIGNS_AFTER, STANDING(%rdi)
	ja	dispatcher_wake_up_call
	sti
	movq	REASON(%rdi), %rdi
	jmpq	*RESUME(%rdi)
	.cfi_endproc
	.size	dispatcher_leave_call, . - dispatcher_leave_call
#endif

	.section .note.GNU-stack, "", @progbits
