/* SPDX-License-Identifier: MIT */
/*
 * heap - threadtest and shbench on our heaps and on the C library's, in one process, in turns.
 *
 * Usage: heap [MILLIONS]   objects of each load in a turn; default 10
 *
 * Prints figures, `NAME VALUE`: nanoseconds of processor time for an object that is allocated and
 * freed, loops included, the median of 9 turns; and the ratio of that to the C library's. names;
 * frames and pages are host_pages.c.
 */
#include "heap_load.h"
#include "logger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TURNS 9

#define LOADS(heap)                                                      \
    enum status heap##_load_threadtest(void **objects, uint32_t rounds); \
    enum status heap##_load_shbench(void **objects, uint32_t count)
LOADS(unsafe);
LOADS(partial);
LOADS(safe);
LOADS(glibc);

struct heap {
    const char *name;
    enum status (*loads[2])(void **objects, uint32_t count);
};

static const struct heap heaps[] = {
    {"heap_unsafe", {unsafe_load_threadtest, unsafe_load_shbench}},
    {"heap_partial", {partial_load_threadtest, partial_load_shbench}},
    {"heap_safe", {safe_load_threadtest, safe_load_shbench}},
    {"heap_glibc", {glibc_load_threadtest, glibc_load_shbench}},
};
#define HEAP_COUNT ARRAY_COUNT(heaps)

void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
    (void)level;
    (void)cell;
    fprintf(stderr, "a heap complains: %s\n", format);
    abort();
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double measure(const struct heap *heap, unsigned load, uint32_t objects)
{
    static void *places[THREADTEST_OBJECTS];
    memset(places, 0, sizeof(places));
    double start = now();
    if (heap->loads[load](places, load == 0 ? objects / THREADTEST_OBJECTS : objects) != OK) {
        fprintf(stderr, "%s: no memory\n", heap->name);
        exit(1);
    }
    return (now() - start) / objects;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
    uint32_t objects = (argc > 1 ? (uint32_t)atoi(argv[1]) : 10) * 1000000u;
    static double times[2][HEAP_COUNT][TURNS];
    for (unsigned turn = 0; turn < TURNS; turn++) {
        for (unsigned load = 0; load < 2; load++) {
            for (unsigned i = 0; i < HEAP_COUNT; i++) {
                times[load][i][turn] = measure(&heaps[i], load, objects);
            }
        }
    }
    static const char *const names[] = {"threadtest", "shbench"};
    for (unsigned load = 0; load < 2; load++) {
        for (unsigned i = 0; i < HEAP_COUNT; i++) {
            qsort(times[load][i], TURNS, sizeof(double), compare);
        }
        double glibc = times[load][HEAP_COUNT - 1][TURNS / 2];
        for (unsigned i = 0; i < HEAP_COUNT; i++) {
            double median = times[load][i][TURNS / 2];
            printf("%s_%s_ns %.1f\n", heaps[i].name, names[load], median);
            printf("%s_%s_to_glibc %.2f\n", heaps[i].name, names[load], median / glibc);
        }
    }
    return 0;
}
