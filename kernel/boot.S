/* SPDX-License-Identifier: MIT */
/*
 * From the boot loader to C.
 *
 * The loader (Multiboot2 Specification 2.0, sections 3.1 and 3.3) leaves the CPU in 32-bit protected
 * mode without paging, a magic number in EAX and the address of its information in EBX. The image lies
 * at its physical address, but is linked KERNEL_BASE higher; PHYSICAL() gives what a symbol is called
 * until paging is on.
 *
 * The page tables made here serve until page_table_init() has better ones:
 *
 *   root[0]    the first 4 GiB at their physical addresses, in pages of 2 MiB
 *   root[510]  the root itself (see page_table_priv.h)
 *   root[511]  the first GiB, once more, at KERNEL_BASE
 */

#define KERNEL_BASE	0xffffffff80000000
#define PHYSICAL(symbol) ((symbol) - KERNEL_BASE)

#define HEADER_MAGIC	0xe85250d6
#define LOADER_MAGIC	0x36d76289
#define PAGE_BYTES	4096
#define STACK_BYTES	65536

#define TABLE		0x03	/* present, writable */
#define LARGE_PAGE	0x83	/* and 2 MiB */

#define CR0_PG		(1 << 31)
#define CR0_WP		(1 << 16)
#define CR4_PAE		(1 << 5)
#define MSR_EFER	0xc0000080
#define EFER_LME	(1 << 8)
#define EFER_NXE	(1 << 11)
#define CPUID_NX	20	/* bits of EDX, leaf 0x80000001 */
#define CPUID_LM	29
#define CPUID_CX16	13	/* bit of ECX, leaf 1 */

#define COM1		0x3f8
#define COM1_STATUS	0x3fd
#define COM1_EMPTY	0x20
#define COM1_PATIENCE	1000000	/* reads of the status; no line is that slow */

#define DEBUG_EXIT	0xf4
#define EXIT_REFUSED	0x13	/* the mark of power.h and EXIT_BOOT_FAILED of main.c */

	/* ---- the header that the loader looks for ---- */

	.section .text.boot, "ax", @progbits
	.balign	8, 0
header:
	.long	HEADER_MAGIC
	.long	0				/* i386, protected mode */
	.long	header_end - header
	.long	-(HEADER_MAGIC + (header_end - header))

	.balign	8, 0
	.short	1, 1				/* information request, optional */
	.long	1f - . + 4
	.long	1, 2, 3, 6, 8, 11, 12, 14, 15, 17
1:
	.balign	8, 0
	.short	5, 1				/* framebuffer, optional; any size */
	.long	20
	.long	0, 0, 32
	.balign	8, 0
	.short	6, 0				/* modules at page boundaries */
	.long	8
	.short	0, 0				/* end */
	.long	8
header_end:

	/* ---- 32 bits, no paging ---- */

	.code32
	.globl	nano_core_start
	.type	nano_core_start, @function
nano_core_start:
	.cfi_startproc simple			/* gas counts registers by the code size: say it by number */
	.cfi_def_cfa 7, 8			/* rsp */
	.cfi_undefined 16			/* rip: the boot loader has left */
	cli
	cld
	movl	%eax, %edi			/* magic */
	movl	%ebx, %esi			/* information */
	rdtsc
	movl	%eax, PHYSICAL(entry_tsc)
	movl	%edx, PHYSICAL(entry_tsc) + 4
	movl	$PHYSICAL(stack_end), %esp

	movl	$PHYSICAL(no_multiboot), %ebp
	cmpl	$LOADER_MAGIC, %edi
	jne	refuse

	movl	$PHYSICAL(no_long_mode), %ebp
	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x80000001, %eax
	jb	refuse
	movl	$0x80000001, %eax
	cpuid
	btl	$CPUID_LM, %edx
	jnc	refuse
	movl	$PHYSICAL(no_nx), %ebp
	btl	$CPUID_NX, %edx
	jnc	refuse
	movl	$PHYSICAL(no_cx16), %ebp
	movl	$1, %eax
	cpuid
	btl	$CPUID_CX16, %ecx
	jnc	refuse

	/* Tables. The loader has cleared them; they lie below 4 GiB, so upper halves stay 0. */
	movl	$PHYSICAL(low_tables) + TABLE, PHYSICAL(root_table)
	movl	$PHYSICAL(root_table) + TABLE, PHYSICAL(root_table) + 510 * 8
	movl	$PHYSICAL(high_table) + TABLE, PHYSICAL(root_table) + 511 * 8
	movl	$PHYSICAL(directories) + TABLE, PHYSICAL(high_table) + 510 * 8
	movl	$PHYSICAL(directories) + TABLE, %eax
	xorl	%ecx, %ecx
1:	movl	%eax, PHYSICAL(low_tables)(, %ecx, 8)
	addl	$PAGE_BYTES, %eax
	incl	%ecx
	cmpl	$4, %ecx
	jne	1b
	movl	$LARGE_PAGE, %eax
	xorl	%ecx, %ecx
1:	movl	%eax, PHYSICAL(directories)(, %ecx, 8)
	addl	$0x200000, %eax
	incl	%ecx
	cmpl	$4 * 512, %ecx
	jne	1b

	movl	%cr4, %eax
	orl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$PHYSICAL(root_table), %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$(EFER_LME | EFER_NXE), %eax
	wrmsr
	movl	%cr0, %eax
	orl	$(CR0_PG | CR0_WP), %eax
	movl	%eax, %cr0
	lgdt	PHYSICAL(descriptors_pointer)
	ljmp	$0x08, $PHYSICAL(long_mode)

/*
 * Sends the message at EBP over the first serial line, configured or not, and stops. Where QEMU's debug
 * exit is (power.c), it ends the machine.
 */
refuse:
	movb	(%ebp), %bl
	incl	%ebp
	testb	%bl, %bl
	jz	2f
	movl	$COM1_PATIENCE, %ecx
	movw	$COM1_STATUS, %dx
1:	inb	%dx, %al
	testb	$COM1_EMPTY, %al
	jnz	1f
	loop	1b
1:	movw	$COM1, %dx
	movb	%bl, %al
	outb	%al, %dx
	jmp	refuse
2:	movb	$EXIT_REFUSED, %al
	outb	%al, $DEBUG_EXIT
3:	cli
	hlt
	jmp	3b
	.cfi_endproc
	.size	nano_core_start, . - nano_core_start

	/* ---- 64 bits ---- */

	.code64
long_mode:
	movabsq	$upper_half, %rax
	jmp	*%rax

upper_half:
	.cfi_startproc
	.cfi_undefined rip			/* there is no caller */
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	movq	$stack_end, %rsp
	xorl	%ebp, %ebp
	movl	%edi, %edi			/* magic, information: 32 bits each */
	movl	%esi, %esi
	movq	entry_tsc, %rdx
	call	nano_core_main
	ud2
	.cfi_endproc

	/* In the fresh nano_core: whoever is on the boot stack does not come back. */
	.section .text.nano_core_go_on, "ax", @progbits
	.globl	nano_core_go_on
	.type	nano_core_go_on, @function
nano_core_go_on:
	.cfi_startproc
	.cfi_undefined rip			/* there is no caller */
	movq	%gs:8, %rax			/* slots would be lost (OWN_TOP, cpu_local.h) */
	testq	%rax, %rax
	jnz	1f
	movq	nano_core_stack_top, %rsp
	xorl	%ebp, %ebp
	xorl	%ebx, %ebx			/* what was left in these, and on the stack, would */
	xorl	%r12d, %r12d			/* pass for pointers */
	xorl	%r13d, %r13d
	xorl	%r14d, %r14d
	xorl	%r15d, %r15d
	leaq	-STACK_BYTES(%rsp), %rdi
	movl	$STACK_BYTES / 8, %ecx
	xorl	%eax, %eax
	rep stosq
	call	nano_core_finish
1:	ud2
	.cfi_endproc
	.size	nano_core_go_on, . - nano_core_go_on

	.section .rodata.boot, "a", @progbits
	.balign	8
descriptors:					/* as in exceptions.c, which replaces them */
	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
descriptors_pointer:
	.short	. - descriptors - 1
	.long	PHYSICAL(descriptors)
no_multiboot:
	.asciz	"theoris: not started by a Multiboot2 loader\n"
no_long_mode:
	.asciz	"theoris: this CPU has no 64-bit mode\n"
no_nx:
	.asciz	"theoris: this CPU cannot keep data from being executed (NX)\n"
no_cx16:
	.asciz	"theoris: this CPU cannot compare and exchange 16 bytes (CMPXCHG16B)\n"

	.section .bss.boot_tables, "aw", @nobits
	.balign	PAGE_BYTES
	.type	root_table, @object
	.size	root_table, 7 * PAGE_BYTES
root_table:
	.skip	PAGE_BYTES
low_tables:
	.skip	PAGE_BYTES
high_table:
	.skip	PAGE_BYTES
directories:
	.skip	4 * PAGE_BYTES

	/* Lowest and highest page are unmapped when main.c adopts the stack: it ends in faults. */
	.section .bss.boot_stack, "aw", @nobits
	.balign	PAGE_BYTES
	.type	boot_stack, @object
	.size	boot_stack, PAGE_BYTES + STACK_BYTES + PAGE_BYTES
boot_stack:
	.skip	PAGE_BYTES
	.globl	nano_core_stack
	.hidden	nano_core_stack
nano_core_stack:
	.skip	STACK_BYTES
	.globl	nano_core_stack_end
	.hidden	nano_core_stack_end
nano_core_stack_end:
stack_end:
	.skip	PAGE_BYTES

	.section .bss.entry_tsc, "aw", @nobits
	.balign	8
entry_tsc:
	.skip	8

	.section .note.GNU-stack, "", @progbits
