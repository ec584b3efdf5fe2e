/* SPDX-License-Identifier: MIT */
#include "host_source.h"
#include "elf_tables.h"

#define FILES_MAX  64
#define STACKS_MAX 8

static struct loaded_tables files[FILES_MAX];
static size_t file_count;
static struct {
    uint64_t low;
    uint64_t high;
} stacks[STACKS_MAX];
static size_t stack_count;

/* The last file that starts at or before the address. */
static const struct loaded_tables *find_file(uint64_t pc)
{
    size_t low = 0;
    size_t high = file_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (files[middle].start <= pc) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low < file_count && pc >= files[low].start && pc < files[low].end ? &files[low] : NULL;
}

static enum unwind_found find_code(void *context, uint64_t pc, struct unwind_code *out)
{
    (void)context;
    const struct loaded_tables *file = find_file(pc);
    const struct cell_unwind_row *row =
        file ? cell_unwind_find(&file->index, 0, (uint32_t)(pc - file->start)) : NULL;
    if (!row) {
        return UNWIND_FOUND_NOTHING;
    }
    out->table = file->frame;
    out->fde = row->fde;
    return UNWIND_FOUND_ENTRY;
}

static bool find_stack(void *context, uint64_t address, uint64_t *out_low, uint64_t *out_high)
{
    (void)context;
    for (size_t i = 0; i < stack_count; i++) {
        if (address >= stacks[i].low && address < stacks[i].high) {
            *out_low = stacks[i].low;
            *out_high = stacks[i].high;
            return true;
        }
    }
    return false;
}

void host_source_add_stack(uint64_t low, uint64_t high)
{
    if (stack_count < STACKS_MAX) {
        stacks[stack_count].low = low;
        stacks[stack_count++].high = high;
    }
}

const struct unwind_source *host_source(void)
{
    static const struct unwind_source source = {.find_code = find_code, .find_stack = find_stack};
    if (file_count == 0) {
        file_count = loaded_tables_find(files, FILES_MAX);
    }
    return &source;
}
