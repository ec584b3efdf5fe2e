/* SPDX-License-Identifier: MIT */
#include "own.h"

CELL(library, "1.0.0");

#if __STDC_HOSTED__
__thread struct own_slot *own_thread_top;
#endif

/* Is this a slot that was linked and not left, inside the stack? */
static bool is_live(const struct own_slot *slot, uintptr_t low, uintptr_t high)
{
    uintptr_t address = (uintptr_t)slot;
    return address >= low && address < high && high - address >= sizeof(*slot) &&
           address % alignof(struct own_slot) == 0 && slot->tag != 0;
}

/* Notes that something begins that may fault; false: it has begun often enough. */
static bool begin(struct own_slot *slot)
{
    if (slot->tag / OWN_TRY >= OWN_TRIES) {
        return false;
    }
    slot->tag += OWN_TRY;
    COMPILER_BARRIER();
    return true;
}

/*
 * In the middle of a move two hold the handle. The slot yields to the other side, before anything
 * is dropped: which of both is newer does not matter then. A peer that cannot be read is not read for ever.
 */
static void settle(struct own_slot *slot)
{
    void **peer = slot->peer;
    if (peer && peer != &slot->handle && begin(slot) && *peer == slot->handle) {
        slot->handle = NULL;
    }
    COMPILER_BARRIER();
    slot->peer = NULL;
    COMPILER_BARRIER();
    slot->tag &= OWN_TRY - 1; /* the drop has not begun */
}

struct own_slot *own_settle(const struct own_slot *until)
{
    struct own_slot *oldest = NULL;
    for (struct own_slot *slot = OWN_TOP; slot && slot != until; slot = slot->below) {
        if (UNLIKELY(slot->peer)) {
            settle(slot);
        }
        if (slot->handle && (slot->tag & OWN_HOLDS)) {
            oldest = slot;
        }
    }
    return oldest;
}

/* What it reads may lie between variables. */
__attribute__((no_sanitize("address"))) struct own_slot *own_find_slot(
    uintptr_t low, uintptr_t high, bool (*is_drop)(uintptr_t drop))
{
    uintptr_t at = (low + alignof(struct own_slot) - 1) & ~(alignof(struct own_slot) - 1);
    for (; at < high && high - at >= sizeof(struct own_slot); at += alignof(struct own_slot)) {
        struct own_slot *slot = (struct own_slot *)at;
        if (slot->tag != 0 && is_drop((uintptr_t)own_type_of(slot, slot->tag))) {
            return slot;
        }
    }
    return NULL;
}

size_t own_pop(const struct own_slot *until, uintptr_t low, uintptr_t high)
{
    size_t count = 0;
    for (struct own_slot *slot = OWN_TOP; slot && slot != until; slot = OWN_TOP) {
        if (!is_live(slot, low, high)) {
            break;
        }
        if (slot->handle && begin(slot)) {
            own_slot_type(slot)(&slot->handle);
            count++;
        }
        COMPILER_BARRIER();
        OWN_TOP = slot->below;
        COMPILER_BARRIER();
        slot->tag = 0;
        COMPILER_BARRIER();
    }
    return count;
}

size_t own_unwind(struct own_slot *until, uintptr_t low, uintptr_t high)
{
    for (struct own_slot *slot = OWN_TOP; slot && slot != until && is_live(slot, low, high);
         slot = slot->below) {
        if (UNLIKELY(slot->peer)) {
            settle(slot);
        }
    }
    return own_pop(until, low, high);
}
