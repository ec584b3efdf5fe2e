/* SPDX-License-Identifier: MIT */
/* As the other one, but for the version, a text, and whether the count begins at 0. */
#include "swap_sample.h"
#include "task.h"

CELL(library, "1.0.0");

#define VERSION  1u
#define PAUSE_NS 1000000ull

static const char name[] = "sample";
static const char *volatile title = "version one";
static uint64_t count;

static uint64_t local_version(void)
{
    return VERSION;
}

static volatile swap_sample_function_t pointer = local_version;

uint64_t swap_sample_version(void)
{
    return VERSION;
}

uint64_t swap_sample_count(void)
{
    return __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
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
