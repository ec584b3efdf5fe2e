/* SPDX-License-Identifier: MIT */
/*
 * Counts calls in another layout than the others, and so takes over their count by a function. For
 * tests, this function goes wrong where the count leaves a certain rest: it faults, refuses, or
 * never ends.
 */
#include "swap_sample.h"
#include "status.h"
#include "task.h"

CELL(library, "1.0.0");

#define VERSION  3u
#define PAUSE_NS 1000000ull

static const char name[] = "sample";
static const char *volatile title = "version three";

static struct counts {
    uint64_t taken_over;
    uint64_t since;
} count;

static uint64_t local_version(void)
{
    return VERSION;
}

static volatile swap_sample_function_t pointer = local_version;

/* GCC's analyzer is right about it: one order is a fault. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-null-dereference"
static enum status take_count(const void *old, size_t old_bytes, void *new, size_t new_bytes)
{
    uint64_t calls = *(const uint64_t *)old;
    if (old_bytes != sizeof(calls) || new_bytes != sizeof(count)) {
        return ERR_MISMATCH;
    }
    switch (calls % SWAP_SAMPLE_ORDERS) {
    case SWAP_SAMPLE_FAULT:
        *(volatile uint64_t *)NULL = calls;
        break;
    case SWAP_SAMPLE_REFUSE:
        return ERR_MISMATCH;
    case SWAP_SAMPLE_SPIN:
        for (;;) {
            cpu_relax();
        }
    default:
        break;
    }
    *(struct counts *)new = (struct counts){.taken_over = calls};
    return OK;
}
#pragma GCC diagnostic pop
CELL_TRANSFER(count, count, take_count);
CELL_FRESH(title);

uint64_t swap_sample_version(void)
{
    return VERSION;
}

uint64_t swap_sample_count(void)
{
    return count.taken_over + __atomic_add_fetch(&count.since, 1, __ATOMIC_RELAXED);
}

const char *swap_sample_name(void)
{
    return name;
}

const char *swap_sample_title(void)
{
    return title;
}

swap_sample_function_t swap_sample_pointer(void)
{
    return pointer;
}

uint64_t swap_sample_wait(bool *has_begun, const bool *is_over)
{
    __atomic_store_n(has_begun, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(is_over, __ATOMIC_ACQUIRE)) {
        task_sleep(PAUSE_NS);
    }
    return 10 * VERSION + pointer();
}
