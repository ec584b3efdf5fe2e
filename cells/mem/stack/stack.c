/* SPDX-License-Identifier: MIT */
/*
 * Live stacks are a list. A reader follows `next` only, and every change is one store to such a
 * link: what a handler finds in between is the list before or after.
 *
 * Drop works in the order in which an address stops being part of the stack: out of the list,
 * unmapped, pages given back, the name. Each step empties its field, so a drop that was interrupted
 * can start again; what has no name is a descriptor only.
 */
#include "stack.h"
#include "commit.h"
#include "descriptor_pool.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "mapped_pages.h"
#include "page_allocator.h"
#include "page_table.h"
#include "read_sections.h"
#include "spinlock.h"

CELL(library, "1.1.0");

struct stack {
    struct stack *next;
    struct stack **link;       /* what points here; NULL: not in the list */
    char *name;                /* a descriptor of its own; NULL: the rest means nothing */
    struct pages *guard_below; /* these three are NULL where the stack was adopted */
    struct mapped_pages *memory;
    struct pages *guard_above;
    vaddr_t bottom;
    vaddr_t top;
};
static_assert(sizeof(struct stack) <= DESCRIPTOR_SIZE, "a descriptor");
static_assert(offsetof(struct stack, name) == DESCRIPTOR_COUNT_OFFSET,
              "a fresh descriptor is no stack");
static_assert(STACK_NAME_SIZE <= DESCRIPTOR_SIZE, "a descriptor");

static struct spinlock lock = {.name = "stack"};
static struct stack *stacks; /* written by the lock, read in sections */

/* ---- the list ---- */

static void enlist(struct stack *stack)
{
    GUARD(spinlock, guard, &lock);
    stack->next = stacks;
    COMPILER_BARRIER();
    if (stacks) {
        commit_three(&stacks, stack, &stack->link, &stacks, &stack->next->link, &stack->next);
    } else {
        commit_two(&stacks, stack, &stack->link, &stacks);
    }
}

static void delist(struct stack *stack)
{
    GUARD(spinlock, guard, &lock);
    if (stack->link && stack->next) {
        commit_three(stack->link, stack->next, &stack->next->link, stack->link, &stack->link, NULL);
    } else if (stack->link) {
        commit_two(stack->link, NULL, &stack->link, NULL);
    }
}

static bool find(vaddr_t address, struct stack_place *out)
{
    for (const struct stack *stack = stacks; stack; stack = stack->next) {
        vaddr_t start = stack->bottom - PAGE_SIZE;
        if (address - start >= stack->top + PAGE_SIZE - start) {
            continue; /* addresses below `start` wrap around */
        }
        *out = (struct stack_place){
            .name = stack->name,
            .part = address < stack->bottom ? STACK_GUARD_BELOW
                    : address < stack->top  ? STACK_INSIDE
                                            : STACK_GUARD_ABOVE,
            .bottom = stack->bottom,
            .top = stack->top,
        };
        return true;
    }
    return false;
}

bool stack_find(vaddr_t address, struct stack_place *out)
{
    read_sections_enter();
    bool is_found = find(address, out);
    read_sections_leave();
    return is_found;
}

bool stack_find_guard(vaddr_t address, struct stack_place *out)
{
    struct stack_place place;
    if (!stack_find(address, &place) || place.part == STACK_INSIDE) {
        return false;
    }
    *out = place;
    return true;
}

/* ---- making ---- */

/* A stack with a name, and without memory. */
static enum status make_named(const char *name, struct stack **out) OWN_ACQUIRES(**out);

/* Unchecked: handles begin here. */
OWN_UNCHECKED static enum status make_named(const char *name, struct stack **out)
{
    OWN_DEMAND_(!*out);
    if (!descriptor_pool_take(out)) {
        return ERR_NO_MEMORY;
    }
    struct stack *stack = *out;
    *stack = (struct stack){0};
    COMPILER_BARRIER();
    if (!descriptor_pool_take(&stack->name)) {
        stack_drop(out);
        return ERR_NO_MEMORY;
    }
    size_t length = strlen(name);
    length = length < STACK_NAME_SIZE ? length : STACK_NAME_SIZE - 1;
    memcpy(stack->name, name, length);
    stack->name[length] = '\0';
    return OK;
}

static enum status take_pages(struct stack *stack, uint64_t count, struct pages **out)
    OWN_ACQUIRES(**out);

/* Takes pages for a stack of `count`, and leaves one at either end with the stack. */
static enum status take_pages(struct stack *stack, uint64_t count, struct pages **out)
{
    OWNED(pages, below);
    enum status status = page_allocator_take(PAGE_ZONE_DATA, count + 2, 1, SLOT(below));
    if (status != OK) {
        return status;
    }
    OWNED(pages, pages);
    status = pages_split(REF(below), 1, SLOT(pages));
    if (status != OK) {
        return status;
    }
    OWNED(pages, above);
    status = pages_split(REF(pages), count, SLOT(above));
    if (status != OK) {
        return status;
    }
    STORE(stack->guard_below, below);
    STORE(stack->guard_above, above);
    MOVE(*out, pages);
    return OK;
}

static enum status take_frames(uint64_t count, struct frames **out) OWN_ACQUIRES(**out);

static enum status take_frames(uint64_t count, struct frames **out)
{
    if (frame_allocator_take(count, 1, out) == OK) {
        return OK;
    }
    return frame_allocator_take_any(count, out);
}

/* Gives the stack its memory; after an error it has none, or guards only. */
static enum status fill(struct stack *stack, uint64_t count)
{
    OWNED(frames, frames);
    enum status status = take_frames(count, SLOT(frames));
    if (status != OK) {
        return status;
    }
    OWNED(pages, pages);
    status = take_pages(stack, count, SLOT(pages));
    if (status != OK) {
        return status;
    }
    OWNED(mapped_pages, memory);
    status = mapped_pages_map(SLOT(pages), SLOT(frames), PAGE_WRITE, SLOT(memory));
    if (status != OK) {
        return status;
    }
    stack->bottom = mapped_pages_start(REF(memory));
    stack->top = stack->bottom + (count << PAGE_SHIFT);
    STORE(stack->memory, memory);
    return OK;
}

enum status stack_create(size_t bytes, const char *name, struct stack **out)
{
    if (bytes == 0) {
        return ERR_INVALID_ARGUMENT;
    }
    OWNED(stack, stack);
    enum status status = make_named(name, SLOT(stack));
    if (status != OK) {
        return status;
    }
    status = fill(REF(stack), page_count_of(bytes));
    if (status != OK) {
        return status;
    }
    enlist(REF(stack));
    MOVE(*out, stack);
    return OK;
}

static enum status make_guard(vaddr_t page)
{
    return page_table_find(page, NULL, NULL) ? page_table_unmap(page, 1) : OK;
}

enum status stack_adopt(vaddr_t bottom, size_t bytes, const char *name)
{
    if (!page_is_aligned(bottom) || !page_is_aligned(bytes)) {
        return ERR_MISALIGNED;
    }
    if (bytes == 0) {
        return ERR_INVALID_ARGUMENT;
    }
    OWNED(stack, stack);
    enum status status = make_named(name, SLOT(stack));
    if (status != OK) {
        return status;
    }
    status = make_guard(bottom - PAGE_SIZE);
    if (status != OK) {
        return status;
    }
    status = make_guard(bottom + bytes);
    if (status != OK) {
        return status;
    }
    REF(stack)->bottom = bottom;
    REF(stack)->top = bottom + bytes;
    enlist(REF(stack));
    EMPTY(SLOT(stack)); /* nobody owns it: it stays in the list */
    return OK;
}

void stack_drop(struct stack **handle)
{
    struct stack *stack = *handle;
    if (!stack) {
        return;
    }
    if (stack->name) {
        delist(stack);
        mapped_pages_drop(&stack->memory);
        pages_drop(&stack->guard_below);
        pages_drop(&stack->guard_above);
        if (!read_sections_wait()) {
            EMPTY(handle); /* somebody looks at it for ever: the descriptors are lost */
            return;
        }
        descriptor_pool_give(&stack->name);
    }
    descriptor_pool_give(handle);
}

/* ---- what owners see ---- */

vaddr_t stack_bottom(const struct stack *stack)
{
    return stack->bottom;
}

vaddr_t stack_top(const struct stack *stack)
{
    return stack->top;
}

const char *stack_name(const struct stack *stack)
{
    return stack->name;
}
