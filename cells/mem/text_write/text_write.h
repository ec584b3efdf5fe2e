/* SPDX-License-Identifier: MIT */
/*
 * text_write.h - stores into text while it is being executed.
 *
 * Why: a page that is made writable cannot be executed meanwhile, but other CPUs, interrupt
 * handlers and even whoever changes its mapping may be on their way through it. So the mapping
 * stays, and this CPU alone ignores that it is read-only, for the stores themselves (SDM,
 * "CR0.WP").
 *
 * Rules: address and size are multiples of 8, and each 8 bytes change at once, for other CPUs too.
 * Whether they go on with the old or the new ones is known only after each has executed a
 * serializing instruction. The memory is mapped and stays so; interrupts are disabled meanwhile. On
 * the host the pages are executable and read-only afterwards.
 *
 * A fault in the middle leaves what comes first written, the rest not, and this CPU without its
 * protection: who catches faults calls text_write_settle() before anything else, after one that
 * struck with interrupts off.
 */
#pragma once

#include "memory.h"
#include "x86.h"

#if __STDC_HOSTED__
    #include <sys/mman.h>
#endif

#define TEXT_WRITE_UNIT 8u

static inline void text_store(uint64_t address, const void *bytes, size_t size)
{
    volatile uint64_t *to = (volatile uint64_t *)address;
    for (size_t i = 0; i < size / TEXT_WRITE_UNIT; i++) {
        uint64_t value;
        __builtin_memcpy(&value, (const uint8_t *)bytes + i * TEXT_WRITE_UNIT, sizeof(value));
        to[i] = value;
    }
}

/* text_write() where protection is the kernel's affair. It is on afterwards, whatever it was. */
static inline void text_write_unprotected(uint64_t address, const void *bytes, size_t size)
{
    bool enable = interrupts_enabled();
    disable_interrupts();
    uint64_t cr0 = read_cr0();
    write_cr0(cr0 & ~CR0_WRITE_PROTECT);
    text_store(address, bytes, size);
    write_cr0(cr0 | CR0_WRITE_PROTECT);
    if (enable) {
        enable_interrupts();
    }
}

/* Interrupts are off, and what a fault has interrupted will not go on. */
static inline void text_write_settle(void)
{
    uint64_t cr0 = read_cr0();
    if (UNLIKELY(!(cr0 & CR0_WRITE_PROTECT))) {
        write_cr0(cr0 | CR0_WRITE_PROTECT);
    }
}

#if __STDC_HOSTED__

static inline void text_write(uint64_t address, const void *bytes, size_t size)
{
    void *start = (void *)page_align_down(address);
    size_t length = page_align_up(address + size) - page_align_down(address);
    if (mprotect(start, length, PROT_READ | PROT_WRITE)) {
        __builtin_trap();
    }
    text_store(address, bytes, size);
    if (mprotect(start, length, PROT_READ | PROT_EXEC)) {
        __builtin_trap();
    }
}

static inline uint64_t text_patch_begin(void)
{
    return 0;
}

static inline void text_patch_end(uint64_t state)
{
    (void)state;
}

static inline void text_patch(uint64_t address, uint64_t value, size_t size, bool is_executable)
{
    void *start = (void *)page_align_down(address);
    size_t length = page_align_up(address + size) - page_align_down(address);
    if (mprotect(start, length, PROT_READ | PROT_WRITE)) {
        __builtin_trap();
    }
    __builtin_memcpy((void *)address, &value, size);
    if (mprotect(start, length, PROT_READ | (is_executable ? PROT_EXEC : 0))) {
        __builtin_trap();
    }
}

#else

static inline void text_write(uint64_t address, const void *bytes, size_t size)
{
    text_write_unprotected(address, bytes, size);
}

/*
 * Between these two, stores by text_patch() of up to 8 bytes at any address, also to pages of
 * constants. For who has stopped all other CPUs: nothing here is more atomic than the store.
 * Interrupts are off.
 */
static inline uint64_t text_patch_begin(void)
{
    uint64_t cr0 = read_cr0();
    write_cr0(cr0 & ~CR0_WRITE_PROTECT);
    return cr0;
}

static inline void text_patch_end(uint64_t cr0)
{
    write_cr0(cr0);
}

static inline void text_patch(uint64_t address, uint64_t value, size_t size, bool is_executable)
{
    (void)is_executable;
    COMPILER_BARRIER();
    if (size == 8) {
        __builtin_memcpy((void *)address, &value, 8);
    } else if (size == 4) {
        __builtin_memcpy((void *)address, &value, 4);
    } else {
        __builtin_memcpy((void *)address, &value, size);
    }
    COMPILER_BARRIER();
}

#endif
