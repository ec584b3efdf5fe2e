/* SPDX-License-Identifier: MIT */
/*
 * frame_model.h - operations on frames beside a model of them: one word a frame, its owner.
 *
 * Why: what random tests and fuzzing do is the same; only where their choices come from differs.
 *
 * Rules: included once in a program, after the assertions of cmocka (or fuzz_assert.h) and a
 * function `unsigned choose(unsigned below)`, with these defined: MODEL_FRAMES, of a machine whose
 * first MODEL_RESERVED frames are reserved, and all below MODEL_LOW no RAM to hand out;
 * MODEL_SLOTS, the handles; MODEL_TABLES, frames of page tables.
 */
#pragma once

#include "descriptor_pool.h"
#include "frame_allocator.h"

#ifdef MODEL_FRAMES

static uint16_t owner[MODEL_FRAMES]; /* 0: free; slot number + 1 */
static bool stale[MODEL_FRAMES];     /* of those that have an owner */
static struct frames *slots[MODEL_SLOTS];
static paddr_t tables[MODEL_TABLES];
static uint64_t owned; /* of RAM */
static bool starving;  /* descriptors are few: all that may need one may fail */

/* Each frame of the handle changes its owner in the model. */
static void note(const struct frames *frames, uint16_t before, uint16_t after)
{
    const struct frames *cursor = NULL;
    paddr_t start;
    uint64_t count;
    while (frames && frames_next_range(frames, &cursor, &start, &count)) {
        assert_true(count > 0 && start / PAGE_SIZE + count <= MODEL_FRAMES);
        for (uint64_t i = 0; i < count; i++) {
            uint16_t *frame = &owner[start / PAGE_SIZE + i];
            assert_int_equal(*frame, before);
            *frame = after;
        }
        if (frames_kind(frames) == FRAMES_RAM) {
            owned += after && !before ? count : 0;
            owned -= before && !after ? count : 0;
        }
    }
}

/* Each frame of the handle is as stale as it says. */
static void check_stale(const struct frames *frames)
{
    const struct frames *cursor = NULL;
    paddr_t start;
    uint64_t count;
    while (frames_next_range(frames, &cursor, &start, &count)) {
        for (uint64_t i = 0; i < count; i++) {
            assert_int_equal(stale[start / PAGE_SIZE + i], frames_range_is_stale(cursor));
        }
    }
}

static void set_stale(const struct frames *frames, bool are_stale)
{
    const struct frames *cursor = NULL;
    paddr_t start;
    uint64_t count;
    while (frames_next_range(frames, &cursor, &start, &count)) {
        memset(&stale[start / PAGE_SIZE], are_stale, count * sizeof(stale[0]));
    }
}

static bool is_free(uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        if (owner[i]) {
            return false;
        }
    }
    return true;
}

/* Is this what was expected, or may it be the want of a descriptor? */
static bool is_as_expected(enum status status, enum status expected)
{
    return status == expected || (starving && status == ERR_NO_MEMORY);
}

static enum status take_in_some_way(struct frames **out)
{
    uint64_t count = 1 + choose(choose(3) ? 4 : choose(10) ? 64 : MODEL_FRAMES / 4);
    uint64_t alignment = 1ull << (choose(4) ? 0 : choose(10));
    uint64_t first = choose(MODEL_FRAMES - (unsigned)count);
    bool is_there = owned + count <= MODEL_FRAMES - MODEL_LOW;
    enum status status;
    switch (choose(5)) {
    case 0:
        status = frame_allocator_take_any(count, out);
        assert_true(is_as_expected(status, is_there ? OK : ERR_NO_MEMORY));
        return status;
    case 1:
        status = frame_allocator_take_top(count, out);
        assert_true(status == OK || status == ERR_NO_MEMORY);
        return status;
    case 2:
        if (choose(4) == 0) {
            first %= MODEL_RESERVED;
            count = count < MODEL_RESERVED - first ? count : MODEL_RESERVED - first;
        } else if (first < MODEL_LOW) {
            return ERR_BUSY; /* what is between is other tests' */
        }
        status = frame_allocator_take_at(first * PAGE_SIZE, count, out);
        assert_true(is_as_expected(status, is_free(first, count) ? OK : ERR_BUSY));
        return status;
    default:
        status = frame_allocator_take(count, alignment, out);
        assert_true(status == OK || status == ERR_NO_MEMORY);
        if (status == OK) {
            assert_int_equal(frames_start(*out) / PAGE_SIZE % alignment, 0);
            assert_int_equal(frames_count(*out), count);
        }
        return status;
    }
}

static void split_slot(unsigned i, unsigned other)
{
    uint16_t name = (uint16_t)(i + 1);
    uint64_t count = frames_count(slots[i]);
    uint64_t first = choose((unsigned)count + 1);
    note(slots[i], name, 0);
    enum status status = frames_split(slots[i], first, &slots[other]);
    bool is_inside = first > 0 && first < count;
    assert_true(is_as_expected(status, is_inside ? OK : ERR_OUT_OF_BOUNDS));
    note(slots[i], 0, name);
    note(slots[other], 0, (uint16_t)(other + 1));
    assert_int_equal(slots[other] != NULL, status == OK);
    assert_int_equal(frames_count(slots[i]), status == OK ? first : count);
    assert_int_equal(frames_count(slots[other]), status == OK ? count - first : 0);
    check_stale(slots[i]);
    check_stale(slots[other]);
}

static void merge_slots(unsigned i, unsigned other)
{
    uint64_t sum = frames_count(slots[i]) + frames_count(slots[other]);
    if (frames_kind(slots[i]) != frames_kind(slots[other])) {
        assert_int_equal(frames_merge(slots[i], &slots[other]), ERR_MISMATCH);
        assert_non_null(slots[other]);
        return;
    }
    note(slots[other], (uint16_t)(other + 1), (uint16_t)(i + 1));
    assert_int_equal(frames_merge(slots[i], &slots[other]), OK);
    assert_null(slots[other]);
    assert_int_equal(frames_count(slots[i]), sum);
    check_stale(slots[i]);
}

static void change_slot(unsigned i)
{
    uint16_t name = (uint16_t)(i + 1);
    unsigned other = choose(MODEL_SLOTS);
    if (!slots[i]) {
        enum status status = take_in_some_way(&slots[i]);
        assert_int_equal(slots[i] != NULL, status == OK);
        if (status == OK) {
            bool is_reserved = frames_start(slots[i]) / PAGE_SIZE < MODEL_RESERVED;
            assert_int_equal(frames_kind(slots[i]), is_reserved ? FRAMES_RESERVED : FRAMES_RAM);
            note(slots[i], 0, name);
            set_stale(slots[i], !is_reserved);
            check_stale(slots[i]);
        }
    } else if (choose(8) == 0) {
        frames_set_clean(slots[i]);
        set_stale(slots[i], false);
    } else if (choose(8) == 0 && !slots[other]) {
        split_slot(i, other);
    } else if (choose(8) == 0 && slots[other] && other != i) {
        merge_slots(i, other);
    } else {
        note(slots[i], name, 0);
        frames_drop(&slots[i]);
        assert_null(slots[i]);
    }
}

static void change_table(unsigned i)
{
    if (tables[i]) {
        owner[tables[i] / PAGE_SIZE] = 0;
        owned--;
        frame_allocator_give_table(&tables[i]);
        assert_int_equal(tables[i], 0);
    } else if (frame_allocator_take_table(&tables[i]) == OK) {
        assert_true(tables[i] / PAGE_SIZE >= MODEL_LOW && is_free(tables[i] / PAGE_SIZE, 1));
        owner[tables[i] / PAGE_SIZE] = UINT16_MAX;
        owned++;
    }
}

/* One operation, chosen; all frames are accounted for afterwards. */
static void model_step(void)
{
    if (choose(16)) {
        change_slot(choose(MODEL_SLOTS));
    } else {
        change_table(choose(MODEL_TABLES));
    }
    struct frame_statistics now = frame_allocator_statistics();
    assert_int_equal(now.free, MODEL_FRAMES - MODEL_LOW - owned);
    assert_int_equal(now.bad_drops, 0);
}

/* Everything goes back. */
static void model_end(void)
{
    for (unsigned i = 0; i < MODEL_SLOTS; i++) {
        note(slots[i], (uint16_t)(i + 1), 0);
        frames_drop(&slots[i]);
    }
    for (unsigned i = 0; i < MODEL_TABLES; i++) {
        if (tables[i]) {
            change_table(i);
        }
    }
    assert_int_equal(owned, 0);
}

#endif
