/* SPDX-License-Identifier: MIT */
/*
 * address_map.h - which cell and section an address belongs to.
 *
 * Why: fault reports, backtraces and the unwinder ask this, from any context, also while cells are
 * being loaded.
 *
 * Rules: lookups take no lock and allocate nothing: they bisect an immutable table that is
 * published by one pointer store, then the sections of one region. A change builds a new table
 * aside (address_map_prepare, may fail) and publishes it (cannot fail). The table that was replaced
 * is freed at the next publication, when no lookup that began before is under way
 * (read_sections.h). Changes are serialised by the loader.
 */
#pragma once

#include "cell_metadata.h"

struct address_table;
struct read_section;

/*
 * Between these two, which may nest, what address_map_find() returns is there, whatever other CPUs
 * unload. Any context; preemption is held meanwhile. Who knows that the cell stays, because he holds
 * it, needs neither.
 */
CELL_API struct read_section *address_map_enter(void);
CELL_API void address_map_leave(struct read_section *section);

/*
 * Waits until all have left who entered before. False when somebody does not come out: what they
 * may look at is not freed then. For the loader, after a publication.
 */
CELL_API MUST_CHECK bool address_map_wait(void);

/*
 * The section that holds `address`, or NULL. Addresses in the padding between sections belong to
 * none. O(log cells + log sections). Any context.
 */
CELL_API const struct section *address_map_find(uint64_t address);

/* How often a table was published: what was found is right as long as this is the same. */
CELL_API uint64_t address_map_generation(void);

/*
 * Builds the table that has the `count` cells more, and lacks `without` (or NULL). What a cell that is about to
 * be replaced (`is_leaving`) had adopted is no longer its own; its regions stay. ERR_NO_MEMORY.
 * The result is given to address_map_publish() or to address_map_discard(), before the next
 * preparation.
 */
CELL_API MUST_CHECK enum status address_map_prepare(struct cell *const *cells, uint32_t count,
                                                    const struct cell *without,
                                                    struct address_table **out_table);
CELL_API void address_map_publish(struct address_table *table);

/*
 * address_map_publish() in two parts: the store, which waits for nobody, for who has stopped all other
 * CPUs; and what becomes of the table that it returns.
 */
CELL_API struct address_table *address_map_exchange(struct address_table *table);
CELL_API void address_map_retire(struct address_table *table);
CELL_API void address_map_discard(struct address_table *table);
