/* SPDX-License-Identifier: MIT */
/*
 * A chain that is broken is made anew: every slot says by its tag that it is one, and slots that
 * were left have none. Slots of one stack are linked by rising addresses, which is newest first but
 * for those of one and the same function. From stack to stack the links that are left lead: the
 * oldest slot of one points to the newest of the next. Nothing below the stack pointer is looked
 * at: a copy of a tag in a frame that has ended, a few words from where it belongs, may name
 * another drop function.
 *
 * Rejected: to mend the one link that is broken. Where one was hit others may be, and a wrong link
 * that leads to a live slot cannot be told from a right one.
 */
#include "catch_priv.h"
#include "owned.h"

#define STACKS_MAX 8u /* that one chain lies on */

/* The chain as far as it is made. */
struct growing_chain {
    struct own_slot *oldest; /* NULL: none yet */
    struct stack_place next; /* the stack that links from this one lead to; `top` 0: none does */
    bool (*is_point)(struct own_slot *slot);
};

static void append(struct growing_chain *chain, struct own_slot *slot)
{
    if (chain->oldest) {
        chain->oldest->below = slot;
    } else {
        OWN_TOP = slot;
    }
    chain->oldest = slot;
}

static void look_behind(struct growing_chain *chain, const struct own_slot *slot,
                        const struct stack_place *here)
{
    struct stack_place place = {.bottom = here->bottom, .top = here->top};
    if (catch_can_read(slot->below, &place) && place.bottom != here->bottom) {
        chain->next = place;
    }
}

/* All slots on this stack from `at` on, to the first catch point, which is returned. */
static struct own_slot *append_stack(struct growing_chain *chain, const struct stack_place *place,
                                     vaddr_t at)
{
    struct own_slot *slot;
    while ((slot = own_find_slot(at, place->top, owned_is_intact_drop))) {
        append(chain, slot);
        if (chain->is_point(slot)) {
            return slot;
        }
        look_behind(chain, slot, place);
        at = (vaddr_t)(slot + 1);
    }
    return NULL;
}

struct own_slot *catch_mend(uint64_t rsp, bool (*is_point)(struct own_slot *slot))
{
    struct growing_chain chain = {.is_point = is_point};
    struct stack_place place;
    struct stack_place of_top = {.bottom = 0, .top = 0};
    bool has_top = catch_can_read(OWN_TOP, &of_top);
    vaddr_t from = rsp;
    if (!stack_find(rsp, &place) || place.part != STACK_INSIDE) {
        place = of_top; /* the stack was used up, or its pointer is wild */
        from = of_top.bottom;
    }
    for (unsigned i = 0; i < STACKS_MAX && place.top != 0; i++) {
        chain.next = (struct stack_place){.bottom = 0, .top = 0};
        struct own_slot *point = append_stack(&chain, &place, from);
        if (point) {
            return point;
        }
        if (chain.next.top == 0 && has_top && of_top.bottom != place.bottom) {
            chain.next = of_top;
        }
        place = chain.next;
        from = place.bottom;
    }
    return NULL;
}
