/* SPDX-License-Identifier: MIT */
/*
 * page_model.h - operations on pages beside a model of them: one word a page, its owner.
 *
 * Why: what random tests and fuzzing do is the same; only where their choices come from differs.
 *
 * Rules: included once in a program, after the assertions of cmocka (or fuzz_assert.h) and a
 * function `unsigned choose(unsigned below)`, with MODEL_PAGES and MODEL_SLOTS defined: how many
 * pages at the start of each zone are looked after, and how many handles there are. A sixteenth of
 * the pages is taken at most, or by address from the first half, so the lowest that fit are always
 * among them.
 */
#pragma once

#include "descriptor_pool.h"
#include "page_allocator.h"

#ifdef MODEL_PAGES

static uint16_t owner[PAGE_ZONE_COUNT][MODEL_PAGES]; /* 0: free; slot number + 1 */
static struct pages *slots[MODEL_SLOTS];
static uint64_t owned[PAGE_ZONE_COUNT];
static bool starving; /* descriptors are few: all that may need one may fail */

static vaddr_t zone_start(enum page_zone zone)
{
    return zone == PAGE_ZONE_CODE ? CODE_ZONE_START : DATA_ZONE_START;
}

/* Each page of the handle changes its owner in the model. */
static void note(const struct pages *pages, uint16_t before, uint16_t after)
{
    enum page_zone zone = pages_zone(pages);
    uint64_t first = (pages_start(pages) - zone_start(zone)) / PAGE_SIZE;
    uint64_t count = pages_count(pages);
    assert_true(count > 0 && first < MODEL_PAGES && count <= MODEL_PAGES - first);
    for (uint64_t i = first; i < first + count; i++) {
        assert_int_equal(owner[zone][i], before);
        owner[zone][i] = after;
    }
    owned[zone] += after && !before ? count : 0;
    owned[zone] -= before && !after ? count : 0;
}

static bool is_free(enum page_zone zone, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        if (owner[zone][i]) {
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

static void take_slot(unsigned i)
{
    uint64_t count = 1 + choose(choose(3) ? 3 : 30);
    enum page_zone zone = choose(2) ? PAGE_ZONE_CODE : PAGE_ZONE_DATA;
    enum status status;
    if (owned[zone] > MODEL_PAGES / 16) {
        return;
    }
    if (choose(2)) {
        uint64_t alignment = 1ull << (choose(2) ? 0 : choose(6));
        status = page_allocator_take(zone, count, alignment, &slots[i]);
        assert_true(is_as_expected(status, OK));
        if (status == OK) {
            assert_int_equal(pages_start(slots[i]) / PAGE_SIZE % alignment, 0);
            assert_int_equal(pages_count(slots[i]), count);
        }
    } else {
        uint64_t first = choose(MODEL_PAGES / 2);
        status = page_allocator_take_at(zone_start(zone) + first * PAGE_SIZE, count, &slots[i]);
        assert_true(is_as_expected(status, is_free(zone, first, count) ? OK : ERR_BUSY));
    }
    assert_int_equal(slots[i] != NULL, status == OK);
    if (status == OK) {
        assert_int_equal(pages_zone(slots[i]), zone);
        note(slots[i], 0, (uint16_t)(i + 1));
    }
}

static void split_slot(unsigned i, unsigned other)
{
    uint64_t count = pages_count(slots[i]);
    uint64_t first = choose((unsigned)count + 1);
    note(slots[i], (uint16_t)(i + 1), 0);
    enum status status = pages_split(slots[i], first, &slots[other]);
    bool is_inside = first > 0 && first < count;
    assert_true(is_as_expected(status, is_inside ? OK : ERR_OUT_OF_BOUNDS));
    assert_int_equal(slots[other] != NULL, status == OK);
    assert_int_equal(pages_count(slots[i]), status == OK ? first : count);
    note(slots[i], 0, (uint16_t)(i + 1));
    if (status == OK) {
        note(slots[other], 0, (uint16_t)(other + 1));
    }
}

static void merge_slots(unsigned i, unsigned other)
{
    vaddr_t end = pages_start(slots[i]) + pages_count(slots[i]) * PAGE_SIZE;
    bool follows = pages_start(slots[other]) == end;
    uint16_t name = (uint16_t)(other + 1);
    note(slots[other], name, follows ? (uint16_t)(i + 1) : name);
    assert_int_equal(pages_merge(slots[i], &slots[other]), follows ? OK : ERR_MISMATCH);
    assert_int_equal(slots[other] == NULL, follows);
}

static void change_slot(unsigned i)
{
    unsigned other = choose(MODEL_SLOTS);
    if (!slots[i]) {
        take_slot(i);
    } else if (choose(4) == 0 && !slots[other]) {
        split_slot(i, other);
    } else if (choose(4) == 0 && slots[other] && other != i) {
        merge_slots(i, other);
    } else {
        note(slots[i], (uint16_t)(i + 1), 0);
        pages_drop(&slots[i]);
        assert_null(slots[i]);
    }
}

/* One operation, chosen; all pages are accounted for afterwards. */
static void model_step(void)
{
    change_slot(choose(MODEL_SLOTS));
    for (unsigned zone = 0; zone < PAGE_ZONE_COUNT; zone++) {
        struct page_statistics now = page_allocator_statistics((enum page_zone)zone);
        assert_int_equal(now.free, now.total - owned[zone]);
        assert_int_equal(now.bad_drops, 0);
    }
}

/* Everything goes back. */
static void model_end(void)
{
    for (unsigned i = 0; i < MODEL_SLOTS; i++) {
        if (slots[i]) {
            note(slots[i], (uint16_t)(i + 1), 0);
            pages_drop(&slots[i]);
        }
    }
}

#endif
