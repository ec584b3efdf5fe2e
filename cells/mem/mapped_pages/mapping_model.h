/* SPDX-License-Identifier: MIT */
/*
 * mapping_model.h - operations on mappings beside a model of them: what each page must hold and
 * allow.
 *
 * Why: what random tests and fuzzing do is the same; only where their choices come from differs.
 *
 * Rules: included once in a program, after simulated_machine.h and a function `unsigned
 * choose(unsigned below)`, with MODEL_SLOTS defined: how many mappings there are at most.
 */
#pragma once

#include "mapped_pages.h"

#ifdef MODEL_SLOTS

    #define PLACE 17 /* the word of each page that is stamped */

static struct {
    struct mapped_pages *mapped;
    unsigned flags;
    uint64_t stamp; /* in each page, with the number of the page */
    uint64_t first; /* number of the first page */
} slots[MODEL_SLOTS];
static uint8_t frame_owned[SIMULATED_FRAMES];
static uint64_t next_stamp = 1;
static bool starving; /* memory is short: all that may need some may fail */

static unsigned choose_flags(void)
{
    static const unsigned choices[] = {PAGE_READ, PAGE_WRITE, PAGE_EXECUTE};
    return choices[choose(3)];
}

static void note_frames(const struct mapped_pages *mapped, int change)
{
    const struct frames *cursor = NULL;
    paddr_t frame;
    uint64_t count;
    while (frames_next_range(mapped_pages_frames(mapped), &cursor, &frame, &count)) {
        for (uint64_t i = 0; i < count; i++) {
            frame_owned[frame / PAGE_SIZE + i] =
                (uint8_t)(frame_owned[frame / PAGE_SIZE + i] + change);
            assert_int_equal(frame_owned[frame / PAGE_SIZE + i], change > 0); /* M.1 */
        }
    }
}

static void stamp_slot(unsigned i)
{
    slots[i].stamp = next_stamp++ << 16;
    slots[i].first = 0;
    for (uint64_t p = 0; p < mapped_pages_count(slots[i].mapped); p++) {
        words_of(mapped_pages_start(slots[i].mapped) + p * PAGE_SIZE)[PLACE] = slots[i].stamp + p;
    }
}

static void check_slot(unsigned i)
{
    const struct mapped_pages *mapped = slots[i].mapped;
    assert_mapping(mapped, slots[i].flags);
    for (uint64_t p = 0; p < mapped_pages_count(mapped); p++) {
        uint64_t *words = words_of(mapped_pages_start(mapped) + p * PAGE_SIZE);
        if (words[PLACE] != slots[i].stamp + slots[i].first + p) {
            fail_msg("slot %u, page %lu", i, (unsigned long)p);
        }
    }
}

static void create_slot(unsigned i)
{
    uint64_t count = 1 + choose(choose(4) ? 3 : choose(60) ? 20 : 1200);
    unsigned flags = choose_flags();
    enum page_zone zone = choose(2) ? PAGE_ZONE_CODE : PAGE_ZONE_DATA;
    uint64_t free = frame_allocator_statistics().free;
    enum status status = mapped_pages_create(zone, count * PAGE_SIZE, flags, &slots[i].mapped);
    if (status != OK) {
        assert_int_equal(status, ERR_NO_MEMORY);
        assert_null(slots[i].mapped);
        assert_true(starving || count + 30 > free);
        return;
    }
    assert_true(count <= free);
    assert_int_equal(mapped_pages_count(slots[i].mapped), count);
    slots[i].flags = flags;
    note_frames(slots[i].mapped, 1);
    if (choose(4) == 0) {
        assert_zero(slots[i].mapped);
    }
    stamp_slot(i);
}

/* Low memory, which is reserved; what it held is still there. */
static void create_slot_at(unsigned i)
{
    paddr_t first = LOW_FRAMES / 2 + choose(LOW_FRAMES / 2 - 8);
    uint64_t count = 1 + choose(8);
    unsigned flags = choose_flags();
    bool is_free = true;
    for (uint64_t frame = first; frame < first + count; frame++) {
        is_free = is_free && !frame_owned[frame];
    }
    uint64_t held = memory[first][PLACE];
    enum status status = mapped_pages_create_at(PAGE_ZONE_DATA, first * PAGE_SIZE,
                                                count * PAGE_SIZE, flags, &slots[i].mapped);
    if (status != OK) {
        assert_true(status == ERR_NO_MEMORY ? is_free || starving : status == ERR_BUSY && !is_free);
        assert_null(slots[i].mapped);
        return;
    }
    assert_true(is_free);
    assert_int_equal(words_of(mapped_pages_start(slots[i].mapped))[PLACE], held);
    slots[i].flags = flags;
    note_frames(slots[i].mapped, 1);
    stamp_slot(i);
}

static void drop_slot(unsigned i)
{
    vaddr_t page = mapped_pages_start(slots[i].mapped);
    uint64_t count = mapped_pages_count(slots[i].mapped);
    check_slot(i);
    note_frames(slots[i].mapped, -1);
    mapped_pages_drop(&slots[i].mapped);
    assert_null(slots[i].mapped);
    assert_not_mapped(page, count);
}

static void split_slot(unsigned i, unsigned other)
{
    uint64_t count = mapped_pages_count(slots[i].mapped);
    uint64_t first = choose((unsigned)count + 1);
    enum status status = mapped_pages_split(slots[i].mapped, first, &slots[other].mapped);
    assert_int_equal(slots[other].mapped != NULL, status == OK);
    if (first == 0 || first == count) {
        assert_int_equal(status, ERR_OUT_OF_BOUNDS);
    } else if (status == OK) {
        slots[other].flags = slots[i].flags;
        slots[other].stamp = slots[i].stamp;
        slots[other].first = slots[i].first + first;
        check_slot(other);
    } else {
        assert_int_equal(status, ERR_NO_MEMORY); /* no frame for a table */
    }
    assert_int_equal(mapped_pages_count(slots[i].mapped), status == OK ? first : count);
    check_slot(i);
}

static void merge_slots(unsigned i, unsigned other)
{
    const struct mapped_pages *below = slots[i].mapped;
    const struct mapped_pages *above = slots[other].mapped;
    bool follows = mapped_pages_start(above) ==
                   mapped_pages_start(below) + mapped_pages_count(below) * PAGE_SIZE;
    bool fits = follows && slots[i].flags == slots[other].flags &&
                frames_kind(mapped_pages_frames(below)) == frames_kind(mapped_pages_frames(above));
    enum status status = mapped_pages_merge(slots[i].mapped, &slots[other].mapped);
    assert_int_equal(status, fits ? OK : ERR_MISMATCH);
    assert_int_equal(slots[other].mapped == NULL, fits);
    if (fits) {
        stamp_slot(i);
    }
}

/*
 * Maps parts that are owned and clean, with other flags, or gives them back; contents are the
 * owner's.
 */
static void map_again(unsigned i, struct pages **pages, struct frames **frames)
{
    unsigned flags = choose_flags();
    if (choose(4) && mapped_pages_map(pages, frames, flags, &slots[i].mapped) == OK) {
        slots[i].flags = flags;
        assert_null(*pages);
        assert_null(*frames);
        note_frames(slots[i].mapped, 1);
        check_slot(i);
    }
}

static void take_slot_apart(unsigned i, unsigned other)
{
    OWNED(pages, pages);
    OWNED(frames, frames);
    OWNED(pages, more_pages);
    OWNED(frames, more_frames);
    note_frames(slots[i].mapped, -1);
    vaddr_t page = mapped_pages_start(slots[i].mapped);
    uint64_t count = mapped_pages_count(slots[i].mapped);
    mapped_pages_take_apart(&slots[i].mapped, SLOT(pages), SLOT(frames));
    assert_not_mapped(page, count);
    assert_int_equal(pages_count(REF(pages)), count);
    assert_int_equal(frames_count(REF(frames)), count);
    uint64_t first = count > 1 ? 1 + choose((unsigned)count - 1) : 0;
    if (first > 0 && other != i && !slots[other].mapped && choose(2)) {
        if (pages_split(REF(pages), first, SLOT(more_pages)) != OK ||
            frames_split(REF(frames), first, SLOT(more_frames)) != OK) {
            assert_true(starving);
            return;
        }
        slots[other].stamp = slots[i].stamp;
        slots[other].first = slots[i].first + first;
        map_again(other, SLOT(more_pages), SLOT(more_frames));
    }
    map_again(i, SLOT(pages), SLOT(frames));
}

static void change_slot(unsigned i)
{
    unsigned other = choose(MODEL_SLOTS);
    if (!slots[i].mapped) {
        if (choose(16)) {
            create_slot(i);
        } else {
            create_slot_at(i);
        }
        return;
    }
    switch (choose(8)) {
    case 0:
        slots[i].flags = choose_flags();
        assert_int_equal(mapped_pages_remap(slots[i].mapped, slots[i].flags), OK);
        check_slot(i);
        break;
    case 1:
    case 2:
        if (!slots[other].mapped) {
            split_slot(i, other);
        } else if (other != i) {
            merge_slots(i, other);
        }
        break;
    case 3:
        take_slot_apart(i, other);
        break;
    default:
        drop_slot(i);
        break;
    }
}

/* One operation, chosen. */
static void model_step(void)
{
    change_slot(choose(MODEL_SLOTS));
}

static void model_check(void)
{
    for (unsigned i = 0; i < MODEL_SLOTS; i++) {
        if (slots[i].mapped) {
            check_slot(i);
        }
    }
}

/* Everything goes back. */
static void model_end(void)
{
    for (unsigned i = 0; i < MODEL_SLOTS; i++) {
        if (slots[i].mapped) {
            drop_slot(i);
        }
    }
}

#endif
