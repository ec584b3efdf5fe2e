/* SPDX-License-Identifier: MIT */
/*
 * The arena is one reservation without access rights. A page's state is one byte, so that the test
 * knows what the CPU would allow without asking the host's kernel.
 */
#include "host_memory.h"
#include "heap.h"
#include "mapped_pages.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <asm/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARENA_PAGES 16384u /* 64 MiB */
#define ARENA_BYTES (ARENA_PAGES * PAGE_SIZE)
#define ARENA_FIRST 0x20000000u /* where to try first, and how far up */
#define ARENA_LAST  0x70000000u

enum page_state { PAGE_FREE, PAGE_READABLE, PAGE_WRITABLE, PAGE_EXECUTABLE };

struct mapped_pages {
    vaddr_t start;
    size_t page_count;
    size_t bytes;
    enum page_zone zone;
    unsigned flags;
};

static uint8_t *arena;
static uint8_t states[ARENA_PAGES];
static bool was_executable[ARENA_PAGES]; /* since it was taken */
static struct host_memory_use use;
static unsigned failing_kinds;
static uint64_t failing_number;
static uint64_t counted;

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "host_memory: %s\n", what);
        abort();
    }
}

struct host_memory_use host_memory_use(void)
{
    return use;
}

uint64_t host_memory_fail(unsigned kinds, uint64_t number)
{
    uint64_t before = counted;
    failing_kinds = kinds;
    failing_number = number;
    counted = 0;
    return before;
}

static bool is_refused(enum host_request kind)
{
    return (failing_kinds & kind) && ++counted == failing_number;
}

/* ---- heap ---- */

void *heap_allocate(size_t bytes)
{
    if (is_refused(HOST_REQUEST_HEAP)) {
        return NULL;
    }
    void *block = malloc(bytes ? bytes : 1);
    must(block != NULL, "malloc failed");
    memset(block, 0xa5, bytes);
    use.heap_blocks++;
    use.heap_bytes += malloc_usable_size(block);
    return block;
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = heap_allocate(bytes);
    if (block) {
        memset(block, 0, bytes);
    }
    return block;
}

void heap_free(void *block)
{
    if (block) {
        use.heap_blocks--;
        use.heap_bytes -= malloc_usable_size(block);
        free(block);
    }
}

/* ---- pages ---- */

/* What is loaded finds its chain of owned slots and its holds behind %gs, as in the kernel
 * (cpu_local.h). Nobody wants to be switched to. */
static void make_cpu_local(void)
{
    static uint64_t cpu_local[16] = {[2] = 0x80000000u /* HOLD_UNWANTED */};
    must(syscall(SYS_arch_prctl, ARCH_SET_GS, cpu_local) == 0, "no base for %gs");
}

static void reserve_arena(void)
{
    make_cpu_local();
    for (uintptr_t at = ARENA_FIRST; !arena && at <= ARENA_LAST; at += ARENA_BYTES) {
        void *got = mmap((void *)at, ARENA_BYTES, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        arena = got == MAP_FAILED ? NULL : got;
    }
    must(arena != NULL, "no room in the low 2 GiB");
}

static size_t page_number(uint64_t address)
{
    return arena ? (size_t)(address - (uint64_t)arena) / PAGE_SIZE : ARENA_PAGES;
}

static uint8_t *take_pages(size_t count)
{
    size_t run = 0;
    for (size_t i = 0; i < ARENA_PAGES; i++) {
        run = states[i] == PAGE_FREE ? run + 1 : 0;
        if (run == count) {
            return arena + (i + 1 - count) * PAGE_SIZE;
        }
    }
    return NULL;
}

static void set_access(const struct mapped_pages *pages, int access)
{
    must(mprotect((void *)pages->start, pages->page_count * PAGE_SIZE, access) == 0, "mprotect");
}

static void set_states(const struct mapped_pages *pages, enum page_state state)
{
    memset(states + page_number(pages->start), state, pages->page_count);
}

/* The first page's flag stands for all pages of one structure; false outside of the arena. */
static bool *settled(const struct mapped_pages *pages)
{
    static bool never;
    never = false;
    return pages->zone == PAGE_ZONE_CODE ? &was_executable[page_number(pages->start)] : &never;
}

/* Gives the pages the access that `flags` say. */
static enum status apply(struct mapped_pages *pages, unsigned flags)
{
    if (flags & ~(unsigned)(PAGE_WRITE | PAGE_EXECUTE)) {
        return ERR_INVALID_ARGUMENT;
    }
    if ((flags & PAGE_WRITE) && (flags & PAGE_EXECUTE)) {
        return ERR_PERMISSION;
    }
    set_access(pages, PROT_READ | (flags & PAGE_WRITE ? PROT_WRITE : 0) |
                          (flags & PAGE_EXECUTE ? PROT_EXEC : 0));
    if (pages->zone == PAGE_ZONE_CODE) {
        set_states(pages, flags & PAGE_WRITE     ? PAGE_WRITABLE
                          : flags & PAGE_EXECUTE ? PAGE_EXECUTABLE
                                                 : PAGE_READABLE);
    }
    pages->flags = flags;
    return OK;
}

static uint64_t *count_of(enum page_zone zone)
{
    return zone == PAGE_ZONE_CODE ? &use.code_pages : &use.data_pages;
}

enum status mapped_pages_create(enum page_zone zone, size_t bytes, unsigned flags,
                                struct mapped_pages **out)
{
    must(*out == NULL, "the slot is full");
    if (is_refused(HOST_REQUEST_PAGES)) {
        return ERR_NO_MEMORY;
    }
    if (bytes == 0) {
        return ERR_INVALID_ARGUMENT;
    }
    if (!arena) {
        reserve_arena();
    }
    size_t count = page_count_of(bytes);
    struct mapped_pages pages = {.page_count = count, .bytes = count * PAGE_SIZE, .zone = zone};
    if (zone == PAGE_ZONE_CODE) {
        pages.start = (vaddr_t)take_pages(count);
        if (!pages.start) {
            return ERR_NO_ADDRESS_SPACE;
        }
        set_access(&pages, PROT_READ | PROT_WRITE);
        memset((void *)pages.start, 0, pages.bytes);
    } else {
        void *got = mmap(NULL, pages.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        must(got != MAP_FAILED, "mmap");
        pages.start = (vaddr_t)got;
    }
    enum status status = apply(&pages, flags);
    must(status == OK, "wrong flags");
    *count_of(zone) += count;
    *out = malloc(sizeof(pages));
    must(*out != NULL, "malloc failed");
    **out = pages;
    return OK;
}

/* What others left is no zeros. */
enum status mapped_pages_create_raw(enum page_zone zone, size_t bytes, unsigned flags,
                                    struct mapped_pages **out)
{
    enum status status = mapped_pages_create(zone, bytes, flags, out);
    if (status == OK) {
        memset((void *)(*out)->start, 0xa5, (*out)->bytes);
    }
    return status;
}

enum status mapped_pages_remap(struct mapped_pages *pages, unsigned flags)
{
    /* Pages that were executable once have been through every change: it cannot fail any more. */
    if (!*settled(pages) && is_refused(HOST_REQUEST_PROTECT)) {
        return ERR_NO_MEMORY;
    }
    enum status status = apply(pages, flags);
    if (status == OK && (flags & PAGE_EXECUTE)) {
        *settled(pages) = true;
    }
    return status;
}

vaddr_t mapped_pages_start(const struct mapped_pages *pages)
{
    return pages->start;
}

uint64_t mapped_pages_count(const struct mapped_pages *pages)
{
    return pages->page_count;
}

void mapped_pages_drop(struct mapped_pages **handle)
{
    struct mapped_pages *pages = *handle;
    if (!pages) {
        return;
    }
    if (pages->zone == PAGE_ZONE_CODE) {
        size_t first = page_number(pages->start);
        for (size_t i = first; i < first + pages->page_count; i++) {
            must(states[i] != PAGE_FREE, "a page was given back twice");
        }
        set_states(pages, PAGE_FREE);
        set_access(pages, PROT_NONE);
        *settled(pages) = false;
    } else {
        must(munmap((void *)pages->start, pages->bytes) == 0, "munmap");
    }
    *count_of(pages->zone) -= pages->page_count;
    *handle = NULL;
    free(pages);
}

static enum page_state state_of(uint64_t address)
{
    size_t page = page_number(address);
    return page < ARENA_PAGES ? (enum page_state)states[page] : PAGE_FREE;
}

bool host_memory_is_executable(uint64_t address)
{
    return state_of(address) == PAGE_EXECUTABLE;
}

bool host_memory_is_writable(uint64_t address)
{
    return state_of(address) == PAGE_WRITABLE;
}

uint64_t host_memory_next_page(uint64_t from)
{
    uint64_t start = (uint64_t)arena;
    for (size_t i = from <= start ? 0 : page_number(from + PAGE_SIZE - 1); i < ARENA_PAGES; i++) {
        if (states[i] != PAGE_FREE) {
            return start + i * PAGE_SIZE;
        }
    }
    return 0;
}
