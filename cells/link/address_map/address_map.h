/* SPDX-License-Identifier: MIT */
/*
 * address_map.h - which cell and section an address belongs to.
 *
 * Why: fault reports, backtraces and the unwinder ask this, from any context, also while cells are
 * being loaded.
 *
 * Rules: lookups take no lock and allocate nothing: a word for each page says which cell's it is,
 * and the sections of that are bisected. A change is prepared aside (may fail), and then made
 * (cannot fail), in as many stores as it has pages; who is struck in the middle of that leaves it
 * to the next who prepares one. Who looks meanwhile finds each page as it was or as it will be.
 * What nobody finds any more is freed when no lookup that began before is under way
 * (read_sections.h). Changes are serialised by the loader. Regions start at a page, and no two
 * share one.
 */
#pragma once

#include "cell_metadata.h"

struct address_table;

/*
 * Between these two, which may nest, what address_map_find() returns is there, whatever other CPUs
 * unload: a read section. Any context; preemption is held meanwhile. Who knows that the cell stays,
 * because he holds it, needs neither.
 */
CELL_API void address_map_enter(void);
CELL_API void address_map_leave(void);

/*
 * Waits until all have left who entered before. False when somebody does not come out: what they
 * may look at is not freed then. For the loader, after a publication.
 */
CELL_API MUST_CHECK bool address_map_wait(void);

/*
 * The section that holds `address`, or NULL. Addresses in the padding between sections belong to
 * none. O(log sections). Any context.
 */
CELL_API const struct section *address_map_find(uint64_t address);

/* How often something has changed: what was found is right as long as this is the same. */
CELL_API uint64_t address_map_generation(void);

/*
 * Prepares that the `count` cells are added, and `without` (or NULL) is not found any more.
 * ERR_NO_MEMORY. The result is the caller's until it is published or discarded, which is before the
 * next preparation; both empty the variable.
 */
CELL_API MUST_CHECK enum status address_map_prepare(struct cell *const *cells, uint32_t count,
                                                    const struct cell *without,
                                                    struct address_table **out_table);
CELL_API void address_map_publish(struct address_table **table);
CELL_API void address_map_discard(struct address_table **table);

/*
 * The same for a swap: what a cell that is about to be replaced (`is_leaving`) had adopted is no
 * longer its own, and what the new ones have adopted is theirs; the old regions stay.
 */
CELL_API MUST_CHECK enum status address_map_prepare_swap(struct cell *const *cells, uint32_t count,
                                                         struct address_table **out_table);

/*
 * address_map_publish() in two parts: the stores, which wait for nobody, for who has stopped all
 * other CPUs; and the end of what they have left. Both may be repeated.
 */
CELL_API void address_map_exchange(struct address_table **table);
CELL_API void address_map_retire(void);

/*
 * For who commits more than this at one moment: adds to `list` what takes the change from `*table`,
 * 2 stores. From that commit on it will be made, by address_map_settle(): that is the next call, or
 * that of who finds that its caller was struck. Settling may be repeated.
 */
struct commit_list;
CELL_API void address_map_plan_publish(struct address_table **table, struct commit_list *list);
CELL_API void address_map_settle(void);
