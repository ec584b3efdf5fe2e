/* SPDX-License-Identifier: MIT */
/*
 * strike_machine.h - a machine whose MMU is simulated, for what is struck above it.
 *
 * Why: mappings, stacks and registers of devices are struck on the same machine, whose parts are
 * assured by cmocka in unit tests, and here by what strike.h demands.
 *
 * Rules: included once in a program, which links the cells up to mapped_pages.
 */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "strike.h"

#define assert_true(condition)          strike_demand(condition)
#define assert_int_equal(a, b)          strike_demand((uint64_t)(a) == (uint64_t)(b))
#define assert_memory_equal(a, b, size) strike_demand(memcmp(a, b, size) == 0)
#define fail_msg(...)                   strike_fail(__FILE__, __LINE__, "mapping")

#define SIMULATED_FRAMES      300
#define SIMULATED_DESCRIPTORS 64
#define IMAGE_FRAMES          1
#define MMU_CODE              STRIKE_NOT
#include "simulated_machine.h"

#define DEVICE 0x40000000ull

/* What of the machine's memory is not looked at when state is compared. */
static inline void start_struck_machine(void)
{
    strike_demand(start_simulated_machine() == 0);
    strike_leave_out(memory[2], (LOW_FRAMES - 2) * PAGE_SIZE);
}

/* The same with tables, and something in the caches. */
static inline void start_used_machine(void)
{
    start_struck_machine();
    struct mapped_pages *once = NULL;
    strike_demand(mapped_pages_create(PAGE_ZONE_DATA, PAGE_SIZE, PAGE_WRITE, &once) == OK);
    mapped_pages_drop(&once);
}
