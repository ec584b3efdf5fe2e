/* SPDX-License-Identifier: MIT */
/*
 * No physical memory is mapped for its own sake, so a table is reached through the recursive slot
 * (page_table_entries.h), and a frame that is to become a table is *shown* first: root entry
 * SLOT_SHOW is pointed at it, and the recursive address of what that entry points to is the frame.
 * It is filled there before any table refers to it, so the CPU never walks through left-over bytes.
 *
 * New tables are built beside the running ones in the same way, through SLOT_BUILD, with the same
 * functions: `root` says which of the two is meant. Writing CR3 is the commit.
 *
 * A run is worked on in steps that end at multiples of 2 MiB: each step is one entry of level 2 or
 * a part of one table of level 1, and the tables above are walked once for it.
 *
 * A table that has become empty is all zeros again, so it can be used as it is: a few are kept.
 *
 * Order of taking something away: clear the entries, make the CPUs forget (invlpg also drops what
 * they remember of tables: SDM, "Invalidation of TLBs and Paging-Structure Caches"), and only then
 * give a table's frame back. A table's window is a translation too, and is forgotten with it.
 *
 * All of it happens under one lock, the forgetting of other CPUs included. It must: a CPU that
 * still remembered the window of a table that was taken away would write the entries of the next
 * table into whatever that frame has become. Who waits for the lock has interrupts enabled, so it
 * answers requests to forget; who waits for answers answers too. No two CPUs wait for each other:
 * docs/locking.md.
 *
 * Where a fault may strike (docs/fault-safety.md): one page's entry and the count of its table are
 * one sequence; so are a table's entry, the count above it and `loose`, where a table is that
 * nothing refers to. Everything else is done under an *intent*, the page where it happens: whoever
 * takes the lock next and finds one forgets all translations, gives the loose table back, counts
 * the entries of the table that is on the way to this page, and removes the tables there that are
 * empty. What was mapped or unmapped of a run stays so: its owner unmaps it as a whole.
 */
#include "page_table.h"
#include "page_table_priv.h"
#include "commit.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "spinlock.h"
#include "x86.h"

CELL(library, "2.1.0");

/* Forgetting more pages than that one by one costs more than filling the TLB again. */
#define INVLPG_LIMIT 32u

typedef volatile uint64_t entry_t;

/* page_table_find() waits so often for the lock, and then looks without it. */
#define FIND_TRIES 100000u

static bool ready;                            /* written at the start only */
static page_table_shootdown_t shootdown_hook; /* atomic */

static struct spinlock lock = {.name = "page_table"};
/* by the lock, as the tables are: */
static uint64_t table_count;              /* in use */
static paddr_t spares[PAGE_TABLE_SPARES]; /* all zeros */
static uint64_t spare_count;
static paddr_t loose;   /* a table on its way, 0: none */
static uint64_t intent; /* INTENDED and a page, 0: all is settled */

#define INTENDED 1ull

/*
 * The table of level 1 that was last worked on, by the entry that points to it: what comes next is
 * often in the same. NULL: none is known. set_entry(), which alone makes and removes tables,
 * forgets it.
 */
static entry_t *known;
static vaddr_t known_start; /* the first page of it */

/* The bits of an entry for each set of flags; 0: there is none. */
static const uint64_t access_bits[PAGE_FLAGS_ALL + 1] = {
    [PAGE_READ] = ENTRY_PRESENT | ENTRY_NO_EXECUTE,
    [PAGE_WRITE] = ENTRY_PRESENT | ENTRY_NO_EXECUTE | ENTRY_WRITABLE,
    [PAGE_EXECUTE] = ENTRY_PRESENT,
    [PAGE_UNCACHED | PAGE_READ] = ENTRY_PRESENT | ENTRY_NO_EXECUTE | ENTRY_UNCACHED,
    [PAGE_UNCACHED | PAGE_WRITE] =
        ENTRY_PRESENT | ENTRY_NO_EXECUTE | ENTRY_UNCACHED | ENTRY_WRITABLE,
    [PAGE_UNCACHED | PAGE_EXECUTE] = ENTRY_PRESENT | ENTRY_UNCACHED,
};

/* ---- the TLB ---- */

static inline void forget(vaddr_t page, uint64_t count)
{
    if (count <= INVLPG_LIMIT) {
        for (uint64_t i = 0; i < count; i++) {
            invlpg(page + (i << PAGE_SHIFT));
        }
    } else {
        write_cr3(read_cr3());
    }
    page_table_shootdown_t shootdown = __atomic_load_n(&shootdown_hook, __ATOMIC_ACQUIRE);
    if (UNLIKELY(shootdown != NULL)) {
        shootdown(page, count);
    }
}

/* ---- tables ---- */

static inline entry_t *entry_at(unsigned root, unsigned level, vaddr_t page)
{
    return window_at(entry_address(root, level, page));
}

/* Where root entry `slot` has its target: one page, until the entry is changed. */
static vaddr_t shown_by(unsigned slot)
{
    return address_of(SLOT_SELF, SLOT_SELF, SLOT_SELF, slot);
}

static void set_root_entry(unsigned slot, uint64_t entry)
{
    *entry_at(SLOT_SELF, 4, address_of(slot, 0, 0, 0)) = entry;
    invlpg(shown_by(slot));
}

/* Makes a frame visible until hide(). */
static uint64_t *show(paddr_t frame)
{
    set_root_entry(SLOT_SHOW, frame | ENTRY_SLOT);
    return window_at(shown_by(SLOT_SHOW));
}

static void hide(void)
{
    set_root_entry(SLOT_SHOW, 0);
}

/* From here on something is half done on the way to `page`. */
static inline void begin_change(vaddr_t page)
{
    intent = page | INTENDED;
    COMPILER_BARRIER();
}

static inline void end_change(void)
{
    COMPILER_BARRIER();
    intent = 0;
    COMPILER_BARRIER();
}

/* Puts a frame that is all zeros into `loose`. A change is under way. */
static enum status take_table(void)
{
    if (spare_count > 0) {
        commit_two(&loose, spares[spare_count - 1], &spare_count, spare_count - 1);
        return OK;
    }
    enum status status = frame_allocator_take_table(&loose);
    if (status == OK) {
        memset(show(loose), 0, PAGE_SIZE);
        hide();
    }
    return status;
}

/* Takes the table in `loose` back, which is all zeros and which no CPU can reach. */
static void put_table(void)
{
    if (spare_count < PAGE_TABLE_SPARES) {
        spares[spare_count] = loose;
        commit_two(&spare_count, spare_count + 1, &loose, 0);
    } else {
        frame_allocator_give_table(&loose);
    }
}

/*
 * Gives the entry of `level` for `page` a value, in a table that has `change` more entries then;
 * and `loose` and the number of tables in use, in the same moment.
 */
static void set_entry(unsigned root, unsigned level, vaddr_t page, uint64_t value, int64_t change,
                      paddr_t new_loose, uint64_t new_count)
{
    known = NULL;
    COMPILER_BARRIER();
    entry_t unused = 0; /* above the root there is nothing */
    entry_t *above = level < LEVELS ? entry_at(root, level + 1, page) : &unused;
    const struct commit_store stores[] = {
        {(void *)entry_at(root, level, page), value},
        {(void *)above, *above + (uint64_t)change * ENTRY_USED_ONE},
        {&loose, new_loose},
        {&table_count, new_count},
    };
    commit_all(stores, ARRAY_COUNT(stores));
}

/*
 * Removes the table of `level` on the way to `page` if it is empty, and those above that become so.
 * A change is under way.
 */
static void prune(unsigned root, unsigned level, vaddr_t page)
{
    for (; level < LEVELS; level++) {
        uint64_t entry = *entry_at(root, level + 1, page);
        if (used_of(entry) > 0) {
            return;
        }
        set_entry(root, level + 1, page, 0, -1, frame_of(entry), table_count - 1);
        forget(table_address(root, level, page), 1);
        put_table();
    }
}

static NOINLINE void remove_empty_tables(unsigned root, vaddr_t page)
{
    begin_change(page);
    prune(root, 1, page);
    end_change();
}

/*
 * Makes sure that the tables down to `level` on the way to `page` exist. Where it makes one the
 * change is not ended: it is empty so far.
 */
static enum status make_tables(unsigned root, unsigned level, vaddr_t page)
{
    for (unsigned at = LEVELS; at > level; at--) {
        entry_t *entry = entry_at(root, at, page);
        if (*entry & ENTRY_PRESENT) {
            continue;
        }
        begin_change(page);
        enum status status = take_table();
        if (status != OK) {
            prune(root, at, page); /* one that was made just now may be empty */
            end_change();
            return status;
        }
        set_entry(root, at, page, loose | ENTRY_TABLE, 1, 0, table_count + 1);
    }
    return OK;
}

/* The entry of level 2 for `page`, or NULL where it is not present. */
static inline entry_t *find_directory(unsigned root, vaddr_t page)
{
    if (!(*entry_at(root, 4, page) & ENTRY_PRESENT) ||
        !(*entry_at(root, 3, page) & ENTRY_PRESENT)) {
        return NULL;
    }
    entry_t *directory = entry_at(root, 2, page);
    return *directory & ENTRY_PRESENT ? directory : NULL;
}

/* Replaces an entry of 2 MiB by a table that says the same. */
static enum status split(unsigned root, entry_t *directory, vaddr_t page)
{
    uint64_t old = *directory;
    begin_change(page);
    enum status status = take_table();
    if (status != OK) {
        end_change();
        return status;
    }
    uint64_t *entries = show(loose);
    for (unsigned i = 0; i < ENTRY_COUNT; i++) {
        entries[i] = small_entry_of(old, i);
    }
    hide();
    set_entry(root, 2, page, loose | ENTRY_TABLE | ENTRY_COUNT * ENTRY_USED_ONE, 0, 0,
              table_count + 1);
    forget(page, 1);
    forget(table_address(root, 1, page), 1);
    end_change();
    return OK;
}

static enum status cut(unsigned root, vaddr_t page)
{
    if (index_at(1, page) == 0) {
        return OK;
    }
    entry_t *directory = find_directory(root, page);
    return directory && is_large(*directory) ? split(root, directory, page) : OK;
}

/* ---- runs ---- */

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

static enum status check_run(vaddr_t page, uint64_t count)
{
    if (!page_is_aligned(page)) {
        return ERR_MISALIGNED;
    }
    return is_mappable(page, count) ? OK : ERR_OUT_OF_BOUNDS;
}

static enum status check_frames(paddr_t frame, uint64_t count)
{
    if (!page_is_aligned(frame)) {
        return ERR_MISALIGNED;
    }
    bool is_inside = frame < PHYSICAL_LIMIT && count <= (PHYSICAL_LIMIT - frame) >> PAGE_SHIFT;
    return is_inside ? OK : ERR_OUT_OF_BOUNDS;
}

/*
 * Most runs are a few pages of a table that is there. The entry of level 2 for such a run, which is
 * then known to be mappable; NULL for all others, which go the general way.
 */
static entry_t *short_run(vaddr_t page, uint64_t count)
{
    if (!ready || !page_is_aligned(page) || !is_mappable_step(page, count)) {
        return NULL;
    }
    entry_t *directory = find_directory(SLOT_SELF, page);
    if (!directory || is_large(*directory)) {
        return NULL;
    }
    known = NULL;
    COMPILER_BARRIER();
    known_start = page & ~(LARGE_SIZE - 1);
    COMPILER_BARRIER();
    known = directory;
    return directory;
}

/* The same for one page of the table that is known; NULL otherwise. */
static inline entry_t *known_page(vaddr_t page, uint64_t count)
{
    const uint64_t within_table = LARGE_SIZE - PAGE_SIZE;
    bool is_there = count == 1 && ((page ^ known_start) & ~within_table) == 0;
    return LIKELY(is_there) ? known : NULL;
}

/* 0: there are no such flags. */
static inline uint64_t access_of(unsigned flags)
{
    return LIKELY(flags <= PAGE_FLAGS_ALL) ? access_bits[flags] : 0;
}

static enum status map_large(unsigned root, vaddr_t page, paddr_t frame, uint64_t bits)
{
    enum status status = make_tables(root, 2, page);
    if (status != OK) {
        return status;
    }
    if (*entry_at(root, 2, page) & ENTRY_PRESENT) {
        status = ERR_EXISTS;
    } else { /* the TLB never holds what was not present */
        set_entry(root, 2, page, large_entry_of(frame, bits), 1, 0, table_count);
    }
    end_change();
    return status;
}

/* Of one page of a table. */
static inline enum status fill_one(entry_t *directory, entry_t *at, uint64_t entry)
{
    if (UNLIKELY(*at & ENTRY_PRESENT)) {
        return ERR_EXISTS;
    }
    commit_two(at, entry, directory, *directory + ENTRY_USED_ONE);
    return OK;
}

/* Fills `count` entries of one table, from `at` on, with `entry` and what follows it. */
static enum status fill(entry_t *directory, entry_t *at, vaddr_t page, uint64_t count,
                        uint64_t entry)
{
    if (count == 1) {
        return fill_one(directory, at, entry);
    }
    for (uint64_t i = 0; i < count; i++) {
        if (at[i] & ENTRY_PRESENT) {
            return ERR_EXISTS;
        }
    }
    begin_change(page);
    for (uint64_t i = 0; i < count; i++) {
        at[i] = entry;
        entry += PAGE_SIZE;
    }
    *directory += count * ENTRY_USED_ONE;
    end_change();
    return OK;
}

/* Of one page of a table; ERR_NOT_FOUND when it was not present. */
static inline enum status clear_one(unsigned root, entry_t *directory, vaddr_t page)
{
    entry_t *at = entry_at(root, 1, page);
    uint64_t present = *at & ENTRY_PRESENT;
    uint64_t entry = *directory - present * ENTRY_USED_ONE;
    commit_two(at, 0, directory, entry);
    forget(page, 1);
    if (UNLIKELY(used_of(entry) == 0)) {
        remove_empty_tables(root, page);
    }
    return LIKELY(present) ? OK : ERR_NOT_FOUND;
}

/* Clears `count` entries of one table; ERR_NOT_FOUND when not all were present. */
static enum status clear(unsigned root, entry_t *directory, vaddr_t page, uint64_t count)
{
    if (count == 1) {
        return clear_one(root, directory, page);
    }
    entry_t *at = entry_at(root, 1, page);
    uint64_t present = 0;
    begin_change(page);
    for (uint64_t i = 0; i < count; i++) {
        present += at[i] & ENTRY_PRESENT;
        at[i] = 0;
    }
    forget(page, count);
    *directory -= present * ENTRY_USED_ONE;
    end_change();
    if (used_of(*directory) == 0) {
        remove_empty_tables(root, page);
    }
    return present == count ? OK : ERR_NOT_FOUND;
}

/* Changes what is present of `count` entries of one table; ERR_NOT_FOUND when that is not all. */
static inline enum status change(entry_t *at, uint64_t count, uint64_t bits)
{
    enum status status = OK;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t entry = at[i];
        if (entry & ENTRY_PRESENT) {
            at[i] = entry_of(frame_of(entry), bits);
        } else {
            status = ERR_NOT_FOUND;
        }
    }
    return status;
}

/* Maps `count` pages of one table. */
static enum status map_small(unsigned root, vaddr_t page, uint64_t count, uint64_t entry)
{
    enum status status = make_tables(root, 1, page);
    if (status != OK) {
        return status;
    }
    entry_t *directory = entry_at(root, 2, page);
    status = is_large(*directory) ? ERR_EXISTS
                                  : fill(directory, entry_at(root, 1, page), page, count, entry);
    end_change();
    return status;
}

/* Unmaps what is mapped. The caller has cut the end, so only the first step may need a split. */
static enum status unmap_run(unsigned root, vaddr_t page, uint64_t count)
{
    enum status result = OK;
    uint64_t step;
    for (; count > 0; page += step << PAGE_SHIFT, count -= step) {
        step = step_of(page, count);
        entry_t *directory = find_directory(root, page);
        if (!directory) {
            result = ERR_NOT_FOUND;
            continue;
        }
        if (is_large(*directory) && step == LARGE_PAGES) {
            begin_change(page);
            set_entry(root, 2, page, 0, -1, 0, table_count);
            forget(page, 1);
            forget(table_address(root, 1, page), 1); /* looked like a table to the window */
            prune(root, 2, page);
            end_change();
            continue;
        }
        if (is_large(*directory)) {
            enum status status = split(root, directory, page);
            if (status != OK) {
                return status;
            }
        }
        if (clear(root, directory, page, step) != OK) {
            result = ERR_NOT_FOUND;
        }
    }
    return result;
}

static enum status map_run(unsigned root, vaddr_t page, paddr_t frame, uint64_t count,
                           unsigned flags)
{
    enum status status = check_run(page, count);
    status = status == OK ? check_flags(flags) : status;
    status = status == OK ? check_frames(frame, count) : status;
    if (status != OK) {
        return status;
    }
    uint64_t bits = bits_of(flags);
    uint64_t done = 0;
    uint64_t step;
    for (; done < count; done += step) {
        vaddr_t at = page + (done << PAGE_SHIFT);
        paddr_t target = frame + (done << PAGE_SHIFT);
        step = step_of(at, count - done);
        if (is_large_step(step, target)) {
            status = map_large(root, at, target, bits);
        } else {
            status = map_small(root, at, step, entry_of(target, bits));
        }
        if (status != OK) {
            break;
        }
    }
    if (status != OK && done > 0) {
        (void)!unmap_run(root, page, done); /* these steps exactly: nothing has to be split */
    }
    return status;
}

/* ---- what an interrupted change has left ---- */

/* How many entries of the table of level 1 on the way to `page` are present. */
static uint64_t count_entries(vaddr_t page)
{
    const entry_t *entries = entry_at(SLOT_SELF, 1, page & ~(LARGE_SIZE - 1));
    uint64_t count = 0;
    for (unsigned i = 0; i < ENTRY_COUNT; i++) {
        count += entries[i] & ENTRY_PRESENT;
    }
    return count;
}

static NOINLINE void repair(void)
{
    vaddr_t page = intent & ~INTENDED;
    known = NULL;
    hide();
    forget(page, INVLPG_LIMIT + 1); /* all */
    if (loose) {
        frame_allocator_give_table(&loose); /* what it holds nobody knows */
    }
    entry_t *directory = find_directory(SLOT_SELF, page);
    if (directory && !is_large(*directory)) {
        uint64_t without_count = *directory - used_of(*directory) * ENTRY_USED_ONE;
        *directory = without_count + count_entries(page) * ENTRY_USED_ONE;
        prune(SLOT_SELF, 1, page);
    } else if (*entry_at(SLOT_SELF, 4, page) & ENTRY_PRESENT) {
        prune(SLOT_SELF, *entry_at(SLOT_SELF, 3, page) & ENTRY_PRESENT ? 2 : 3, page);
    }
    end_change();
}

/* Whoever has the lock begins with this. */
static inline void settle_locked(void)
{
    if (UNLIKELY(intent)) {
        repair();
    }
}

/* ---- exported ---- */

static enum status build(const struct page_region *regions, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct page_region *region = &regions[i];
        enum status status =
            map_run(SLOT_BUILD, region->start, region->frame, region->page_count, region->flags);
        if (status != OK) {
            while (i > 0) {
                region = &regions[--i];
                (void)!unmap_run(SLOT_BUILD, region->start, region->page_count);
            }
            return status;
        }
    }
    return OK;
}

enum status page_table_init(const struct page_region *regions, size_t count)
{
    GUARD(spinlock, guard, &lock);
    if (ready) {
        return ERR_STATE;
    }
    enum status status = take_table();
    if (status != OK) {
        return status;
    }
    paddr_t root = loose; /* nobody catches faults yet */
    loose = 0;
    table_count++;
    show(root)[SLOT_SELF] = root | ENTRY_SLOT;
    hide();
    set_root_entry(SLOT_BUILD, root | ENTRY_SLOT);
    status = build(regions, count);
    if (status != OK) {
        *entry_at(SLOT_BUILD, 4, address_of(SLOT_SELF, 0, 0, 0)) = 0; /* all zeros again */
        set_root_entry(SLOT_BUILD, 0);
        write_cr3(read_cr3()); /* the TLB has seen the unfinished tables in their window */
        loose = root;
        table_count--;
        put_table();
        return status;
    }
    write_cr3(root); /* the commit */
    ready = true;
    return OK;
}

static NOINLINE enum status map_any(vaddr_t page, paddr_t frame, uint64_t count, unsigned flags)
{
    settle_locked();
    entry_t *directory = short_run(page, count);
    if (directory && check_flags(flags) == OK && check_frames(frame, count) == OK) {
        return fill(directory, entry_at(SLOT_SELF, 1, page), page, count,
                    entry_of(frame, bits_of(flags)));
    }
    return ready ? map_run(SLOT_SELF, page, frame, count, flags) : ERR_STATE;
}

enum status page_table_map(vaddr_t page, paddr_t frame, uint64_t count, unsigned flags)
{
    enum status status;
    SPINLOCK_BEGIN(guard, &lock);
    entry_t *directory = known_page(page, count);
    uint64_t bits = access_of(flags);
    bool is_frame = (frame & ~(PHYSICAL_LIMIT - PAGE_SIZE)) == 0;
    if (LIKELY(directory && bits && is_frame && !intent)) {
        status = fill_one(directory, entry_at(SLOT_SELF, 1, page), entry_of(frame, bits));
    } else {
        status = map_any(page, frame, count, flags);
    }
    SPINLOCK_END(guard);
    return status;
}

/* An end in the first 2 MiB is dealt with by the first step, before anything has changed. */
static enum status cut_end(vaddr_t page, uint64_t count)
{
    return count > pages_to_boundary(page) ? cut(SLOT_SELF, page + (count << PAGE_SHIFT)) : OK;
}

static NOINLINE enum status unmap_any(vaddr_t page, uint64_t count)
{
    settle_locked();
    entry_t *directory = short_run(page, count);
    if (directory) {
        return clear(SLOT_SELF, directory, page, count);
    }
    if (!ready) {
        return ERR_STATE;
    }
    enum status status = check_run(page, count);
    status = status == OK ? cut_end(page, count) : status;
    return status == OK ? unmap_run(SLOT_SELF, page, count) : status;
}

enum status page_table_unmap(vaddr_t page, uint64_t count)
{
    enum status status;
    SPINLOCK_BEGIN(guard, &lock);
    entry_t *directory = known_page(page, count);
    if (LIKELY(directory && !intent)) {
        status = clear_one(SLOT_SELF, directory, page);
    } else {
        status = unmap_any(page, count);
    }
    SPINLOCK_END(guard);
    return status;
}

static enum status protect_run(vaddr_t page, uint64_t count, unsigned flags)
{
    enum status status = cut_end(page, count);
    if (status != OK) {
        return status;
    }
    uint64_t bits = bits_of(flags);
    uint64_t step;
    vaddr_t at = page;
    begin_change(page);
    for (uint64_t left = count; left > 0; at += step << PAGE_SHIFT, left -= step) {
        step = step_of(at, left);
        entry_t *directory = find_directory(SLOT_SELF, at);
        if (!directory) {
            status = ERR_NOT_FOUND;
            continue;
        }
        if (is_large(*directory) && step == LARGE_PAGES) {
            *directory = large_entry_of(frame_of(*directory), bits);
            continue;
        }
        if (is_large(*directory)) {
            enum status split_status = split(SLOT_SELF, directory, at);
            if (split_status != OK) {
                return split_status; /* in the first step: nothing has changed */
            }
            begin_change(page);
        }
        if (change(entry_at(SLOT_SELF, 1, at), step, bits) != OK) {
            status = ERR_NOT_FOUND;
        }
    }
    forget(page, count);
    end_change();
    return status;
}

static NOINLINE enum status protect_any(vaddr_t page, uint64_t count, unsigned flags)
{
    settle_locked();
    enum status status = check_flags(flags);
    if (status == OK && short_run(page, count)) {
        begin_change(page);
        status = change(entry_at(SLOT_SELF, 1, page), count, bits_of(flags));
        forget(page, count);
        end_change();
        return status;
    }
    if (!ready) {
        return ERR_STATE;
    }
    enum status run_status = check_run(page, count);
    if (run_status != OK || status != OK) {
        return run_status != OK ? run_status : status;
    }
    return protect_run(page, count, flags);
}

enum status page_table_protect(vaddr_t page, uint64_t count, unsigned flags)
{
    enum status status;
    SPINLOCK_BEGIN(guard, &lock);
    const entry_t *directory = known_page(page, count);
    uint64_t bits = access_of(flags);
    if (LIKELY(directory && bits && !intent)) {
        begin_change(page);
        status = change(entry_at(SLOT_SELF, 1, page), 1, bits);
        forget(page, 1);
        end_change();
    } else {
        status = protect_any(page, count, flags);
    }
    SPINLOCK_END(guard);
    return status;
}

enum status page_table_cut(vaddr_t page)
{
    if (!ready) {
        return ERR_STATE;
    }
    GUARD(spinlock, guard, &lock);
    settle_locked();
    enum status status = check_run(page, 1);
    return status == OK ? cut(SLOT_SELF, page) : status;
}

static void try_to_lock(struct spinlock **guard) OWN_MAY_LOCK(**guard);
static void try_to_lock(struct spinlock **guard)
{
    for (unsigned i = 0; i < FIND_TRIES && !spinlock_try_lock(&lock, guard); i++) {
        cpu_relax();
    }
}

/* What the tables say now of an aligned page. */
static bool read_page(vaddr_t page, paddr_t *out_frame, unsigned *out_flags)
{
    const entry_t *directory = find_directory(SLOT_SELF, page);
    if (!directory) {
        return false;
    }
    uint64_t entry = *directory;
    if (is_large(entry)) {
        entry += index_at(1, page) * PAGE_SIZE;
    } else {
        entry = *entry_at(SLOT_SELF, 1, page);
        if (!(entry & ENTRY_PRESENT)) {
            return false;
        }
    }
    if (out_frame) {
        *out_frame = frame_of(entry);
    }
    if (out_flags) {
        *out_flags = flags_of(entry);
    }
    return true;
}

bool page_table_find(vaddr_t page, paddr_t *out_frame, unsigned *out_flags)
{
    page = page_align_down(page);
    if (!ready || !is_mappable(page, 1)) {
        return false;
    }
    OWNED(spinlock, guard);
    try_to_lock(SLOT(guard));
    return read_page(page, out_frame, out_flags);
}

bool page_table_find_stopped(vaddr_t page, paddr_t *out_frame, unsigned *out_flags)
{
    page = page_align_down(page);
    return ready && is_mappable(page, 1) && read_page(page, out_frame, out_flags);
}

/* The first address behind `page` that an entry of this level may map; 0: there is none. */
static vaddr_t skip(vaddr_t page, uint64_t span)
{
    vaddr_t next = (page | (span - 1)) + 1;
    return next >= DATA_ZONE_END && next < WINDOWS_END ? WINDOWS_END : next;
}

/* The first entry at or behind `page` that maps something, and what; NULL: there is none. */
static entry_t *next_entry(vaddr_t *page, uint64_t *out_size)
{
    while (*page) {
        if (!(*entry_at(SLOT_SELF, 4, *page) & ENTRY_PRESENT)) {
            *page = skip(*page, SPAN_4);
            continue;
        }
        if (!(*entry_at(SLOT_SELF, 3, *page) & ENTRY_PRESENT)) {
            *page = skip(*page, SPAN_3);
            continue;
        }
        entry_t *entry = entry_at(SLOT_SELF, 2, *page);
        *out_size = SPAN_2;
        if (*entry & ENTRY_PRESENT && !is_large(*entry)) {
            entry = entry_at(SLOT_SELF, 1, *page);
            *out_size = SPAN_1;
        }
        if (*entry & ENTRY_PRESENT) {
            return entry;
        }
        *page = skip(*page, *out_size);
    }
    return NULL;
}

/* A CPU that knows a page as dirty does not say so again: all forget. */
vaddr_t page_table_watch(vaddr_t from, uint64_t most)
{
    GUARD(spinlock, guard, &lock);
    vaddr_t page = from < DATA_ZONE_START ? DATA_ZONE_START : from;
    uint64_t size;
    entry_t *entry;
    for (uint64_t i = 0; i < most && (entry = next_entry(&page, &size)); i++) {
        __atomic_fetch_and(entry, ~ENTRY_DIRTY, __ATOMIC_RELAXED); /* CPUs set it meanwhile */
        __atomic_fetch_or(entry, ENTRY_SEEN, __ATOMIC_RELAXED);
        page = skip(page, size);
    }
    forget(from, UINT64_MAX >> PAGE_SHIFT);
    return page;
}

vaddr_t page_table_look(vaddr_t from, uint64_t most, page_table_looker_t look, void *context)
{
    GUARD(spinlock, guard, &lock);
    vaddr_t page = from < DATA_ZONE_START ? DATA_ZONE_START : from;
    uint64_t size;
    entry_t *entry;
    for (uint64_t i = 0; i < most && (entry = next_entry(&page, &size)); i++) {
        unsigned flags = flags_of(*entry);
        if (!(flags & PAGE_UNCACHED)) {
            look(page, size, flags, context);
        }
        page = skip(page, size);
    }
    return page;
}

void page_table_look_at_changed(page_table_looker_t look, void *context)
{
    vaddr_t page = DATA_ZONE_START;
    uint64_t size;
    entry_t *entry;
    for (; (entry = next_entry(&page, &size)); page = skip(page, size)) {
        unsigned flags = flags_of(*entry);
        bool is_changed = (*entry & (ENTRY_DIRTY | ENTRY_SEEN)) != ENTRY_SEEN;
        if (is_changed && (flags & (PAGE_WRITE | PAGE_UNCACHED)) == PAGE_WRITE) {
            look(page, size, flags, context);
        }
    }
}

void page_table_copy_root(uint64_t *out_entries)
{
    GUARD(spinlock, guard, &lock);
    for (unsigned slot = 0; slot < ENTRY_COUNT; slot++) {
        bool is_window = slot == SLOT_SHOW || slot == SLOT_BUILD || slot == SLOT_SELF;
        out_entries[slot] = is_window ? 0 : *entry_at(SLOT_SELF, 4, address_of(slot, 0, 0, 0));
    }
}

void page_table_set_shootdown(page_table_shootdown_t shootdown)
{
    __atomic_store_n(&shootdown_hook, shootdown, __ATOMIC_RELEASE);
}

struct page_table_statistics page_table_statistics(void)
{
    GUARD(spinlock, guard, &lock);
    settle_locked();
    return (struct page_table_statistics){.tables = table_count, .spares = spare_count};
}
