/* SPDX-License-Identifier: MIT */
/*
 * own_collections.h - arrays, lists and structures of owned things, each owned as one thing.
 *
 * Why: who holds several things at once should not need a slot for each, or a loop that releases
 * them on every way out. A collection is a structure in its owner's memory, full or not in each of
 * its places; one slot owns it, and its drop releases all that is in it.
 *
 *      OWN_ARRAY_DEFINE(windows, window, 8);              struct windows { struct window *at[8]; }
 *      OWN_LIST_DEFINE(window_list, window, next);        struct window_list { struct window *first; }
 *      OWN_STRUCTURE_DEFINE(desk, OWN_MEMBER(window, front) OWN_MEMBER(paper, sheet));
 *
 *      OWNED_HERE(windows, open);                         empty, here, until the block ends
 *      status = window_create(SLOT(window));
 *      STORE(REF(open)->at[3], window);                   places are fields: own.h says how to use them
 *      window_list_push(REF(list), SLOT(window));         the first of the list from now on
 *      status = window_list_pop(REF(list), SLOT(window)); ERR_NOT_FOUND
 *
 * Rules: each of these makes an owned handle type: in a structure, or in memory of the heap, it is
 * released by `NAME_drop()` of a pointer to it. What is owned in place, by OWNED_HERE, is not
 * moved; what is in it can be. Things in a list are linked through a field of their own, so each is
 * in one list at most. Who uses a collection that others may use too holds its lock. Arrays are
 * released from the last to the first, lists from the first to the last, members in the order in
 * which they are named.
 *
 * A fault between any two instructions loses nothing and doubles nothing: a place is filled and
 * emptied by one store, a list changes by the store of one link, and until then, and from then on,
 * exactly one of slot and list owns (`peer`, as in a move). A drop may begin again: what has been
 * released is not there any more.
 */
#pragma once

#include "own.h"

/* An empty `struct type` in this block, owned by a slot of that name until the block ends. */
#define OWNED_HERE(type, name)        \
    struct type name##_storage = {0}; \
    OWNED(type, name);                \
    FILL(SLOT(name), &name##_storage)

/* GCC's analyzer does not follow a loop over an array: it is told that others know what is in it.
 */
#if OWN_PLAIN && !OWN_CONTRACTS
void own_forget_(const void *array);
    #define OWN_FORGET_(array) own_forget_(array)
#else
    #define OWN_FORGET_(array) ((void)0)
#endif

/* Behind the semicolon there is `struct name`, and name_drop(). */
#define OWN_ARRAY_DEFINE(name, type, capacity)                        \
    struct OWN_CAPABILITY("owned array") name {                       \
        struct type *at[capacity];                                    \
    };                                                                \
    OWN_DECLARE_LOCAL(name);                                          \
    UNUSED static void name##_drop(struct name **handle)              \
    {                                                                 \
        struct name *array = *handle;                                 \
        OWN_FORGET_(array);                                           \
        for (size_t i = array ? ARRAY_COUNT(array->at) : 0; i > 0;) { \
            type##_drop(&array->at[--i]);                             \
        }                                                             \
        EMPTY(handle);                                                \
    }                                                                 \
    struct name

/* `struct name` is declared before, with the fields that are named here, each by its own
 * OWN_MEMBER. */
#define OWN_STRUCTURE_DEFINE(name, members)              \
    OWN_DECLARE_LOCAL(name);                             \
    UNUSED static void name##_drop(struct name **handle) \
    {                                                    \
        struct name *whole = *handle;                    \
        if (whole) {                                     \
            members EMPTY(handle);                       \
        }                                                \
    }                                                    \
    struct name
#define OWN_MEMBER(type, field) type##_drop(&whole->field);

/*
 * `link` is a field of `struct type`: `struct type *`.
 *   name_push(list, **thing)              takes it; it is the first one then
 *   name_pop(list, **out)                 ERR_NOT_FOUND in an empty list
 *   name_remove(list, *thing, **out)      ERR_NOT_FOUND for one that is not in the list; O(length)
 */
#define OWN_LIST_DEFINE(name, type, link)                                                         \
    struct OWN_CAPABILITY("owned list") name {                                                    \
        struct type *first;                                                                       \
    };                                                                                            \
    OWN_DECLARE_LOCAL(name);                                                                      \
    UNUSED static void name##_push(struct name *list, struct type **thing) OWN_CONSUMES(**thing); \
    UNUSED static void name##_push(struct name *list, struct type **thing) OWN_UNCHECKED          \
    {                                                                                             \
        OWNED(type, taken);                                                                       \
        TAKE(taken, thing);                                                                       \
        OWN_LINK_(&list->first, taken, link);                                                     \
    }                                                                                             \
    UNUSED static enum status name##_take_from_(struct type **place, struct type **out)           \
        OWN_ACQUIRES(**out);                                                                      \
    UNUSED static enum status name##_take_from_(struct type **place, struct type **out)           \
        OWN_UNCHECKED                                                                             \
    {                                                                                             \
        if (!*place) {                                                                            \
            return ERR_NOT_FOUND;                                                                 \
        }                                                                                         \
        OWNED(type, taken);                                                                       \
        OWN_UNLINK_(taken, place, link);                                                          \
        MOVE(*out, taken);                                                                        \
        return OK;                                                                                \
    }                                                                                             \
    UNUSED static enum status name##_pop(struct name *list, struct type **out)                    \
        OWN_ACQUIRES(**out);                                                                      \
    UNUSED static enum status name##_pop(struct name *list, struct type **out) OWN_UNCHECKED      \
    {                                                                                             \
        return name##_take_from_(&list->first, out);                                              \
    }                                                                                             \
    UNUSED static enum status name##_remove(struct name *list, const struct type *thing,          \
                                            struct type **out) OWN_ACQUIRES(**out);               \
    UNUSED static enum status name##_remove(struct name *list, const struct type *thing,          \
                                            struct type **out) OWN_UNCHECKED                      \
    {                                                                                             \
        struct type **place = &list->first;                                                       \
        while (*place && *place != thing) {                                                       \
            place = &(*place)->link;                                                              \
        }                                                                                         \
        return name##_take_from_(place, out);                                                     \
    }                                                                                             \
    UNUSED static void name##_drop(struct name **handle) OWN_UNCHECKED                            \
    {                                                                                             \
        struct name *list = *handle;                                                              \
        while (list && list->first) {                                                             \
            OWNED(type, taken);                                                                   \
            OWN_UNLINK_(taken, &list->first, link);                                               \
        }                                                                                         \
        EMPTY(handle);                                                                            \
    }                                                                                             \
    struct name

/* From the slot into the list: the store of the place is the commit. */
#if OWN_PLAIN
    #define OWN_LINK_(place, name, link)  \
        do {                              \
            name##_slot->link = *(place); \
            *(place) = name##_slot;       \
            name##_slot = NULL;           \
        } while (0)
    #define OWN_UNLINK_(name, place, link) \
        do {                               \
            name##_slot = *(place);        \
            *(place) = name##_slot->link;  \
        } while (0)
#else
    #define OWN_LINK_(place, name, link)              \
        do {                                          \
            (name).typed.handle->link = *(place);     \
            COMPILER_BARRIER();                       \
            (name).typed.peer = (place);              \
            COMPILER_BARRIER();                       \
            *(name).typed.peer = (name).typed.handle; \
            COMPILER_BARRIER();                       \
            (name).typed.handle = NULL;               \
            COMPILER_BARRIER();                       \
            (name).typed.peer = NULL;                 \
            COMPILER_BARRIER();                       \
        } while (0)
    /* And back. The thing's own link stays as it is: a fault finds the place right or changed. */
    #define OWN_UNLINK_(name, place, link)                  \
        do {                                                \
            (name).typed.peer = (place);                    \
            COMPILER_BARRIER();                             \
            (name).typed.handle = *(name).typed.peer;       \
            COMPILER_BARRIER();                             \
            *(name).typed.peer = (name).typed.handle->link; \
            COMPILER_BARRIER();                             \
            (name).typed.peer = NULL;                       \
            COMPILER_BARRIER();                             \
        } while (0)
#endif
