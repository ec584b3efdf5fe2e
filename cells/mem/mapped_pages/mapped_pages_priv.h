/* SPDX-License-Identifier: MIT */
/*
 * mapped_pages_priv.h - how memory is reached that has just been mapped.
 */
#pragma once

#include "memory.h"

#if __STDC_HOSTED__
/* On a host the test has the memory: one page of it. */
void *memory_at(vaddr_t page);
#else

static inline void *memory_at(vaddr_t page)
{
    return (void *)page;
}

#endif
