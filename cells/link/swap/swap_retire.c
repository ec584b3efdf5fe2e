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
#include "heap.h"
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
    uint64_t continues; /* the one whose items it has, too; forgotten when this is remembered */
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

static struct swap_record *find_record(uint64_t id)
{
    struct swap_record *record = remembered[id % SWAP_REMEMBERED];
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
static struct swap_record *allocate_record(struct swap_work *work, const struct swap_record *first)
{
    uint32_t count = work->request->pair_count + (first ? first->count : 0);
    size_t size = sizeof(struct swap_record) +
                  count * (sizeof(struct swap_item) + sizeof(struct remembered_item));
    struct swap_record *record = step_fails(&work->steps) ? NULL : heap_allocate(size);
    if (!record) {
        return NULL;
    }
    *record = (struct swap_record){.namespace = work->request->namespace};
    record->continues = first ? first->id : 0;
    record->items = (struct swap_item *)(record + 1);
    record->names = (struct remembered_item *)(record->items + count);
    for (; first && record->count < first->count; record->count++) {
        const struct swap_item *item = &first->items[record->count];
        record->items[record->count] =
            keep_item(&record->names[record->count], item->old_name, item->new_name, item->object);
    }
    return record;
}

enum status swap_record_create(struct swap_work *work, struct diag *diag)
{
    const struct swap_request *request = work->request;
    const struct swap_record *first = request->continues ? find_record(request->continues) : NULL;
    if (request->continues && (!first || first->namespace != request->namespace)) {
        return diag_set(diag, DIAG_SWAP_UNKNOWN, &(struct diag_site){.found = request->continues});
    }
    struct swap_record *record = allocate_record(work, first);
    if (!record) {
        return swap_refuse_memory(diag);
    }
    for (uint32_t i = 0; i < request->pair_count; i++, record->count++) {
        const struct swap_item *item = &work->plan.items[i];
        struct span object = {0};
        if (item->old_name) {
            object = cell_namespace_find_cell(record->namespace, item->old_name)->object.file;
        }
        record->items[record->count] =
            keep_item(&record->names[record->count], item->new_name, item->old_name, object);
    }
    work->record = record;
    return OK;
}

void swap_record_destroy(struct swap_record *record)
{
    heap_free(record);
}

uint64_t swap_remember(struct swap_work *work)
{
    struct swap_record *record = work->record;
    if (record) {
        record->id = ++last_id;
        work->record = NULL;
        swap_record_destroy(swap_recall(record->continues));
        swap_put_back(record);
    }
    return last_id;
}

void swap_put_back(struct swap_record *record)
{
    struct swap_record **place = &remembered[record->id % SWAP_REMEMBERED];
    swap_record_destroy(*place);
    *place = record;
}

struct swap_record *swap_recall(uint64_t id)
{
    struct swap_record *record = find_record(id);
    if (record) {
        remembered[id % SWAP_REMEMBERED] = NULL;
    }
    return record;
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

static void unlink_bindings(struct cell *cell)
{
    for (uint32_t i = 0; i < cell->binding_count; i++) {
        struct section *target = cell->bindings[i].target;
        if (!target) {
            continue;
        }
        struct binding **link = &target->incoming;
        while (*link) {
            struct binding *at = *link;
            if (at->cell == cell) {
                *link = at->next_incoming;
                at->target = NULL;
            } else {
                link = &at->next_incoming;
            }
        }
    }
}

/*
 * Takes one cell out of the list and the address map; false without memory for that: it stays. Its
 * bindings must be out of all lists, for what they lead to may go before it.
 */
static bool take_out(struct cell_namespace *namespace, struct cell *cell)
{
    struct address_table *table = NULL;
    if (address_map_prepare(NULL, 0, cell, &table) != OK) {
        return false;
    }
    address_map_publish(&table);
    struct cell **link = &namespace->retired;
    while (*link != cell) {
        link = &(*link)->next;
    }
    *link = cell->next;
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
    if (namespace->retired) {
        mark(namespace);
    }
    for (struct cell *cell = namespace->retired; cell; cell = cell->next) {
        if (cell->is_leaving) {
            unlink_bindings(cell);
        }
    }
    /* They may refer to one another: all leave their lists before one is freed. */
    struct cell *gone = NULL;
    struct cell *next;
    for (struct cell *cell = namespace->retired; cell; cell = next) {
        next = cell->next;
        bool goes = cell->is_leaving;
        cell->is_leaving = false;
        if (goes && take_out(namespace, cell)) {
            cell->next = gone;
            gone = cell;
        } else {
            stay++;
        }
    }
    bool is_unread = gone && address_map_wait(); /* else they are lost: somebody still looks */
    for (struct cell *cell = gone; is_unread && cell; cell = next) {
        next = cell->next;
        if (cell->is_static) {
            cell_retirement_release_image(cell);
        }
        loader_release(cell);
    }
    stayed = stay;
    return stay;
}
