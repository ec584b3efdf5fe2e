/* SPDX-License-Identifier: MIT */
/* The count is a structure, and is taken over by a function; unless there is no TRANSFER. */
#include "status.h"

struct counts {
    uint64_t taken_over;
    uint64_t since;
};

#define TAKE_OVER(from) CELL_TRANSFER(from, count, widen)

#define COUNT static struct counts count
#define NEXT  count.taken_over + ++count.since
#ifndef WIDENED
    #define WIDENED OK
#endif
#ifndef TRANSFER
    #define TRANSFER                                                                         \
        static enum status widen(const void *old, size_t old_bytes, void *new, size_t bytes) \
        {                                                                                    \
            if (old_bytes != sizeof(uint64_t) || bytes != sizeof(struct counts)) {           \
                return ERR_MISMATCH;                                                         \
            }                                                                                \
            ((struct counts *)new)->taken_over = *(const uint64_t *)old;                     \
            return WIDENED;                                                                  \
        }                                                                                    \
        TAKE_OVER(FROM);
#endif
#ifndef FROM
    #define FROM count
#endif
#define MORE TRANSFER
#include "tally.c"
