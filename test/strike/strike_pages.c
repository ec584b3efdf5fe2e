/* SPDX-License-Identifier: MIT */
/*
 * Pages: each page is free or has one owner, whatever strikes. Of the ranges that are looked at,
 * the truth is asked for page by page; of the others, how many there are.
 */
#include "commit.h"
#include "descriptor_pool.h"
#include "page_allocator.h"
#include "strike.h"

#define SEEN 24u

static struct pages *kept[3];
static struct pages *by_hand[SEEN];
static uint64_t descriptors;
static uint64_t totals[PAGE_ZONE_COUNT];

static const vaddr_t starts[PAGE_ZONE_COUNT] = {
    [PAGE_ZONE_CODE] = CODE_ZONE_START, [PAGE_ZONE_DATA] = DATA_ZONE_START};

/* In use, but for one each free range. What was between pool and tree is put back first. */
static uint64_t count_descriptors(void)
{
    uint64_t ranges = page_allocator_statistics(PAGE_ZONE_CODE).ranges +
                      page_allocator_statistics(PAGE_ZONE_DATA).ranges;
    return descriptor_pool_in_use() - ranges;
}

static void prepare(void)
{
    strike_demand(page_allocator_init() == OK);
    for (unsigned zone = 0; zone < PAGE_ZONE_COUNT; zone++) {
        totals[zone] = page_allocator_statistics(zone).free;
    }
    descriptors = count_descriptors();
}

static void check_zone(enum page_zone zone)
{
    bool is_kept[SEEN] = {false};
    uint64_t owned = 0;
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        if (!kept[i] || pages_zone(kept[i]) != zone) {
            continue;
        }
        uint64_t first = (pages_start(kept[i]) - starts[zone]) / PAGE_SIZE;
        for (uint64_t k = 0; k < pages_count(kept[i]); k++, owned++) {
            strike_demand(first + k < SEEN && !is_kept[first + k]);
            is_kept[first + k] = true;
        }
    }
    strike_demand(page_allocator_statistics(zone).free == totals[zone] - owned);
    for (unsigned i = 0; i < SEEN; i++) {
        enum status status = page_allocator_take_at(starts[zone] + i * PAGE_SIZE, 1, &by_hand[i]);
        strike_demand(status == (is_kept[i] ? ERR_BUSY : OK));
    }
    for (unsigned i = 0; i < SEEN; i++) {
        pages_drop(&by_hand[i * 7 % SEEN]);
    }
}

static void check(void)
{
    uint64_t handles = 0;
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        handles += kept[i] != NULL;
    }
    strike_demand(count_descriptors() == descriptors + handles);
    check_zone(PAGE_ZONE_CODE);
    check_zone(PAGE_ZONE_DATA);
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        pages_drop(&kept[i]);
    }
    page_allocator_settle();
    for (unsigned zone = 0; zone < PAGE_ZONE_COUNT; zone++) {
        strike_demand(page_allocator_statistics(zone).free == totals[zone]);
        strike_demand(page_allocator_statistics(zone).bad_drops == 0);
    }
    strike_demand(count_descriptors() == descriptors);
    strike_demand(page_allocator_take(PAGE_ZONE_DATA, SEEN, 1, &kept[0]) == OK);
    strike_demand(pages_start(kept[0]) == DATA_ZONE_START);
    pages_drop(&kept[0]);
}

static void take_one(void)
{
    OWNED(pages, pages);
    (void)!page_allocator_take(PAGE_ZONE_DATA, 1, 1, SLOT(pages));
}

static void prepare_cached(void)
{
    prepare();
    take_one();
}

static void take_two_and_keep_one(void)
{
    OWNED(pages, pages);
    OWNED(pages, others);
    (void)!page_allocator_take(PAGE_ZONE_DATA, 1, 1, SLOT(pages));
    (void)!page_allocator_take(PAGE_ZONE_DATA, 1, 1, SLOT(others));
    STORE(kept[0], pages);
}

static void take_code(void)
{
    OWNED(pages, pages);
    (void)!page_allocator_take(PAGE_ZONE_CODE, 1, 1, SLOT(pages));
    OWNED(pages, others);
    (void)!page_allocator_take(PAGE_ZONE_CODE, 4, 4, SLOT(others));
    STORE(kept[1], others);
}

static void take_at(void)
{
    OWNED(pages, pages);
    (void)!page_allocator_take_at(DATA_ZONE_START + 9 * PAGE_SIZE, 3, SLOT(pages));
    STORE(kept[0], pages);
}

static void split_and_merge(void)
{
    OWNED(pages, pages);
    (void)!page_allocator_take(PAGE_ZONE_DATA, 6, 1, SLOT(pages));
    OWNED(pages, rest);
    (void)!pages_split(REF(pages), 2, SLOT(rest));
    OWNED(pages, last);
    (void)!pages_split(REF(rest), 1, SLOT(last));
    (void)!pages_merge(REF(rest), SLOT(last));
    STORE(kept[0], pages);
    STORE(kept[1], rest);
}

static void scatter(void)
{
    prepare();
    for (unsigned i = 0; i < SEEN; i++) {
        strike_demand(page_allocator_take(PAGE_ZONE_DATA, 1, 1, &by_hand[i]) == OK);
    }
    for (unsigned i = 0; i < SEEN; i++) {
        pages_drop(&by_hand[i * 7 % SEEN]);
    }
}

static void settle(void)
{
    page_allocator_settle();
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"take and drop one", prepare_cached, take_one, check},
        {"take the first one of a run", prepare, take_one, check},
        {"take two and keep one", prepare_cached, take_two_and_keep_one, check},
        {"take for code", prepare, take_code, check},
        {"take at a place", prepare_cached, take_at, check},
        {"split and merge", prepare_cached, split_and_merge, check},
        {"settle what came back alone", scatter, settle, check},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
