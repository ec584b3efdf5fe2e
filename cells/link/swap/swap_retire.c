/* SPDX-License-Identifier: MIT */
/*
 * What remains of swaps: old cells, until nobody needs them, and how to take a swap back.
 *
 * An old cell may go when
 *   - no task that began in it is left (it holds the cell's address),
 *   - no other cell refers to it; older versions may refer to it, and they go in the same round if
 *     nothing else keeps them,
 *   - none of its functions that have no successor has an entry that somebody may hold,
 *   - no stack has a frame in it, and no memory points to what is left of its constants.
 *
 * A swap is remembered by names and pristine objects: those of the old cells lie in an archive that
 * stays mapped, so the cells themselves may be long gone.
 */
#include "address_map.h"
#include "cell_namespace.h"
#include "cell_retirement.h"
#include "cell_tasks.h"
#include "commit.h"
#include "heap_block.h"
#include "loader.h"
#include "swap_priv.h"

/* ---- remembered swaps ---- */

struct remembered_item {
    char from[SWAP_NAME_SIZE]; /* of the cell that is there now; empty: none */
    char to[SWAP_NAME_SIZE];   /* of the one that was there before */
};

struct swap_record {
    uint64_t id;
    struct cell_namespace *namespace;
    uint32_t count;
    struct swap_item *items;       /* the way back; names point into `names` */
    struct remembered_item *names; /* both behind this structure */
};

static struct swap_record *remembered[SWAP_REMEMBERED]; /* owned; by id */
static uint64_t last_id;

static void copy_name(char to[SWAP_NAME_SIZE], const char *from)
{
    size_t length = from ? __builtin_strlen(from) : 0;
    length = length < SWAP_NAME_SIZE ? length : SWAP_NAME_SIZE - 1;
    if (length > 0) {
        __builtin_memcpy(to, from, length);
    }
    to[length] = '\0';
}

static struct swap_record **place_of(uint64_t id)
{
    return &remembered[id % SWAP_REMEMBERED];
}

const struct swap_record *swap_record_find(uint64_t id)
{
    const struct swap_record *record = *place_of(id);
    return record && record->id == id ? record : NULL;
}

/* `names` hold what `item` gives, whose strings may end sooner. */
static struct swap_item keep_item(struct remembered_item *names, const char *from, const char *to,
                                  struct span object)
{
    copy_name(names->from, from);
    copy_name(names->to, to);
    return (struct swap_item){
        .old_name = from ? names->from : NULL,
        .new_name = to ? names->to : NULL,
        .object = object,
    };
}

/* Room for the pairs of this swap and of the one that it continues, whose items come first. */
static bool take_record(struct swap_work *work, const struct swap_record *first)
{
    uint32_t count = work->request->pair_count + (first ? first->count : 0);
    size_t size = sizeof(struct swap_record) +
                  count * (sizeof(struct swap_item) + sizeof(struct remembered_item));
    if (step_fails(&work->steps) || !heap_block_take(size, &work->record)) {
        return false;
    }
    struct swap_record *record = work->record;
    *record = (struct swap_record){.namespace = work->request->namespace};
    record->items = (struct swap_item *)(record + 1);
    record->names = (struct remembered_item *)(record->items + count);
    for (; first && record->count < first->count; record->count++) {
        const struct swap_item *item = &first->items[record->count];
        record->items[record->count] =
            keep_item(&record->names[record->count], item->old_name, item->new_name, item->object);
    }
    return true;
}

enum status swap_record_create(struct swap_work *work, struct diag *diag)
{
    const struct swap_request *request = work->request;
    const struct swap_record *first =
        request->continues ? swap_record_find(request->continues) : NULL;
    if (request->continues && (!first || first->namespace != request->namespace)) {
        return diag_set(diag, DIAG_SWAP_UNKNOWN, &(struct diag_site){.found = request->continues});
    }
    if (!take_record(work, first)) {
        return swap_refuse_memory(diag);
    }
    struct swap_record *record = work->record;
    for (uint32_t i = 0; i < request->pair_count; i++, record->count++) {
        const struct swap_item *item = &work->plan.items[i];
        struct span object = {0};
        if (item->old_name) {
            object = cell_namespace_find_cell(record->namespace, item->old_name)->object.file;
        }
        record->items[record->count] =
            keep_item(&record->names[record->count], item->new_name, item->old_name, object);
    }
    return OK;
}

uint64_t swap_remember(struct swap_work *work)
{
    struct swap_record *record = work->record;
    if (!record) {
        return last_id; /* who was struck behind it */
    }
    uint64_t id = last_id + 1;
    struct swap_record **place = place_of(id);
    struct swap_record **other = place_of(work->forgets);
    record->id = id;
    struct commit_list list;
    list.count = 0;
    if (swap_record_find(work->forgets) && other != place) {
        commit_add(&list, &work->forgotten, *other);
        commit_add(&list, other, NULL);
    }
    commit_add(&list, &work->replaced, *place);
    commit_add(&list, place, record);
    commit_add(&list, &work->record, NULL);
    commit_add(&list, &last_id, id);
    if (work->request->out_id) {
        commit_add(&list, work->request->out_id, id);
    }
    commit_list(&list);
    return id;
}

const struct swap_item *swap_record_items(const struct swap_record *record)
{
    return record->items;
}

uint32_t swap_record_count(const struct swap_record *record)
{
    return record->count;
}

struct cell_namespace *swap_record_namespace(const struct swap_record *record)
{
    return record->namespace;
}

/* ---- retirement ---- */

static bool has_held_entry(const struct cell *cell)
{
    for (uint32_t i = 0; i < cell->function_count; i++) {
        if (cell->functions[i].entry && swap_plan_is_entry_held(cell, &cell->functions[i])) {
            return true;
        }
    }
    return false;
}

/* Does a cell that stays, or an older version that is not about to go, refer to it? */
static bool is_referred_to(const struct cell *cell)
{
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        for (const struct binding *at = cell->sections[i].incoming; at; at = at->next_incoming) {
            if (!at->cell->is_leaving) {
                return true;
            }
        }
    }
    return false;
}

/*
 * Cells that leave carry a mark as long as it is found out which they are. Who looks at cells later
 * takes it for that of a swap, so it is taken off whatever happens.
 */
struct OWN_CAPABILITY("marks of cells that leave") leaving_marks;
OWN_DECLARE_LOCAL(leaving_marks);

NOINLINE static void leaving_marks_drop(struct leaving_marks **handle)
{
    struct cell_namespace *namespace = (struct cell_namespace *)*handle;
    if (namespace) {
        for (struct cell *cell = namespace->retired; cell; cell = cell->next) {
            cell->is_leaving = false;
        }
        EMPTY(handle);
    }
}

/* Takes the mark off who is needed by one that stays; returns how many keep it. */
static uint32_t spare_needed(struct cell_namespace *namespace)
{
    uint32_t marked = 0;
    for (bool is_changed = true; is_changed;) {
        is_changed = false;
        marked = 0;
        for (struct cell *cell = namespace->retired; cell; cell = cell->next) {
            if (cell->is_leaving && is_referred_to(cell)) {
                cell->is_leaving = false;
                is_changed = true;
            }
            marked += cell->is_leaving;
        }
    }
    return marked;
}

/* Marks those that may go, by `is_leaving`, and takes the mark off who is needed by one that stays.
 */
static void mark(struct cell_namespace *namespace)
{
    char task[CELL_TASKS_NAME_SIZE];
    for (struct cell *cell = namespace->retired; cell; cell = cell->next) {
        cell->is_leaving =
            cell_tasks_count(cell, task) == 0 && !cell->references && !has_held_entry(cell);
    }
    uint32_t marked = spare_needed(namespace);
    bool is_known = marked == 0 || cell_retirement_spare(namespace);
    for (struct cell *cell = namespace->retired; cell; cell = cell->next) {
        cell->is_leaving &= is_known;
    }
    spare_needed(namespace);
}

/*
 * Cells that are in no list of the namespace and not in the address map, linked through `next`. The
 * slot's drop, which goes on where it was interrupted, frees them.
 */
struct OWN_CAPABILITY("cells that are gone") gone_cells;
OWN_DECLARE_LOCAL(gone_cells);

/* Takes all bindings of `cell` out of one list. */
static void unlink_from(struct section *target, const struct cell *cell)
{
    struct binding **link = &target->incoming;
    while (*link) {
        struct binding *at = *link;
        if (at->cell == cell) {
            *link = at->next_incoming;
            COMPILER_BARRIER(); /* it is done when it is out */
            at->target = NULL;
        } else {
            link = &at->next_incoming;
        }
    }
}

/* It refers to nobody, and nobody to it: older versions that stay because there was no memory do not, either. */
static void unlink_bindings(struct cell *cell)
{
    for (uint32_t i = 0; i < cell->binding_count; i++) {
        if (cell->bindings[i].target) {
            unlink_from(cell->bindings[i].target, cell);
        }
    }
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        struct section *section = &cell->sections[i];
        while (section->incoming) {
            struct binding *at = section->incoming;
            at->target = NULL;
            COMPILER_BARRIER();
            section->incoming = at->next_incoming;
        }
    }
}

NOINLINE static void gone_cells_drop(struct gone_cells **handle)
{
    struct cell *first = (struct cell *)*handle;
    if (!first) {
        return;
    }
    address_map_settle();
    /* They may refer to one another: all bindings go before the first cell does. */
    for (struct cell *cell = first; cell; cell = cell->next) {
        unlink_bindings(cell);
    }
    if (!address_map_wait()) { /* somebody still looks: they are lost */
        EMPTY(handle);
        return;
    }
    while (*handle) {
        struct cell *cell = (struct cell *)*handle;
        if (cell->is_static) {
            cell_retirement_release_image(cell);
        }
        loader_release((struct cell **)handle);
    }
}

/* A change of the address map that was prepared. */
struct OWN_CAPABILITY("change of the address map") map_change;
OWN_DECLARE_LOCAL(map_change);

NOINLINE static void map_change_drop(struct map_change **handle)
{
    address_map_discard((struct address_table **)handle);
}

/*
 * One cell leaves the list that `*link` begins and the address map, in one step, for the list `*gone`; false
 * without memory for that: it stays.
 */
static bool take_out(struct cell **link, struct gone_cells **gone)
{
    OWNED(map_change, change);
    struct address_table **table = (struct address_table **)SLOT(change);
    struct cell *cell = *link;
    if (address_map_prepare(NULL, 0, cell, table) != OK) {
        return false;
    }
    struct commit_list list;
    list.count = 0;
    address_map_plan_publish(table, &list);
    commit_add(&list, link, cell->next);
    commit_add(&list, &cell->next, *gone);
    commit_add(&list, gone, cell);
    commit_list(&list);
    address_map_settle();
    return true;
}

static uint32_t stayed; /* the last time */

void swap_retire_if_many(void)
{
    uint32_t count = 0;
    for (const struct cell *cell = cell_namespace_initial()->retired; cell; cell = cell->next) {
        count++;
    }
    if (count >= stayed + SWAP_RETIRE_AT) {
        swap_retire_locked();
    }
}

uint32_t swap_retire_locked(void)
{
    struct cell_namespace *namespace = cell_namespace_initial();
    uint32_t stay = 0;
    OWNED(leaving_marks, marks);
    OWNED(gone_cells, gone);
    FILL(SLOT(marks), (struct leaving_marks *)namespace);
    if (namespace->retired) {
        mark(namespace);
    }
    struct cell **link = &namespace->retired;
    while (*link) {
        struct cell *cell = *link;
        if (!cell->is_leaving || !take_out(link, SLOT(gone))) {
            link = &cell->next;
            stay++;
        }
    }
    stayed = stay;
    return stay;
}
