/* SPDX-License-Identifier: MIT */
/*
 * map_bench [COUNT..] - measures map, remap and unmap of single pages at COUNT live mappings (100,
 * 1,000, 10,000 and 100,000), in ticks of the time stamp counter, for owned mapped pages and for a
 * conventional tree of areas; one line `figure NAME VALUE` each.
 *
 * Each figure is the mean over all COUNT: map while their number grows, remap all, unmap all.
 * Neighbours may be used differently, so that the tree does not join them. `_shuffled` is the same
 * with remap and unmap in another order than map. The frames are stale, so `map` includes what
 * clearing costs (the figure `clear`), except where the name says `clean`: there the parts exist
 * and are clean, and map takes them. `settle` is work that unmapping leaves for later. As bench, in
 * an emulator that counts instructions a tick is one instruction.
 */
#include "application.h"
#include "console.h"
#include "descriptor_pool.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "mapped_pages.h"
#include "page_allocator.h"
#include "vma_tree.h"
#include "x86.h"

CELL(application, "1.0.0");

APPLICATION(map_bench);

#define ROUNDS 1000u /* of map, write and unmap one page */

/* One run of `count` mappings. */
struct run {
    uint64_t count;
    uint64_t stride; /* mapping i is number i * stride % count; 1: in order */
    uint64_t clock;  /* what two counter reads cost */
    uint64_t step;   /* what a round without any work costs, in tenths of a tick */
    const char *suffix;
};

struct ticks {
    uint64_t map;
    uint64_t remap;
    uint64_t unmap;
    uint64_t settle;   /* what unmapping has put off: joining what is free */
    uint64_t metadata; /* bytes for all mappings */
};

static unsigned flags_of(uint64_t number)
{
    return number % 2 ? PAGE_READ : PAGE_WRITE;
}

static unsigned other_flags_of(uint64_t number)
{
    return number % 2 ? PAGE_WRITE : PAGE_READ;
}

/* No page in between: `stride` has no factor in common with powers of ten. */
static uint64_t number_of(const struct run *run, uint64_t i)
{
    return i * run->stride % run->count;
}

static uint64_t since(uint64_t start, const struct run *run)
{
    return read_tsc() - start - run->clock;
}

/* Joins what is free, so that each run begins alike. */
static void settle(void)
{
    frame_allocator_settle();
    page_allocator_settle();
}

static uint64_t descriptor_bytes(void)
{
    return descriptor_pool_in_use() * DESCRIPTOR_SIZE;
}

/* ---- owned mapped pages ---- */

/* Fills an empty field. */
static enum status map_one(struct mapped_pages **field, unsigned flags)
{
    OWNED(mapped_pages, pages);
    enum status status = mapped_pages_create(PAGE_ZONE_DATA, PAGE_SIZE, flags, SLOT(pages));
    if (status == OK) {
        STORE(*field, pages);
    }
    return status;
}

static enum status run_mapped_pages(struct mapped_pages **fields, const struct run *run,
                                    struct ticks *ticks)
{
    enum status status = OK;
    ticks->metadata = descriptor_bytes();
    uint64_t start = read_tsc();
    for (uint64_t i = 0; status == OK && i < run->count; i++) {
        status = map_one(&fields[i], flags_of(i));
    }
    ticks->map = since(start, run);
    ticks->metadata = descriptor_bytes() - ticks->metadata;
    start = read_tsc();
    for (uint64_t i = 0; status == OK && i < run->count; i++) {
        uint64_t number = number_of(run, i);
        status = mapped_pages_remap(STORED(fields[number]), other_flags_of(number));
    }
    ticks->remap = since(start, run);
    start = read_tsc();
    for (uint64_t i = 0; i < run->count; i++) {
        mapped_pages_drop(&fields[number_of(run, i)]);
    }
    ticks->unmap = since(start, run);
    start = read_tsc();
    settle();
    ticks->settle = since(start, run);
    return status;
}

/* ---- parts that exist and are clean ---- */

struct parts {
    struct pages *pages;
    struct frames *frames;
    struct mapped_pages *mapped;
};

/* Parts that were mapped once are clean. */
static enum status make_parts(struct parts *parts)
{
    OWNED(mapped_pages, mapped);
    enum status status = mapped_pages_create(PAGE_ZONE_DATA, PAGE_SIZE, PAGE_READ, SLOT(mapped));
    if (status != OK) {
        return status;
    }
    OWNED(pages, pages);
    OWNED(frames, frames);
    mapped_pages_take_apart(SLOT(mapped), SLOT(pages), SLOT(frames));
    STORE(parts->pages, pages);
    STORE(parts->frames, frames);
    return OK;
}

static enum status map_parts(struct parts *parts, unsigned flags)
{
    OWNED(pages, pages);
    OWNED(frames, frames);
    OWNED(mapped_pages, mapped);
    LOAD(pages, parts->pages);
    LOAD(frames, parts->frames);
    enum status status = mapped_pages_map(SLOT(pages), SLOT(frames), flags, SLOT(mapped));
    if (status != OK) {
        return status;
    }
    STORE(parts->mapped, mapped);
    return OK;
}

static enum status run_clean(struct parts *parts, const struct run *run, struct ticks *ticks)
{
    enum status status = OK;
    for (uint64_t i = 0; status == OK && i < run->count; i++) {
        status = make_parts(&parts[i]);
    }
    uint64_t start = read_tsc();
    for (uint64_t i = 0; status == OK && i < run->count; i++) {
        status = map_parts(&parts[i], flags_of(i));
    }
    ticks->map = since(start, run);
    for (uint64_t i = 0; i < run->count; i++) {
        mapped_pages_drop(&parts[i].mapped);
        pages_drop(&parts[i].pages);
        frames_drop(&parts[i].frames);
    }
    settle();
    return status;
}

/* ---- the tree of areas ---- */

static enum status run_vma_tree(vaddr_t *addresses, const struct run *run, struct ticks *ticks)
{
    enum status status = vma_tree_init();
    ticks->metadata = descriptor_bytes();
    uint64_t start = read_tsc();
    for (uint64_t i = 0; status == OK && i < run->count; i++) {
        status = vma_tree_map(0, PAGE_SIZE, flags_of(i), &addresses[i]);
    }
    ticks->map = since(start, run);
    ticks->metadata = descriptor_bytes() - ticks->metadata;
    if (status == OK && vma_tree_statistics().areas != run->count) {
        status = ERR_FAILED; /* some were joined: this is another measurement */
    }
    start = read_tsc();
    for (uint64_t i = 0; status == OK && i < run->count; i++) {
        uint64_t number = number_of(run, i);
        status = vma_tree_remap(addresses[number], PAGE_SIZE, flags_of(number) | PAGE_UNCACHED);
    }
    ticks->remap = since(start, run);
    start = read_tsc();
    for (uint64_t i = 0; status == OK && i < run->count; i++) {
        status = vma_tree_unmap(addresses[number_of(run, i)], PAGE_SIZE);
    }
    ticks->unmap = since(start, run);
    vma_tree_fini();
    settle();
    return status;
}

/* ---- what is printed ---- */

static void say(const char *design, const char *what, const struct run *run, uint64_t ticks)
{
    uint64_t each = (ticks * 10 + run->count / 2) / run->count; /* in tenths */
    each = each > run->step ? each - run->step : 0;
    console_print("figure %s_%s_%llu%s %llu.%llu\n", design, what, (unsigned long long)run->count,
                  run->suffix, (unsigned long long)(each / 10), (unsigned long long)(each % 10));
}

static void say_all(const char *design, const struct run *run, const struct ticks *ticks)
{
    say(design, "map", run, ticks->map);
    say(design, "remap", run, ticks->remap);
    say(design, "unmap", run, ticks->unmap);
    uint64_t bytes = (ticks->metadata * 10 + run->count / 2) / run->count;
    console_print("figure %s_metadata_%llu%s %llu.%llu\n", design, (unsigned long long)run->count,
                  run->suffix, (unsigned long long)(bytes / 10), (unsigned long long)(bytes % 10));
}

/* What the loops themselves cost: the number of a mapping, and the count. */
static void calibrate(struct run *run)
{
    uint64_t start = read_tsc();
    run->clock = read_tsc() - start;
    uint64_t sum = 0;
    start = read_tsc();
    for (uint64_t i = 0; i < run->count; i++) {
        sum += number_of(run, i);
        __asm__ volatile("" : "+r"(sum));
    }
    run->step = since(start, run) * 10 / run->count;
}

/* Memory for `count` elements; the mappings to be measured come after it. */
static enum status measure(uint64_t count, uint64_t stride, const char *suffix)
{
    struct run run = {.count = count, .stride = stride, .suffix = suffix};
    struct ticks ticks = {0};
    OWNED(mapped_pages, memory);
    enum status status =
        mapped_pages_create(PAGE_ZONE_DATA, count * sizeof(struct parts), PAGE_WRITE, SLOT(memory));
    if (status != OK) {
        return status;
    }
    struct parts *parts = MAPPED_PAGES_SLICE_MUTABLE(struct parts, REF(memory), 0, count);
    struct mapped_pages **fields =
        MAPPED_PAGES_SLICE_MUTABLE(struct mapped_pages *, REF(memory), 0, count);
    vaddr_t *addresses = MAPPED_PAGES_SLICE_MUTABLE(vaddr_t, REF(memory), 0, count);
    calibrate(&run);
    status = run_mapped_pages(fields, &run, &ticks);
    if (status != OK) {
        return status;
    }
    say_all("mapped_pages", &run, &ticks);
    say("mapped_pages", "settle", &run, ticks.settle);
    if (stride == 1) {
        status = run_clean(parts, &run, &ticks);
        if (status != OK) {
            return status;
        }
        say("mapped_pages", "map_clean", &run, ticks.map);
    }
    status = run_vma_tree(addresses, &run, &ticks);
    if (status == OK) {
        say_all("vma_tree", &run, &ticks);
    }
    return status;
}

/* ---- one page, again and again ---- */

static enum status use_mapped_page(void)
{
    OWNED(mapped_pages, pages);
    enum status status = mapped_pages_create(PAGE_ZONE_DATA, PAGE_SIZE, PAGE_WRITE, SLOT(pages));
    if (status != OK) {
        return status;
    }
    *(volatile uint8_t *)mapped_pages_start(REF(pages)) = 1;
    return OK;
}

static enum status use_area(void)
{
    vaddr_t page;
    enum status status = vma_tree_map(0, PAGE_SIZE, PAGE_WRITE, &page);
    if (status != OK) {
        return status;
    }
    *(volatile uint8_t *)page = 1;
    return vma_tree_unmap(page, PAGE_SIZE);
}

static enum status measure_one_page(void)
{
    struct run run = {.count = ROUNDS, .stride = 1, .suffix = "_times"};
    calibrate(&run);
    enum status status = OK;
    uint64_t start = read_tsc();
    for (unsigned i = 0; status == OK && i < ROUNDS; i++) {
        status = use_mapped_page();
    }
    say("mapped_pages", "map_write_unmap", &run, since(start, &run));
    if (status == OK) {
        status = vma_tree_init();
    }
    start = read_tsc();
    for (unsigned i = 0; status == OK && i < ROUNDS; i++) {
        status = use_area();
    }
    say("vma_tree", "map_write_unmap", &run, since(start, &run));
    vma_tree_fini();
    return status;
}

/* How long clearing a page takes: part of each map of stale frames. */
static enum status measure_clearing(void)
{
    OWNED(mapped_pages, pages);
    enum status status = mapped_pages_create(PAGE_ZONE_DATA, PAGE_SIZE, PAGE_WRITE, SLOT(pages));
    if (status != OK) {
        return status;
    }
    struct run run = {.count = ROUNDS, .stride = 1, .suffix = "_times"};
    calibrate(&run);
    void *page = MAPPED_PAGES_SLICE_MUTABLE(uint8_t, REF(pages), 0, PAGE_SIZE);
    uint64_t start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        memset(page, 0, PAGE_SIZE);
    }
    say("page", "clear", &run, since(start, &run));
    return OK;
}

/* A decimal number, or 0. */
static uint64_t count_of(const char *text)
{
    uint64_t count = 0;
    for (; *text >= '0' && *text <= '9' && count < 10000000; text++) {
        count = count * 10 + (uint64_t)(*text - '0');
    }
    return *text ? 0 : count;
}

static enum status measure_both_orders(uint64_t count)
{
    enum status status = measure(count, 1, "");
    /*
     * A prime that no count of the benchmark is a multiple of; near the golden section of 100,000.
     */
    return status == OK ? measure(count, 61843, "_shuffled") : status;
}

enum status map_bench_main(const struct app_arguments *arguments)
{
    static const uint64_t counts[] = {100, 1000, 10000, 100000};
    enum status status = measure_clearing();
    status = status == OK ? measure_one_page() : status;
    for (int i = 1; status == OK && i < arguments->count; i++) {
        uint64_t count = count_of(arguments->values[i]);
        status = count > 0 ? measure_both_orders(count) : ERR_INVALID_ARGUMENT;
    }
    for (size_t i = 0; status == OK && arguments->count == 1 && i < ARRAY_COUNT(counts); i++) {
        status = measure_both_orders(counts[i]);
    }
    if (status != OK) {
        console_print("map_bench: %s\n", status_text(status));
    }
    return status;
}
