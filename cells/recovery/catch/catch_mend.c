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

/* Where a scan goes on; no stack is looked at twice. */
struct scan {
    catch_visitor visit;
    void *context;
    struct stack_place next; /* the stack that links from this one lead to; `top` 0: none does */
    vaddr_t seen[STACKS_MAX];
    unsigned count;
};

static bool is_seen(const struct scan *scan, vaddr_t bottom)
{
    for (unsigned i = 0; i < scan->count; i++) {
        if (scan->seen[i] == bottom) {
            return true;
        }
    }
    return false;
}

static void look_behind(struct scan *scan, const struct own_slot *slot,
                        const struct stack_place *here)
{
    struct stack_place place = {.bottom = here->bottom, .top = here->top};
    if (catch_can_read(slot->below, &place) && !is_seen(scan, place.bottom)) {
        scan->next = place;
    }
}

/* All slots on this stack from `at` on. True: it is enough. */
static bool scan_stack(struct scan *scan, const struct stack_place *place, vaddr_t at)
{
    struct own_slot *slot;
    while ((slot = own_find_slot(at, place->top, owned_is_intact_drop))) {
        if (scan->visit(scan->context, slot)) {
            return true;
        }
        look_behind(scan, slot, place);
        at = (vaddr_t)(slot + 1);
    }
    return false;
}

void catch_scan(uint64_t rsp, catch_visitor visit, void *context)
{
    struct scan scan = {.visit = visit, .context = context};
    struct stack_place place;
    struct stack_place of_top = {.bottom = 0, .top = 0};
    bool has_top = catch_can_read(OWN_TOP, &of_top);
    vaddr_t from = rsp;
    if (!stack_find(rsp, &place) || place.part != STACK_INSIDE) {
        place = of_top; /* the stack was used up, or its pointer is wild */
        from = of_top.bottom;
    }
    while (place.top != 0 && scan.count < STACKS_MAX) {
        scan.seen[scan.count++] = place.bottom;
        scan.next = (struct stack_place){.bottom = 0, .top = 0};
        if (scan_stack(&scan, &place, from)) {
            return;
        }
        if (scan.next.top == 0 && has_top && !is_seen(&scan, of_top.bottom)) {
            scan.next = of_top;
        }
        place = scan.next;
        from = place.bottom;
    }
}

/* The chain as far as it is made. */
struct growing_chain {
    struct own_slot *oldest;                 /* NULL: none yet */
    bool (*is_point)(struct own_slot *slot); /* NULL: it ends at `until` */
    const struct own_slot *until;
    struct own_slot *point;
};

static bool append(void *context, struct own_slot *slot)
{
    struct growing_chain *chain = context;
    if (chain->oldest) {
        chain->oldest->below = slot;
    } else {
        OWN_TOP = slot;
    }
    chain->oldest = slot;
    bool is_end = chain->is_point ? chain->is_point(slot) : slot == chain->until;
    chain->point = is_end ? slot : NULL;
    return is_end;
}

struct own_slot *catch_mend(uint64_t rsp, bool (*is_point)(struct own_slot *slot))
{
    struct growing_chain chain = {.is_point = is_point};
    catch_scan(rsp, append, &chain);
    return chain.point;
}

void catch_mend_to(uint64_t rsp, const struct own_slot *until)
{
    struct growing_chain chain = {.until = until};
    catch_scan(rsp, append, &chain);
}
