/* SPDX-License-Identifier: MIT */
/*
 * What becomes of each mutable static variable, by the rules of swap.h: one of equal name and type
 * is adopted; one of another type, or one that shall begin anew, needs its line (cell.h). First
 * every new variable is looked at, then every old one that has no successor in its own cell.
 *
 * Types come from .cell.abi where both builds have it; elsewhere only sizes can be compared.
 */
#include "diff_priv.h"

#include "cell_transfer.h"
#include "layout_change.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DETAIL_SIZE 512

struct variable {
    const char *name;
    const char *symbol;
    const char *type;           /* text; NULL where only the size is known */
    const struct cell_abi *abi; /* likewise */
    const struct cell_abi_variable *row;
    uint64_t size;
    uint16_t section;
    uint64_t offset;
};

struct variables {
    struct variable *list;
    uint32_t count;
};

struct following {
    struct diff *diff;
    struct problem *problem;
};

static enum status no_memory(const struct following *following)
{
    return problem_set(following->problem, PROBLEM_MEMORY, "no memory to follow variables");
}

/* ---- the variables of a cell ---- */

static bool has_abi(const struct elf_object *object)
{
    return elf_object_find_section(object, CELL_ABI_SECTION) != 0;
}

static bool is_typed(const struct diff *diff, const struct diff_cell *cell)
{
    return (cell->old == MODEL_NOWHERE || has_abi(diff_old_object(diff, cell))) &&
           (cell->new == MODEL_NOWHERE || has_abi(diff_new_object(diff, cell)));
}

static bool is_variable(const struct elf_object *object, const struct elf64_sym *symbol)
{
    return elf_symbol_type(symbol) == STT_OBJECT && symbol->st_shndx != SHN_UNDEF &&
           symbol->st_shndx < object->section_count &&
           elf_object_section_is_loaded(object, symbol->st_shndx) &&
           (object->sections[symbol->st_shndx].sh_flags & SHF_WRITE);
}

static struct variable variable_of(const struct elf_object *object, uint32_t symbol)
{
    const struct elf64_sym *entry = &object->symbols[symbol];
    return (struct variable){
        .name = elf_object_symbol_name(object, symbol),
        .symbol = elf_object_symbol_name(object, symbol),
        .size = entry->st_size,
        .section = entry->st_shndx,
        .offset = entry->st_value,
    };
}

static bool list_variables(const struct elf_object *object, const struct cell_abi *abi, bool typed,
                           struct variables *out)
{
    uint32_t room = typed ? abi->variable_count : object->symbol_count;
    *out = (struct variables){.list = calloc((size_t)room + 1, sizeof(*out->list))};
    if (!out->list) {
        return false;
    }
    for (uint32_t i = 0; i < room; i++) {
        uint32_t symbol = typed ? abi->variables[i].symbol : i;
        if (symbol >= object->symbol_count ||
            (!typed && !is_variable(object, &object->symbols[symbol]))) {
            continue;
        }
        struct variable variable = variable_of(object, symbol);
        if (typed) {
            variable.name = cell_abi_text(abi, abi->variables[i].name);
            variable.type = cell_abi_text(abi, abi->variables[i].text);
            variable.abi = abi;
            variable.row = &abi->variables[i];
            variable.size = abi->variables[i].size;
        }
        out->list[out->count++] = variable;
    }
    return true;
}

static bool list_side(const struct diff *diff, const struct diff_cell *cell, bool is_new,
                      struct variables *out)
{
    *out = (struct variables){0};
    if ((is_new ? cell->new : cell->old) == MODEL_NOWHERE) {
        return true;
    }
    return is_new ? list_variables(diff_new_object(diff, cell), &cell->new_abi,
                                   is_typed(diff, cell), out)
                  : list_variables(diff_old_object(diff, cell), &cell->old_abi,
                                   is_typed(diff, cell), out);
}

static const struct variable *find_variable(const struct variables *variables, const char *name)
{
    for (uint32_t i = 0; i < variables->count; i++) {
        if (strcmp(variables->list[i].name, name) == 0) {
            return &variables->list[i];
        }
    }
    return NULL;
}

static bool are_alike(const struct variable *a, const struct variable *b)
{
    return a->row && b->row ? layout_change_may_adopt(a->abi, a->row, b->abi, b->row)
                            : a->size == b->size;
}

/* ---- lines about transfer ---- */

/* The record about a variable; false where there is none. */
static bool find_transfer(const struct elf_object *object, const struct variable *variable,
                          struct cell_transfer *out)
{
    uint32_t count = cell_transfer_count(object);
    for (uint32_t i = 0; i < count; i++) {
        if (cell_transfer_read(object, i, out, NULL) == OK) {
            const struct elf64_sym *symbol = &object->symbols[out->new_symbol];
            if (symbol->st_shndx == variable->section && symbol->st_value == variable->offset) {
                return true;
            }
        }
    }
    return false;
}

/* Each record must be in order: one that is not would be missed by the swap. */
static enum status check_transfers(const struct following *following, const struct diff_cell *cell)
{
    const struct elf_object *object = diff_new_object(following->diff, cell);
    uint32_t count = cell_transfer_count(object);
    for (uint32_t i = 0; i < count; i++) {
        struct cell_transfer transfer;
        struct diag diag = {0};
        if (cell_transfer_read(object, i, &transfer, &diag)) {
            diag_name_cell(&diag, cell->name);
            return problem_set_diag(following->problem, &diag, NULL);
        }
    }
    return OK;
}

/*
 * Does an old cell of the same set have a variable of that symbol's name? Its own is asked first;
 * of another one it inherits.
 */
static bool is_in_old_cells(const struct diff *diff, struct diff_cell *cell, const char *name)
{
    if (cell->old != MODEL_NOWHERE &&
        cell_transfer_find_symbol(diff_old_object(diff, cell), name, STT_OBJECT)) {
        return true;
    }
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        const struct diff_cell *other = &diff->cells[i];
        if (other->set == cell->set && other->old != MODEL_NOWHERE &&
            cell_transfer_find_symbol(diff_old_object(diff, other), name, STT_OBJECT)) {
            diff_add_inheritance(diff, cell, other);
            return true;
        }
    }
    return false;
}

/* ---- what becomes of them ---- */

/* Where the types read alike: the first one in them that does not. */
static void add_difference_inside(const struct variable *old, const struct variable *new,
                                  char detail[DETAIL_SIZE], size_t length)
{
    uint64_t cursor = 0;
    struct span name;
    bool is_inside;
    while (old->row && new->row && cell_abi_next_mention(new->type, &cursor, &name, &is_inside)) {
        const char *key = (const char *)name.base;
        const struct cell_abi_type *was = cell_abi_find_type(old->abi, key, name.size);
        const struct cell_abi_type *is = cell_abi_find_type(new->abi, key, name.size);
        if (is_inside && was && is && was->layout != is->layout && length < DETAIL_SIZE) {
            char how[DETAIL_SIZE / 2];
            struct cell_abi_difference difference = cell_abi_compare(
                cell_abi_text(old->abi, was->text), cell_abi_text(new->abi, is->text));
            cell_abi_format_difference(&difference, "old", "new", how, sizeof(how));
            (void)!snprintf(detail + length, DETAIL_SIZE - length, "; %.*s: %s", (int)name.size,
                            key, how);
            return;
        }
    }
}

static enum status add_fate(const struct following *following, struct diff_cell *cell,
                            enum diff_fate fate, const struct variable *old,
                            const struct variable *new)
{
    const struct variable *here = new ? new : old;
    struct diff_variable *longer =
        realloc(cell->variables, (cell->variable_count + 1) * sizeof(*cell->variables));
    if (!longer) {
        return no_memory(following);
    }
    cell->variables = longer;
    struct diff_variable *variable = &longer[cell->variable_count++];
    *variable = (struct diff_variable){
        .fate = fate, .name = strdup(here->name), .symbol = strdup(here->symbol)};
    char detail[DETAIL_SIZE];
    if (old && new && old->type &&new->type && strcmp(old->type, new->type) != 0) {
        snprintf(detail, sizeof(detail), "%s -> %s, %" PRIu64 " -> %" PRIu64 " B", old->type,
                 new->type, old->size, new->size);
    } else if (old && new) {
        int length =
            snprintf(detail, sizeof(detail), "%s%s%" PRIu64 " -> %" PRIu64 " B",
                     new->type ? new->type : "", new->type ? ", " : "", old->size, new->size);
        add_difference_inside(old, new, detail, (size_t)length);
    }
    variable->detail = old && new ? strdup(detail) : NULL;
    return variable->name && variable->symbol && (variable->detail || !old || !new)
               ? OK
               : no_memory(following);
}

static enum status follow_transfer(const struct following *following, struct diff_cell *cell,
                                   const struct cell_transfer *transfer, const struct variable *old,
                                   const struct variable *new)
{
    if (!is_in_old_cells(following->diff, cell, transfer->old)) {
        if (cell->old == MODEL_NOWHERE && cell->inherits.count == 0) {
            return add_fate(following, cell, DIFF_ADDED, NULL, new); /* nothing to take over */
        }
        following->diff->missing_count++;
        return add_fate(following, cell, DIFF_MISSING, old, new);
    }
    enum status status = add_fate(following, cell, DIFF_TRANSFERRED, old, new);
    if (status == OK) {
        struct diff_variable *variable = &cell->variables[cell->variable_count - 1];
        variable->old_name = strdup(transfer->old);
        variable->function = strdup(transfer->function);
        status = variable->old_name && variable->function ? OK : no_memory(following);
    }
    return status;
}

/* A line wins over adoption. */
static enum status follow_new(const struct following *following, struct diff_cell *cell,
                              const struct variable *old, const struct variable *new)
{
    struct cell_transfer transfer;
    if (find_transfer(diff_new_object(following->diff, cell), new, &transfer)) {
        return transfer.kind != CELL_TRANSFER_FRESH
                   ? follow_transfer(following, cell, &transfer, old, new)
               : old ? add_fate(following, cell, DIFF_FRESH, old, new)
                     : OK;
    }
    if (old && are_alike(old, new)) {
        return OK;
    }
    following->diff->missing_count += old != NULL;
    return add_fate(following, cell, old ? DIFF_MISSING : DIFF_ADDED, old, new);
}

static enum status follow_new_variables(const struct following *following, struct diff_cell *cell)
{
    struct variables old;
    struct variables new = {0};
    enum status status = OK;
    if (!list_side(following->diff, cell, false, &old) ||
        !list_side(following->diff, cell, true, &new)) {
        status = no_memory(following);
    }
    for (uint32_t i = 0; status == OK && i < new.count; i++) {
        status = follow_new(following, cell, find_variable(&old, new.list[i].name), &new.list[i]);
    }
    free(old.list);
    free(new.list);
    return status;
}

/* A variable of equal name and type that is new in another cell of the set adopts this one. */
static bool adopt_elsewhere(const struct following *following, const struct diff_cell *from,
                            const struct variable *old, bool *out_failed)
{
    struct diff *diff = following->diff;
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        struct diff_cell *cell = &diff->cells[i];
        for (uint32_t k = 0; cell->set == from->set && k < cell->variable_count; k++) {
            struct diff_variable *variable = &cell->variables[k];
            struct variables new;
            if (variable->fate != DIFF_ADDED || strcmp(variable->name, old->name) != 0) {
                continue;
            }
            if (!list_side(diff, cell, true, &new)) {
                *out_failed = true;
                return false;
            }
            const struct variable *candidate = find_variable(&new, old->name);
            bool takes = candidate && are_alike(old, candidate);
            free(new.list);
            if (takes) {
                variable->fate = DIFF_MOVED;
                diff_add_inheritance(diff, cell, from);
                variable->old_name = strdup(diff->old->cells[from->old].name);
                *out_failed = !variable->old_name;
                return true;
            }
        }
    }
    return false;
}

static bool is_transferred(const struct diff *diff, uint32_t set, const char *name)
{
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        const struct diff_cell *cell = &diff->cells[i];
        for (uint32_t k = 0; cell->set == set && k < cell->variable_count; k++) {
            if (cell->variables[k].fate == DIFF_TRANSFERRED &&
                strcmp(cell->variables[k].old_name, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

static enum status follow_old_variables(const struct following *following, struct diff_cell *cell)
{
    struct variables old;
    struct variables new = {0};
    bool failed = !list_side(following->diff, cell, false, &old) ||
                  !list_side(following->diff, cell, true, &new);
    enum status status = OK;
    for (uint32_t i = 0; status == OK && !failed && i < old.count; i++) {
        const struct variable *variable = &old.list[i];
        if (!find_variable(&new, variable->name) &&
            !is_transferred(following->diff, cell->set, variable->symbol) &&
            !adopt_elsewhere(following, cell, variable, &failed) && !failed) {
            status = add_fate(following, cell, DIFF_REMOVED, variable, NULL);
        }
    }
    free(old.list);
    free(new.list);
    return failed ? no_memory(following) : status;
}

/* That all variables of a new cell are new says nothing. */
static void leave_out_added(struct diff_cell *cell)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < cell->variable_count; i++) {
        if (cell->variables[i].fate == DIFF_ADDED) {
            free(cell->variables[i].name);
            free(cell->variables[i].symbol);
        } else {
            cell->variables[kept++] = cell->variables[i];
        }
    }
    cell->variable_count = kept;
}

enum status diff_follow_variables(struct diff *diff, struct problem *problem)
{
    struct following following = {.diff = diff, .problem = problem};
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < diff->cell_count; i++) {
        struct diff_cell *cell = &diff->cells[i];
        if (cell->set && cell->new != MODEL_NOWHERE) {
            status = check_transfers(&following, cell);
            status = status ? status : follow_new_variables(&following, cell);
        }
    }
    for (uint32_t i = 0; status == OK && i < diff->cell_count; i++) {
        if (diff->cells[i].set && diff->cells[i].old != MODEL_NOWHERE) {
            status = follow_old_variables(&following, &diff->cells[i]);
        }
    }
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        if (diff->cells[i].old == MODEL_NOWHERE) {
            leave_out_added(&diff->cells[i]);
        }
        for (uint32_t k = 0; k < diff->cells[i].variable_count; k++) {
            diff->cells[i].parts |= DIFF_STATE;
        }
    }
    return status;
}
