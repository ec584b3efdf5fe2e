/* SPDX-License-Identifier: MIT */
/*
 * nano_core_test - looks for what is left of the static text and constants.
 *
 * The nano_core has replaced itself (nano_core_swap.h). So the pages of its text and constants are
 * mapped no more and belong to no cell; no section, entry or gate of an exception leads there, and
 * no word of memory points there; and their frames are memory like any other: each can be had, or
 * somebody has it.
 */
#include "address_map.h"
#include "application.h"
#include "cell_namespace.h"
#include "console.h"
#include "frame_allocator.h"
#include "heap.h"
#include "mapped_pages.h"
#include "mutex.h"
#include "nano_core_image.h"
#include "page_table.h"
#include "pointer_scan.h"
#include "x86.h"

CELL(application, "1.0.0");

APPLICATION(nano_core_test);

#define PAGES_AT_ONCE 32u
#define GATE_COUNT    256u
#define PATTERN       0x5a5ac3c3a5a53c3cull

static bool expect(const char *what, uint64_t good, uint64_t bad)
{
    console_print("nano_core_test: %s: %lu, %lu wrong: %s\n", what, (unsigned long)good,
                  (unsigned long)bad, bad == 0 && good > 0 ? "OK" : "FAILED");
    return bad == 0 && good > 0;
}

/* The next region of static text or constants; `*number` is 0 at first. False at the end. */
static bool next_region(uint64_t *number, uint64_t *out_start, uint64_t *out_size)
{
    while (*number < nano_core_image.cell_count * 2) {
        const struct nano_core_image_cell *cell = &nano_core_image.cells[*number / 2];
        uint32_t r = *number % 2 ? REGION_RODATA : REGION_TEXT;
        ++*number;
        if (cell->sizes[r]) {
            *out_start = cell->addresses[r];
            *out_size = cell->sizes[r];
            return true;
        }
    }
    return false;
}

static bool is_old(uint64_t address)
{
    uint64_t number = 0;
    uint64_t start;
    uint64_t size;
    while (next_region(&number, &start, &size)) {
        if (address - start < page_align_up(size)) {
            return true;
        }
    }
    return false;
}

/* ---- mapped, known, led to ---- */

static bool test_pages(void)
{
    uint64_t number = 0;
    uint64_t start;
    uint64_t size;
    uint64_t good = 0;
    uint64_t bad = 0;
    while (next_region(&number, &start, &size)) {
        for (uint64_t at = start; at < start + size; at += PAGE_SIZE) {
            bool is_gone = !page_table_find(at, NULL, NULL) && !address_map_find(at);
            good += is_gone;
            bad += !is_gone;
        }
    }
    return expect("pages that are mapped no more", good, bad);
}

static bool test_sections(void)
{
    uint64_t good = 0;
    uint64_t bad = 0;
    GUARD(mutex, held, cell_namespace_mutex());
    for (const struct cell *cell = cell_namespace_initial()->first; cell; cell = cell->next) {
        for (uint32_t i = 0; i < cell->object.section_count; i++) {
            const struct section *section = &cell->sections[i];
            good += section->address != 0;
            bad += section->address != 0 && is_old(section->address);
        }
        bad += cell->is_static;
    }
    return expect("sections that lie elsewhere", good, bad);
}

/* Where an entry jumps to (docs/cell-format.md). */
static uint64_t target_of(uint64_t entry)
{
    uint64_t bytes = *(const uint64_t *)entry;
    return entry + 5 + (uint64_t)(int64_t)(int32_t)(bytes >> 8);
}

static bool test_entries(void)
{
    uint64_t good = 0;
    uint64_t bad = 0;
    GUARD(mutex, held, cell_namespace_mutex());
    for (const struct cell *cell = cell_namespace_initial()->first; cell; cell = cell->next) {
        for (uint32_t i = 0; i < cell->function_count; i++) {
            uint64_t entry = cell->functions[i].entry;
            good += entry != 0;
            bad += entry != 0 && is_old(target_of(entry));
        }
    }
    return expect("entries that jump elsewhere", good, bad);
}

static bool test_gates(void)
{
    struct x86_table_pointer table;
    uint64_t good = 0;
    uint64_t bad = 0;
    __asm__ volatile("sidt %0" : "=m"(table));
    for (unsigned i = 0; i < GATE_COUNT; i++) {
        const uint64_t *gate = (const uint64_t *)table.base + 2 * (uint64_t)i;
        uint64_t address = (gate[0] & 0xffff) | (gate[0] >> 32 & 0xffff0000) | gate[1] << 32;
        good += address != 0;
        bad += address != 0 && (is_old(address) || is_old(target_of(address)));
    }
    return expect("gates that lead elsewhere", good, bad) && good >= 32;
}

/* ---- pointed to ---- */

static uint32_t add_targets(struct pointer_target *targets)
{
    uint64_t number = 0;
    uint64_t start;
    uint64_t size;
    uint32_t count = 0;
    while (next_region(&number, &start, &size)) {
        targets[count++] = (struct pointer_target){
            .inverted_start = ~start,
            .inverted_end = ~(start + size),
        };
    }
    return count;
}

/* In a page of variables, and behind the last one: what the boot loader left. */
static bool is_padding(struct pointer_target *target, uint64_t where, void *context)
{
    (void)target;
    (void)context;
    return where >= KERNEL_BASE && !address_map_find(where);
}

static bool scan(struct pointer_scan *scan, struct pointer_target *targets)
{
    pointer_scan_begin(scan, targets, add_targets(targets), is_padding, NULL);
    while (!scan->is_done) {
        pointer_scan_step(scan, PAGES_AT_ONCE);
    }
    struct cpu_place here;
    note_place(&here);
    OWNED(remote_stop, stop);
    if (remote_stop_begin(SLOT(stop)) != OK) {
        return false;
    }
    return pointer_scan_finish(scan, REF(stop), here.rsp);
}

static bool test_pointers(void)
{
    struct pointer_scan *words = heap_allocate_zeroed(sizeof(*words));
    size_t bytes = 2 * nano_core_image.cell_count * sizeof(struct pointer_target);
    struct pointer_target *targets = heap_allocate_zeroed(bytes);
    bool is_certain = words && targets && scan(words, targets);
    uint64_t bad = 0;
    for (uint32_t i = 0; is_certain && i < words->count; i++) {
        bad += targets[i].hits;
        if (targets[i].hits) {
            console_print("nano_core_test: %lu words, the first at %#lx, to %#lx\n",
                          (unsigned long)targets[i].hits, (unsigned long)targets[i].where,
                          (unsigned long)~targets[i].inverted_word);
        }
    }
    bool is_right =
        is_certain && expect("pages without a word that points there", words->pages, bad);
    heap_free(targets);
    heap_free(words);
    return is_right;
}

/* ---- reused ---- */

/* Takes a frame by its address, and writes to it. False if somebody else has it. */
static bool use(paddr_t frame, uint64_t *bad)
{
    OWNED(mapped_pages, pages);
    enum status status =
        mapped_pages_create_at(PAGE_ZONE_DATA, frame, PAGE_SIZE, PAGE_WRITE, SLOT(pages));
    if (status != OK) {
        *bad += status != ERR_BUSY;
        return false;
    }
    volatile uint64_t *words = (volatile uint64_t *)mapped_pages_start(REF(pages));
    for (unsigned i = 0; i < PAGE_SIZE / sizeof(uint64_t); i++) {
        words[i] = PATTERN ^ i;
    }
    for (unsigned i = 0; i < PAGE_SIZE / sizeof(uint64_t); i++) {
        *bad += words[i] != (PATTERN ^ i);
    }
    return true;
}

/* What belongs to the image still would be nobody's to give: ERR_BUSY too. So the free ones must be
 * many. */
static bool test_frames(void)
{
    uint64_t number = 0;
    uint64_t start;
    uint64_t size;
    uint64_t used = 0;
    uint64_t bad = 0;
    uint64_t all = 0;
    while (next_region(&number, &start, &size)) {
        paddr_t frame = start - nano_core_image.start + nano_core_image.physical;
        for (uint64_t at = 0; at < size; at += PAGE_SIZE, all++) {
            used += use(frame + at, &bad);
        }
    }
    console_print("nano_core_test: %lu of %lu frames are free, the others in use again\n",
                  (unsigned long)used, (unsigned long)all);
    return expect("frames that were used again", all, bad);
}

/* ---- all ---- */

enum status nano_core_test_main(const struct app_arguments *arguments)
{
    (void)arguments;
    uint64_t free_before = frame_allocator_statistics().free;
    bool is_right = test_pages();
    is_right = test_sections() && is_right;
    is_right = test_entries() && is_right;
    is_right = test_gates() && is_right;
    is_right = test_pointers() && is_right;
    is_right = test_frames() && is_right;
    console_print("nano_core_test: %ld frames less\n",
                  (long)(free_before - frame_allocator_statistics().free));
    return is_right ? OK : ERR_FAILED;
}
