/* SPDX-License-Identifier: MIT */
/*
 * page_table_priv.h - how the page tables themselves are reached.
 */
#pragma once

#include "page_table_entries.h"

#if __STDC_HOSTED__
/* The memory that an address leads to. On a host the test does the walk. */
void *window_at(vaddr_t address);
#else

static inline void *window_at(vaddr_t address)
{
    return (void *)address;
}

#endif
