/* SPDX-License-Identifier: MIT */
/*
 * swap_plan_priv.h - what the files of the plan share.
 *
 * swap_plan.c loads, swap_plan_names.c knows what cells call their own, swap_plan_match.c and
 * swap_plan_constants.c decide what new cells take over, swap_plan_verify.c looks at those that
 * stay, swap_plan_stores.c writes down every store.
 */
#pragma once

#include "cell_abi.h"
#include "diag.h"
#include "swap_plan.h"

/* ---- names (swap_plan_names.c) ---- */

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
    uint8_t *marks; /* owned: of the types (layout_change.h); NULL until somebody asks */
    void *block;    /* owned: what all but the marks lies in */
};

enum status swap_names_create(struct swap_names *names, struct cell *cell,
                              struct step_counter *steps, struct diag *diag) MUST_CHECK;
void swap_names_destroy(struct swap_names *names); /* may be repeated */

/*
 * The name in `in` that stands for what `name` of `of` stands for, functions for functions. NULL
 * when there is none; *out_ambiguous says whether that is because there are several, and none fits.
 */
const struct swap_name *swap_names_find(const struct swap_names *in, const struct swap_names *of,
                                        const struct swap_name *name, bool *out_ambiguous);

/* Are they local to one source file, or both to none? */
bool swap_has_same_file(const struct swap_name *a, const struct swap_name *b);

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

/* ---- the plan ---- */

/* heap_block_take() as a step. */
bool swap_plan_take(struct swap_plan *plan, size_t size, void *out) MUST_CHECK;

/* Room for one more element of a list; false without memory. */
bool swap_plan_grow(struct swap_plan *plan, void **list, uint32_t count, uint32_t *capacity,
                    size_t size) MUST_CHECK;

enum status swap_plan_refuse_memory(struct diag *diag);

/* A cell that was loaded aside is in no namespace yet. */
static inline bool swap_is_new(const struct cell *cell)
{
    return !cell->namespace;
}

/* Between closing and building the cells aside: what they take over (swap_plan_match.c). */
enum status swap_plan_match(struct swap_plan *plan, struct diag *diag) MUST_CHECK;

/* The sections of constants that are equal (swap_plan_constants.c). */
enum status swap_plan_match_constants(struct swap_plan *plan, struct diag *diag) MUST_CHECK;
enum status swap_plan_adopt(struct swap_plan *plan, uint32_t cell, uint32_t section,
                            const struct section *old, struct diag *diag) MUST_CHECK;
const struct section *swap_plan_adopted_from(const struct swap_plan *plan, uint32_t cell,
                                             uint32_t section);

/*
 * The symbol that a binding of a cell that stays means from now on; *out_old is what it means
 * now. False: it stays as it is, because its cell is an older version that cannot use the new one.
 */
bool swap_plan_find_successor(const struct swap_plan *plan, const struct binding *binding,
                              const struct symbol **out_old, const struct symbol **out_new);
