/* SPDX-License-Identifier: MIT */
/*
 * memory_test KIND - uses memory up, over and over, or wrongly.
 *
 * The first kinds count what there is before and after, print both, and fail where they differ. The
 * last ones touch what they must not and do not come back: that the exception is reported, and how,
 * is for the one who reads the report. Coming back is a failure.
 */
#include "application.h"
#include "console.h"
#include "descriptor_pool.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "heap.h"
#include "mapped_pages.h"
#include "page_allocator.h"
#include "page_table.h"

CELL(application, "1.0.0");

APPLICATION(memory_test);

#define CYCLES      1000000u
#define LARGE_EVERY 10000u /* of the cycles, one maps so much: */
#define LARGE_BYTES (5ull << 20)
#define RET_OPCODE  0xc3

/* ---- what there is ---- */

struct counts {
    uint64_t frames; /* free, or kept: as spare tables, for descriptors */
    uint64_t code_pages;
    uint64_t data_pages;
    uint64_t descriptors; /* in use, but for ranges of what is free and for tables */
    uint64_t tables;
    uint64_t heap_blocks;
    uint64_t heap_bytes;
};

static struct counts count(void)
{
    struct frame_statistics frames = frame_allocator_statistics();
    struct page_statistics code = page_allocator_statistics(PAGE_ZONE_CODE);
    struct page_statistics data = page_allocator_statistics(PAGE_ZONE_DATA);
    struct page_table_statistics tables = page_table_statistics();
    struct heap_statistics heap = heap_statistics();
    struct mapped_pages_statistics kept = mapped_pages_statistics();
    return (struct counts){
        .frames = frames.free + tables.spares + kept.descriptor_pages,
        .code_pages = code.free,
        .data_pages = data.free + kept.descriptor_pages,
        .descriptors = descriptor_pool_in_use() - frames.ranges - code.ranges - data.ranges -
                       tables.tables - tables.spares - kept.kept_descriptors,
        .tables = tables.tables,
        .heap_blocks = heap.blocks_in_use,
        .heap_bytes = heap.bytes_in_use,
    };
}

static bool compare(const char *what, uint64_t before, uint64_t after)
{
    console_print("  %-12s %12lu before %12lu after%s\n", what, (unsigned long)before,
                  (unsigned long)after, before == after ? "" : "  DIFFERENT");
    return before == after;
}

static enum status compare_all(struct counts before)
{
    struct counts now = count();
    bool is_same = compare("frames", before.frames, now.frames);
    is_same &= compare("code pages", before.code_pages, now.code_pages);
    is_same &= compare("data pages", before.data_pages, now.data_pages);
    is_same &= compare("descriptors", before.descriptors, now.descriptors);
    is_same &= compare("tables", before.tables, now.tables);
    is_same &= compare("heap blocks", before.heap_blocks, now.heap_blocks);
    is_same &= compare("heap bytes", before.heap_bytes, now.heap_bytes);
    console_print("memory_test: %s\n", is_same ? "nothing is lost" : "something is lost");
    return is_same ? OK : ERR_FAILED;
}

/* What an error must be; anything else is printed. */
static enum status expect(const char *what, enum status expected, enum status status)
{
    console_print("  %-34s %s\n", what, status_name(status));
    return status == expected ? OK : ERR_FAILED;
}

/* ---- over and over ---- */

static enum status map_once(uint64_t bytes)
{
    OWNED(mapped_pages, pages);
    enum status status = mapped_pages_create(PAGE_ZONE_DATA, bytes, PAGE_WRITE, SLOT(pages));
    if (status != OK) {
        return status;
    }
    uint64_t *words = MAPPED_PAGES_SLICE_MUTABLE(uint64_t, REF(pages), 0, bytes / 8);
    if (!words || words[0] || words[bytes / 8 - 1]) {
        return ERR_FAILED; /* not cleared */
    }
    words[0] = bytes;
    words[bytes / 8 - 1] = bytes;
    return OK;
}

static enum status map_a_million_times(void)
{
    enum status status = map_once(LARGE_BYTES); /* what is kept for later is kept now */
    struct counts before = count();
    for (unsigned i = 0; i < CYCLES && status == OK; i++) {
        status = map_once(i % LARGE_EVERY ? PAGE_SIZE : LARGE_BYTES);
    }
    console_print("memory_test: %u times mapped and unmapped: %s\n", CYCLES, status_name(status));
    enum status compared = compare_all(before);
    return status == OK ? compared : status;
}

/* ---- used up ---- */

/* A mapping that is one of many: the first bytes of each say which came before. */
struct link {
    struct mapped_pages *before;
};

/* Takes mappings until there is nothing left of this zone or of memory; *out owns all of them. */
static enum status take_all(enum page_zone zone, struct mapped_pages **out)
{
    uint64_t bytes = frame_allocator_statistics().free * PAGE_SIZE;
    for (;;) {
        OWNED(mapped_pages, pages);
        enum status status = mapped_pages_create(zone, bytes, PAGE_WRITE, SLOT(pages));
        if (status != OK) {
            if (bytes <= PAGE_SIZE) {
                return status;
            }
            bytes = page_align_up(bytes / 2);
            continue;
        }
        struct link *link = MAPPED_PAGES_AS_MUTABLE(struct link, REF(pages), 0);
        link->before = *out;
        *out = NULL;
        STORE(*out, pages);
    }
}

static void give_all(struct mapped_pages **all)
{
    while (*all) {
        OWNED(mapped_pages, pages);
        LOAD(pages, *all);
        const struct link *link = MAPPED_PAGES_AS(struct link, REF(pages), 0);
        *all = link->before;
    }
}

static enum status use_up_frames(void)
{
    struct mapped_pages *all = NULL;
    enum status status = map_once(LARGE_BYTES);
    (void)!take_all(PAGE_ZONE_DATA, &all); /* what is kept for later is kept now */
    give_all(&all);
    struct counts before = count();
    enum status last = take_all(PAGE_ZONE_DATA, &all);
    uint64_t left = frame_allocator_statistics().free;
    void *block = heap_allocate(LARGE_BYTES);
    bool is_refused = block == NULL;
    heap_free(block);
    give_all(&all);
    console_print("memory_test: frames\n");
    status = status == OK ? expect("the page after the last", ERR_NO_MEMORY, last) : status;
    console_print("  %-34s %lu\n", "frames left then", (unsigned long)left);
    console_print("  %-34s %s\n", "a large block then", is_refused ? "refused" : "granted");
    enum status compared = compare_all(before);
    return status == OK && is_refused && left < PAGE_TABLE_SPARES ? compared : ERR_FAILED;
}

/* Whatever pages of the zone there are, in as many ranges as it takes; linked through the heap. */
struct pages_link {
    struct pages_link *next;
    struct pages *pages;
};

static struct pages_link *take_pages(enum page_zone zone)
{
    struct pages_link *first = NULL;
    uint64_t most = page_allocator_statistics(zone).free;
    while (most > 0) {
        OWNED(pages, pages);
        if (page_allocator_take(zone, most, 1, SLOT(pages)) != OK) {
            most /= 2;
            continue;
        }
        struct pages_link *link = heap_allocate(sizeof(*link));
        if (!link) {
            break;
        }
        link->pages = NULL;
        STORE(link->pages, pages);
        link->next = first;
        first = link;
    }
    return first;
}

static enum status use_up_pages(void)
{
    /* The heap keeps a page for each size that it was asked for once. */
    heap_free(heap_allocate(sizeof(struct pages_link)));
    struct counts before = count();
    struct pages_link *all = take_pages(PAGE_ZONE_CODE);
    uint64_t left = page_allocator_statistics(PAGE_ZONE_CODE).free;
    OWNED(mapped_pages, none);
    enum status refused = mapped_pages_create(PAGE_ZONE_CODE, 1, PAGE_WRITE, SLOT(none));
    while (all) {
        struct pages_link *next = all->next;
        pages_drop(&all->pages);
        heap_free(all);
        all = next;
    }
    console_print("memory_test: pages\n");
    console_print("  %-34s %lu\n", "code pages left", (unsigned long)left);
    enum status status = expect("mapping one then", ERR_NO_ADDRESS_SPACE, refused);
    mapped_pages_drop(SLOT(none));
    enum status compared = compare_all(before);
    return status == OK && left == 0 ? compared : ERR_FAILED;
}

/*
 * Blocks until there are no more, then all back, the last one first; returns how many there were.
 */
static uint64_t allocate_and_free_all(void)
{
    uint64_t blocks = 0;
    void **last = NULL; /* each block begins with the address of the one before */
    for (void **block; (block = heap_allocate(100)); blocks++) {
        *block = last;
        last = block;
    }
    while (last) {
        void **next = *last;
        heap_free(last);
        last = next;
    }
    return blocks;
}

static enum status use_up_heap(void)
{
    /* First until what stays has stayed: descriptors, and the heap's records. */
    for (unsigned round = 0; round < 4; round++) {
        allocate_and_free_all();
    }
    /* Twice: the few slabs that a heap keeps are those that it took first and last, in turns. */
    struct counts before = count();
    uint64_t blocks_before = allocate_and_free_all();
    uint64_t blocks = allocate_and_free_all();
    console_print("memory_test: heap\n  %-34s %lu, then %lu\n", "blocks before it refused",
                  (unsigned long)blocks_before, (unsigned long)blocks);
    /* Which slabs these are decides how many tables there are: a frame of a table is not lost. */
    struct counts now = count();
    before.frames += before.tables - now.tables;
    before.tables = now.tables;
    enum status compared = compare_all(before);
    return blocks > 0 && blocks == blocks_before ? compared : ERR_FAILED;
}

static enum status use_everything_up(void)
{
    enum status status = use_up_frames();
    status = status == OK ? use_up_pages() : status;
    return status == OK ? use_up_heap() : status;
}

/* ---- wrongly: these do not come back ---- */

/* A mapping of one page with a page behind it that is taken and not mapped. */
static enum status write_beyond(void)
{
    OWNED(pages, pages);
    OWNED(pages, behind);
    OWNED(frames, frames);
    OWNED(mapped_pages, mapped);
    if (page_allocator_take(PAGE_ZONE_DATA, 2, 1, SLOT(pages)) != OK) {
        return ERR_NO_MEMORY;
    }
    if (pages_split(REF(pages), 1, SLOT(behind)) != OK) {
        return ERR_NO_MEMORY;
    }
    if (frame_allocator_take(1, 1, SLOT(frames)) != OK) {
        return ERR_NO_MEMORY;
    }
    if (mapped_pages_map(SLOT(pages), SLOT(frames), PAGE_WRITE, SLOT(mapped)) != OK) {
        return ERR_NO_MEMORY;
    }
    if (MAPPED_PAGES_AS_MUTABLE(uint64_t, REF(mapped), PAGE_SIZE)) {
        return ERR_STATE; /* the checked way must refuse it */
    }
    volatile uint64_t *words = (volatile uint64_t *)mapped_pages_start(REF(mapped));
    words[PAGE_SIZE / 8 - 1] = 1;
    words[PAGE_SIZE / 8] = 2;
    return ERR_FAILED;
}

static enum status write_read_only(void)
{
    OWNED(mapped_pages, mapped);
    if (mapped_pages_create(PAGE_ZONE_DATA, 1, PAGE_WRITE, SLOT(mapped)) != OK) {
        return ERR_NO_MEMORY;
    }
    volatile uint64_t *word = (volatile uint64_t *)mapped_pages_start(REF(mapped));
    *word = 1;
    if (mapped_pages_remap(REF(mapped), PAGE_READ) != OK) {
        return ERR_NO_MEMORY;
    }
    *word = 2;
    return ERR_FAILED;
}

static enum status write_rodata(void)
{
    static const uint64_t constant = 5;
    const uint64_t *where = &constant;
    __asm__ volatile("movq $6, (%0)" : : "r"(where) : "memory");
    return ERR_FAILED;
}

static enum status execute_mapping(void)
{
    OWNED(mapped_pages, mapped);
    if (mapped_pages_create(PAGE_ZONE_DATA, 1, PAGE_WRITE, SLOT(mapped)) != OK) {
        return ERR_NO_MEMORY;
    }
    uint8_t *code = MAPPED_PAGES_AS_MUTABLE(uint8_t, REF(mapped), 0);
    *code = RET_OPCODE;
    __asm__ volatile("call *%0" : : "r"(code) : "memory");
    return ERR_FAILED;
}

static enum status read_dropped(void)
{
    OWNED(mapped_pages, mapped);
    if (mapped_pages_create(PAGE_ZONE_DATA, 1, PAGE_WRITE, SLOT(mapped)) != OK) {
        return ERR_NO_MEMORY;
    }
    volatile uint64_t *word = (volatile uint64_t *)mapped_pages_start(REF(mapped));
    *word = 1;
    mapped_pages_drop(SLOT(mapped));
    return *word == 1 ? ERR_FAILED : ERR_STATE;
}

static const struct kind {
    const char *name;
    const char *text;
    enum status (*run)(void);
} kinds[] = {
    {"cycles", "maps and unmaps a million times", map_a_million_times},
    {"exhaustion", "uses up frames, pages and the heap", use_everything_up},
    {"beyond", "writes behind the end of a mapping", write_beyond},
    {"read-only", "writes to a mapping that became read-only", write_read_only},
    {"rodata", "writes to a constant", write_rodata},
    {"execute", "executes a mapping that is data", execute_mapping},
    {"dropped", "reads from a mapping that is dropped", read_dropped},
};

enum status memory_test_main(const struct app_arguments *arguments)
{
    for (size_t i = 0; arguments->count == 2 && i < ARRAY_COUNT(kinds); i++) {
        if (strcmp(kinds[i].name, arguments->values[1]) == 0) {
            console_print("memory_test: %s\n", kinds[i].text);
            return kinds[i].run();
        }
    }
    console_print("usage: memory_test KIND\n");
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        console_print("  %-11s %s\n", kinds[i].name, kinds[i].text);
    }
    return ERR_INVALID_ARGUMENT;
}
