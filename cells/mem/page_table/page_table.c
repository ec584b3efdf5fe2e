/* SPDX-License-Identifier: MIT */
/*
 * No physical memory is mapped for its own sake, so a table is reached through the recursive slot
 * (page_table_priv.h), and a frame that is to become a table is *shown* first: root entry SLOT_SHOW
 * is pointed at it, and the recursive address of what that entry points to is the frame. It is
 * cleared there before any table refers to it, so the CPU never walks through left-over bytes.
 *
 * New tables are built beside the running ones in the same way, through SLOT_BUILD, with the same
 * functions: `root` says which of the two is meant. Writing CR3 is the commit.
 */
#include "page_table.h"
#include "page_table_priv.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "x86.h"

CELL(library, "1.0.0");

static bool ready;
static uint64_t table_frames;

static volatile uint64_t *entry_at(unsigned root, unsigned level, vaddr_t page)
{
    return (volatile uint64_t *)window_at(table_at(root, level, page)) + index_at(level, page);
}

static volatile uint64_t *root_entry(unsigned slot)
{
    return entry_at(SLOT_SELF, 4, address_of(slot, 0, 0, 0));
}

/* Where root entry `slot` has its target: one page, until the entry is changed. */
static vaddr_t shown_by(unsigned slot)
{
    return address_of(SLOT_SELF, SLOT_SELF, SLOT_SELF, slot);
}

static void set_root_entry(unsigned slot, uint64_t entry)
{
    *root_entry(slot) = entry;
    invlpg(shown_by(slot));
}

/* Takes a frame and clears it. A root gets its self reference before it is hidden again. */
static enum status take_table(bool is_root, paddr_t *out_frame)
{
    paddr_t frame;
    enum status status = frame_allocator_take_top(&frame);
    if (status != OK) {
        return status;
    }
    set_root_entry(SLOT_SHOW, frame | ENTRY_SLOT);
    uint64_t *table = window_at(shown_by(SLOT_SHOW));
    memset(table, 0, PAGE_SIZE);
    if (is_root) {
        table[SLOT_SELF] = frame | ENTRY_SLOT;
    }
    set_root_entry(SLOT_SHOW, 0);
    table_frames++;
    *out_frame = frame;
    return OK;
}

/* The level 1 entry of `page`, or NULL where a table on the way to it is missing. */
static volatile uint64_t *find_entry(unsigned root, vaddr_t page)
{
    for (unsigned level = LEVELS; level > 1; level--) {
        if (!(*entry_at(root, level, page) & ENTRY_PRESENT)) {
            return NULL;
        }
    }
    return entry_at(root, 1, page);
}

/* As find_entry(), but adds the tables that are missing. */
static enum status make_entry(unsigned root, vaddr_t page, volatile uint64_t **out_entry)
{
    for (unsigned level = LEVELS; level > 1; level--) {
        volatile uint64_t *entry = entry_at(root, level, page);
        if (*entry & ENTRY_PRESENT) {
            continue;
        }
        paddr_t table;
        enum status status = take_table(false, &table);
        if (status != OK) {
            return status;
        }
        *entry = table | ENTRY_TABLE;
    }
    *out_entry = entry_at(root, 1, page);
    return OK;
}

static enum status check_flags(unsigned flags)
{
    if (flags & ~(unsigned)PAGE_FLAGS_ALL) {
        return ERR_INVALID_ARGUMENT;
    }
    if ((flags & PAGE_WRITE) && (flags & PAGE_EXECUTE)) {
        return ERR_PERMISSION;
    }
    return OK;
}

static enum status check_page(vaddr_t page)
{
    if (!page_is_aligned(page)) {
        return ERR_MISALIGNED;
    }
    return is_mappable(page) ? OK : ERR_OUT_OF_BOUNDS;
}

static enum status map_in(unsigned root, vaddr_t page, paddr_t frame, unsigned flags)
{
    enum status status = check_page(page);
    if (status == OK) {
        status = check_flags(flags);
    }
    if (status != OK) {
        return status;
    }
    if (!page_is_aligned(frame)) {
        return ERR_MISALIGNED;
    }
    if (frame >= PHYSICAL_LIMIT) {
        return ERR_OUT_OF_BOUNDS;
    }
    volatile uint64_t *entry;
    status = make_entry(root, page, &entry);
    if (status != OK) {
        return status;
    }
    if (*entry & ENTRY_PRESENT) {
        return ERR_EXISTS;
    }
    *entry = entry_of(frame, flags); /* the TLB never holds pages that were not present */
    return OK;
}

static enum status map_region(unsigned root, const struct page_region *region)
{
    for (size_t i = 0; i < region->page_count; i++) {
        enum status status = map_in(root, region->start + i * PAGE_SIZE,
                                    region->frame + i * PAGE_SIZE, region->flags);
        if (status != OK) {
            return status;
        }
    }
    return OK;
}

enum status page_table_init(const struct page_region *regions, size_t count)
{
    paddr_t root;
    if (ready) {
        return ERR_STATE;
    }
    enum status status = take_table(true, &root);
    if (status != OK) {
        return status;
    }
    set_root_entry(SLOT_BUILD, root | ENTRY_SLOT);
    for (size_t i = 0; i < count && status == OK; i++) {
        status = map_region(SLOT_BUILD, &regions[i]);
    }
    if (status != OK) {
        set_root_entry(SLOT_BUILD, 0);
        write_cr3(read_cr3()); /* the TLB has seen the unfinished tables in their window */
        return status;
    }
    write_cr3(root); /* the commit */
    ready = true;
    return OK;
}

enum status page_table_map(vaddr_t page, paddr_t frame, unsigned flags)
{
    return ready ? map_in(SLOT_SELF, page, frame, flags) : ERR_STATE;
}

enum status page_table_unmap(vaddr_t page, paddr_t *out_frame)
{
    if (!ready) {
        return ERR_STATE;
    }
    enum status status = check_page(page);
    if (status != OK) {
        return status;
    }
    volatile uint64_t *entry = find_entry(SLOT_SELF, page);
    if (!entry || !(*entry & ENTRY_PRESENT)) {
        return ERR_NOT_FOUND;
    }
    *out_frame = frame_of(*entry);
    *entry = 0;
    invlpg(page);
    return OK;
}

enum status page_table_protect(vaddr_t page, unsigned flags)
{
    if (!ready) {
        return ERR_STATE;
    }
    enum status status = check_page(page);
    if (status == OK) {
        status = check_flags(flags);
    }
    if (status != OK) {
        return status;
    }
    volatile uint64_t *entry = find_entry(SLOT_SELF, page);
    if (!entry || !(*entry & ENTRY_PRESENT)) {
        return ERR_NOT_FOUND;
    }
    *entry = entry_of(frame_of(*entry), flags);
    invlpg(page);
    return OK;
}

bool page_table_find(vaddr_t page, paddr_t *out_frame, unsigned *out_flags)
{
    page = page_align_down(page);
    if (!ready || !is_mappable(page)) {
        return false;
    }
    volatile uint64_t *entry = find_entry(SLOT_SELF, page);
    if (!entry || !(*entry & ENTRY_PRESENT)) {
        return false;
    }
    if (out_frame) {
        *out_frame = frame_of(*entry);
    }
    if (out_flags) {
        *out_flags = flags_of(*entry);
    }
    return true;
}

uint64_t page_table_frame_count(void)
{
    return table_frames;
}
