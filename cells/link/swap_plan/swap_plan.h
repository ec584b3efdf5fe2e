/* SPDX-License-Identifier: MIT */
/*
 * swap_plan.h - what a swap of cells would store where, computed before anything is touched.
 *
 * Why: a swap (swap.h) must be all or nothing while the system runs. So all that can be decided is
 * decided beforehand, as data: which variables, constants and entries new cells take over from old
 * ones, whether what stays finds in the new cells what it used of the old ones, and every store
 * that the commit will make, with the bytes that it replaces. What is left for the window is to
 * make them.
 *
 *   load    old cells are marked, new ones are loaded aside, matched with the old ones and linked
 *   verify  each binding of a cell that stays finds its symbol in the new cells, declared alike
 *   make    the stores: `patches` for the window, `metadata` for afterwards
 *
 * Rules: pure: computations over the cells of a namespace and what they hold. Nothing is stored
 * that anybody else sees but the mark `is_leaving` of old cells, which fini takes off; no CPU is
 * stopped, no task waits, no page table is read. So the whole of it runs in a host process
 * (test/unit). The caller holds cell_namespace_mutex() from begin to fini. The stages are called in
 * the order in which they stand here, each once, and none after one has failed. `diag` of a refusal
 * names the first difference. Programs may run meanwhile and write to their variables.
 */
#pragma once

#include "cell_metadata.h"
#include "loader_aside.h"
#include "symbol_map.h"

struct address_table;
struct cell_namespace;
struct diag;
struct swap_names;

#define SWAP_PLAN_NAME_SIZE 40u /* as CELL_INFO_NAME_SIZE */

/* One cell goes, one comes, or both; what such a pair names takes over entries and variables. A cell
 * may be in several: it is split, or merged from several. */
struct swap_item {
    const char *old_name; /* in the namespace; NULL: an addition */
    const char *new_name; /* NULL: goes without a successor */
    struct span object;   /* of the new cell; empty: it is looked up by its name */
};

/* Which old cell's entries and variables a new cell takes over. */
struct swap_link {
    struct cell *old;
    uint32_t new; /* index in the cells aside */
};

enum swap_store_kind {
    SWAP_STORE_TEXT,     /* in executable pages */
    SWAP_STORE_CONSTANT, /* in read-only ones */
    SWAP_STORE_DATA,     /* only where it still holds `before`: the program may have changed it */
    SWAP_STORE_METADATA,
};

struct swap_store {
    uint64_t address;
    uint64_t before;
    uint64_t after;
    uint8_t size; /* bytes, at most 8 */
    uint8_t kind; /* enum swap_store_kind */
    bool is_made; /* the commit's */
};

struct swap_stores {
    struct swap_store *stores; /* owned */
    uint32_t count;
    uint32_t capacity;
};

/* A section of a new cell that lies where one of an old cell lies. */
struct swap_adoption {
    const struct section *old;
    uint32_t cell; /* index in the cells aside */
    uint32_t section;
};

/* A function that takes over an entry. */
struct swap_inheritance {
    struct function *old;
    uint32_t cell; /* of the new one: index in the cells aside */
    uint32_t section;
    uint32_t offset;
};

/* A binding of a cell that stays, which leads to a new cell from now on. */
struct swap_move {
    const struct binding *binding;
    const struct symbol *old;
    const struct symbol *new;
};

struct swap_transfer {
    const struct section *old;
    uint32_t old_offset;
    uint32_t old_bytes;
    uint32_t cell; /* index in the cells aside */
    uint32_t new_symbol;
    uint32_t function_symbol;
};

/* As in struct swap_report, which says what they mean. */
struct swap_plan_counts {
    uint32_t checked;
    uint32_t patches;
    uint32_t entries;
    uint32_t stores;
    uint32_t adopted_variables;
    uint32_t adopted_constants;
    uint32_t new_variables;
    uint32_t removed_variables;
    uint32_t transferred;
    uint32_t fresh;
    uint32_t kept;
    char kept_name[SWAP_PLAN_NAME_SIZE];
};

struct swap_plan {
    /* What is asked. Borrowed until fini. */
    struct cell_namespace *namespace;
    struct span bundle; /* where new cells are looked up first; may be empty */
    const struct swap_item *items;
    uint32_t item_count;
    bool has_fresh_constants; /* none are adopted */
    bool is_carried_over;     /* the caller knows what to do about types whose layout changes */
    struct step_counter *steps;

    /* What it found. */
    struct cell **old; /* owned array */
    uint32_t old_count;
    uint32_t link_count;
    uint32_t new_count;
    struct loader_aside *aside;      /* owned: the new cells */
    struct swap_link *links;         /* owned */
    struct swap_names *old_names;    /* owned, as `old` */
    struct swap_names *new_names;    /* owned, as the cells aside */
    struct swap_adoption *adoptions; /* owned */
    uint32_t adoption_count;
    uint32_t adoption_capacity;
    struct swap_inheritance *inheritances; /* owned */
    uint32_t inheritance_count;
    uint32_t inheritance_capacity;
    struct swap_transfer *transfers; /* owned */
    uint32_t transfer_count;
    uint32_t transfer_capacity;
    struct swap_move *moves; /* owned */
    uint32_t move_count;
    uint32_t move_capacity;
    bool must_be_quiet; /* layouts change: no frame of an old cell may be live when it is applied */
    bool is_over;       /* the caller has made it: marks are off, old cells may be gone */

    /* The stores, and what they refer to. */
    struct swap_stores patches;  /* of the window: text, constants, data, entries */
    struct swap_stores metadata; /* after it; making them twice is as good as once */
    struct symbol_map symbols;   /* of the namespace afterwards; slots owned until then */
    struct symbol_map names;
    const struct symbol_key **symbols_before; /* the slots that they replace */
    const struct symbol_key **names_before;
    struct address_table *table; /* owned until it is published */
    struct swap_plan_counts counts;
};

/*
 * All zeros but for what is asked. fini is due from here on: it releases all that the plan owns, at
 * whatever stage, and does nothing where nothing is left.
 */
CELL_API void swap_plan_begin(struct swap_plan *plan, struct cell_namespace *namespace,
                              const struct swap_item *items, uint32_t item_count,
                              struct step_counter *steps);
CELL_API void swap_plan_fini(struct swap_plan *plan);

/*
 * Loads and matches. C02xx and C03xx of loading; C0701: no such old cell; C0702: pairs that say
 * nothing; C0703: a layout differs; C0704: several variables are called so; C0711: a line about
 * transfer names no old variable; C0709: memory; C0715: a step was made to fail. The last two also
 * of verify and make.
 */
CELL_API MUST_CHECK enum status swap_plan_load(struct swap_plan *plan, struct diag *diag);

/* C0705: a symbol that is used is missing; C0706: it is declared otherwise; C0710: as below. */
CELL_API MUST_CHECK enum status swap_plan_verify(struct swap_plan *plan, struct diag *diag);

/* C0708: a cell without a successor is held; C0710: memory does not hold what the linker wrote. */
CELL_API MUST_CHECK enum status swap_plan_make(struct swap_plan *plan, struct diag *diag);

CELL_API struct cell *swap_plan_new_cell(const struct swap_plan *plan, uint32_t index);

/* May somebody hold the address of this function, which has no successor? */
CELL_API bool swap_plan_is_entry_held(const struct cell *cell, const struct function *function);
