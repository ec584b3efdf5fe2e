/* SPDX-License-Identifier: MIT */
/* catch_priv.h - the stacks that slots are released on, and what the exception's handler asks. */
#pragma once

#include "catch.h"
#include "memory.h"

/* The page before and behind each: catch_enable() unmaps them. */
struct catch_stacks {
    struct {
        uint8_t guard[PAGE_SIZE];
        uint8_t stack[CATCH_STACK_SIZE];
    } of[CATCH_STACKS];
    uint8_t last_guard[PAGE_SIZE];
};

extern struct catch_stacks catch_stacks;

/* Who is to be called for the fault that catch_take() has just taken; NULL: nobody. `point` is what
 * it put into rdi. */
catch_witness_t catch_witness(uint64_t point);
