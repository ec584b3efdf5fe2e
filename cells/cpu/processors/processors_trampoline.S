/* SPDX-License-Identifier: MIT */
/*
 * The way of a CPU from the startup interrupt to C.
 *
 * What lies between processors_trampoline and its end is copied to a page below 1 MiB, and data
 * there is filled in. The CPU starts at the beginning of the page, in 16-bit mode, with CS:IP =
 * page:0. All addresses within the copy are offsets in it, and what must be absolute is in the
 * data, so nothing has to be relocated. It goes from 16 bits to 64 at once: with PAE, CR3 and
 * EFER.LME set, setting PE and PG together activates long mode (SDM, "Initializing IA-32e Mode",
 * without the stop in protected mode).
 *
 * The page tables of this time map the page at its physical address, and kernel memory; so the CPU
 * can jump to processors_arrive, and load the kernel's own page tables there.
 */

#define CR4_PAE		(1 << 5)
#define MSR_EFER	0xc0000080
#define SELECTOR_DATA	0x10

	.section .rodata.processors_trampoline, "a", @progbits
	.balign	16
	.globl	processors_trampoline
	.hidden	processors_trampoline
	.type	processors_trampoline, @object
processors_trampoline:
	.code16
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	data_gdt_pointer - processors_trampoline
	movl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	data_root - processors_trampoline, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	movl	data_efer - processors_trampoline, %eax
	wrmsr
	movl	data_cr0 - processors_trampoline, %eax
	movl	%eax, %cr0
	ljmpl	*(data_far - processors_trampoline)

	.code64
long_mode:
	movl	$SELECTOR_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	/* One that was given up, and comes now: only one goes on for each that is asked for. */
	xorl	%eax, %eax
	xchgl	%eax, data_claim(%rip)
	testl	%eax, %eax
	jz	1f
	movq	data_processor(%rip), %rdi
	movq	data_entry(%rip), %rax
	jmp	*%rax
1:	cli
	hlt
	jmp	1b

	.balign	8
	/* struct trampoline_data */
data_root:
	.long	0
data_cr0:
	.long	0
data_efer:
	.long	0
data_claim:
	.long	0
data_far:
	.long	0
	.short	0
data_gdt_pointer:
	.short	0
	.long	0
	.long	0
data_gdt:
	.quad	0, 0, 0
data_entry:
	.quad	0
data_processor:
	.quad	0
trampoline_end:
	.size	processors_trampoline, . - processors_trampoline

	.balign	8
	.globl	processors_arrive_address
	.hidden	processors_arrive_address
	.type	processors_arrive_address, @object
processors_arrive_address:
	.quad	processors_arrive
	.size	processors_arrive_address, 8
	.globl	processors_trampoline_size
	.hidden	processors_trampoline_size
	.type	processors_trampoline_size, @object
processors_trampoline_size:
	.long	trampoline_end - processors_trampoline
	.size	processors_trampoline_size, 4
	.globl	processors_trampoline_long_mode
	.hidden	processors_trampoline_long_mode
	.type	processors_trampoline_long_mode, @object
processors_trampoline_long_mode:
	.long	long_mode - processors_trampoline
	.size	processors_trampoline_long_mode, 4

	/* In kernel memory; RDI is the struct processor, which the kernel's page tables map. */
	.section .text.processors_arrive, "ax", @progbits
	.balign	16
	.type	processors_arrive, @function
processors_arrive:
	.cfi_startproc
	.cfi_undefined rip			/* there is no caller */
	movq	(%rdi), %rax
	movq	%rax, %cr3
	movq	8(%rdi), %rax
	movq	%rax, %cr4
	movq	16(%rdi), %rax
	movq	%rax, %cr0
	movq	24(%rdi), %rsp
	xorl	%ebp, %ebp
	call	processors_enter
	ud2
	.cfi_endproc
	.size	processors_arrive, . - processors_arrive

	.section .note.GNU-stack, "", @progbits
