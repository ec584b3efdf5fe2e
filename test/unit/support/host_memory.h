/* SPDX-License-Identifier: MIT */
/*
 * host_memory.h - heap.h and mapped_pages.h on a host, so that real cells load into a test process.
 *
 * Why: the loader is ordinary C; what it needs of the machine is memory that it can protect, within
 * reach of -mcmodel=kernel. Objects of that code model run in the low 2 GiB of a process as they
 * run in the top 2 GiB of the kernel. The heap is malloc(), so ASan sees every access; pages are
 * counted and kept in an arena of their own, where everything that is not mapped faults.
 *
 * Rules: a test links this file instead of the cells `heap` and `mapped_pages` (STUBS). Heap blocks
 * are filled with 0xa5: whoever takes them for zeroed is found out. Pages are given lowest first,
 * so neighbours get adjacent ones, as in the kernel. One thread. A broken rule of the two
 * interfaces (a page freed twice, write and execute at once) ends the test.
 */
#pragma once

#include "memory.h"

/* What is in use now; equal before and after whatever leaves no trace. */
struct host_memory_use {
    uint64_t heap_blocks;
    uint64_t heap_bytes; /* as malloc() rounds them */
    uint64_t code_pages;
    uint64_t data_pages;
};

struct host_memory_use host_memory_use(void);

/* Requests that can be made to fail. */
enum host_request {
    HOST_REQUEST_HEAP = 1,    /* heap_allocate() */
    HOST_REQUEST_PAGES = 2,   /* mapped_pages_create() */
    HOST_REQUEST_PROTECT = 4, /* mapped_pages_remap() of pages that are not executable yet */
};

/*
 * Starts to count requests of the given kinds (or-ed), and refuses the one numbered `number`, from
 * 1 on; 0 refuses none. Returns how many were counted since the last call.
 */
uint64_t host_memory_fail(unsigned kinds, uint64_t number);

/* Could the CPU run, or write, what is at this address of the code arena? False outside of it. */
bool host_memory_is_executable(uint64_t address);
bool host_memory_is_writable(uint64_t address);

/* Any address of the code arena that is mapped, from `from` on; 0 at the end. By pages. */
uint64_t host_memory_next_page(uint64_t from);
