/* SPDX-License-Identifier: MIT */
/*
 * heap_bench - what threadtest and shbench cost on the heap of this system: ticks of the time stamp
 * counter for an object that is allocated and freed, loops included, one line `figure NAME VALUE`
 * each. Which heap it is: heap.h. In an emulator that counts instructions a tick is one.
 */
#include "application.h"
#include "cell_metadata.h"
#include "cell_namespace.h"
#include "console.h"
#include "heap.h"
#include "heap_load.h"
#include "mutex.h"
#include "x86.h"

CELL(application, "1.0.0");

APPLICATION(heap_bench);

#define THREADTEST_ROUNDS 100u
#define SHBENCH_OBJECTS   500000u
#define PAIRS             100000u

static void say_each(const char *name, uint64_t ticks, uint64_t count)
{
    uint64_t tenths = (ticks * 10 + count / 2) / count;
    console_print("figure %s %lu.%lu\n", name, (unsigned long)(tenths / 10),
                  (unsigned long)(tenths % 10));
}

static void say_which(void)
{
    GUARD(mutex, held, cell_namespace_mutex());
    for (const struct cell *cell = cell_namespace_initial()->first; cell; cell = cell->next) {
        if (cell->interface && __builtin_strcmp(cell->interface, "heap") == 0) {
            console_print("heap_bench: the heap is %s\n", cell->name);
        }
    }
}

/* One block in turn: the shortest way through the heap, and the call. */
static enum status measure_pair(void)
{
    uint64_t start = read_tsc();
    for (uint32_t i = 0; i < PAIRS; i++) {
        void *block = heap_allocate(8);
        if (!block) {
            return ERR_NO_MEMORY;
        }
        heap_free(block);
    }
    say_each("heap_8_bytes", read_tsc() - start, PAIRS);
    return OK;
}

static enum status measure_loads(void **objects)
{
    uint64_t start = read_tsc();
    enum status status = heap_load_threadtest(objects, THREADTEST_ROUNDS);
    if (status != OK) {
        return status;
    }
    say_each("heap_threadtest", read_tsc() - start, THREADTEST_ROUNDS * THREADTEST_OBJECTS);
    __builtin_memset(objects, 0, SHBENCH_LIVE * sizeof(*objects));
    start = read_tsc();
    status = heap_load_shbench(objects, SHBENCH_OBJECTS);
    say_each("heap_shbench", read_tsc() - start, SHBENCH_OBJECTS);
    return status;
}

enum status heap_bench_main(const struct app_arguments *arguments)
{
    (void)arguments;
    say_which();
    enum status status = measure_pair();
    if (status != OK) {
        return status;
    }
    struct heap_statistics before = heap_statistics();
    void **objects = heap_allocate(THREADTEST_OBJECTS * sizeof(*objects));
    if (!objects) {
        return ERR_NO_MEMORY;
    }
    status = measure_loads(objects);
    heap_free(objects);
    struct heap_statistics after = heap_statistics();
    bool is_even = after.blocks_in_use == before.blocks_in_use && !after.bad_frees;
    console_print("figure heap_kept_kib %lu\nfigure heap_metadata_kib %lu\n",
                  (unsigned long)(after.bytes_mapped / 1024),
                  (unsigned long)(after.bytes_metadata / 1024));
    return status == OK && !is_even ? ERR_FAILED : status;
}
