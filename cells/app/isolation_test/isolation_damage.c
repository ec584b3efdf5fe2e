/* SPDX-License-Identifier: MIT */
/* Chains that are broken, slots that were overwritten, and drops that fault. */
#include "catch.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "isolation_priv.h"

/* ---- three slots, of which one is damaged ---- */

typedef void (*damage_t)(struct own_slot *slot, struct own_slot *newer);

static NOINLINE void with_three(damage_t damage)
{
    OWNED(frames, first);
    OWNED(frames, second);
    OWNED(frames, third);
    if (frame_allocator_take(1, 1, SLOT(first)) == OK &&
        frame_allocator_take(1, 1, SLOT(second)) == OK &&
        frame_allocator_take(1, 1, SLOT(third)) == OK) {
        struct own_slot *newest = OWN_TOP;
        damage(newest->below, newest);
        isolation_fault();
    }
}

static void damage_link(struct own_slot *slot, struct own_slot *newer)
{
    (void)newer;
    slot->below = (struct own_slot *)0x1000;
}

static void damage_link_to_null(struct own_slot *slot, struct own_slot *newer)
{
    (void)newer;
    slot->below = NULL;
}

static void damage_link_to_data(struct own_slot *slot, struct own_slot *newer)
{
    static const uint64_t data[8];
    (void)newer;
    slot->below = (struct own_slot *)(uintptr_t)data;
}

static void damage_link_to_stack(struct own_slot *slot, struct own_slot *newer)
{
    (void)newer;
    slot->below++; /* behind the slot that it led to */
}

static void damage_link_back(struct own_slot *slot, struct own_slot *newer)
{
    slot->below = newer;
}

static void damage_tag(struct own_slot *slot, struct own_slot *newer)
{
    (void)newer;
    slot->tag ^= 1u << 12;
}

static void damage_all(struct own_slot *slot, struct own_slot *newer)
{
    (void)newer;
    memset(slot, 0x5a, sizeof(*slot));
}

static void damage_handle(struct own_slot *slot, struct own_slot *newer)
{
    (void)newer;
    slot->handle = (void *)0x10;
}

static void damage_peer(struct own_slot *slot, struct own_slot *newer)
{
    (void)newer;
    slot->peer = (void **)0x10;
}

static void damage_top(struct own_slot *slot, struct own_slot *newer)
{
    (void)slot;
    (void)newer;
    OWN_TOP = (struct own_slot *)0x1238;
}

#define DAMAGE(name)              \
    static void with_##name(void) \
    {                             \
        with_three(name);         \
    }
DAMAGE(damage_link)
DAMAGE(damage_link_to_null)
DAMAGE(damage_link_to_data)
DAMAGE(damage_link_to_stack)
DAMAGE(damage_link_back)
DAMAGE(damage_tag)
DAMAGE(damage_all)
DAMAGE(damage_handle)
DAMAGE(damage_peer)
DAMAGE(damage_top)

/* ---- drops that fault ---- */

enum fuse { FAULTS_ONCE, FAULTS_ALWAYS, USES_UP_STACK };

struct OWN_CAPABILITY("bomb") bomb {
    enum fuse fuse;
    bool has_faulted;
};
OWN_DECLARE_LOCAL(bomb);

static NOINLINE uint64_t recurse(uint64_t depth)
{
    volatile uint64_t frame[32];
    frame[0] = depth;
    return depth == UINT64_MAX ? 0 : recurse(depth + 1) + frame[0];
}

static NOINLINE void bomb_drop(struct bomb **handle)
{
    struct bomb *bomb = *handle;
    if (!bomb) {
        return;
    }
    OWNED(frames, frames); /* what a drop owns itself */
    if (frame_allocator_take(1, 1, SLOT(frames)) == OK &&
        (bomb->fuse != FAULTS_ONCE || !bomb->has_faulted)) {
        bomb->has_faulted = true;
        if (bomb->fuse == USES_UP_STACK) {
            recurse(0);
        }
        isolation_fault();
    }
    EMPTY(handle);
}

static NOINLINE void with_bomb(enum fuse fuse, unsigned depth)
{
    struct bomb bomb = {.fuse = fuse};
    OWNED(bomb, owned);
    OWNED(frames, frames);
    if (frame_allocator_take(1, 1, SLOT(frames)) != OK) {
        return;
    }
    FILL(SLOT(owned), &bomb);
    if (depth == 0) {
        isolation_fault();
    }
    with_bomb(fuse, depth - 1);
}

static void fault_once_in_drop(void)
{
    with_bomb(FAULTS_ONCE, 4);
}

static void fault_in_drop(void)
{
    with_bomb(FAULTS_ALWAYS, 4);
}

/* What a drop owns itself is lost where there is no room to release it: of three, at each try. */
#define IN_DROPS (3 * OWN_TRIES)

static void use_up_stack_in_drop(void)
{
    with_bomb(USES_UP_STACK, 2);
}

#define TOO_MANY 40u /* bombs; each faults twice */
/* A frame beside each of the rest, that of the task, and what the last drop owned itself. */
#define GIVEN_UP (TOO_MANY - CATCH_FAULTS_MAX / OWN_TRIES + 2)

static void fault_too_often(void)
{
    with_bomb(FAULTS_ALWAYS, TOO_MANY - 1);
}

const struct isolation_kind isolation_damages[] = {
    {"has a link to nowhere", with_damage_link, 0, false, 0},
    {"has a link that ends", with_damage_link_to_null, 0, false, 0},
    {"has a link to data", with_damage_link_to_data, 0, false, 0},
    {"has a link to the middle of its stack", with_damage_link_to_stack, 0, false, 0},
    {"has a chain in a circle", with_damage_link_back, 0, false, 0},
    {"has a slot with another tag", with_damage_tag, 1, false, 0},
    {"has a slot that was overwritten", with_damage_all, 1, false, 0},
    {"has a slot with a wild handle", with_damage_handle, 1, false, 0},
    {"has a move to nowhere", with_damage_peer, 0, false, 0},
    {"has a chain that begins nowhere", with_damage_top, 0, false, 0},
    {"faults once in a drop", fault_once_in_drop, 0, false, 0},
    {"faults in each drop", fault_in_drop, 0, false, 0},
    {"uses up the stack in drops", use_up_stack_in_drop, IN_DROPS, false, 0},
    {"faults too often in drops", fault_too_often, GIVEN_UP, false, 0},
    {NULL, NULL, 0, false, 0},
};
