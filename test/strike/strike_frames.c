/* SPDX-License-Identifier: MIT */
/*
 * Frames: each frame is free or has one owner, whatever strikes. The truth is asked for frame by
 * frame: what nobody holds can be taken by its address, once; what somebody holds cannot.
 */
#include "boot_info.h"
#include "commit.h"
#include "descriptor_pool.h"
#include "frame_allocator.h"
#include "strike.h"

#define FIRST 256u /* the first megabyte is reserved */
#define RAM   96u

static struct frames *kept[4]; /* fields that operate() may leave full */
static uint64_t descriptors;   /* in use, beyond one for each free range */

static struct frames *held_by_hand[RAM];
static paddr_t tables[2]; /* frames of page tables */

static uint64_t count_descriptors(void)
{
    return descriptor_pool_in_use() - frame_allocator_statistics().ranges;
}

/* The image has these frames, of those above the first megabyte `in_ram`. */
static void prepare_image(uint64_t frame, uint64_t count, uint64_t in_ram)
{
    static struct boot_info boot = {.memory_count = 1};
    boot.memory[0] = (struct boot_memory){
        .start = 0, .bytes = (FIRST + RAM) * PAGE_SIZE, .kind = BOOT_MEMORY_USABLE};
    strike_demand(frame_allocator_init(&boot, frame * PAGE_SIZE, count * PAGE_SIZE) == OK);
    strike_demand(frame_allocator_statistics().free == RAM - in_ram);
    descriptors = count_descriptors();
}

static void prepare(void)
{
    prepare_image(0, 1, 0);
}

/* How many of the frames are in fields; every one of them in one only. */
static uint64_t count_kept(uint8_t owners[RAM])
{
    uint64_t total = 0;
    for (size_t i = 0; i < ARRAY_COUNT(tables); i++) {
        if (tables[i]) {
            strike_demand(owners[tables[i] / PAGE_SIZE - FIRST]++ == 0);
            total++;
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        const struct frames *cursor = NULL;
        paddr_t start;
        uint64_t count;
        while (kept[i] && frames_next_range(kept[i], &cursor, &start, &count)) {
            for (uint64_t k = 0; k < count; k++, total++) {
                strike_demand(owners[start / PAGE_SIZE + k - FIRST]++ == 0);
            }
        }
    }
    return total;
}

static uint64_t descriptors_kept(void)
{
    uint64_t total = (tables[0] != 0) + (tables[1] != 0);
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        const struct frames *cursor = NULL;
        paddr_t start;
        uint64_t count;
        while (kept[i] && frames_next_range(kept[i], &cursor, &start, &count)) {
            total++;
        }
    }
    return total;
}

static void check(void)
{
    uint8_t owners[RAM] = {0};
    uint64_t owned = count_kept(owners);
    strike_demand(frame_allocator_statistics().free == RAM - owned);
    strike_demand(count_descriptors() == descriptors + descriptors_kept());
    for (unsigned i = 0; i < RAM; i++) {
        enum status status = frame_allocator_take_at((FIRST + i) * PAGE_SIZE, 1, &held_by_hand[i]);
        strike_demand(status == (owners[i] ? ERR_BUSY : OK));
    }
    strike_demand(frame_allocator_statistics().free == 0);
    for (unsigned i = 0; i < RAM; i++) {
        frames_drop(&held_by_hand[(i * 37) % RAM]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        frames_drop(&kept[i]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(tables); i++) {
        if (tables[i]) {
            frame_allocator_give_table(&tables[i]);
        }
    }
    struct frames *all = NULL;
    strike_demand(frame_allocator_take(RAM, 1, &all) == OK);
    frames_drop(&all);
    frame_allocator_settle();
    strike_demand(frame_allocator_statistics().free == RAM);
    strike_demand(frame_allocator_statistics().bad_drops == 0);
    strike_demand(count_descriptors() == descriptors);
}

/* ---- what is struck ---- */

static void take_and_drop_one(void)
{
    OWNED(frames, frames);
    (void)!frame_allocator_take(1, 1, SLOT(frames));
}

static void prepare_cached(void)
{
    prepare();
    take_and_drop_one();
}

static void take_one_from_the_run(void)
{
    OWNED(frames, first);
    OWNED(frames, second);
    (void)!frame_allocator_take(1, 1, SLOT(first));
    (void)!frame_allocator_take(1, 1, SLOT(second));
}

static void take_and_drop_several(void)
{
    OWNED(frames, frames);
    (void)!frame_allocator_take(5, 4, SLOT(frames));
}

static void keep_one(void)
{
    OWNED(frames, frames);
    (void)!frame_allocator_take(1, 1, SLOT(frames));
    STORE(kept[0], frames);
}

/* The free frames are many ranges: the tree has some levels. The others are one handle. */
static void prepare_broken_up(void)
{
    prepare();
    for (unsigned i = 0; i < RAM; i++) {
        strike_demand(frame_allocator_take(1, 1, &held_by_hand[i]) == OK);
    }
    for (unsigned i = 0; i < RAM; i++) {
        if (i % 5 < 2) {
            continue;
        }
        if (!kept[0]) {
            commit_move(&kept[0], &held_by_hand[i]);
        } else {
            strike_demand(frames_merge(kept[0], &held_by_hand[i]) == OK);
        }
    }
    for (unsigned i = 0; i < RAM; i++) {
        frames_drop(&held_by_hand[i]);
    }
    frame_allocator_settle();
}

static void take_any(void)
{
    OWNED(frames, frames);
    (void)!frame_allocator_take_any(5, SLOT(frames));
    STORE(kept[1], frames);
}

static void drop_many_ranges(void)
{
    OWNED(frames, frames);
    LOAD(frames, kept[0]);
}

/* Within a range, and between two; and together again. */
static void split_and_merge(void)
{
    OWNED(frames, rest);
    OWNED(frames, others);
    (void)!frames_split(kept[0], 5, SLOT(rest));
    (void)!frames_split(kept[0], 3, SLOT(others));
    (void)!frames_merge(kept[0], SLOT(others));
    (void)!frames_merge(kept[0], SLOT(rest));
}

static void take_at(void)
{
    OWNED(frames, frames);
    (void)!frame_allocator_take_at((FIRST + 50) * PAGE_SIZE, 2, SLOT(frames));
    STORE(kept[1], frames);
}

static void take_in_the_middle(void)
{
    OWNED(frames, frames);
    (void)!frame_allocator_take_at((FIRST + 50) * PAGE_SIZE, 2, SLOT(frames));
}

static void take_top(void)
{
    OWNED(frames, frames);
    (void)!frame_allocator_take_top(2, SLOT(frames));
}

static void change_tables(void)
{
    (void)!frame_allocator_take_table(&tables[0]);
    (void)!frame_allocator_take_table(&tables[1]);
    frame_allocator_give_table(&tables[0]);
}

static void prepare_singles(void)
{
    prepare();
    for (unsigned i = 0; i < RAM; i++) {
        strike_demand(frame_allocator_take(1, 1, &held_by_hand[i]) == OK);
    }
    for (unsigned i = 0; i < RAM; i++) {
        unsigned k = i * 37 % RAM;
        if (k % 7 < 2) {
            frames_drop(&held_by_hand[k]);
        }
    }
    for (unsigned i = 0; i < RAM; i++) {
        if (!held_by_hand[i]) {
            continue;
        }
        if (!kept[0]) {
            commit_move(&kept[0], &held_by_hand[i]);
        } else {
            strike_demand(frames_merge(kept[0], &held_by_hand[i]) == OK);
        }
    }
}

/* What came back alone, from all over, finds its neighbours. */
static void settle(void)
{
    frame_allocator_settle();
}

/* ---- the image ---- */

#define IMAGE (FIRST + 40)
#define PARTS 3u /* of these frames; the one in the middle is given first */
#define PART  2u

static void prepare_large_image(void)
{
    prepare_image(IMAGE, PARTS * PART, PARTS * PART);
}

static void give_image(void)
{
    strike_demand(frame_allocator_give_image((IMAGE + PART) * PAGE_SIZE, PART) == OK);
}

/* The part is the image's, or free; and then the others can be given, too. */
static void check_image(void)
{
    enum status status = frame_allocator_give_image((IMAGE + PART) * PAGE_SIZE, PART);
    strike_demand(status == ERR_NOT_FOUND || (status == OK && strike_has_struck()));
    for (unsigned i = 0; i < PARTS * PART; i++) {
        bool is_given = i / PART == 1;
        status = frame_allocator_take_at((IMAGE + i) * PAGE_SIZE, 1, &held_by_hand[i]);
        strike_demand(status == (is_given ? OK : ERR_BUSY));
        frames_drop(&held_by_hand[i]);
    }
    strike_demand(frame_allocator_statistics().free == RAM - 2 * PART);
    strike_demand(frame_allocator_give_image(IMAGE * PAGE_SIZE, PART) == OK);
    strike_demand(frame_allocator_give_image((IMAGE + 2 * PART) * PAGE_SIZE, PART) == OK);
    descriptors += PARTS; /* what is left of the image is nothing, in several pieces */
    check();
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"take and drop one", prepare_cached, take_and_drop_one, check},
        {"take the first one of a run", prepare, take_and_drop_one, check},
        {"take two, one from the run", prepare_cached, take_one_from_the_run, check},
        {"take and drop several", prepare_cached, take_and_drop_several, check},
        {"take any, of several ranges", prepare_broken_up, take_any, check},
        {"drop many ranges", prepare_broken_up, drop_many_ranges, check},
        {"split and merge", prepare_broken_up, split_and_merge, check},
        {"take at a place", prepare_broken_up, take_at, check},
        {"take in the middle of a range", prepare, take_in_the_middle, check},
        {"take the highest", prepare_broken_up, take_top, check},
        {"frames of page tables", prepare_broken_up, change_tables, check},
        {"settle what came back alone", prepare_singles, settle, check},
        {"take one and keep it", prepare_cached, keep_one, check},
        {"give a part of the image", prepare_large_image, give_image, check_image},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
