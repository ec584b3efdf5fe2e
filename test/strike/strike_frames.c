/* SPDX-License-Identifier: MIT */
/*
 * Frames: each frame is free or has one owner, whatever strikes. The truth is asked for frame by
 * frame: what nobody holds can be taken by its address, once; what somebody holds cannot.
 */
#include "boot_info.h"
#include "descriptor_pool.h"
#include "frame_allocator.h"
#include "strike.h"

#define FIRST 256u /* the first megabyte is reserved */
#define RAM   96u

static struct frames *kept[4]; /* fields that operate() may leave full */
static uint64_t descriptors;   /* in use, beyond one for each free range */

static struct frames *held_by_hand[RAM];

static uint64_t count_descriptors(void)
{
    return descriptor_pool_in_use() - frame_allocator_statistics().ranges;
}

static void prepare(void)
{
    static struct boot_info boot = {.memory_count = 1};
    boot.memory[0] = (struct boot_memory){
        .start = 0, .bytes = (FIRST + RAM) * PAGE_SIZE, .kind = BOOT_MEMORY_USABLE};
    strike_demand(frame_allocator_init(&boot, 0, PAGE_SIZE) == OK);
    strike_demand(frame_allocator_statistics().free == RAM);
    descriptors = count_descriptors();
}

/* How many of the frames are in fields; every one of them in one only. */
static uint64_t count_kept(uint8_t owners[RAM])
{
    uint64_t total = 0;
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
    uint64_t total = 0;
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

int main(void)
{
    static const struct strike_case cases[] = {
        {"take and drop one", prepare_cached, take_and_drop_one, check},
        {"take the first one of a run", prepare, take_and_drop_one, check},
        {"take two, one from the run", prepare_cached, take_one_from_the_run, check},
        {"take and drop several", prepare_cached, take_and_drop_several, check},
        {"take one and keep it", prepare_cached, keep_one, check},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
