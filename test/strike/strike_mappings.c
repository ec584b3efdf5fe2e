/* SPDX-License-Identifier: MIT */
/*
 * Mappings, on a machine whose MMU is simulated: whatever strikes, pages and frames have one owner,
 * nothing is mapped, or remembered by the CPU, that nobody owns, and no table is lost.
 */
#include "strike_machine.h"

#define PAGES_SEEN 40 /* of the data zone, from its start on */

static struct mapped_pages *kept[2];
static struct pages *kept_pages;
static struct frames *kept_frames;
static struct holdings first;
static uint64_t device_frames; /* kept, of a device */

/* ---- the truth ---- */

static void prepare(void)
{
    start_used_machine();
    first = measure();
}

static bool is_in(const struct mapped_pages *mapping, vaddr_t page)
{
    return mapping && page - mapped_pages_start(mapping) < mapped_pages_count(mapping) * PAGE_SIZE;
}

/* Of the frames, pages and descriptors that are missing each has its owner in a variable. */
static void check_held(void)
{
    struct holdings now = measure();
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        const struct mapped_pages *mapping = kept[i];
        if (!mapping) {
            continue;
        }
        now.descriptors -= 2;
        now.pages += mapped_pages_count(mapping);
        const struct frames *cursor = NULL;
        paddr_t start;
        uint64_t count;
        uint64_t total = 0;
        while (frames_next_range(mapped_pages_frames(mapping), &cursor, &start, &count)) {
            total += count;
            now.descriptors--;
            now.frames += start < DEVICE ? count : 0;
        }
        strike_demand(total == mapped_pages_count(mapping));
        assert_mapping(mapping, mapped_pages_flags(mapping));
    }
    if (kept_pages) {
        now.pages += pages_count(kept_pages);
        now.descriptors--;
    }
    if (kept_frames) {
        now.frames += frames_count(kept_frames);
        now.descriptors--;
    }
    strike_demand(now.frames == first.frames);
    strike_demand(now.pages == first.pages);
    strike_demand(now.descriptors ==
                  first.descriptors + 3 * mapped_pages_statistics().descriptor_pages);
}

static void check_not_mapped(void)
{
    for (uint64_t i = 0; i < PAGES_SEEN; i++) {
        vaddr_t page = DATA_ZONE_START + i * PAGE_SIZE;
        strike_demand(is_in(kept[0], page) || is_in(kept[1], page) || translate(page) == 0);
    }
}

static void check(void)
{
    check_not_mapped();
    check_held();
    mapped_pages_drop(&kept[0]);
    mapped_pages_drop(&kept[1]);
    pages_drop(&kept_pages);
    frames_drop(&kept_frames);
    assert_same(first);
    strike_demand(mapped_pages_create(PAGE_ZONE_DATA, 4 * PAGE_SIZE, PAGE_WRITE, &kept[0]) == OK);
    check_held();
    assert_mapping(kept[0], PAGE_WRITE);
    assert_zero(kept[0]);
    mapped_pages_drop(&kept[0]);
    check_not_mapped();
    assert_same(first);
}

/* ---- what is struck ---- */

static void create_and_drop(void)
{
    OWNED(mapped_pages, mapping);
    (void)!mapped_pages_create(PAGE_ZONE_DATA, PAGE_SIZE, PAGE_WRITE, SLOT(mapping));
}

static void create_several(void)
{
    OWNED(mapped_pages, mapping);
    (void)!mapped_pages_create(PAGE_ZONE_DATA, 3 * PAGE_SIZE, PAGE_WRITE, SLOT(mapping));
}

static void create_to_be_executed(void)
{
    OWNED(mapped_pages, mapping);
    (void)!mapped_pages_create(PAGE_ZONE_CODE, 2 * PAGE_SIZE, PAGE_EXECUTE, SLOT(mapping));
}

static void map_and_keep(void)
{
    OWNED(mapped_pages, mapping);
    OWNED(frames, frames);
    OWNED(pages, pages);
    (void)!frame_allocator_take(1, 1, SLOT(frames));
    (void)!page_allocator_take(PAGE_ZONE_DATA, 1, 1, SLOT(pages));
    (void)!mapped_pages_map(SLOT(pages), SLOT(frames), PAGE_WRITE, SLOT(mapping));
    STORE(kept[0], mapping);
}

/* The slot that is filled is newer than those that are emptied. */
static void map_into_a_newer_slot(void)
{
    OWNED(frames, frames);
    OWNED(pages, pages);
    (void)!frame_allocator_take(2, 1, SLOT(frames));
    (void)!page_allocator_take(PAGE_ZONE_DATA, 2, 1, SLOT(pages));
    OWNED(mapped_pages, mapping);
    (void)!mapped_pages_map(SLOT(pages), SLOT(frames), PAGE_WRITE, SLOT(mapping));
}

static void keep_four(void)
{
    prepare();
    strike_demand(mapped_pages_create(PAGE_ZONE_DATA, 4 * PAGE_SIZE, PAGE_WRITE, &kept[0]) == OK);
}

static void drop_kept(void)
{
    OWNED(mapped_pages, mapping);
    LOAD(mapping, kept[0]);
}

static void remap(void)
{
    (void)!mapped_pages_remap(kept[0], PAGE_READ);
    (void)!mapped_pages_remap(kept[0], PAGE_WRITE);
}

/* The tables may have the new rights or the old ones; they are never more than what is said. */
static void check_rights(void)
{
    for (uint64_t i = 0; i < 4; i++) {
        uint64_t entry = translate(mapped_pages_start(kept[0]) + i * PAGE_SIZE);
        strike_demand(entry & ENTRY_PRESENT);
        strike_demand(mapped_pages_flags(kept[0]) == PAGE_READ || flags_of(entry) == PAGE_WRITE);
    }
    strike_demand(mapped_pages_remap(kept[0], PAGE_WRITE) == OK);
    check();
}

static void split(void)
{
    OWNED(mapped_pages, rest);
    (void)!mapped_pages_split(kept[0], 1, SLOT(rest));
    STORE(kept[1], rest);
}

static void merge(void)
{
    OWNED(mapped_pages, rest);
    LOAD(rest, kept[1]);
    (void)!mapped_pages_merge(kept[0], SLOT(rest));
}

static void keep_parts(void)
{
    keep_four();
    split();
    strike_demand(kept[1]);
}

static void take_apart(void)
{
    OWNED(mapped_pages, mapping);
    LOAD(mapping, kept[0]);
    OWNED(pages, pages);
    OWNED(frames, frames);
    mapped_pages_take_apart(SLOT(mapping), SLOT(pages), SLOT(frames));
    STORE(kept_pages, pages);
    STORE(kept_frames, frames);
}

/* Every other frame is free, so that a mapping is made of several ranges. */
static void break_up(void)
{
    prepare();
    static struct frames *one[RAM_FRAMES];
    uint64_t count = 0;
    while (count < RAM_FRAMES && frame_allocator_take(1, 1, &one[count]) == OK) {
        count++;
    }
    for (uint64_t i = 0; i < count; i++) {
        if (frames_start(one[i]) / PAGE_SIZE % 3 == 0) {
            frames_drop(&one[i]);
        }
    }
    frame_allocator_settle();
    uint64_t last = RAM_FRAMES;
    for (uint64_t i = 0; i < count; i++) {
        if (one[i] && last == RAM_FRAMES) {
            last = i;
        } else if (one[i]) {
            strike_demand(frames_merge(one[last], &one[i]) == OK);
        }
    }
    kept_frames = one[last];
    one[last] = NULL;
    first.descriptors = 0; /* the broken up frames have theirs */
    struct holdings now = measure();
    first.descriptors = now.descriptors - 1;
}

static void check_broken_up(void)
{
    check_not_mapped();
    struct holdings now = measure();
    strike_demand(now.frames + frames_count(kept_frames) == first.frames);
    strike_demand(now.descriptors == first.descriptors + 1);
    strike_demand(now.pages == first.pages);
    strike_demand(now.tables == first.tables);
}

static void create_of_device(void)
{
    OWNED(mapped_pages, mapping);
    (void)!mapped_pages_create_at(PAGE_ZONE_DATA, DEVICE, LARGE_SIZE, PAGE_WRITE | PAGE_UNCACHED,
                                  SLOT(mapping));
    OWNED(mapped_pages, rest);
    (void)!mapped_pages_split(REF(mapping), 511, SLOT(rest));
    mapped_pages_drop(SLOT(mapping));
}

static void check_device(void)
{
    strike_demand(device_frames == 0);
    assert_same(first);
    for (uint64_t i = 0; i < 1024; i++) {
        strike_demand(translate(DATA_ZONE_START + i * PAGE_SIZE) == 0);
    }
    struct frames *frames = NULL;
    strike_demand(frame_allocator_take_at(DEVICE, 512, &frames) == OK);
    frames_drop(&frames);
    check();
}

/* The pool of descriptors is low: one page goes there for good. */
static void starve(void)
{
    prepare();
    static struct famine famine;
    begin_famine(&famine, DESCRIPTOR_RESERVE - 1, RAM_FRAMES);
    first = measure();
}

static void check_starved(void)
{
    create_and_drop(); /* what was begun is given up, and begun again */
    struct holdings now = measure();
    uint64_t donated = mapped_pages_statistics().descriptor_pages;
    strike_demand(donated == 1);
    strike_demand(now.frames == first.frames - donated);
    strike_demand(now.pages == first.pages - donated);
    strike_demand(now.descriptors == first.descriptors + 3);
    uint64_t mapped = 0;
    for (uint64_t i = 0; i < PAGES_SEEN; i++) {
        mapped += translate(DATA_ZONE_START + i * PAGE_SIZE) != 0;
    }
    strike_demand(mapped == donated);
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"create a page and drop it", prepare, create_and_drop, check},
        {"create three pages", prepare, create_several, check},
        {"create pages to be executed", prepare, create_to_be_executed, check},
        {"map and keep", prepare, map_and_keep, check},
        {"map into a newer slot", prepare, map_into_a_newer_slot, check},
        {"drop four pages", keep_four, drop_kept, check},
        {"remap", keep_four, remap, check_rights},
        {"split", keep_four, split, check},
        {"merge", keep_parts, merge, check},
        {"take apart", keep_four, take_apart, check},
        {"create of several ranges", break_up, create_several, check_broken_up},
        {"a device's 2 MiB, split", prepare, create_of_device, check_device},
        {"donate to the pool", starve, create_and_drop, check_starved},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
