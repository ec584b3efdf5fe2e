/* SPDX-License-Identifier: MIT */
/*
 * catch_priv.h - the stacks that slots are released on, what the exception's handler asks, and
 * chains that are broken.
 */
#pragma once

#include "catch.h"
#include "memory.h"
#include "own.h"
#include "stack.h"

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

/* Of all bases: catch_enable(). */
extern catch_witness_t catch_base_witness;

/* Can the fields of `slot` be read? `place` is the stack that the last one was on; it changes with
 * it. */
static inline bool catch_can_read(const struct own_slot *slot, struct stack_place *place)
{
    vaddr_t address = (vaddr_t)slot;
    if (UNLIKELY(address - place->bottom >= place->top - place->bottom) &&
        (!stack_find(address, place) || place->part != STACK_INSIDE)) {
        return false;
    }
    return address % alignof(struct own_slot) == 0 && place->top - address >= sizeof(*slot);
}

/*
 * Shows each slot that is found by its tag, newest first, from the stack of `rsp` on outwards,
 * until `visit` returns true. What `visit` changes are links of slots that it was shown before.
 */
typedef bool (*catch_visitor)(void *context, struct own_slot *slot);
void catch_scan(uint64_t rsp, catch_visitor visit, void *context);

/*
 * Links all slots anew that are found by their tags, from the stack of `rsp` on outwards, up to the
 * first of which is_point() holds, and returns that; NULL: there is none. OWN_TOP is the newest
 * then.
 */
struct own_slot *catch_mend(uint64_t rsp, bool (*is_point)(struct own_slot *slot));

/* The same up to a slot that catch_scan() has shown. */
void catch_mend_to(uint64_t rsp, const struct own_slot *until);
