/* SPDX-License-Identifier: MIT */
/*
 * Verification while nothing has been touched. Of the two directions one is the linker's: what new
 * cells import, it has bound, and compared with how its definer declares it, when they were built.
 * Here it is the other: each binding of a cell that stays, into an old cell, finds a symbol of
 * that name in what will be there; both sides declare it alike, and know the same layouts behind
 * it.
 *
 * Symbols and layouts are compared as far as both cells carry .cell.abi; layouts once for each
 * pair of cells. Older versions that still wait for somebody to return are not held up by: a
 * binding of theirs that does not fit the new cells stays as it is, and keeps what it leads to.
 */
#include "cell_namespace.h"
#include "heap_block.h"
#include "relocation.h"
#include "swap_plan_priv.h"

/* Which pairs of cells have been compared: a small set, open addressing. */
struct pairs {
    struct pair {
        const struct cell *user;
        const struct cell *definer;
    } * slots;
    uint32_t capacity; /* a power of two */
    uint32_t count;
};

struct verification {
    struct swap_plan *plan;
    struct pairs pairs;
    struct diag *diag;
};

static const char *binding_name(const struct binding *binding)
{
    return elf_object_symbol_name(&binding->cell->object, binding->symbol);
}

bool swap_plan_find_successor(const struct swap_plan *plan, const struct binding *binding,
                              const struct symbol **out_old, const struct symbol **out_new)
{
    const char *name = binding_name(binding);
    uint32_t hash = symbol_map_hash(name);
    *out_old = cell_namespace_find_own(plan->namespace, name, hash);
    *out_new = loader_aside_find(STORED(plan->aside), name, hash);
    if (!*out_old || !*out_new || !(*out_new)->section || (*out_new)->type != (*out_old)->type) {
        return false;
    }
    return (*out_old)->section && (*out_old)->section->cell == binding->target->cell;
}

/* ---- declarations ---- */

static enum status refuse_declarations(const struct cell *user, const struct cell *definer,
                                       const char *symbol, const char *mine, const char *theirs,
                                       struct diag *diag)
{
    char what[DIAG_SYMBOL_SIZE];
    struct cell_abi_difference difference = cell_abi_compare(mine, theirs);
    cell_abi_format_difference(&difference, user->name, definer->name, what, sizeof(what));
    return diag_set(diag, DIAG_SWAP_SIGNATURE,
                    &(struct diag_site){.cell = user->name, .section = symbol, .symbol = what});
}

/* Do the two know one layout under each name that leads from one to the other? */
static enum status compare_layouts(const struct cell *user, const struct cell_abi *mine,
                                   const struct cell *definer, const struct cell_abi *theirs,
                                   struct diag *diag)
{
    struct cell_abi_cursor cursor = {0};
    const struct cell_abi_type *other;
    const struct cell_abi_type *type =
        cell_abi_next_conflict(mine, theirs, CELL_ABI_TYPE_SHARED, &cursor, &other);
    if (!type) {
        return OK;
    }
    const char *text = cell_abi_text(mine, type->text);
    char name[DIAG_SECTION_SIZE];
    struct span whole = cell_abi_type_name(text);
    size_t length = whole.size < sizeof(name) - 1 ? whole.size : sizeof(name) - 1;
    __builtin_memcpy(name, whole.base, length);
    name[length] = '\0';
    return refuse_declarations(user, definer, name, text, cell_abi_text(theirs, other->text), diag);
}

static bool enter_pair(struct pairs *pairs, const struct cell *user, const struct cell *definer)
{
    uint64_t at = ((uintptr_t)user >> 4) * 31 + ((uintptr_t)definer >> 4);
    for (;; at++) {
        struct pair *pair = &pairs->slots[at & (pairs->capacity - 1)];
        if (!pair->user) {
            if (pairs->count < pairs->capacity / 4 * 3) { /* else it is compared again */
                *pair = (struct pair){user, definer};
                pairs->count++;
            }
            return true;
        }
        if (pair->user == user && pair->definer == definer) {
            return false;
        }
    }
}

/* Symbol `index` of the user, as the user and as its new definer declare it. */
static enum status compare(struct verification *of, const struct cell *user, uint32_t index,
                           const struct symbol *definition)
{
    const struct cell *definer = definition->section->cell;
    struct cell_abi mine;
    struct cell_abi theirs;
    enum status status = cell_abi_open(user->abi, &mine, of->diag);
    if (status == OK) {
        status = cell_abi_open(definer->abi, &theirs, of->diag);
    }
    if (status != OK) {
        return status;
    }
    of->plan->counts.checked++;
    const struct cell_abi_symbol *is = cell_abi_symbol_at(&mine, index);
    const struct cell_abi_symbol *was = definition->abi;
    if (is && was && is->signature != was->signature) {
        const char *left = cell_abi_text(&mine, is->text);
        const char *right = cell_abi_text(&theirs, was->text);
        if (cell_abi_compare(left, right).part !=
            CELL_ABI_SAME) { /* arrays with and without bound */
            return refuse_declarations(user, definer, definition->key.name, left, right, of->diag);
        }
    }
    return enter_pair(&of->pairs, user, definer)
               ? compare_layouts(user, &mine, definer, &theirs, of->diag)
               : OK;
}

/* ---- inwards ---- */

/* Names the first place that uses it. */
static enum status refuse_missing(const struct binding *binding, const struct symbol *old,
                                  const struct symbol *new, struct diag *diag)
{
    struct relocation_walk walk = {0};
    struct dependency use;
    bool is_used = relocation_next_use(binding, &walk, &use);
    return diag_set(diag, DIAG_SWAP_MISSING,
                    &(struct diag_site){
                        .cell = binding->cell->name,
                        .section = is_used ? use.source->name : NULL,
                        .symbol = binding_name(binding),
                        .offset = is_used ? use.offset : 0,
                        .expected = old ? old->type : 0,
                        .found = new ? new->type : 0,
                    });
}

static enum status check_binding(struct verification *of, const struct binding *binding)
{
    struct swap_plan *plan = of->plan;
    const struct symbol *old;
    const struct symbol *new;
    if (step_fails(plan->steps)) {
        return diag_set(of->diag, DIAG_SWAP_STEP, &(struct diag_site){0});
    }
    if (!swap_plan_find_successor(plan, binding, &old, &new)) {
        return binding->cell->is_retired ? OK : refuse_missing(binding, old, new, of->diag);
    }
    return compare(of, binding->cell, binding->symbol, new);
}

static enum status check_inwards(struct verification *of, const struct cell *old)
{
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < old->object.section_count; i++) {
        for (const struct binding *at = old->sections[i].incoming; status == OK && at;
             at = at->next_incoming) {
            if (at->cell->is_leaving) {
                continue;
            }
            status = check_binding(of, at);
            if (status != OK && at->cell->is_retired) {
                status = OK; /* it stays with what it has: the plan asks again */
            }
        }
    }
    return status;
}

/* What was adopted as equal must be what the linker would have built. */
static enum status check_constants(struct verification *of)
{
    const struct swap_plan *plan = of->plan;
    for (uint32_t i = 0; i < plan->adoption_count; i++) {
        const struct swap_adoption *adoption = &plan->adoptions[i];
        const uint8_t *built =
            loader_aside_initial(STORED(plan->aside), adoption->cell, adoption->section);
        if (adoption->old->region == REGION_RODATA &&
            __builtin_memcmp(built, (const void *)adoption->old->address, adoption->old->size) !=
                0) {
            return diag_set(of->diag, DIAG_SWAP_BYTES,
                            &(struct diag_site){
                                .cell = adoption->old->cell->name,
                                .section = adoption->old->name,
                            });
        }
    }
    return OK;
}

enum status swap_plan_verify(struct swap_plan *plan, struct diag *diag)
{
    struct verification of = {.plan = plan, .diag = diag, .pairs = {.capacity = 1024}};
    OWNED(heap_block, block);
    if (!swap_plan_take(plan, of.pairs.capacity * sizeof(*of.pairs.slots), SLOT(block))) {
        return swap_plan_refuse_memory(diag);
    }
    of.pairs.slots = heap_block_of(*SLOT(block));
    __builtin_memset(of.pairs.slots, 0, of.pairs.capacity * sizeof(*of.pairs.slots));
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < plan->old_count; i++) {
        status = check_inwards(&of, plan->old[i]);
    }
    if (status == OK) {
        status = check_constants(&of);
    }
    return status;
}
