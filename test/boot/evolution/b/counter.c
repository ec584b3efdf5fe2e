/* SPDX-License-Identifier: MIT */
#include "counter.h"
#include "status.h"

CELL(library, "2.0.0");

CELL_API uint64_t counter_since(void);

/* A wider count, and how much of it is older than this version. */
static struct {
    uint64_t count;
    uint64_t taken_over;
} state;

uint64_t counter_next(void)
{
    return __atomic_add_fetch(&state.count, 1, __ATOMIC_RELAXED);
}

uint64_t counter_since(void)
{
    return state.count - state.taken_over;
}

static enum status widen(const void *old, size_t old_bytes, void *new, size_t new_bytes)
{
    uint64_t *values = new;
    if (old_bytes != sizeof(uint32_t) || new_bytes != sizeof(state)) {
        return ERR_MISMATCH;
    }
    values[0] = *(const uint32_t *)old;
    values[1] = values[0];
    return OK;
}

CELL_TRANSFER(count, state, widen);
