/* SPDX-License-Identifier: MIT */
#include "host_pages.h"
#include "commit.h"
#include "mapped_pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/*
 * Every handle is in a list: where heaps keep theirs, in memory that comes from here, no leak
 * checker looks.
 */
struct handle {
    struct handle *next;
    struct handle *previous;
};

static struct handle handles = {&handles, &handles};

struct frames {
    uint64_t count;
};

struct pages {
    uintptr_t start;
    uint64_t count;
};

struct mapped_pages {
    struct pages *pages;
    struct frames *frames;
    unsigned flags;
};

static struct host_pages_use use;
static uint64_t requests;
static uint64_t failing;
static bool failing_for_ever;
static uint64_t limit;

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "host_pages: %s\n", what);
        abort();
    }
}

struct host_pages_use host_pages_use(void)
{
    return use;
}

uint64_t host_pages_fail(uint64_t number, bool for_ever)
{
    uint64_t before = requests;
    requests = 0;
    failing = number;
    failing_for_ever = for_ever;
    return before;
}

void host_pages_limit(uint64_t frames)
{
    limit = frames;
}

static bool is_refused(void)
{
    requests++;
    return failing && (requests == failing || (failing_for_ever && requests > failing));
}

static void *new_handle(size_t bytes)
{
    struct handle *handle = calloc(1, sizeof(*handle) + bytes);
    must(handle != NULL, "no memory");
    *handle = (struct handle){handles.next, &handles};
    handle->next->previous = handle;
    handles.next = handle;
    use.handles++;
    return handle + 1;
}

static void end_handle(void *resource)
{
    struct handle *handle = (struct handle *)resource - 1;
    handle->next->previous = handle->previous;
    handle->previous->next = handle->next;
    use.handles--;
    free(handle);
}

/* ---- frames ---- */

enum status frame_allocator_take_any(uint64_t count, struct frames **out)
{
    must(count > 0, "no frames are asked for");
    if (is_refused() || count > 1ull << 24 || (limit && use.frames + count > limit)) {
        return ERR_NO_MEMORY;
    }
    struct frames *frames = new_handle(sizeof(*frames));
    frames->count = count;
    use.frames += count;
    FILL(out, frames);
    return OK;
}

enum status frame_allocator_take(uint64_t count, uint64_t alignment, struct frames **out)
{
    must(alignment == 1, "frames are asked for at places");
    return frame_allocator_take_any(count, out);
}

void frames_drop(struct frames **handle)
{
    struct frames *frames = *handle;
    if (frames) {
        use.frames -= frames->count;
        EMPTY(handle);
        end_handle(frames);
    }
}

/* ---- pages ---- */

enum status page_allocator_take(enum page_zone zone, uint64_t count, uint64_t alignment,
                                struct pages **out)
{
    must(zone == PAGE_ZONE_DATA && count > 0, "wrong pages are asked for");
    must(alignment > 0 && (alignment & (alignment - 1)) == 0, "alignment is no power of two");
    if (is_refused() || count > 1ull << 28) {
        return ERR_NO_ADDRESS_SPACE;
    }
    size_t bytes = (count + alignment - 1) * PAGE_SIZE;
    char *got = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    must(got != MAP_FAILED, "mmap");
    uintptr_t mask = alignment * PAGE_SIZE - 1;
    char *start = (char *)(((uintptr_t)got + mask) & ~mask);
    char *end = start + count * PAGE_SIZE;
    if (start > got) {
        munmap(got, (size_t)(start - got));
    }
    if (end < got + bytes) {
        munmap(end, (size_t)(got + bytes - end));
    }
    struct pages *pages = new_handle(sizeof(*pages));
    *pages = (struct pages){(uintptr_t)start, count};
    FILL(out, pages);
    return OK;
}

void pages_drop(struct pages **handle)
{
    struct pages *pages = *handle;
    if (pages) {
        must(!pages->count || munmap((void *)pages->start, pages->count * PAGE_SIZE) == 0,
             "munmap");
        EMPTY(handle);
        end_handle(pages);
    }
}

vaddr_t pages_start(const struct pages *pages)
{
    return pages->start;
}

enum status pages_plan_split(struct pages *pages, uint64_t first_count, struct pages **out_rest,
                             struct commit_list *list)
{
    if (is_refused()) {
        return ERR_NO_MEMORY;
    }
    if (first_count == 0 || first_count >= pages->count) {
        return ERR_OUT_OF_BOUNDS;
    }
    struct pages *rest = new_handle(sizeof(*rest));
    *rest = (struct pages){pages->start + first_count * PAGE_SIZE, 0};
    commit_add(list, &rest->count, pages->count - first_count);
    commit_add(list, &pages->count, first_count);
    FILL(out_rest, rest);
    return OK;
}

uint64_t pages_count(const struct pages *pages)
{
    return pages->count;
}

enum status pages_split(struct pages *pages, uint64_t first_count, struct pages **out_rest)
{
    if (is_refused()) {
        return ERR_NO_MEMORY;
    }
    if (first_count == 0 || first_count >= pages->count) {
        return ERR_OUT_OF_BOUNDS;
    }
    struct pages *rest = new_handle(sizeof(*rest));
    *rest = (struct pages){pages->start + first_count * PAGE_SIZE, pages->count - first_count};
    pages->count = first_count;
    FILL(out_rest, rest);
    return OK;
}

enum status pages_merge(struct pages *pages, struct pages **rest)
{
    struct pages *added = *rest;
    if (pages->start + pages->count * PAGE_SIZE != added->start) {
        return ERR_MISMATCH;
    }
    pages->count += added->count;
    EMPTY(rest);
    end_handle(added);
    return OK;
}

/* ---- mappings ---- */

static void set_access(const struct pages *pages, int access)
{
    must(mprotect((void *)pages->start, pages->count * PAGE_SIZE, access) == 0, "mprotect");
}

enum status mapped_pages_map(struct pages **pages, struct frames **frames, unsigned flags,
                             struct mapped_pages **out)
{
    must(flags == PAGE_WRITE, "not for writing");
    must((*pages)->count == (*frames)->count, "unequal parts");
    if (is_refused()) {
        return ERR_NO_MEMORY;
    }
    struct mapped_pages *mapped = new_handle(sizeof(*mapped));
    *mapped = (struct mapped_pages){*pages, *frames, flags};
    EMPTY(pages);
    EMPTY(frames);
    set_access(mapped->pages, PROT_READ | PROT_WRITE);
    use.mapped += mapped->pages->count;
    FILL(out, mapped);
    return OK;
}

enum status mapped_pages_create(enum page_zone zone, size_t bytes, unsigned flags,
                                struct mapped_pages **out)
{
    OWNED(frames, frames);
    enum status status = frame_allocator_take_any(page_count_of(bytes), SLOT(frames));
    if (status != OK) {
        return status;
    }
    OWNED(pages, pages);
    status = page_allocator_take(zone, page_count_of(bytes), 1, SLOT(pages));
    if (status != OK) {
        return status;
    }
    return mapped_pages_map(SLOT(pages), SLOT(frames), flags, out);
}

enum status mapped_pages_remap(struct mapped_pages *mapped, unsigned flags)
{
    must(flags == PAGE_READ || flags == PAGE_WRITE, "wrong flags");
    if (is_refused()) {
        return ERR_NO_MEMORY;
    }
    set_access(mapped->pages, flags == PAGE_WRITE ? PROT_READ | PROT_WRITE : PROT_READ);
    return OK;
}

enum status mapped_pages_merge(struct mapped_pages *mapped, struct mapped_pages **rest)
{
    struct mapped_pages *added = *rest;
    enum status status = pages_merge(mapped->pages, &added->pages);
    if (status == OK) {
        mapped->frames->count += added->frames->count;
        EMPTY(rest);
        end_handle(added->frames);
        end_handle(added);
    }
    return status;
}

/* What was written is lost, as the frames are. */
static void unmap(struct mapped_pages *mapped)
{
    use.mapped -= mapped->pages->count;
    void *start = (void *)mapped->pages->start;
    size_t bytes = mapped->pages->count * PAGE_SIZE;
    must(mmap(start, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
              0) == start,
         "mmap");
}

void mapped_pages_drop(struct mapped_pages **handle)
{
    struct mapped_pages *mapped = *handle;
    if (mapped) {
        use.mapped -= mapped->pages->count;
        pages_drop(&mapped->pages);
        frames_drop(&mapped->frames);
        EMPTY(handle);
        end_handle(mapped);
    }
}

void mapped_pages_take_apart(struct mapped_pages **handle, struct pages **out_pages,
                             struct frames **out_frames)
{
    struct mapped_pages *mapped = *handle;
    unmap(mapped);
    EMPTY(handle);
    FILL(out_pages, mapped->pages);
    FILL(out_frames, mapped->frames);
    end_handle(mapped);
}

vaddr_t mapped_pages_start(const struct mapped_pages *mapped)
{
    return mapped->pages->start;
}

uint64_t mapped_pages_count(const struct mapped_pages *mapped)
{
    return mapped->pages->count;
}
