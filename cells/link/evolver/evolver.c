/* SPDX-License-Identifier: MIT */
/*
 * Three passes: the manifest into a list of items, one for each line with cells; then every item is
 * decided upon, which only looks; then the sets are swapped. A running cell's pristine object lies
 * in an archive that stays, so it is hashed without holding anything.
 *
 * A bundle that cells came from is never given back: they are loaded from it again when they must
 * be.
 */
#include "evolver.h"
#include "archive.h"
#include "cell_hash.h"
#include "cell_metadata.h"
#include "cell_namespace.h"
#include "cell_transfer.h"
#include "commit.h"
#include "diag.h"
#include "evolution.h"
#include "heap_block.h"
#include "loader.h"
#include "mapped_pages.h"
#include "mutex.h"

CELL(library, "1.0.0");

#define MEMBER_SIZE (EVOLUTION_NAME_SIZE + 8)
#define TRIES       3u /* of a swap that was held up */

enum action {
    ACTION_NONE,
    ACTION_SAME,   /* runs already */
    ACTION_ABSENT, /* is not loaded */
    ACTION_PAIR,
};

/* A line with cells. */
struct item {
    enum evolution_kind kind;
    enum action action;
    uint32_t set;
    char old_name[EVOLUTION_NAME_SIZE]; /* "" where the pair has none */
    char new_name[EVOLUTION_NAME_SIZE];
    struct blake2b_digest old_hash;
    struct blake2b_digest new_hash;
};

/* One evolution. */
struct OWN_CAPABILITY("evolution under way") work {
    const struct evolver_request *request;
    struct evolution evolution;
    struct archive bundle;
    struct span bundle_bytes;
    struct item *items;
    struct swap_pair *pairs; /* of the set at hand; as many as items */
    bool *missed;            /* by number of set: it is not in the system, though it should be */
    void *scratch;           /* of the hash at hand */
    uint32_t item_count;
};
OWN_DECLARE_LOCAL(work);

static void work_drop(struct work **handle)
{
    struct work *work = *handle;
    if (work) {
        void *const blocks[] = {&work->items, &work->pairs, &work->missed, &work->scratch};
        for (size_t i = 0; i < ARRAY_COUNT(blocks); i++) {
            heap_block_give(blocks[i]);
        }
        heap_block_give_thing(handle);
    }
}

/* A bundle. It stays if cells came from it. */
struct OWN_CAPABILITY("bundle") kept {
    struct kept *next;
    struct mapped_pages *pages; /* owned */
};
OWN_DECLARE_LOCAL(kept);

static struct {
    struct mutex mutex; /* of one evolution */
    struct kept *kept;
    uint64_t kept_count;
} evolver = {.mutex = {.name = "evolver"}};

/*
 * Evolutions that can be taken back: each by the id of its last swap, which stands for all of it.
 * Guarded by the evolver's mutex. The swap itself stores the id, in the moment in which it is
 * remembered; so whoever is struck, what has been swapped is known. Number `next` is that of the
 * evolution under way, and has 0 until it has swapped something; then it is counted by who comes
 * next.
 */
#define PAST_PLACES (EVOLVER_REMEMBERED + 1)
static struct {
    uint64_t ids[PAST_PLACES]; /* of number n, from 0 on, in [n % PAST_PLACES]; 0: gone */
    uint32_t next;
} past;

static uint64_t *past_id(uint32_t number)
{
    return &past.ids[number % PAST_PLACES];
}

static void count_the_last(void)
{
    if (*past_id(past.next)) {
        *past_id(past.next + 1) = 0;
        COMPILER_BARRIER();
        past.next++;
    }
}

static void kept_drop(struct kept **handle)
{
    struct kept *kept = *handle;
    if (!kept) {
        return;
    }
    if (*past_id(past.next)) {
        kept->next = evolver.kept;
        commit_three(&evolver.kept, kept, &evolver.kept_count, evolver.kept_count + 1, handle,
                     NULL);
        return;
    }
    mapped_pages_drop(&kept->pages);
    heap_block_give_thing(handle);
}

/* ---- the manifest ---- */

static bool is_item(enum evolution_kind kind)
{
    return kind == EVOLUTION_REPLACE || kind == EVOLUTION_REMOVE || kind == EVOLUTION_ADD ||
           kind == EVOLUTION_INHERIT;
}

static uint32_t count_items(const struct evolution *evolution)
{
    struct evolution_cursor cursor = {0};
    struct evolution_line line;
    uint32_t count = 0;
    while (evolution_next(evolution, &cursor, &line)) {
        count += is_item(line.kind);
    }
    return count;
}

static enum status list_items(struct work *work)
{
    uint32_t count = count_items(&work->evolution);
    size_t missed_size = (work->evolution.set_count + 1) * sizeof(*work->missed);
    if (!heap_block_take((count + 1) * sizeof(*work->items), &work->items) ||
        !heap_block_take((count + 1) * sizeof(*work->pairs), &work->pairs) ||
        !heap_block_take_zeroed(missed_size, &work->missed)) {
        return ERR_NO_MEMORY;
    }
    struct evolution_cursor cursor = {0};
    struct evolution_line line;
    while (evolution_next(&work->evolution, &cursor, &line)) {
        if (is_item(line.kind)) {
            struct item *item = &work->items[work->item_count++];
            item->kind = line.kind;
            item->action = ACTION_NONE;
            item->set = line.set;
            item->old_hash = line.old_hash;
            item->new_hash = line.new_hash;
            __builtin_memcpy(item->old_name, line.old_name, sizeof(item->old_name));
            __builtin_memcpy(item->new_name, line.new_name, sizeof(item->new_name));
        }
    }
    return OK;
}

/* ---- hashes ---- */

static bool are_equal(const struct blake2b_digest *a, const struct blake2b_digest *b)
{
    return __builtin_memcmp(a, b, sizeof(*a)) == 0;
}

/* The first digits, as they are written. */
static uint64_t first_digits(const struct blake2b_digest *digest)
{
    uint64_t digits;
    __builtin_memcpy(&digits, digest, sizeof(digits));
    return __builtin_bswap64(digits);
}

static enum status refuse(enum diag_code code, const char *cell, const char *symbol,
                          const struct blake2b_digest *expected, const struct blake2b_digest *found,
                          struct diag *diag)
{
    return diag_set(diag, code,
                    &(struct diag_site){.cell = cell,
                                        .symbol = symbol,
                                        .expected = expected ? first_digits(expected) : 0,
                                        .found = found ? first_digits(found) : 0});
}

static enum status hash_object(struct work *work, const struct elf_object *object,
                               struct blake2b_digest *out_hash)
{
    if (!heap_block_take(cell_hash_scratch_size(object), &work->scratch)) {
        return ERR_NO_MEMORY;
    }
    cell_hash_of(object, CELL_HASH_CONTENT, work->scratch, out_hash);
    heap_block_give(&work->scratch);
    return OK;
}

/* ---- the bundle ---- */

static enum status open_bundle(struct work *work, struct diag *diag)
{
    if (!work->evolution.bundle[0]) {
        return OK;
    }
    struct blake2b_digest hash;
    blake2b_of(work->bundle_bytes.base, work->bundle_bytes.size, &hash);
    if (!are_equal(&hash, &work->evolution.bundle_hash)) {
        return refuse(DIAG_EVOLUTION_BUNDLE, work->evolution.bundle, NULL,
                      &work->evolution.bundle_hash, &hash, diag);
    }
    return archive_open(work->bundle_bytes, &work->bundle, diag);
}

/* The cell of that name in the bundle: the member `<name>.cell`. */
static enum status find_member(const struct work *work, const char *name,
                               struct elf_object *out_object, struct diag *diag)
{
    char wanted[MEMBER_SIZE] = "";
    size_t length = __builtin_strlen(name);
    __builtin_memcpy(wanted, name, length);
    __builtin_memcpy(wanted + length, ".cell", sizeof(".cell"));
    struct archive_member member;
    struct diag ignored;
    uint64_t at = work->bundle.first_member;
    for (; archive_member_at(&work->bundle, at, &member, &ignored) == OK; at = member.next) {
        if (__builtin_strcmp(member.name, wanted) == 0) {
            enum status status = elf_object_open(member.data, out_object, diag);
            diag_name_cell(diag, name);
            return status;
        }
    }
    return refuse(DIAG_EVOLUTION_MEMBER, name, NULL, NULL, NULL, diag);
}

static enum status check_new_cell(struct work *work, const struct item *item, struct diag *diag)
{
    struct elf_object object;
    struct blake2b_digest hash;
    enum status status = find_member(work, item->new_name, &object, diag);
    status = status ? status : hash_object(work, &object, &hash);
    if (status == OK && !are_equal(&hash, &item->new_hash)) {
        return refuse(DIAG_EVOLUTION_MEMBER, item->new_name, NULL, &item->new_hash, &hash, diag);
    }
    return status;
}

/* Does the new cell have the line about transfer that the manifest repeats? */
static enum status check_transfer(const struct work *work, const struct evolution_line *line,
                                  struct diag *diag)
{
    struct elf_object object;
    enum status status = find_member(work, line->new_name, &object, diag);
    if (status != OK) {
        return status;
    }
    uint32_t count = cell_transfer_count(&object);
    for (uint32_t i = 0; i < count; i++) {
        struct cell_transfer transfer;
        if (cell_transfer_read(&object, i, &transfer, NULL) == OK &&
            __builtin_strcmp(transfer.new, line->new_variable) == 0 &&
            __builtin_strcmp(transfer.old, line->old_variable) == 0 &&
            __builtin_strcmp(transfer.function, line->function) == 0) {
            return OK;
        }
    }
    return refuse(DIAG_EVOLUTION_TRANSFER, line->new_name, line->new_variable, NULL, NULL, diag);
}

static enum status check_transfers(const struct work *work, struct diag *diag)
{
    struct evolution_cursor cursor = {0};
    struct evolution_line line;
    enum status status = OK;
    while (status == OK && evolution_next(&work->evolution, &cursor, &line)) {
        if (line.kind == EVOLUTION_TRANSFER || line.kind == EVOLUTION_FRESH) {
            status = check_transfer(work, &line, diag);
        }
    }
    return status;
}

/* ---- what runs ---- */

/* *out_runs: is there a cell of that name? Then *out_hash is its content's. */
static enum status hash_running(struct work *work, const char *name, bool *out_runs,
                                struct blake2b_digest *out_hash)
{
    struct elf_object object;
    *out_runs = false;
    if (!name[0]) {
        return OK;
    }
    {
        GUARD(mutex, held, cell_namespace_mutex());
        const struct cell *cell = cell_namespace_find_cell(work->request->namespace, name);
        *out_runs = cell != NULL;
        if (cell) {
            object = cell->object;
        }
    }
    return *out_runs ? hash_object(work, &object, out_hash) : OK;
}

/* The old cell does not run: the new one is added, if that makes sense. */
static enum action act_without_old(const struct work *work, struct item *item)
{
    if (item->kind == EVOLUTION_REMOVE ||
        loader_find_alternative(work->request->namespace, item->old_name)) {
        return ACTION_ABSENT;
    }
    item->old_name[0] = '\0';
    return ACTION_PAIR;
}

static enum status decide(struct work *work, struct item *item, struct diag *diag)
{
    bool old_runs;
    bool new_runs;
    struct blake2b_digest old_hash;
    struct blake2b_digest new_hash;
    enum status status = hash_running(work, item->old_name, &old_runs, &old_hash);
    status = status ? status : hash_running(work, item->new_name, &new_runs, &new_hash);
    if (status != OK) {
        return status;
    }
    if (new_runs && are_equal(&new_hash, &item->new_hash)) {
        item->action = ACTION_SAME;
    } else if (old_runs && !are_equal(&old_hash, &item->old_hash)) {
        return refuse(DIAG_EVOLUTION_CELL, item->old_name, NULL, &item->old_hash, &old_hash, diag);
    } else if (new_runs && (!old_runs || __builtin_strcmp(item->old_name, item->new_name) != 0)) {
        return refuse(DIAG_EVOLUTION_PRESENT, item->new_name, NULL, &item->new_hash, &new_hash,
                      diag);
    } else {
        item->action =
            old_runs || item->kind == EVOLUTION_ADD ? ACTION_PAIR : act_without_old(work, item);
    }
    return OK;
}

/* The line of the same set about the old cell that an inheritance names, or NULL. */
static struct item *find_source(const struct work *work, const struct item *heir)
{
    for (uint32_t i = 0; i < work->item_count; i++) {
        struct item *item = &work->items[i];
        if (item->kind != EVOLUTION_INHERIT && item->set == heir->set &&
            __builtin_strcmp(item->old_name, heir->old_name) == 0) {
            return item;
        }
    }
    return NULL;
}

/* Before the cells themselves: deciding on one that does not run takes its old name away. */
static enum status check_inheritances(const struct work *work, struct diag *diag)
{
    for (uint32_t i = 0; i < work->item_count; i++) {
        struct item *item = &work->items[i];
        if (item->kind == EVOLUTION_INHERIT && !find_source(work, item)) {
            return refuse(DIAG_EVOLUTION_ORDER, item->new_name, item->old_name, NULL, NULL, diag);
        }
    }
    return OK;
}

static void decide_inheritances(struct work *work)
{
    for (uint32_t i = 0; i < work->item_count; i++) {
        struct item *heir = &work->items[i];
        struct item *source = heir->kind == EVOLUTION_INHERIT ? find_source(work, heir) : NULL;
        if (source && source->action == ACTION_PAIR) {
            heir->action = ACTION_PAIR;
        }
    }
}

static enum status decide_all(struct work *work, struct diag *diag)
{
    enum status status = check_inheritances(work, diag);
    for (uint32_t i = 0; status == OK && i < work->item_count; i++) {
        struct item *item = &work->items[i];
        if (item->new_name[0] && item->kind != EVOLUTION_INHERIT) {
            status = check_new_cell(work, item, diag);
        }
    }
    status = status ? status : check_transfers(work, diag);
    for (uint32_t i = 0; status == OK && i < work->item_count; i++) {
        if (work->items[i].kind != EVOLUTION_INHERIT) {
            status = decide(work, &work->items[i], diag);
        }
    }
    if (status == OK) {
        decide_inheritances(work);
    }
    return status;
}

/* ---- sets ---- */

/* Is there a pair with this cell by an inheritance? Then what it has alone would be one too many.
 */
static bool is_paired_otherwise(const struct work *work, const struct item *alone)
{
    for (uint32_t i = 0; i < work->item_count; i++) {
        const struct item *item = &work->items[i];
        const char *name = alone->old_name[0] ? item->old_name : item->new_name;
        const char *own = alone->old_name[0] ? alone->old_name : alone->new_name;
        if (item->kind == EVOLUTION_INHERIT && item->action == ACTION_PAIR &&
            __builtin_strcmp(name, own) == 0) {
            return true;
        }
    }
    return false;
}

static const char *name_or_none(const char *name)
{
    return name[0] ? name : NULL;
}

static void fill_pairs(struct work *work, struct evolver_set *set)
{
    for (uint32_t i = 0; i < work->item_count; i++) {
        const struct item *item = &work->items[i];
        if (item->set != set->number) {
            continue;
        }
        set->same_count += item->action == ACTION_SAME;
        set->absent_count += item->action == ACTION_ABSENT;
        bool is_alone = !item->old_name[0] || !item->new_name[0];
        if (item->action == ACTION_PAIR && !(is_alone && is_paired_otherwise(work, item))) {
            work->pairs[set->pair_count++] = (struct swap_pair){
                .old_name = name_or_none(item->old_name),
                .new_name = name_or_none(item->new_name),
            };
        }
    }
}

static bool may_begin(const struct work *work, struct evolution_line line)
{
    uint32_t before;
    while (evolution_next_before(&line, &before)) {
        if (work->missed[before]) {
            return false;
        }
    }
    return true;
}

/*
 * Was a function of transfer held up? A CPU that others share may stand still in the middle of it.
 */
static bool took_too_long(const struct evolver_set *set)
{
    return set->status != OK && set->diag->code == DIAG_SWAP_TRANSFER_FAILED &&
           set->diag->found > set->diag->expected;
}

static void swap_set(struct work *work, const struct evolution_line *line, struct evolver_set *set)
{
    const struct evolver_request *request = work->request;
    fill_pairs(work, set);
    bool is_plan = (request->flags & SWAP_DRY_RUN) != 0;
    if (!may_begin(work, *line)) {
        set->is_left_out = true;
    } else if (set->pair_count) {
        const struct swap_request swap = {
            .namespace = request->namespace,
            .bundle = work->bundle_bytes,
            .pairs = work->pairs,
            .pair_count = set->pair_count,
            .flags = request->flags,
            .timeout_ns = request->timeout_ns,
            .continues = *past_id(past.next), /* sets before this one */
            .out_id = past_id(past.next),
        };
        for (unsigned i = 0; i < TRIES && (i == 0 || took_too_long(set)); i++) {
            set->status = swap_cells(&swap, &set->swap, set->diag);
        }
    }
    work->missed[set->number] =
        set->is_left_out || set->status != OK || (is_plan && set->pair_count);
}

/* The first failure is the result. */
static enum status swap_sets(struct work *work, struct diag *diag)
{
    struct evolution_cursor cursor = {0};
    struct evolution_line line;
    enum status first = OK;
    while (evolution_next(&work->evolution, &cursor, &line)) {
        if (line.kind != EVOLUTION_SET) {
            continue;
        }
        struct diag found = {0};
        struct evolver_set set = {.number = line.set, .diag = &found};
        swap_set(work, &line, &set);
        if (work->request->report) {
            work->request->report(work->request->context, &set);
        }
        if (set.status != OK && first == OK) {
            first = set.status;
            if (diag) {
                *diag = found;
            }
        }
    }
    return first;
}

/* ---- all of it ---- */

static enum status carry_out(struct work *work, struct diag *diag)
{
    enum status status = evolution_open(work->request->manifest, &work->evolution, diag);
    status = status ? status : open_bundle(work, diag);
    status = status ? status : list_items(work);
    status = status ? status : decide_all(work, diag);
    return status ? status : swap_sets(work, diag);
}

/* Unchecked: handles begin here. */
static enum status begin(const struct evolver_request *request, struct span bundle,
                         struct work **out) OWN_ACQUIRES(**out);
OWN_UNCHECKED static enum status begin(const struct evolver_request *request, struct span bundle,
                                       struct work **out)
{
    if (!heap_block_take_zeroed(sizeof(struct work), out)) {
        return ERR_NO_MEMORY;
    }
    (*out)->request = request;
    (*out)->bundle_bytes = bundle;
    return OK;
}

static enum status apply(const struct evolver_request *request, struct span bundle,
                         struct diag *diag)
{
    OWNED(work, work);
    enum status status = begin(request, bundle, SLOT(work));
    if (status != OK) {
        return status;
    }
    return carry_out(REF(work), diag);
}

static struct span bytes_of(const struct mapped_pages *pages, uint64_t size) OWN_BORROWS(*pages);
static struct span bytes_of(const struct mapped_pages *pages, uint64_t size)
{
    const uint8_t *bytes = size ? MAPPED_PAGES_SLICE(uint8_t, pages, 0, size) : NULL;
    return span_of(bytes, bytes ? size : 0);
}

/* Unchecked: handles begin here. */
static enum status begin_kept(struct mapped_pages **pages, struct kept **out) OWN_CONSUMES(**pages)
    OWN_ACQUIRES(**out);
OWN_UNCHECKED static enum status begin_kept(struct mapped_pages **pages, struct kept **out)
{
    if (!heap_block_take_zeroed(sizeof(struct kept), out)) {
        return ERR_NO_MEMORY;
    }
    commit_move(&(*out)->pages, pages);
    return OK;
}

/* Whatever strikes, the slot of the bundle knows whether cells came from it. */
enum status evolver_apply(const struct evolver_request *request, struct mapped_pages **bundle,
                          struct diag *diag)
{
    OWNED(mapped_pages, pages);
    TAKE(pages, bundle);
    GUARD(mutex, held, &evolver.mutex);
    count_the_last();
    OWNED(kept, kept);
    enum status status = begin_kept(SLOT(pages), SLOT(kept));
    if (status != OK) {
        return status;
    }
    struct span bytes = bytes_of(STORED(REF(kept)->pages), request->bundle_size);
    return apply(request, bytes, diag);
}

enum status evolver_apply_alone(const struct evolver_request *request, struct diag *diag)
{
    GUARD(mutex, held, &evolver.mutex);
    count_the_last();
    return apply(request, span_of(NULL, 0), diag);
}

/* Who is struck in the middle leaves one that is not counted, and which the swap does not know. */
static void forget_the_last(void)
{
    past.next--;
    COMPILER_BARRIER();
    *past_id(past.next) = 0;
}

enum status evolver_rollback(uint64_t timeout_ns, struct swap_report *out_report, struct diag *diag)
{
    GUARD(mutex, held, &evolver.mutex);
    *out_report = (struct swap_report){0};
    count_the_last();
    while (evolver_remembered_count() > 0) {
        struct diag found = {0};
        enum status status = swap_rollback(*past_id(past.next - 1), timeout_ns, out_report, &found);
        if (status == OK || found.code == DIAG_SWAP_UNKNOWN) { /* who took it back was struck */
            forget_the_last();
        }
        if (found.code != DIAG_SWAP_UNKNOWN) {
            if (diag && status != OK) {
                *diag = found;
            }
            return status;
        }
    }
    return refuse(DIAG_EVOLUTION_NONE, NULL, NULL, NULL, NULL, diag);
}

uint32_t evolver_remembered_count(void)
{
    uint32_t next = __atomic_load_n(&past.next, __ATOMIC_RELAXED);
    uint32_t count = 0;
    next += __atomic_load_n(past_id(next), __ATOMIC_RELAXED) != 0; /* not counted yet */
    while (count < next && count < EVOLVER_REMEMBERED &&
           __atomic_load_n(past_id(next - 1 - count), __ATOMIC_RELAXED)) {
        count++;
    }
    return count;
}

uint32_t evolver_kept_count(void)
{
    return (uint32_t)__atomic_load_n(&evolver.kept_count, __ATOMIC_RELAXED);
}
