/* SPDX-License-Identifier: MIT */
#include "own.h"

CELL(library, "1.0.0");

/* OWN_TRY in the highest byte of a tag: counted there without a constant of 64 bits. */
#define TRY_IN_HIGHEST 0x10u
static_assert(OWN_TRY >> 56 == TRY_IN_HIGHEST, "the count of tries is in the highest byte");

#if __STDC_HOSTED__
__thread struct own_slot *own_thread_top;
#endif

/* A stack, as one comparison needs it. */
struct own_bounds {
    uintptr_t low;  /* where a slot could be; never 0, so NULL is outside */
    uintptr_t last; /* how many places for one there are above it; of no use if `is_empty` */
    bool is_empty;
};

static struct own_bounds bounds_of(uintptr_t low, uintptr_t high)
{
    const uintptr_t unit = alignof(struct own_slot);
    uintptr_t first = low <= unit ? unit : low + (unit - low % unit) % unit;
    return (struct own_bounds){
        .low = first,
        .last = (high - sizeof(struct own_slot) - first) / unit,
        .is_empty = first < low || high < first || high - first < sizeof(struct own_slot),
    };
}

/* Is this a slot that was linked and not left, inside the stack? */
static inline bool is_live(const struct own_slot *slot, const struct own_bounds *bounds)
{
    return own_place_of(slot, bounds->low) <= bounds->last && slot->tag != 0;
}

/* Notes that something begins that may fault; false: it has begun often enough. */
static inline bool begin(struct own_slot *slot)
{
    uint8_t *highest = (uint8_t *)&slot->tag + sizeof(slot->tag) - 1;
    if (*highest >= OWN_TRIES * TRY_IN_HIGHEST) {
        return false;
    }
    COMPILER_BARRIER(); /* each of both is one instruction then */
    *highest += TRY_IN_HIGHEST;
    COMPILER_BARRIER();
    return true;
}

/*
 * In the middle of a move two hold the handle. The slot yields to the other side, before anything
 * is dropped: which of both is newer does not matter then. A peer that cannot be read is not read
 * for ever.
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
    const struct own_bounds bounds = bounds_of(low, high);
    struct own_slot *slot = OWN_TOP;
    size_t count = 0;
    uintptr_t mask = ((uintptr_t)1 << OWN_TYPE_BITS) - 1;
    __asm__("" : "+r"(mask)); /* stays in a register: own_slot_type() would make it each time */
    uintptr_t place = own_place_of(slot, bounds.low);
    while (!bounds.is_empty && slot != until && place <= bounds.last && slot->tag != 0) {
        if (slot->handle && begin(slot)) {
            ((own_drop_t)((slot->tag & mask) ^ (uintptr_t)slot))(&slot->handle);
            count++;
        }
        COMPILER_BARRIER();
        struct own_slot *below = slot->below;
        OWN_TOP = below;
        COMPILER_BARRIER();
        slot->tag = 0;
        COMPILER_BARRIER();
        slot = below;
        place = own_place_of(slot, bounds.low);
    }
    return count;
}

size_t own_unwind(struct own_slot *until, uintptr_t low, uintptr_t high)
{
    const struct own_bounds bounds = bounds_of(low, high);
    for (struct own_slot *slot = OWN_TOP;
         !bounds.is_empty && slot != until && is_live(slot, &bounds); slot = slot->below) {
        if (UNLIKELY(slot->peer)) {
            settle(slot);
        }
    }
    return own_pop(until, low, high);
}
