/* SPDX-License-Identifier: MIT */
/*
 * loader_aside.h - loads cells beside those that they will replace.
 *
 * Why: what a swap puts in must be complete, in its place and linked before anything that runs is
 * touched. It is the transaction of any other load up to the commit, which the swap makes itself.
 *
 * Rules: the caller holds cell_namespace_mutex() from begin to the drop. Cells of the namespace
 * with `is_leaving` are not seen: their names may come again, their symbols bind nothing. A drop
 * without a commit takes everything back. The steps are called in the order in which they stand
 * here.
 *
 * What is shared between an old cell and its successor: entries, one by one (`struct function`),
 * and regions, parts of which the successor has adopted. A shared region belongs to a *home*,
 * counted by the cells that have sections in it, and goes with the last of them.
 */
#pragma once

#include "cell_metadata.h"
#include "own.h"
#include "span.h"

struct address_table;
struct cell_namespace;
struct diag;

/* Counts what may fail, and lets the one of number `fail` do so; 0: none. Tests fail each in turn. */
struct step_counter {
    uint64_t count;
    uint64_t fail;
};

static inline bool step_fails(struct step_counter *steps)
{
    return steps && ++steps->count == steps->fail;
}

struct OWN_CAPABILITY("cells loaded aside") loader_aside;
OWN_DECLARE(loader_aside);

/* `bundle`: an archive that is looked at before the system's; may be empty. `steps` may be NULL. */
CELL_API enum status loader_aside_begin(struct cell_namespace *namespace, struct span bundle,
                                        struct step_counter *steps, struct loader_aside **out,
                                        struct diag *diag) OWN_ACQUIRES(**out);

/* Adds the cell of that name; or the cell that an object contains. */
CELL_API MUST_CHECK enum status loader_aside_add(struct loader_aside *aside, const char *cell,
                                                 struct diag *diag) OWN_BORROWS(*aside);
CELL_API MUST_CHECK enum status loader_aside_add_object(struct loader_aside *aside,
                                                        const char *cell, struct span object,
                                                        struct diag *diag) OWN_BORROWS(*aside);

/* Adds what they need. All cells are planned afterwards, but have no addresses. */
CELL_API MUST_CHECK enum status loader_aside_close(struct loader_aside *aside, struct diag *diag)
    OWN_BORROWS(*aside);

CELL_API uint32_t loader_aside_count(const struct loader_aside *aside) OWN_BORROWS(*aside);
CELL_API struct cell *loader_aside_cell(const struct loader_aside *aside, uint32_t index)
    OWN_BORROWS(*aside);

/* What a name means for the new cells: their own symbols, then those that stay; or NULL. */
CELL_API const struct symbol *loader_aside_find(const struct loader_aside *aside, const char *name,
                                                uint32_t hash) OWN_BORROWS(*aside);

/*
 * Says that section `index` of new cell `cell` is to lie where `old` lies; the old cell's region will
 * be shared. Entries are given by writing `entry` of the new cell's functions.
 */
CELL_API MUST_CHECK enum status loader_aside_adopt(struct loader_aside *aside, uint32_t cell,
                                                   uint32_t index, const struct section *old,
                                                   struct diag *diag) OWN_BORROWS(*aside);

/* Places, links and protects them. */
CELL_API MUST_CHECK enum status loader_aside_build(struct loader_aside *aside, struct diag *diag)
    OWN_BORROWS(*aside);

/* What an adopted section would hold if it were new; good until the drop. */
CELL_API const uint8_t *loader_aside_initial(const struct loader_aside *aside, uint32_t cell,
                                             uint32_t section) OWN_BORROWS(*aside);

/* The address table with the new cells, for address_map_exchange(). */
CELL_API MUST_CHECK enum status loader_aside_table(struct loader_aside *aside,
                                                   struct address_table **out_table,
                                                   struct diag *diag) OWN_BORROWS(*aside);

/*
 * From here on they belong to their namespace, where the caller has entered them; what they share with
 * old cells is counted. Cannot fail. May be repeated.
 */
CELL_API void loader_aside_commit(struct loader_aside *aside) OWN_BORROWS(*aside);

/* Who holds `from` holds `to` from now on; each reference goes over in one step. May be repeated. */
CELL_API void loader_move_references(struct cell *from, struct cell *to);

/*
 * Frees the first cell of a list of the caller's, through `next`; in the same step the list begins with
 * the next one. The cell was replaced: it is in no list of its namespace and not in the address map,
 * nothing refers to it, and lookups that may know it have ended.
 */
CELL_API void loader_release(struct cell **first);
