/* SPDX-License-Identifier: MIT */
/*
 * bool smp_test_read(uint64_t address, uint64_t *out_value)
 * bool smp_test_write(uint64_t address)
 *
 * One access that may fail: false where a page fault comes of it, if whoever handles that goes on
 * at the address that smp_test_probes names for it.
 */

	.section .text.smp_test_probe, "ax", @progbits
	.balign	16
	.globl	smp_test_read
	.hidden	smp_test_read
	.type	smp_test_read, @function
smp_test_read:
	.cfi_startproc
	nop				/* what follows is not the start of a function, so it has no entry */
.Lread:
	movq	(%rdi), %rax
	movq	%rax, (%rsi)
	movl	$1, %eax
	ret
.Lno_access:
	xorl	%eax, %eax
	ret
	.cfi_endproc
	.size	smp_test_read, . - smp_test_read

	.balign	16
	.globl	smp_test_write
	.hidden	smp_test_write
	.type	smp_test_write, @function
smp_test_write:
	.cfi_startproc
	nop
.Lwrite:
	lock orq $0, (%rdi)
	movl	$1, %eax
	ret
	.cfi_endproc
	.size	smp_test_write, . - smp_test_write

	/* Addresses of the two accesses, and where to go on. */
	.section .rodata.smp_test_probes, "a", @progbits
	.balign	8
	.globl	smp_test_probes
	.hidden	smp_test_probes
	.type	smp_test_probes, @object
smp_test_probes:
	.quad	.Lread
	.quad	.Lwrite
	.quad	.Lno_access
	.size	smp_test_probes, . - smp_test_probes

	.section .note.GNU-stack, "", @progbits
