/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as calls of a heap, three bytes each: what, which block, how much. Blocks are filled
 * and checked; bad pointers are freed too, those that the heap under test says it detects
 * (heap_safe); and requests below fail. At the end all is freed, and what the heap took it must
 * account for.
 */
#include "heap.h"
#include "logger.h"
#include "memory.h"

#include "../heap/host_pages.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS 256

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct {
    uint8_t *address;
    size_t bytes;
} blocks[BLOCKS];
static uint64_t live;
static uint64_t complaints;

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
    (void)cell;
    (void)format;
    check(level == LOG_ERROR);
    complaints++;
}

static void free_block(unsigned which)
{
    uint8_t *address = blocks[which].address;
    for (size_t i = 0; i < blocks[which].bytes; i += 1 + i / 8) {
        check(address[i] == (uint8_t)which);
    }
    heap_free(address);
    live--;
    blocks[which].address = NULL;
}

static void allocate_block(unsigned which, size_t bytes)
{
    uint8_t *address = heap_allocate(bytes);
    if (address) {
        check((uintptr_t)address % HEAP_ALIGNMENT == 0);
        memset(address, (int)which, bytes);
        blocks[which].address = address;
        blocks[which].bytes = bytes;
        live++;
    }
}

static void free_badly(void *address)
{
    uint64_t bad_frees = heap_statistics().bad_frees;
    uint64_t before = complaints;
    heap_free(address);
    check(heap_statistics().bad_frees == bad_frees + 1 && complaints == before + 1);
}

/* Some address near the block that is not an allocated one. */
static void free_near(unsigned which, unsigned how_far)
{
    uintptr_t base = (uintptr_t)blocks[which].address;
    uintptr_t address = base ? base + 1 + how_far * 5 : (uintptr_t)&blocks[which];
    for (unsigned i = 0; i < BLOCKS; i++) {
        if ((uintptr_t)blocks[i].address == address) {
            return;
        }
    }
    free_badly((void *)address);
}

static void call(unsigned what, unsigned which, unsigned amount)
{
    switch (what % 8) {
    case 0:
        free_near(which, amount);
        break;
    case 1:
        host_pages_fail(amount % 16, amount >= 192);
        break;
    case 2: { /* a crowd, for slabs to fill and empty */
        for (unsigned i = 0; i < amount; i++) {
            unsigned next = (which + i) % BLOCKS;
            if (!blocks[next].address) {
                allocate_block(next, 1 + what * 8);
            }
        }
        break;
    }
    case 3:
        for (unsigned i = 0; i < amount; i++) {
            unsigned next = (which + i * (1 + what / 8)) % BLOCKS;
            if (blocks[next].address) {
                free_block(next);
            }
        }
        break;
    default:
        if (blocks[which].address) {
            void *address = blocks[which].address;
            free_block(which);
            if (what & 8) {
                free_badly(address);
            }
        } else {
            allocate_block(which, what & 16 ? amount * 40 : amount);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i + 3 <= size && i < 3000; i += 3) {
        call(bytes[i], bytes[i + 1], bytes[i + 2]);
    }
    host_pages_fail(0, false);
    struct heap_statistics now = heap_statistics();
    check(now.blocks_in_use == live && now.bytes_in_use <= now.bytes_mapped);
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (blocks[i].address) {
            free_block(i);
        }
    }
    now = heap_statistics();
    check(now.blocks_in_use == 0 && now.bytes_in_use == 0);
    check(now.bytes_mapped + now.bytes_metadata == host_pages_use().frames * PAGE_SIZE);
    return 0;
}
