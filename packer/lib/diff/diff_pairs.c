/* SPDX-License-Identifier: MIT */
/*
 * Which new cell is what became of an old one: that of the same name, unless the request says
 * otherwise. For those that are then left over, in this order: equal body under another name; most
 * exported symbols taken over; at least half of the sections equal, a prefix of symbols that was
 * the cell's name apart.
 */
#include "diff_priv.h"

#include <stdlib.h>
#include <string.h>

struct pairing {
    const struct diff_request *request;
    struct diff *diff;
    uint32_t *new_of_old; /* by old cell: the new one, or MODEL_NOWHERE */
    uint32_t *old_of_new;
    struct problem *problem;
};

static void pair(struct pairing *pairing, uint32_t old, uint32_t new)
{
    pairing->new_of_old[old] = new;
    pairing->old_of_new[new] = old;
}

static bool are_free(const struct pairing *pairing, uint32_t old, uint32_t new)
{
    return pairing->new_of_old[old] == MODEL_NOWHERE && pairing->old_of_new[new] == MODEL_NOWHERE;
}

/* ---- by request, by name ---- */

static enum status pair_as_told(struct pairing *pairing)
{
    const char *const *replace = pairing->request->replace;
    for (; replace && *replace; replace++) {
        const char *equals = strchr(*replace, '=');
        size_t length = equals ? (size_t)(equals - *replace) : strlen(*replace);
        char name[PROBLEM_TEXT_SIZE] = "";
        memcpy(name, *replace, length < sizeof(name) - 1 ? length : sizeof(name) - 1);
        uint32_t old = model_find_cell(pairing->diff->old, name);
        uint32_t new = equals ? model_find_cell(pairing->diff->new, equals + 1) : MODEL_NOWHERE;
        if (old == MODEL_NOWHERE || new == MODEL_NOWHERE || !are_free(pairing, old, new)) {
            return problem_set(pairing->problem, PROBLEM_DIFF_NAME,
                               "--replace %s: not an old and a new cell, each named once",
                               *replace);
        }
        pair(pairing, old, new);
    }
    return OK;
}

static void pair_by_name(struct pairing *pairing)
{
    const struct diff *diff = pairing->diff;
    for (uint32_t i = 0; i < diff->old->cell_count; i++) {
        uint32_t new = model_find_cell(diff->new, diff->old->cells[i].name);
        if (new != MODEL_NOWHERE && are_free(pairing, i, new)) {
            pair(pairing, i, new);
        }
    }
}

/* ---- by content ---- */

/* The name without its cell's as prefix: `bell_ring` of cell bell is `_ring`. */
static const char *without_prefix(const char *name, const char *cell)
{
    size_t length = strlen(cell);
    return strncmp(name, cell, length) == 0 && name[length] == '_' ? name + length : name;
}

static const char *section_stem(const struct model_cell *cell, uint32_t index)
{
    const char *name = elf_object_section_name(&cell->object, index);
    const char *stem = strncmp(name, ".text.", 6) == 0 ? name + 6 : name;
    return without_prefix(stem, cell->name);
}

static bool is_text(const struct elf_object *object, uint32_t index)
{
    return elf_object_section_is_loaded(object, index) &&
           (object->sections[index].sh_flags & SHF_EXECINSTR) && object->sections[index].sh_size;
}

/* How many functions of `old` stand in `new`, bytes being equal; names with a prefix taken off. */
static uint32_t count_equal_functions(const struct model_cell *old, const struct model_cell *new,
                                      uint32_t *out_most)
{
    uint32_t counts[2] = {0};
    uint32_t equal = 0;
    for (uint32_t k = 1; k < new->object.section_count; k++) {
        counts[1] += is_text(&new->object, k);
    }
    for (uint32_t i = 1; i < old->object.section_count; i++) {
        if (!is_text(&old->object, i)) {
            continue;
        }
        counts[0]++;
        for (uint32_t k = 1; k < new->object.section_count; k++) {
            if (is_text(&new->object, k) &&
                strcmp(section_stem(old, i), section_stem(new, k)) == 0 &&
                span_equal(elf_object_section_bytes(&old->object, i),
                           elf_object_section_bytes(&new->object, k))) {
                equal++;
                break;
            }
        }
    }
    *out_most = counts[0] > counts[1] ? counts[0] : counts[1];
    return equal;
}

static uint32_t count_common_exports(const struct model_cell *old, const struct model_cell *new)
{
    uint32_t count = 0;
    for (uint32_t i = old->object.first_global; i < old->object.symbol_count; i++) {
        count += elf_symbol_is_export(&old->object.symbols[i]) &&
                 diff_find_export(&new->object, elf_object_symbol_name(&old->object, i)) != 0;
    }
    return count;
}

/* A pair of what is left over, and how well the new cell continues the old one. */
struct candidate {
    uint64_t likeness; /* 0: not at all */
    uint32_t old;
    uint32_t new;
};

static bool hash_body(const struct elf_object *object, struct blake2b_digest *out_hash)
{
    void *scratch = malloc(cell_hash_scratch_size(object));
    if (scratch) {
        cell_hash_of(object, CELL_HASH_BODY, scratch, out_hash);
    }
    free(scratch);
    return scratch != NULL;
}

static uint64_t likeness_of(const struct pairing *pairing, uint32_t old, uint32_t new)
{
    const struct model_cell *a = &pairing->diff->old->cells[old];
    const struct model_cell *b = &pairing->diff->new->cells[new];
    struct blake2b_digest hashes[2];
    if (hash_body(&a->object, &hashes[0]) && hash_body(&b->object, &hashes[1]) &&
        memcmp(&hashes[0], &hashes[1], sizeof(hashes[0])) == 0) {
        return UINT64_MAX;
    }
    uint32_t most;
    uint64_t common = count_common_exports(a, b);
    uint64_t equal = count_equal_functions(a, b, &most);
    return common << 32 | (2 * equal >= most ? equal : 0);
}

static int by_likeness(const void *left, const void *right)
{
    const struct candidate *a = left;
    const struct candidate *b = right;
    if (a->likeness != b->likeness) {
        return a->likeness < b->likeness ? 1 : -1;
    }
    return a->old != b->old ? (a->old < b->old ? -1 : 1) : (a->new < b->new ? -1 : a->new > b->new);
}

/* The likest first; in the order of the archives where equal. */
static enum status pair_by_content(struct pairing *pairing)
{
    const struct diff *diff = pairing->diff;
    struct candidate *list = NULL;
    size_t count = 0;
    for (uint32_t i = 0; i < diff->old->cell_count; i++) {
        for (uint32_t k = 0; k < diff->new->cell_count; k++) {
            uint64_t likeness = are_free(pairing, i, k) ? likeness_of(pairing, i, k) : 0;
            if (likeness == 0) {
                continue;
            }
            struct candidate *longer = realloc(list, (count + 1) * sizeof(*list));
            if (!longer) {
                free(list);
                return problem_set(pairing->problem, PROBLEM_MEMORY, "no memory to compare cells");
            }
            list = longer;
            list[count++] = (struct candidate){.likeness = likeness, .old = i, .new = k};
        }
    }
    if (count) {
        qsort(list, count, sizeof(*list), by_likeness);
    }
    for (size_t i = 0; i < count; i++) {
        if (are_free(pairing, list[i].old, list[i].new)) {
            pair(pairing, list[i].old, list[i].new);
        }
    }
    free(list);
    return OK;
}

/* ---- the list ---- */

static enum status hash_side(struct pairing *pairing, const struct model_cell *cell,
                             struct blake2b_digest *out_hash, struct cell_abi *out_abi)
{
    void *scratch = malloc(cell_hash_scratch_size(&cell->object));
    if (!scratch) {
        return problem_set(pairing->problem, PROBLEM_MEMORY, "no memory to compare %s", cell->name);
    }
    cell_hash_of(&cell->object, CELL_HASH_CONTENT, scratch, out_hash);
    free(scratch);
    struct diag diag = {0};
    if (cell_abi_read(&cell->object, out_abi, &diag)) {
        diag_name_cell(&diag, cell->name);
        return problem_set_diag(pairing->problem, &diag, cell->file);
    }
    return OK;
}

static enum status add_cell(struct pairing *pairing, uint32_t old, uint32_t new)
{
    struct diff *diff = pairing->diff;
    struct diff_cell *cell = &diff->cells[diff->cell_count++];
    *cell = (struct diff_cell){.old = old, .new = new};
    if (old != MODEL_NOWHERE) {
        cell->name = diff->old->cells[old].name;
        if (hash_side(pairing, &diff->old->cells[old], &cell->old_hash, &cell->old_abi)) {
            return pairing->problem->status;
        }
    }
    if (new != MODEL_NOWHERE) {
        cell->name = diff->new->cells[new].name;
        if (hash_side(pairing, &diff->new->cells[new], &cell->new_hash, &cell->new_abi)) {
            return pairing->problem->status;
        }
    }
    cell->is_changed = memcmp(&cell->old_hash, &cell->new_hash, sizeof(cell->new_hash)) != 0;
    cell->is_rebuilt = !cell->is_changed && !span_equal(diff_old_object(diff, cell)->file,
                                                        diff_new_object(diff, cell)->file);
    if (!cell->is_changed && strcmp(diff->old->cells[old].name, cell->name) != 0) {
        cell->is_changed = true; /* without a note nothing in it says its name */
    }
    return OK;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct diff_cell *)left)->name, ((const struct diff_cell *)right)->name);
}

static enum status list_cells(struct pairing *pairing)
{
    struct diff *diff = pairing->diff;
    for (uint32_t i = 0; i < diff->old->cell_count; i++) {
        if (add_cell(pairing, i, pairing->new_of_old[i])) {
            return pairing->problem->status;
        }
    }
    for (uint32_t k = 0; k < diff->new->cell_count; k++) {
        if (pairing->old_of_new[k] == MODEL_NOWHERE && add_cell(pairing, MODEL_NOWHERE, k)) {
            return pairing->problem->status;
        }
    }
    if (diff->cell_count) {
        qsort(diff->cells, diff->cell_count, sizeof(*diff->cells), by_name);
    }
    return OK;
}

enum status diff_pair_cells(const struct diff_request *request, struct diff *diff,
                            struct problem *problem)
{
    size_t room = (size_t)request->old->cell_count + request->new->cell_count + 1;
    struct pairing pairing = {
        .request = request,
        .diff = diff,
        .new_of_old = malloc(room * sizeof(uint32_t)),
        .old_of_new = malloc(room * sizeof(uint32_t)),
        .problem = problem,
    };
    diff->cells = calloc(room, sizeof(*diff->cells));
    enum status status = OK;
    if (!pairing.new_of_old || !pairing.old_of_new || !diff->cells) {
        status = problem_set(problem, PROBLEM_MEMORY, "no memory to compare %zu cells", room);
    } else {
        memset(pairing.new_of_old, 0xff, room * sizeof(uint32_t)); /* MODEL_NOWHERE */
        memset(pairing.old_of_new, 0xff, room * sizeof(uint32_t));
        status = pair_as_told(&pairing);
    }
    if (status == OK) {
        pair_by_name(&pairing);
        status = pair_by_content(&pairing);
    }
    if (status == OK) {
        status = list_cells(&pairing);
    }
    free(pairing.new_of_old);
    free(pairing.old_of_new);
    return status;
}
