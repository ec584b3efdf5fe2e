/* SPDX-License-Identifier: MIT */
/*
 * A transaction that stops before its commit, and what cells share with their successors.
 *
 * A region becomes shared when the first section in it is adopted. Nothing of that is visible
 * before the commit: homes and uses are allocated aside, in a list of `share`s, and entered by
 * loader_aside_commit(). Regions of the static image have no owner and need no home.
 */
#include "loader_aside.h"
#include "address_map.h"
#include "cell_namespace.h"
#include "commit.h"
#include "diag.h"
#include "entry_pool.h"
#include "heap_block.h"
#include "loader.h"
#include "loader_priv.h"

struct share {
    struct loaded_cell *user;
    struct loaded_cell *owner; /* of a region that becomes a home; NULL: `home` is one */
    uint32_t region;
    struct cell_home *home; /* while `owner` is not NULL it has no pages */
    struct home_use *use;   /* of the user, not entered yet */
    struct home_use *own;   /* of the owner, the same */
    struct share *next;
};

struct loader_aside {
    struct transaction transaction;
    struct catalog bundle;
    struct share *shares;
    uint64_t is_committed; /* with what is counted of them */
};

static struct loaded_cell *loaded_of(struct cell *cell)
{
    return CONTAINER_OF(cell, struct loaded_cell, cell);
}

/* Unchecked: handles begin here. */
OWN_UNCHECKED enum status loader_aside_begin(struct cell_namespace *namespace, struct span bundle,
                                             struct step_counter *steps, struct loader_aside **out,
                                             struct diag *diag)
{
    OWNED(loader_aside, aside);
    if (step_fails(steps) || !heap_block_take_zeroed(sizeof(struct loader_aside), SLOT(aside))) {
        return diag_set(diag, DIAG_LINK_MEMORY, &(struct diag_site){0});
    }
    struct loader_aside *fresh = *SLOT(aside);
    enum status status = OK;
    if (bundle.size > 0) {
        status = catalog_open(&fresh->bundle, bundle, diag);
    }
    if (status == OK) {
        status = transaction_begin(&fresh->transaction, namespace,
                                   bundle.size > 0 ? &fresh->bundle : NULL, steps, diag);
    }
    if (status == OK) {
        MOVE(*out, aside);
    }
    return status;
}

static void enter_share(struct share *share);

/* Releases the first one, and what of it was not entered: a committed share has only itself left.
 */
static void release_first_share(struct loader_aside *aside)
{
    struct share *share = aside->shares;
    if (share->owner) {
        heap_block_give(&share->home);
    }
    heap_block_give(&share->use);
    heap_block_give(&share->own);
    OWNED(heap_block, block);
    commit_two(&aside->shares, share->next, SLOT(block), share);
}

void loader_aside_drop(struct loader_aside **handle)
{
    struct loader_aside *aside = *handle;
    if (!aside) {
        return;
    }
    for (struct share *share = aside->shares; share && aside->is_committed; share = share->next) {
        enter_share(share); /* where the commit was interrupted */
    }
    while (aside->shares) {
        release_first_share(aside);
    }
    transaction_end(&aside->transaction, aside->is_committed);
    catalog_close(&aside->bundle);
    heap_block_give_thing(handle);
}

enum status loader_aside_add(struct loader_aside *aside, const char *name, struct diag *diag)
{
    struct member_source source;
    if (!transaction_find_cell(&aside->transaction, name, &source)) {
        return diag_set(diag, DIAG_LINK_CELL, &(struct diag_site){.cell = name});
    }
    return transaction_stage(&aside->transaction, source, diag);
}

enum status loader_aside_add_object(struct loader_aside *aside, const char *name,
                                    struct span object, struct diag *diag)
{
    return transaction_stage_object(&aside->transaction, name, object, diag);
}

enum status loader_aside_close(struct loader_aside *aside, struct diag *diag)
{
    return transaction_close(&aside->transaction, diag);
}

uint32_t loader_aside_count(const struct loader_aside *aside)
{
    return aside->transaction.count;
}

struct cell *loader_aside_cell(const struct loader_aside *aside, uint32_t index)
{
    return &aside->transaction.staged[index].loaded->cell;
}

const struct symbol *loader_aside_find(const struct loader_aside *aside, const char *name,
                                       uint32_t hash)
{
    return transaction_lookup((void *)&aside->transaction, name, hash);
}

/* ---- sharing ---- */

static bool lies_in(const struct cell_home *home, uint64_t address)
{
    return address - home->start < home->size;
}

/* The home among those of a cell that holds `address`, or NULL. */
static struct cell_home *find_home(const struct loaded_cell *loaded, uint64_t address)
{
    for (const struct home_use *use = loaded->homes; use; use = use->next) {
        if (lies_in(use->home, address)) {
            return use->home;
        }
    }
    return NULL;
}

/* A new home for a region of `owner` that has none. */
static bool make_home(struct loader_aside *aside, struct share *share, struct loaded_cell *owner,
                      uint32_t region)
{
    const struct transaction *transaction = &aside->transaction;
    share->region = region;
    share->owner = owner; /* from here on `home` is the share's */
    if (!transaction_take(transaction, sizeof(*share->home), &share->home) ||
        !transaction_take(transaction, sizeof(*share->own), &share->own)) {
        return false;
    }
    *share->home = (struct cell_home){
        .start = owner->cell.regions[region].address,
        .size = owner->cell.regions[region].size,
    };
    return true;
}

static struct share *find_share(struct loader_aside *aside, const struct loaded_cell *user,
                                uint64_t address)
{
    struct share *share = aside->shares;
    while (share && !((!user || share->user == user) && lies_in(share->home, address))) {
        share = share->next;
    }
    return share;
}

/* `user` will have a section in the region of `owner` that holds `address`. */
static bool share_region(struct loader_aside *aside, struct loaded_cell *user,
                         struct loaded_cell *owner, uint32_t region, uint64_t address)
{
    if (find_share(aside, user, address)) {
        return true;
    }
    const struct share *other = find_share(aside, NULL, address);
    OWNED(heap_block, block);
    if (!transaction_take(&aside->transaction, sizeof(struct share), SLOT(block))) {
        return false;
    }
    struct share *share = heap_block_of(*SLOT(block));
    *share = (struct share){
        .user = user,
        .home = other ? other->home : find_home(owner, address),
        .next = aside->shares,
    };
    commit_two(&aside->shares, share, SLOT(block), NULL); /* from here on the drop releases it */
    if ((share->home || make_home(aside, share, owner, region)) &&
        transaction_take(&aside->transaction, sizeof(*share->use), &share->use)) {
        return true;
    }
    release_first_share(aside);
    return false;
}

enum status loader_aside_adopt(struct loader_aside *aside, uint32_t index, uint32_t at,
                               const struct section *old, struct diag *diag)
{
    struct staged_cell *staged = &aside->transaction.staged[index];
    struct section *section = &staged->loaded->cell.sections[at];
    struct loaded_cell *owner = loaded_of(old->cell);
    bool is_owned = owner->pages[old->region] && !old->is_adopted;
    if ((is_owned || find_home(owner, old->address)) &&
        !share_region(aside, staged->loaded, owner, old->region, old->address)) {
        return refuse_memory(staged, DIAG_LINK_MEMORY, section->name, sizeof(struct share), diag);
    }
    section->is_adopted = 1;
    section->address = old->address;
    return OK;
}

enum status loader_aside_build(struct loader_aside *aside, struct diag *diag)
{
    struct transaction *transaction = &aside->transaction;
    for (uint32_t i = 0; i < transaction->count; i++) {
        enum status status = link_unit_adopt(&transaction->staged[i].unit, diag);
        if (status != OK) {
            diag_name_cell(diag, transaction->staged[i].name);
            return status;
        }
    }
    enum status status = transaction_build(transaction, diag);
    for (uint32_t i = 0; status == OK && i < transaction->count; i++) {
        const struct staged_cell *staged = &transaction->staged[i];
        if (__builtin_strcmp(staged->name, CELL_NAME) == 0) {
            loader_announce(&staged->loaded->cell); /* where it will be announced from then on */
        }
    }
    return status;
}

const uint8_t *loader_aside_initial(const struct loader_aside *aside, uint32_t cell,
                                    uint32_t section)
{
    return link_unit_adopted_bytes(&aside->transaction.staged[cell].unit, section);
}

/* ---- commit ---- */

enum status loader_aside_table(struct loader_aside *aside, struct address_table **out_table,
                               struct diag *diag)
{
    const struct transaction *transaction = &aside->transaction;
    OWNED(heap_block, block);
    bool has_memory =
        transaction_take(transaction, transaction->count * sizeof(struct cell *), SLOT(block));
    enum status status = ERR_NO_MEMORY;
    if (has_memory && !step_fails(transaction->steps)) {
        struct cell **cells = heap_block_of(*SLOT(block));
        for (uint32_t i = 0; i < transaction->count; i++) {
            cells[i] = &transaction->staged[i].loaded->cell;
        }
        status = address_map_prepare_swap(cells, transaction->count, out_table);
    }
    return status == OK ? OK : diag_set(diag, DIAG_LINK_MEMORY, &(struct diag_site){0});
}

static void enter_use(struct loaded_cell *loaded, struct home_use **use, struct cell_home *home)
{
    struct home_use *entered = *use;
    if (entered) {
        loaded->cell.has_lineage = true;
        *entered = (struct home_use){home, loaded->homes};
        commit_three(use, NULL, &loaded->homes, entered, &home->users, home->users + 1);
    }
}

static void enter_share(struct share *share)
{
    struct loaded_cell *owner = share->owner;
    if (owner) {
        struct mapped_pages **pages = &owner->pages[share->region];
        enter_use(owner, &share->own, share->home);
        commit_three(&share->home->pages, *pages, pages, NULL, &share->owner, NULL);
    }
    enter_use(share->user, &share->use, share->home);
}

void loader_aside_commit(struct loader_aside *aside)
{
    for (uint32_t i = 0; i < aside->transaction.count; i++) {
        struct loaded_cell *loaded = aside->transaction.staged[i].loaded;
        for (uint32_t k = 0; k < loaded->cell.function_count; k++) {
            const struct function *function = &loaded->cell.functions[k];
            loaded->cell.has_lineage |= function->entry && function->slot >= FUNCTION_EXPORTED;
        }
    }
    if (!aside->is_committed) {
        struct commit_list list;
        list.count = 0;
        plan_count(&aside->transaction, &list);
        commit_add(&list, &aside->is_committed, true);
        commit_list(&list);
    }
    for (struct share *share = aside->shares; share; share = share->next) {
        enter_share(share);
    }
    for (uint32_t i = 0; i < aside->transaction.count; i++) {
        loader_announce(&aside->transaction.staged[i].loaded->cell);
    }
}

/* ---- the end of a cell ---- */

OWN_DECLARE_LOCAL(cell_home);

/* Nobody uses it any more. */
NOINLINE static void cell_home_drop(struct cell_home **handle)
{
    struct cell_home *home = *handle;
    if (home) {
        mapped_pages_drop(&home->pages);
        heap_block_give_thing(handle);
    }
}

/* Unchecked: a home is owned by its users together, until the last one goes. */
OWN_UNCHECKED static void release_home(struct loaded_cell *loaded)
{
    OWNED(cell_home, last);
    OWNED(heap_block, block);
    struct home_use *use = loaded->homes;
    struct cell_home *home = use->home;
    struct commit_list list;
    list.count = 0;
    commit_add(&list, &loaded->homes, use->next);
    commit_add(&list, SLOT(block), use);
    commit_add(&list, &home->users, home->users - 1);
    if (home->users == 1) {
        commit_add(&list, SLOT(last), home);
        plan_region_bytes(-(int64_t)page_align_up(home->size), &list);
    }
    commit_list(&list);
}

void release_homes(struct loaded_cell *loaded)
{
    while (loaded->homes) {
        release_home(loaded);
    }
}

/* Gives back those of its entries that no successor has taken over. */
void release_entries(struct loaded_cell *loaded)
{
    struct cell *cell = &loaded->cell;
    if (!cell->has_lineage) {
        entry_pool_give_back(cell->entries, &loaded->entry_capacity, 0);
        return;
    }
    for (uint32_t i = 0; i < cell->function_count; i++) {
        if (cell->functions[i].entry) {
            entry_pool_give_back_one(&cell->functions[i].entry);
        }
    }
    loaded->entry_capacity =
        0; /* those that others have taken over are not in this list any more */
}

/* One that is in no list any more. */
struct OWN_CAPABILITY("cell that is released") released_cell;
OWN_DECLARE_LOCAL(released_cell);

NOINLINE static void released_cell_drop(struct released_cell **handle)
{
    release_cell((struct loaded_cell **)handle);
}

/* Unchecked: handles change hands in a commit. */
OWN_UNCHECKED void loader_release(struct cell **first)
{
    OWNED(released_cell, released);
    struct loaded_cell *loaded = loaded_of(*first);
    struct commit_list list;
    list.count = 0;
    plan_discount(loaded, &list);
    commit_add(&list, first, loaded->cell.next);
    commit_add(&list, SLOT(released), loaded);
    commit_list(&list);
}
