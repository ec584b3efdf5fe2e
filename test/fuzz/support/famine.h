/* SPDX-License-Identifier: MIT */
/*
 * famine.h - for a while only so many descriptors are left in the pool.
 */
#pragma once

#include "descriptor_pool.h"

static void **hoard; /* blocks, linked by their first words */

static inline void begin_famine(uint64_t descriptors)
{
    while (descriptor_pool_available() > descriptors) {
        void **block = descriptor_pool_get();
        *block = hoard;
        hoard = block;
    }
}

static inline void end_famine(void)
{
    while (hoard) {
        void **block = hoard;
        hoard = *block;
        descriptor_pool_put(block);
    }
}
