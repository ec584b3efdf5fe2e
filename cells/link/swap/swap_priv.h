/* SPDX-License-Identifier: MIT */
/*
 * swap_priv.h - what the files of the swap share.
 *
 * swap.c goes through the stages. swap_names.c knows what cells call their own, swap_match.c
 * decides what new cells take over, swap_verify.c looks at both directions, swap_plan.c writes down
 * every store, swap_commit.c makes them, swap_retire.c frees old cells and remembers swaps,
 * swap_hash.c is for proofs.
 */
#pragma once

#include "cell_abi.h"
#include "cell_metadata.h"
#include "diag.h"
#include "loader_aside.h"
#include "remote_call.h"
#include "swap.h"
#include "symbol_map.h"

struct address_table;

static inline uint64_t swap_ticks(void)
{
    return __builtin_ia32_rdtsc();
}

/* ---- names (swap_names.c) ---- */

/* A function or variable that a cell defines, exported or not. */
struct swap_name {
    const char *text;
    const char *file; /* the source that a local one is of; NULL: exported, or not known */
    uint32_t length;  /* of the text without the number that GCC appends to static variables */
    uint32_t hash;
    uint32_t symbol;  /* index in the symbol table */
    uint32_t ordinal; /* among those of the same key: file and text */
    uint32_t next;    /* of the same chain: index + 1 */
};

struct swap_names {
    struct cell *cell;
    struct swap_name *names;
    uint32_t *chains;     /* by hash: index + 1, 0 where empty */
    uint32_t *of_section; /* the first variable in each section: index + 1 */
    uint32_t count;
    uint32_t chain_mask;
    struct cell_abi abi;
    void *block; /* owned: what all of the above lies in */
};

enum status swap_names_create(struct swap_names *names, struct cell *cell,
                              struct step_counter *steps, struct diag *diag) MUST_CHECK;
void swap_names_destroy(struct swap_names *names);

/*
 * The name in `in` that stands for what `name` of `of` stands for, functions for functions. NULL when there
 * is none; *out_ambiguous says whether that is because there are several, and none fits.
 */
const struct swap_name *swap_names_find(const struct swap_names *in, const struct swap_names *of,
                                        const struct swap_name *name, bool *out_ambiguous);

static inline const struct elf64_sym *swap_symbol(const struct cell *cell,
                                                  const struct swap_name *name)
{
    return &cell->object.symbols[name->symbol];
}

/* The only section of that name and region, or NULL: for those without a variable, strings above
 * all. */
const struct section *swap_find_section(const struct cell *cell, enum region_kind region,
                                        const char *name);

/* The function that starts at `offset` of a section, or NULL. */
struct function *swap_function(const struct cell *cell, uint32_t section, uint64_t offset);

/* ---- the work ---- */

/* Which old cell's entries and variables a new cell takes over. */
struct swap_link {
    struct cell *old;
    uint32_t new; /* index in the cells aside */
};

struct swap_store {
    uint64_t address;
    uint64_t before;
    uint64_t after;
    uint8_t size; /* bytes, at most 8 */
    uint8_t kind; /* enum swap_store_kind */
    bool is_made;
};

enum swap_store_kind {
    SWAP_STORE_TEXT,     /* in executable pages */
    SWAP_STORE_CONSTANT, /* in read-only ones */
    SWAP_STORE_DATA,     /* only where it still holds `before`: the program may have changed it */
    SWAP_STORE_METADATA,
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

/* A function that has taken over an entry. */
struct swap_inheritance {
    struct function *old;
    uint32_t cell; /* of the new one: index in the cells aside */
    uint32_t section;
    uint32_t offset;
};

struct swap_transfer {
    const struct section *old;
    uint32_t old_offset;
    uint32_t old_bytes;
    uint32_t cell; /* index in the cells aside */
    uint32_t new_symbol;
    uint32_t function_symbol;
};

/* What a pair asks for; in a rollback the object is given instead of looked up by name. */
struct swap_item {
    const char *old_name;
    const char *new_name;
    struct span object;
};

enum swap_state {
    SWAP_STATE_OPEN,      /* nothing has been touched */
    SWAP_STATE_APPLYING,  /* stores of the window are being made */
    SWAP_STATE_COMMITTED, /* they are made, and stay; what is left cannot fail */
    SWAP_STATE_DONE,
};

struct swap_record;

/* One swap under way. Everything that it owns is released by its drop, at whatever stage. */
struct OWN_CAPABILITY("swap under way") swap_work {
    const struct swap_request *request;
    const struct swap_item *items;
    struct step_counter steps;
    struct loader_aside *aside; /* owned */
    struct cell **old;          /* owned array */
    uint32_t old_count;
    uint32_t link_count;
    struct swap_link *links;      /* owned */
    struct swap_names *old_names; /* owned, as `old` */
    struct swap_names *new_names; /* owned, as the cells aside */
    uint32_t new_count;
    struct swap_adoption *adoptions; /* owned */
    uint32_t adoption_count;
    uint32_t adoption_capacity;
    struct swap_inheritance *inheritances; /* owned */
    uint32_t inheritance_count;
    uint32_t inheritance_capacity;
    struct swap_transfer *transfers; /* owned */
    uint32_t transfer_count;
    uint32_t transfer_capacity;
    struct swap_stores patches;  /* of the window */
    struct swap_stores metadata; /* after it */
    struct symbol_map symbols;   /* of the namespace after the swap; slots owned until then */
    struct symbol_map names;
    struct address_table *table; /* owned until it is published, then the one before it */
    struct swap_record *record;  /* owned until it is remembered */
    enum swap_state state;
    bool is_prepared;     /* hooks: `finish` is owed */
    bool is_transferring; /* hooks: `restore` is owed if the stores are taken back */
    bool must_be_quiet;   /* layouts or interfaces change: no frame of an old cell may be live */
    struct swap_report report;
};

/* heap_allocate() as a step. */
void *swap_allocate(struct swap_work *work, size_t size) MUST_CHECK;

/* Room for one more element of a list; false without memory. */
bool swap_grow(struct swap_work *work, void **list, uint32_t count, uint32_t *capacity,
               size_t size) MUST_CHECK;

enum status swap_refuse_memory(struct diag *diag);

/* Refuses because a step was made to fail. */
enum status swap_refuse_step(struct diag *diag);

/* Refuses because a hook did. */
enum status swap_refuse_hook(enum status status, const char *hook, struct diag *diag);

struct cell *swap_new_cell(const struct swap_work *work, uint32_t index);

/* A cell that was loaded aside is in no namespace yet. */
static inline bool swap_is_new(const struct cell *cell)
{
    return !cell->namespace;
}

/* ---- stages ---- */

/* Between closing and building the cells aside: what they take over (swap_match.c). */
enum status swap_match(struct swap_work *work, struct diag *diag) MUST_CHECK;

/* The sections of constants that are equal (swap_constants.c). */
enum status swap_match_constants(struct swap_work *work, struct diag *diag) MUST_CHECK;
enum status swap_adopt(struct swap_work *work, uint32_t cell, uint32_t section,
                       const struct section *old, struct diag *diag) MUST_CHECK;
const struct section *swap_adopted_from(const struct swap_work *work, uint32_t cell,
                                        uint32_t section);

enum status swap_verify(struct swap_work *work, struct diag *diag) MUST_CHECK;

/*
 * The symbol that a reference of a cell that stays means from now on; *out_old is what it means now. False: it
 * stays as it is, because its cell is an older version that cannot use the new one.
 */
bool swap_find_successor(const struct swap_work *work, const struct dependency *reference,
                         const struct symbol **out_old, const struct symbol **out_new);

enum status swap_plan(struct swap_work *work, struct diag *diag) MUST_CHECK;

enum status swap_commit(struct swap_work *work, struct diag *diag) MUST_CHECK;

/* What is left of a committed swap; may be repeated. Returns its id. */
uint64_t swap_finish(struct swap_work *work);

/* Takes back what was stored in the window, last first. */
void swap_undo(struct swap_work *work);

/* May somebody hold the address of this function, which has no successor? */
bool swap_is_entry_held(const struct cell *cell, const struct function *function);

/* ---- memory of swaps (swap_retire.c) ---- */

enum status swap_record_create(struct swap_work *work, struct diag *diag) MUST_CHECK;
uint64_t swap_remember(struct swap_work *work);
void swap_record_destroy(struct swap_record *record);

/* The swap of that id, taken out of memory; its items in the direction back. Or NULL. */
struct swap_record *swap_recall(uint64_t id);
const struct swap_item *swap_record_items(const struct swap_record *record);
uint32_t swap_record_count(const struct swap_record *record);
struct cell_namespace *swap_record_namespace(const struct swap_record *record);
void swap_put_back(struct swap_record *record);

uint32_t swap_retire_locked(void);
void swap_retire_if_many(void);

/* ---- frames (swap_frames.c) ---- */

/* Has a stack, or may it have, a frame in an old cell? With all others stopped; `diag` names the first. */
bool swap_find_frame(struct swap_work *work, const struct remote_stop *stop, struct diag *diag)
    OWN_BORROWS(*stop);

/* ---- proofs (swap_hash.c) ---- */

enum swap_hash_data {
    SWAP_HASH_NO_DATA,
    SWAP_HASH_LEAVING_DATA, /* of cells that are about to be replaced; of others only what the plan changes */
    SWAP_HASH_ALL_DATA,
};

uint64_t swap_hash(const struct cell_namespace *namespace, enum swap_hash_data data);
