/* SPDX-License-Identifier: MIT */
/*
 * cells - lists the loaded cells in the order of loading: bytes of text, rodata and data,
 * relocations, and how many of these lead out of the cell (`out`) or come into it from other cells
 * (`in`).
 */
#include "application.h"
#include "cell_metadata.h"
#include "cell_namespace.h"
#include "console.h"
#include "mutex.h"
#include "relocation.h"

CELL(application, "1.0.0");

APPLICATION(cells);

struct row {
    uint64_t bytes[REGION_COUNT];
    uint64_t relocations;
    uint64_t outgoing;
    uint64_t incoming;
};

static uint64_t count_uses(const struct binding *binding)
{
    struct relocation_walk walk = {0};
    struct dependency use;
    uint64_t count = 0;
    while (relocation_next_use(binding, &walk, &use)) {
        count++;
    }
    return count;
}

static uint64_t count_outgoing(const struct cell *cell)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < cell->binding_count; i++) {
        count += cell->bindings[i].target ? count_uses(&cell->bindings[i]) : 0;
    }
    return count;
}

static uint64_t count_incoming(const struct cell *cell)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        const struct binding *binding = cell->sections[i].incoming;
        for (; binding; binding = binding->next_incoming) {
            count += count_uses(binding);
        }
    }
    return count;
}

static struct row measure(const struct cell *cell)
{
    struct row row = {
        .relocations = cell->relocation_count,
        .outgoing = count_outgoing(cell),
        .incoming = count_incoming(cell),
    };
    for (unsigned i = 0; i < REGION_COUNT; i++) {
        row.bytes[i] = cell->regions[i].size;
    }
    return row;
}

static void add(struct row *sum, const struct row *row)
{
    for (unsigned i = 0; i < REGION_COUNT; i++) {
        sum->bytes[i] += row->bytes[i];
    }
    sum->relocations += row->relocations;
    sum->outgoing += row->outgoing;
    sum->incoming += row->incoming;
}

static void print_row(const char *name, const char *version, const char *kind,
                      const struct row *row)
{
    console_print("%-18s %-8s %-11s %8lu %8lu %8lu %7lu %6lu %6lu\n", name, version, kind,
                  (unsigned long)row->bytes[REGION_TEXT], (unsigned long)row->bytes[REGION_RODATA],
                  (unsigned long)row->bytes[REGION_DATA], (unsigned long)row->relocations,
                  (unsigned long)row->outgoing, (unsigned long)row->incoming);
}

enum status cells_main(const struct app_arguments *arguments)
{
    (void)arguments;
    const struct cell_namespace *namespace = cell_namespace_initial();
    struct row sum = {0};
    uint64_t metadata = 0;
    console_print("%-18s %-8s %-11s %8s %8s %8s %7s %6s %6s\n", "CELL", "VERSION", "KIND", "TEXT",
                  "RODATA", "DATA", "RELOCS", "OUT", "IN");
    GUARD(mutex, held, cell_namespace_mutex());
    for (const struct cell *cell = namespace->first; cell; cell = cell->next) {
        struct row row = measure(cell);
        print_row(cell->name, cell->version, cell->kind, &row);
        add(&sum, &row);
        metadata += cell->metadata_size;
    }
    print_row("total", "", "", &sum);
    console_print("%u cells, %lu bytes of metadata\n", (unsigned)namespace->cell_count,
                  (unsigned long)metadata);
    return OK;
}
