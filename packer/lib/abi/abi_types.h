/* SPDX-License-Identifier: MIT */
/*
 * abi_types.h - canonical texts of the types in an object's DWARF, and the named types that they
 * mention.
 *
 * Why: docs/cell-format.md, Texts. A text names structures, unions and enumerations; what each of
 * them looks like is found by its name in all of the object, for one source may see a type whole
 * that another knows by name.
 *
 * Rules: first abi_types_scan() for each compilation unit, then texts, then abi_types_complete(). A
 * lack of memory is remembered in `failed`.
 */
#pragma once

#include "bytes.h"
#include "cell_abi.h" /* before libdw: the macros of its elf.h may come again, ours may not */

#include <elfutils/libdw.h>

struct abi_named_type {
    char *name; /* "struct task" */
    uint64_t key;
    Dwarf_Off die;    /* where it is described; 0: nowhere */
    char *text;       /* the layout, or the name; NULL until abi_types_complete() */
    bool is_wanted;   /* some text mentions it */
    bool is_shared;   /* abi_types_share() */
    uint32_t slot_of; /* the next one with this hash, plus 1 */
};

struct abi_types {
    Dwarf *dwarf;
    struct abi_named_type *list;
    uint32_t count;
    uint32_t room;
    uint32_t *slots; /* first with that hash, plus 1 */
    uint32_t slot_count;
    struct {
        uint32_t type;
        Dwarf_Off die;
    } * again; /* a type that another unit describes too */
    uint32_t again_count;
    uint32_t again_room;
    bool failed;
};

MUST_CHECK bool abi_types_init(struct abi_types *types, Dwarf *dwarf);
void abi_types_fini(struct abi_types *types);

/* Notes the named types of a compilation unit. */
void abi_types_scan(struct abi_types *types, Dwarf_Die *unit);

/* The text of a function, or of a variable's type; owned by the caller, NULL for lack of memory. */
char *abi_types_function(struct abi_types *types, Dwarf_Die *function);
char *abi_types_variable(struct abi_types *types, Dwarf_Die *variable);

/* Writes the texts of all types that are wanted. C0425 where two units contradict each other. */
MUST_CHECK enum status abi_types_complete(struct abi_types *types, struct problem *problem);

/* Marks what a text leads to. */
void abi_types_share(struct abi_types *types, const char *text);

/* The hash of a text and of all layouts that lie in it. */
uint64_t abi_types_layout(const struct abi_types *types, const char *text);
