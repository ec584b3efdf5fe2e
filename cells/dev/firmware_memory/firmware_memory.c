/* SPDX-License-Identifier: MIT */
#include "firmware_memory.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "mapped_pages.h"
#include "page_allocator.h"

CELL(library, "1.0.0");

static enum status map_frame(paddr_t frame, struct mapped_pages **out) OWN_ACQUIRES(**out);

static enum status map_frame(paddr_t frame, struct mapped_pages **out)
{
    OWNED(frames, frames);
    enum status status = frame_allocator_take_at(frame, 1, SLOT(frames));
    if (status != OK) {
        return status;
    }
    if (frames_kind(REF(frames)) == FRAMES_RAM) {
        return ERR_PERMISSION;
    }
    OWNED(pages, pages);
    status = page_allocator_take(PAGE_ZONE_DATA, 1, 1, SLOT(pages));
    if (status != OK) {
        return status;
    }
    return mapped_pages_map(SLOT(pages), SLOT(frames), PAGE_READ, out);
}

/* `size` bytes that lie in one frame. */
static enum status copy_part(paddr_t start, void *to, size_t size)
{
    OWNED(mapped_pages, page);
    enum status status = map_frame(page_align_down(start), SLOT(page));
    if (status != OK) {
        return status;
    }
    const uint8_t *from = MAPPED_PAGES_SLICE(uint8_t, REF(page), start % PAGE_SIZE, size);
    if (!from) {
        return ERR_OUT_OF_BOUNDS;
    }
    memcpy(to, from, size);
    return OK;
}

enum status firmware_memory_read(paddr_t start, void *buffer, size_t size)
{
    if (start >= PHYSICAL_LIMIT || size > PHYSICAL_LIMIT - start) {
        return ERR_OUT_OF_BOUNDS;
    }
    uint8_t *to = buffer;
    while (size > 0) {
        size_t part = PAGE_SIZE - start % PAGE_SIZE;
        part = part < size ? part : size;
        enum status status = copy_part(start, to, part);
        if (status != OK) {
            return status;
        }
        start += part;
        to += part;
        size -= part;
    }
    return OK;
}
