/* SPDX-License-Identifier: MIT */
/* A variant is this source with one of these macros defined otherwise. */
#include "tally.h"

CELL(library, "1.0.0");

#ifndef VERSION
    #define VERSION 1u
#endif
#ifndef COUNT
    #define COUNT static uint64_t count = 5
#endif
#ifndef PARAMETERS
    #define PARAMETERS void
#endif
#ifndef NEXT
    #define NEXT ++count
#endif
#ifndef ZEROED
    #define ZEROED                                                   \
        static uint64_t zeroed;                                      \
        CELL_API uint64_t tally_zeroed(void)                         \
        {                                                            \
            return __atomic_add_fetch(&zeroed, 1, __ATOMIC_RELAXED); \
        }
#endif
#ifndef TITLE
    #define TITLE "tally"
#endif
#ifndef LIMITS
    #define LIMITS static const uint64_t limits[2]
#endif
#ifndef MORE
    #define MORE
#endif

COUNT;
LIMITS = {1, 100};
static const char title[] = TITLE;
static const char *volatile heading = title;

const uint64_t tally_row[3] = {7, 8, 9};
uint64_t tally_slots[2] = {10, 20};

static uint64_t local(void)
{
    return VERSION;
}

static volatile tally_function_t pointer = local;

uint64_t tally_version(void)
{
    return VERSION;
}

uint64_t tally_next(PARAMETERS)
{
    return NEXT;
}

ZEROED

tally_function_t tally_local(void)
{
    return pointer;
}

const char *tally_title(void)
{
    return title;
}

const char *tally_heading(void)
{
    return heading;
}

const uint64_t *tally_limits(void)
{
    return limits;
}

MORE
