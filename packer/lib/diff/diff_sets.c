/* SPDX-License-Identifier: MIT */
/*
 * Two relations between changed cells: "together" (a union-find forest) and "before" (a list of
 * pairs). Groups that are before each other, by whatever way, become one; the rest is sorted: of
 * the groups that nothing unplaced must precede the one with the first name in the alphabet comes
 * next, so that equal builds give equal manifests.
 */
#include "diff_priv.h"

#include <stdlib.h>
#include <string.h>

struct before {
    uint32_t first; /* cells */
    uint32_t then;
};

/* A name that a cell exports or imports. */
struct use {
    const char *name;
    uint32_t cell; /* in diff->cells */
};

/* Sorted by name, then cell. */
struct uses {
    struct use *list;
    size_t count;
};

struct tables {
    struct uses old_exports;
    struct uses new_exports;
    struct uses old_imports;
    struct uses new_imports;
};

/* A layout that a changed cell knew, or knows; 0 where it does not. */
struct knowledge {
    uint64_t key;
    uint64_t old_layout;
    uint64_t new_layout;
    uint32_t cell;
    const char *text; /* of either, for its name */
};

struct sorting {
    const struct diff_request *request;
    struct diff *diff;
    struct tables tables;
    uint32_t *parent; /* of the forest */
    struct before *before;
    size_t before_count;
    struct knowledge *knowledge;
    size_t knowledge_count;
    uint32_t *groups; /* by cell: its group, or MODEL_NOWHERE */
    uint32_t group_count;
    uint8_t *reach; /* group_count squared: must the row come before the column? */
    struct problem *problem;
    bool failed; /* no memory */
};

/* ---- relations ---- */

static uint32_t root_of(struct sorting *sorting, uint32_t cell)
{
    while (sorting->parent[cell] != cell) {
        sorting->parent[cell] = sorting->parent[sorting->parent[cell]];
        cell = sorting->parent[cell];
    }
    return cell;
}

static void join(struct sorting *sorting, uint32_t a, uint32_t b)
{
    sorting->parent[root_of(sorting, b)] = root_of(sorting, a);
}

static void put_before(struct sorting *sorting, uint32_t first, uint32_t then)
{
    struct before *longer =
        realloc(sorting->before, (sorting->before_count + 1) * sizeof(*sorting->before));
    if (!longer) {
        sorting->failed = true;
        return;
    }
    sorting->before = longer;
    sorting->before[sorting->before_count++] = (struct before){.first = first, .then = then};
}

/* ---- who uses which names ---- */

static int by_use(const void *left, const void *right)
{
    const struct use *a = left;
    const struct use *b = right;
    int order = strcmp(a->name, b->name);
    return order ? order : (a->cell < b->cell ? -1 : a->cell > b->cell);
}

static bool is_listed(const struct elf_object *object, uint32_t symbol, bool exports)
{
    const struct elf64_sym *entry = &object->symbols[symbol];
    return exports ? elf_symbol_is_export(entry) : entry->st_shndx == SHN_UNDEF;
}

static void list_uses(struct sorting *sorting, bool is_new, bool exports, struct uses *out)
{
    const struct diff *diff = sorting->diff;
    for (int pass = 0; pass < 2; pass++) {
        out->count = 0;
        for (uint32_t c = 0; c < diff->cell_count; c++) {
            const struct diff_cell *cell = &diff->cells[c];
            if ((is_new ? cell->new : cell->old) == MODEL_NOWHERE) {
                continue;
            }
            const struct elf_object *object =
                is_new ? diff_new_object(diff, cell) : diff_old_object(diff, cell);
            for (uint32_t i = object->first_global; i < object->symbol_count; i++) {
                if (i == 0 || !is_listed(object, i, exports)) {
                    continue;
                }
                if (pass) {
                    out->list[out->count] = (struct use){elf_object_symbol_name(object, i), c};
                }
                out->count++;
            }
        }
        if (pass == 0) {
            out->list = malloc((out->count + 1) * sizeof(*out->list));
            if (!out->list) {
                out->count = 0;
                sorting->failed = true;
                return;
            }
        }
    }
    if (out->count) {
        qsort(out->list, out->count, sizeof(*out->list), by_use);
    }
}

static const struct use *find_uses(const struct uses *uses, const char *name, size_t *out_count)
{
    size_t first = 0;
    for (size_t count = uses->count; count > 0;) {
        size_t half = count / 2;
        bool is_before = strcmp(uses->list[first + half].name, name) < 0;
        first = is_before ? first + half + 1 : first;
        count = is_before ? count - half - 1 : half;
    }
    size_t end = first;
    while (end < uses->count && strcmp(uses->list[end].name, name) == 0) {
        end++;
    }
    *out_count = end - first;
    return uses->list + first;
}

static bool uses_name(const struct uses *uses, const char *name, uint32_t cell)
{
    size_t count;
    const struct use *found = find_uses(uses, name, &count);
    for (size_t i = 0; i < count; i++) {
        if (found[i].cell == cell) {
            return true;
        }
    }
    return false;
}

/* ---- exported symbols ---- */

/* Changed cells that import the name, in one build, but not in the other if `only`. */
static void order_importers(struct sorting *sorting, const struct use *export, bool is_new)
{
    const struct tables *tables = &sorting->tables;
    const struct uses *here = is_new ? &tables->new_imports : &tables->old_imports;
    const struct uses *there = is_new ? &tables->old_imports : &tables->new_imports;
    struct diff *diff = sorting->diff;
    size_t count;
    const struct use *users = find_uses(here, export->name, &count);
    for (size_t i = 0; i < count; i++) {
        struct diff_cell *user = &diff->cells[users[i].cell];
        if (users[i].cell == export->cell || !user->is_changed ||
            uses_name(there, export->name, users[i].cell)) {
            continue;
        }
        const char *exporter = diff->cells[export->cell].name;
        if (is_new) {
            put_before(sorting, export->cell, users[i].cell);
            diff_add_reason(user, "imports %s, which is new in %s", export->name, exporter);
        } else {
            put_before(sorting, users[i].cell, export->cell);
            diff_add_reason(user, "no longer imports %s, which is gone from %s", export->name,
                            exporter);
        }
    }
}

/* Cells that began to export what this one did. Returns whether there is one. */
static bool join_successors(struct sorting *sorting, const struct use *export)
{
    struct diff *diff = sorting->diff;
    size_t count;
    bool moved = false;
    const struct use *found = find_uses(&sorting->tables.new_exports, export->name, &count);
    for (size_t i = 0; i < count; i++) {
        if (!uses_name(&sorting->tables.old_exports, export->name, found[i].cell)) {
            struct diff_cell *to = &diff->cells[found[i].cell];
            join(sorting, export->cell, found[i].cell);
            diff_add_reason(to, "exports %s, which was %s's", export->name,
                            diff->old->cells[diff->cells[export->cell].old].name);
            diff_add_inheritance(diff, to, &diff->cells[export->cell]);
            moved = true;
        }
    }
    return moved;
}

static bool has_other_signature(const struct diff *diff, const struct diff_cell *cell,
                                const char *name)
{
    const struct elf_object *old = diff_old_object(diff, cell);
    const struct elf_object *new = diff_new_object(diff, cell);
    const struct cell_abi_symbol *mine = cell_abi_find_symbol(&cell->old_abi, old, name);
    const struct cell_abi_symbol *theirs = cell_abi_find_symbol(&cell->new_abi, new, name);
    if (mine && theirs) {
        return mine->signature != theirs->signature;
    }
    const struct elf64_sym *a = &old->symbols[diff_find_export(old, name)];
    const struct elf64_sym *b = &new->symbols[diff_find_export(new, name)];
    return elf_symbol_type(a) != elf_symbol_type(b) ||
           (elf_symbol_type(a) == STT_OBJECT && a->st_size != b->st_size);
}

static void join_importers(struct sorting *sorting, const struct uses *imports,
                           const struct use *export)
{
    struct diff *diff = sorting->diff;
    size_t count;
    const struct use *users = find_uses(imports, export->name, &count);
    for (size_t i = 0; i < count; i++) {
        struct diff_cell *user = &diff->cells[users[i].cell];
        if (user->is_changed && users[i].cell != export->cell) {
            join(sorting, export->cell, users[i].cell);
            diff_add_reason(user, "imports %s, of another signature in %s", export->name,
                            diff->cells[export->cell].name);
        }
    }
}

static void relate_old_exports(struct sorting *sorting)
{
    const struct tables *tables = &sorting->tables;
    for (size_t i = 0; i < tables->old_exports.count; i++) {
        const struct use *export = &tables->old_exports.list[i];
        const struct diff_cell *cell = &sorting->diff->cells[export->cell];
        if (!cell->is_changed) {
            continue;
        }
        if (!uses_name(&tables->new_exports, export->name, export->cell)) {
            if (!join_successors(sorting, export)) {
                order_importers(sorting, export, false);
            }
        } else if (has_other_signature(sorting->diff, cell, export->name)) {
            join_importers(sorting, &tables->old_imports, export);
            join_importers(sorting, &tables->new_imports, export);
        }
    }
}

static void relate_new_exports(struct sorting *sorting)
{
    const struct tables *tables = &sorting->tables;
    for (size_t i = 0; i < tables->new_exports.count; i++) {
        const struct use *export = &tables->new_exports.list[i];
        size_t before;
        find_uses(&tables->old_exports, export->name, &before);
        if (before == 0) {
            order_importers(sorting, export, true);
        }
    }
}

/* ---- layouts ---- */

static void note_knowledge(struct sorting *sorting, uint32_t cell, const struct cell_abi_type *old,
                           const struct cell_abi_type *new)
{
    const struct diff_cell *c = &sorting->diff->cells[cell];
    uint32_t flags = (old ? old->flags : 0) | (new ? new->flags : 0);
    uint64_t layouts[2] = {old ? old->layout : 0, new ? new->layout : 0};
    if (layouts[0] == layouts[1] || !(flags & CELL_ABI_TYPE_SHARED)) {
        return;
    }
    struct knowledge *longer =
        realloc(sorting->knowledge, (sorting->knowledge_count + 1) * sizeof(*sorting->knowledge));
    if (!longer) {
        sorting->failed = true;
        return;
    }
    sorting->knowledge = longer;
    longer[sorting->knowledge_count++] = (struct knowledge){
        .key = old ? old->key : new->key,
        .old_layout = layouts[0],
        .new_layout = layouts[1],
        .cell = cell,
        .text = layouts[1] ? cell_abi_text(&c->new_abi, new->text)
                           : cell_abi_text(&c->old_abi, old->text),
    };
}

/* Both tables are sorted by key. */
static void list_knowledge(struct sorting *sorting, uint32_t index)
{
    const struct cell_abi *old = &sorting->diff->cells[index].old_abi;
    const struct cell_abi *new = &sorting->diff->cells[index].new_abi;
    uint32_t i = 0;
    uint32_t k = 0;
    while (i < old->type_count || k < new->type_count) {
        const struct cell_abi_type *a = i < old->type_count ? &old->types[i] : NULL;
        const struct cell_abi_type *b = k < new->type_count ? &new->types[k] : NULL;
        a = a && b && b->key < a->key ? NULL : a;
        b = a && b && a->key < b->key ? NULL : b;
        note_knowledge(sorting, index, a, b);
        i += a != NULL;
        k += b != NULL;
    }
}

static int by_type(const void *left, const void *right)
{
    const struct knowledge *a = left;
    const struct knowledge *b = right;
    if (a->key != b->key) {
        return a->key < b->key ? -1 : 1;
    }
    return a->cell < b->cell ? -1 : a->cell > b->cell;
}

static void relate_two(struct sorting *sorting, const struct knowledge *a,
                       const struct knowledge *b)
{
    struct diff *diff = sorting->diff;
    struct span name = cell_abi_type_name(a->text);
    bool changes = a->old_layout && a->new_layout;
    if (changes && b->old_layout && b->new_layout) {
        if (a->old_layout == b->old_layout || a->new_layout == b->new_layout) {
            join(sorting, a->cell, b->cell);
            diff_add_first_reason(&diff->cells[b->cell], "knows the layout of %.*s, as %s does",
                                  (int)name.size, (const char *)name.base,
                                  diff->cells[a->cell].name);
        }
    } else if (changes && b->new_layout && b->new_layout == a->new_layout) {
        put_before(sorting, a->cell, b->cell); /* b learns the new layout */
        diff_add_reason(&diff->cells[b->cell], "knows the new layout of %.*s", (int)name.size,
                        (const char *)name.base);
    } else if (changes && b->old_layout && b->old_layout == a->old_layout) {
        put_before(sorting, b->cell, a->cell); /* b forgets the old one */
        diff_add_reason(&diff->cells[b->cell], "no longer knows the layout of %.*s", (int)name.size,
                        (const char *)name.base);
    }
}

static void relate_types(struct sorting *sorting)
{
    for (uint32_t i = 0; i < sorting->diff->cell_count; i++) {
        if (sorting->diff->cells[i].is_changed) {
            list_knowledge(sorting, i);
        }
    }
    if (sorting->knowledge_count) {
        qsort(sorting->knowledge, sorting->knowledge_count, sizeof(*sorting->knowledge), by_type);
    }
    for (size_t i = 0; i < sorting->knowledge_count; i++) {
        const struct knowledge *a = &sorting->knowledge[i];
        for (size_t k = i + 1; k < sorting->knowledge_count && a[k - i].key == a->key; k++) {
            const struct knowledge *b = &sorting->knowledge[k];
            relate_two(sorting, a, b);
            if (!(a->old_layout && a->new_layout)) {
                relate_two(sorting, b, a);
            }
        }
    }
}

/* ---- by request ---- */

static enum status join_as_told(struct sorting *sorting)
{
    struct diff *diff = sorting->diff;
    const char *const *together = sorting->request->together;
    for (; together && *together; together++) {
        uint32_t first = MODEL_NOWHERE;
        for (const char *at = *together; *at;) {
            size_t length = strcspn(at, ",");
            uint32_t found = 0;
            while (found < diff->cell_count &&
                   (strlen(diff->cells[found].name) != length ||
                    strncmp(diff->cells[found].name, at, length) != 0)) {
                found++;
            }
            if (found == diff->cell_count) {
                return problem_set(sorting->problem, PROBLEM_DIFF_NAME,
                                   "--together %s: there is no cell %.*s", *together, (int)length,
                                   at);
            }
            if (diff->cells[found].is_changed) {
                first = first == MODEL_NOWHERE ? found : first;
                join(sorting, first, found);
                diff_add_reason(&diff->cells[found], "together with others, as told");
            }
            at += length + (at[length] == ',');
        }
    }
    return OK;
}

/* ---- groups ---- */

static void number_groups(struct sorting *sorting)
{
    const struct diff *diff = sorting->diff;
    sorting->group_count = 0;
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        sorting->groups[i] = MODEL_NOWHERE;
        if (diff->cells[i].is_changed && root_of(sorting, i) == i) {
            sorting->groups[i] = sorting->group_count++;
        }
    }
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        if (diff->cells[i].is_changed) {
            sorting->groups[i] = sorting->groups[root_of(sorting, i)];
        }
    }
}

/* Warshall's algorithm over the groups. */
static bool close_order(struct sorting *sorting)
{
    size_t count = sorting->group_count;
    free(sorting->reach);
    sorting->reach = calloc(count * count + 1, 1);
    if (!sorting->reach) {
        return false;
    }
    for (size_t i = 0; i < sorting->before_count; i++) {
        uint32_t first = sorting->groups[sorting->before[i].first];
        uint32_t then = sorting->groups[sorting->before[i].then];
        if (first != then) {
            sorting->reach[first * count + then] = 1;
        }
    }
    for (size_t via = 0; via < count; via++) {
        for (size_t from = 0; from < count; from++) {
            if (sorting->reach[from * count + via]) {
                for (size_t to = 0; to < count; to++) {
                    sorting->reach[from * count + to] |= sorting->reach[via * count + to];
                }
            }
        }
    }
    return true;
}

/* Groups that must come before each other become one. */
static void join_circles(struct sorting *sorting)
{
    size_t count = sorting->group_count;
    for (size_t i = 0; i < sorting->before_count; i++) {
        const struct before *before = &sorting->before[i];
        uint32_t first = sorting->groups[before->first];
        uint32_t then = sorting->groups[before->then];
        if (first != then && sorting->reach[then * count + first]) {
            join(sorting, before->first, before->then);
        }
    }
}

static bool is_next(const struct sorting *sorting, const uint32_t *numbers, size_t group)
{
    size_t count = sorting->group_count;
    for (size_t other = 0; other < count; other++) {
        if (sorting->reach[other * count + group] && other != group && numbers[other] == 0) {
            return false;
        }
    }
    return numbers[group] == 0;
}

/* Cells are sorted by name, and so are groups by their first cell's. */
static void number_sets(struct sorting *sorting, uint32_t *numbers)
{
    struct diff *diff = sorting->diff;
    for (uint32_t next = 1; next <= sorting->group_count; next++) {
        for (uint32_t i = 0; i < diff->cell_count; i++) {
            if (sorting->groups[i] != MODEL_NOWHERE &&
                is_next(sorting, numbers, sorting->groups[i])) {
                numbers[sorting->groups[i]] = next;
                break;
            }
        }
    }
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        if (sorting->groups[i] != MODEL_NOWHERE) {
            diff->cells[i].set = numbers[sorting->groups[i]];
            diff->sets[diff->cells[i].set - 1].cell_count++;
        }
    }
}

/* What stands in front of a set directly: the transitive part is left out. */
static bool list_after(struct sorting *sorting, const uint32_t *numbers)
{
    size_t count = sorting->group_count;
    struct diff *diff = sorting->diff;
    for (size_t then = 0; then < count; then++) {
        struct diff_set *set = &diff->sets[numbers[then] - 1];
        set->after = malloc((count + 1) * sizeof(*set->after));
        if (!set->after) {
            return false;
        }
        for (uint32_t number = 1; number <= count; number++) {
            for (size_t first = 0; first < count; first++) {
                bool is_direct = numbers[first] == number && sorting->reach[first * count + then];
                for (size_t via = 0; via < count && is_direct; via++) {
                    is_direct = !(sorting->reach[first * count + via] &&
                                  sorting->reach[via * count + then]);
                }
                if (is_direct) {
                    set->after[set->after_count++] = number;
                }
            }
        }
    }
    return true;
}

static bool make_sets(struct sorting *sorting)
{
    struct diff *diff = sorting->diff;
    number_groups(sorting);
    if (!close_order(sorting)) {
        return false;
    }
    join_circles(sorting);
    number_groups(sorting);
    uint32_t *numbers = calloc(sorting->group_count + 1, sizeof(*numbers));
    diff->sets = calloc(sorting->group_count + 1, sizeof(*diff->sets));
    bool good = numbers && diff->sets && close_order(sorting);
    if (good) {
        diff->set_count = sorting->group_count;
        number_sets(sorting, numbers);
        good = list_after(sorting, numbers);
    }
    free(numbers);
    return good;
}

/* ---- all of it ---- */

static enum status no_memory(struct problem *problem)
{
    return problem_set(problem, PROBLEM_MEMORY, "no memory to sort cells into sets");
}

static enum status relate_all(struct sorting *sorting)
{
    uint32_t count = sorting->diff->cell_count;
    sorting->parent = malloc((count + 1) * sizeof(*sorting->parent));
    sorting->groups = malloc((count + 1) * sizeof(*sorting->groups));
    if (!sorting->parent || !sorting->groups) {
        return no_memory(sorting->problem);
    }
    for (uint32_t i = 0; i < count; i++) {
        sorting->parent[i] = i;
    }
    list_uses(sorting, false, true, &sorting->tables.old_exports);
    list_uses(sorting, true, true, &sorting->tables.new_exports);
    list_uses(sorting, false, false, &sorting->tables.old_imports);
    list_uses(sorting, true, false, &sorting->tables.new_imports);
    if (sorting->failed) {
        return no_memory(sorting->problem);
    }
    relate_old_exports(sorting);
    relate_new_exports(sorting);
    relate_types(sorting);
    enum status status = join_as_told(sorting);
    return status == OK && (sorting->failed || !make_sets(sorting)) ? no_memory(sorting->problem)
                                                                    : status;
}

enum status diff_find_sets(const struct diff_request *request, struct diff *diff,
                           struct problem *problem)
{
    struct sorting sorting = {.request = request, .diff = diff, .problem = problem};
    enum status status = relate_all(&sorting);
    free(sorting.tables.old_exports.list);
    free(sorting.tables.new_exports.list);
    free(sorting.tables.old_imports.list);
    free(sorting.tables.new_imports.list);
    free(sorting.parent);
    free(sorting.before);
    free(sorting.knowledge);
    free(sorting.groups);
    free(sorting.reach);
    return status;
}
