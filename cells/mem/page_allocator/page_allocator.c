/* SPDX-License-Identifier: MIT */
/*
 * One range_set of page numbers for each zone. Lowest first keeps mappings together, which keeps
 * the number of page table frames small.
 */
#include "page_allocator.h"
#include "range_set.h"

CELL(library, "1.0.0");

struct zone {
    struct range storage[PAGE_ALLOCATOR_RANGES];
    struct range_set free;
    uint64_t lost;
};

static struct zone zones[PAGE_ZONE_COUNT];

static const struct {
    vaddr_t start;
    vaddr_t end;
} bounds[PAGE_ZONE_COUNT] = {
    [PAGE_ZONE_CODE] = {CODE_ZONE_START, CODE_ZONE_END},
    [PAGE_ZONE_DATA] = {DATA_ZONE_START, DATA_ZONE_END},
};

static uint64_t zone_pages(enum page_zone zone)
{
    return (bounds[zone].end - bounds[zone].start) >> PAGE_SHIFT;
}

enum status page_allocator_init(void)
{
    for (int i = 0; i < PAGE_ZONE_COUNT; i++) {
        struct zone *zone = &zones[i];
        range_set_init(&zone->free, zone->storage, PAGE_ALLOCATOR_RANGES);
        zone->lost = 0;
        enum status status = range_set_add(&zone->free, bounds[i].start >> PAGE_SHIFT,
                                           zone_pages((enum page_zone)i));
        if (status != OK) {
            return status;
        }
    }
    return OK;
}

enum status page_allocator_take(enum page_zone zone, size_t count, vaddr_t *out_start)
{
    uint64_t first;
    enum status status = range_set_take(&zones[zone].free, count, 1, &first);
    if (status == OK) {
        *out_start = first << PAGE_SHIFT;
    }
    return status == ERR_NOT_FOUND ? ERR_NO_ADDRESS_SPACE : status;
}

enum status page_allocator_give_back(enum page_zone zone, vaddr_t start, size_t count)
{
    if (!page_is_aligned(start)) {
        return ERR_MISALIGNED;
    }
    if (start < bounds[zone].start || start >= bounds[zone].end ||
        count > (bounds[zone].end - start) >> PAGE_SHIFT) {
        return ERR_OUT_OF_BOUNDS;
    }
    enum status status = range_set_add(&zones[zone].free, start >> PAGE_SHIFT, count);
    if (status == ERR_LIMIT) {
        zones[zone].lost += count;
    }
    return status;
}

struct page_statistics page_allocator_statistics(enum page_zone zone)
{
    return (struct page_statistics){
        .total = zone_pages(zone),
        .free = zones[zone].free.total,
        .ranges = zones[zone].free.used,
        .lost = zones[zone].lost,
    };
}
