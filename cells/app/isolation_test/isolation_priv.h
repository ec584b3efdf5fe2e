/* SPDX-License-Identifier: MIT */
/* isolation_priv.h - a way to fault, and what is to be expected of it. */
#pragma once

#include "own.h"

struct isolation_kind {
    const char *name;
    void (*provoke)(void);
    uint32_t lost;    /* frames that nobody can release */
    bool is_survived; /* the task itself goes on */
};

/* Each ends with an entry without a name. */
extern const struct isolation_kind isolation_faults[];
extern const struct isolation_kind isolation_damages[];

/* An invalid opcode. */
static inline void isolation_fault(void)
{
    __asm__ volatile("ud2" : : : "memory");
}
