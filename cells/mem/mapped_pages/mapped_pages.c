/* SPDX-License-Identifier: MIT */
/*
 * Frames are taken one by one: they need not be neighbours, so memory can be had until the last
 * frame is gone. Where a frame went is not kept here; the page table knows, and gives it back.
 */
#include "mapped_pages.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "logger.h"
#include "page_allocator.h"
#include "page_table.h"

CELL(library, "1.0.0");

/* Giving back can fail only when somebody broke the rules, or an allocator is full: it counts. */
static void report_loss(const char *what, uint64_t address, enum status status)
{
    if (status != OK) {
        log_error("cannot give back %s 0x%llx: %s", what, (unsigned long long)address,
                  status_text(status));
    }
}

/* Ends the first `count` mappings, then the claim on all pages. */
static void release(struct mapped_pages *pages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        vaddr_t page = pages->start + i * PAGE_SIZE;
        paddr_t frame;
        enum status status = page_table_unmap(page, &frame);
        report_loss("page", page, status);
        if (status == OK && pages->owns_frames) {
            report_loss("frame", frame, frame_allocator_give_back(frame, 1));
        }
    }
    report_loss("pages", pages->start,
                page_allocator_give_back(pages->zone, pages->start, pages->page_count));
    *pages = (struct mapped_pages){0};
}

/* Maps each page to a fresh frame, or to those from `frame` on. */
static enum status map_all(const struct mapped_pages *pages, paddr_t frame, unsigned flags,
                           size_t *out_mapped)
{
    enum status status = OK;
    size_t i;
    for (i = 0; i < pages->page_count; i++) {
        if (pages->owns_frames) {
            status = frame_allocator_take(1, &frame);
            if (status != OK) {
                break;
            }
        }
        status = page_table_map(pages->start + i * PAGE_SIZE, frame, flags);
        if (status != OK) {
            if (pages->owns_frames) {
                report_loss("frame", frame, frame_allocator_give_back(frame, 1));
            }
            break;
        }
        frame += PAGE_SIZE;
    }
    *out_mapped = i;
    return status;
}

/* Takes pages for `request`, which has everything but `start`, and maps them. */
static enum status take_and_map(struct mapped_pages *request, paddr_t frame, unsigned flags)
{
    enum status status = page_allocator_take(request->zone, request->page_count, &request->start);
    if (status != OK) {
        return status;
    }
    size_t mapped;
    status = map_all(request, frame, flags, &mapped);
    if (status != OK) {
        release(request, mapped);
    }
    return status;
}

static enum status check(size_t bytes, unsigned flags)
{
    if (bytes == 0 || (flags & ~(unsigned)PAGE_FLAGS_ALL)) {
        return ERR_INVALID_ARGUMENT;
    }
    return (flags & PAGE_WRITE) && (flags & PAGE_EXECUTE) ? ERR_PERMISSION : OK;
}

enum status mapped_pages_init_uncleared(struct mapped_pages *out, enum page_zone zone, size_t bytes)
{
    *out = (struct mapped_pages){0};
    if (bytes == 0) {
        return ERR_INVALID_ARGUMENT;
    }
    if (page_count_of(bytes) > frame_allocator_statistics().free) {
        return ERR_NO_MEMORY; /* at once, without trying */
    }
    struct mapped_pages pages = {
        .page_count = page_count_of(bytes),
        .bytes = page_count_of(bytes) * PAGE_SIZE,
        .zone = zone,
        .flags = PAGE_WRITE,
        .owns_frames = true,
    };
    enum status status = take_and_map(&pages, 0, PAGE_WRITE);
    if (status == OK) {
        *out = pages;
    }
    return status;
}

enum status mapped_pages_init(struct mapped_pages *out, enum page_zone zone, size_t bytes,
                              unsigned flags)
{
    *out = (struct mapped_pages){0};
    enum status status = check(bytes, flags);
    if (status == OK) {
        status = mapped_pages_init_uncleared(out, zone, bytes);
    }
    if (status != OK) {
        return status;
    }
    memset(mapped_pages_address(out), 0, out->bytes);
    if (flags != PAGE_WRITE) {
        status = mapped_pages_protect(out, flags);
        if (status != OK) {
            mapped_pages_fini(out);
        }
    }
    return status;
}

enum status mapped_pages_init_at_frames(struct mapped_pages *out, enum page_zone zone,
                                        paddr_t start, size_t bytes, unsigned flags)
{
    *out = (struct mapped_pages){0};
    enum status status = check(bytes, flags);
    if (status != OK) {
        return status;
    }
    if (start >= PHYSICAL_LIMIT || bytes > PHYSICAL_LIMIT - start) {
        return ERR_OUT_OF_BOUNDS;
    }
    size_t offset = (size_t)(start - page_align_down(start));
    struct mapped_pages pages = {
        .page_count = page_count_of(offset + bytes),
        .offset = offset,
        .bytes = bytes,
        .zone = zone,
        .flags = flags,
    };
    status = take_and_map(&pages, page_align_down(start), flags);
    if (status == OK) {
        *out = pages;
    }
    return status;
}

enum status mapped_pages_protect(struct mapped_pages *pages, unsigned flags)
{
    if (!pages->start) {
        return ERR_STATE;
    }
    enum status status = check(pages->bytes, flags);
    for (size_t i = 0; i < pages->page_count && status == OK; i++) {
        status = page_table_protect(pages->start + i * PAGE_SIZE, flags);
    }
    if (status == OK) {
        pages->flags = flags;
    }
    return status;
}

void mapped_pages_fini(struct mapped_pages *pages)
{
    if (pages->start) {
        release(pages, pages->page_count);
    }
}
