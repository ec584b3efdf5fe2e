/* SPDX-License-Identifier: MIT */
/*
 * pointers CELL     the words that point into its text, constants and data, and where they lie
 * pointers --static the same for all cells of the nano_core; with `nano_core=keep`, or there are none
 *
 * Words of the cell's own data are left out, and so is the metadata that says where it lies. What
 * one looks for is what programs have stored (pointer_scan.h): references that the linker wrote are
 * shown by `deps`.
 */
#include "address_map.h"
#include "application.h"
#include "cell_namespace.h"
#include "console.h"
#include "freestanding.h"
#include "heap.h"
#include "mutex.h"
#include "pointer_scan.h"
#include "stack.h"

CELL(application, "1.0.0");

APPLICATION(pointers);

#define PAGES_AT_ONCE 32u
#define WORDS_MAX     4000u

struct found_word {
    uint64_t where;
    uint64_t inverted_word;
};

struct search {
    struct pointer_scan scan;
    struct pointer_target *targets;
    struct found_word *words;
    uint32_t word_count;
    uint64_t total;
};

/* Takes down each word; none counts as a hit. */
static bool take_down(struct pointer_target *target, uint64_t where, void *context)
{
    struct search *search = context;
    uint64_t word = *(const volatile uint64_t *)(uintptr_t)where;
    const struct cell *cell = target->context;
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        if (where - cell->regions[r].address < cell->regions[r].size) {
            return true;
        }
    }
    if (where - (uintptr_t)cell < cell->metadata_size) {
        return true;
    }
    for (uint32_t i = 0; i < search->word_count; i++) {
        if (search->words[i].where == where) {
            return true;
        }
    }
    search->total++;
    if (search->word_count < WORDS_MAX) {
        search->words[search->word_count++] = (struct found_word){where, ~word};
    }
    return true;
}

static uint32_t add_targets(struct pointer_target *targets, uint32_t count, const struct cell *cell)
{
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        if (cell->regions[r].size) {
            targets[count++] = (struct pointer_target){
                .inverted_start = ~cell->regions[r].address,
                .inverted_end = ~(cell->regions[r].address + cell->regions[r].size),
                .context = (void *)(uintptr_t)cell,
            };
        }
    }
    return count;
}

static enum status run(struct search *search, uint32_t count)
{
    pointer_scan_begin(&search->scan, search->targets, count, take_down, search);
    while (!search->scan.is_done) {
        pointer_scan_step(&search->scan, PAGES_AT_ONCE);
    }
    struct cpu_place here;
    note_place(&here);
    OWNED(remote_stop, stop);
    enum status status = remote_stop_begin(SLOT(stop));
    if (status != OK) {
        return status;
    }
    return pointer_scan_finish(&search->scan, REF(stop), here.rsp) ? OK : ERR_FAILED;
}

static void print_place(uint64_t address)
{
    const struct section *section = address_map_find(address);
    struct stack_place place;
    if (section) {
        console_print("%s:%s+%#lx", section->cell->name, section->name,
                      (unsigned long)(address - section->address));
    } else if (stack_find(address, &place)) {
        console_print("stack `%s`", place.name);
    } else {
        console_print("%#lx", (unsigned long)address);
    }
}

static void print(const struct search *search)
{
    for (uint32_t i = 0; i < search->word_count; i++) {
        console_print("pointers: ");
        print_place(search->words[i].where);
        console_print(" -> ");
        print_place(~search->words[i].inverted_word);
        console_print("\n");
    }
    console_print(
        "pointers: %lu words; looked at %lu pages, then again at %lu, and %lu bytes of stacks\n",
        (unsigned long)search->total, (unsigned long)search->scan.pages,
        (unsigned long)search->scan.changed_pages, (unsigned long)search->scan.stack_bytes);
}

enum status pointers_main(const struct app_arguments *arguments)
{
    const char *name = arguments->values[1];
    if (!name) {
        console_print("pointers: which cell?\n");
        return ERR_INVALID_ARGUMENT;
    }
    bool all_static = strcmp(name, "--static") == 0;
    struct search *search = heap_allocate_zeroed(sizeof(*search));
    struct found_word *words = heap_allocate(WORDS_MAX * sizeof(*words));
    struct pointer_target *targets = NULL;
    enum status status = ERR_NO_MEMORY;
    if (search && words) {
        GUARD(mutex, held, cell_namespace_mutex());
        const struct cell_namespace *namespace = cell_namespace_initial();
        targets = heap_allocate(namespace->cell_count * REGION_COUNT * sizeof(*targets));
        search->targets = targets;
        search->words = words;
        uint32_t count = 0;
        for (const struct cell *cell = namespace->first; cell && targets; cell = cell->next) {
            if (all_static ? cell->is_static : strcmp(cell->name, name) == 0) {
                count = add_targets(targets, count, cell);
            }
        }
        status = !targets ? ERR_NO_MEMORY : count ? run(search, count) : ERR_NOT_FOUND;
    }
    if (status == OK) {
        print(search);
    } else {
        console_print("pointers: %s: %s\n", name, status_text(status));
    }
    heap_free(targets);
    heap_free(words);
    heap_free(search);
    return status;
}
