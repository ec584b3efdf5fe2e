/* SPDX-License-Identifier: MIT */
/*
 * Every position at which NameOp and the name stand is a candidate, read by itself; a candidate
 * that is no package is remembered and the search goes on behind its first byte. A reader is a span
 * that shrinks from the front: what was cut off cannot be read again, and what is not there gives
 * no byte.
 */
#include "aml_sleep.h"

CELL(library, "1.0.0");

/* ACPI Specification 6.5, 20.2: AML Grammar Definition. */
enum {
    AML_ZERO = 0x00,
    AML_ONE = 0x01,
    AML_NAME = 0x08,
    AML_BYTE = 0x0a,
    AML_WORD = 0x0b,
    AML_DWORD = 0x0c,
    AML_QWORD = 0x0e,
    AML_PACKAGE = 0x12,
    AML_ROOT = '\\',
};

#define NAME_SIZE 4u

struct found {
    unsigned count;
    struct aml_sleep first;
    struct diag bad; /* the first candidate that was refused */
};

static enum status refuse(struct diag *diag, enum diag_code code, const char *name, uint64_t offset)
{
    return diag_set(diag, code,
                    &(struct diag_site){
                        .cell = "acpi",
                        .section = "AML",
                        .symbol = name,
                        .offset = offset,
                    });
}

static bool next_byte(struct span *rest, uint8_t *out)
{
    if (rest->size == 0) {
        return false;
    }
    *out = rest->base[0];
    rest->base++;
    rest->size--;
    return true;
}

/* Little-endian, `size` bytes. */
static bool next_number(struct span *rest, unsigned size, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte;
        if (!next_byte(rest, &byte)) {
            return false;
        }
        value |= (uint64_t)byte << (8 * i);
    }
    *out = value;
    return true;
}

/*
 * PkgLength (20.2.4): the two high bits of the first byte say how many follow. Without any, the low
 * six are the length; else the low four are its lowest, and the two between are 0. The length
 * counts its own bytes. Narrows *rest to the content of the package.
 */
static bool enter_package(struct span *rest)
{
    struct span whole = *rest;
    uint8_t lead;
    uint64_t more = 0;
    if (!next_byte(rest, &lead) || !next_number(rest, lead >> 6, &more)) {
        return false;
    }
    bool is_short = lead >> 6 == 0;
    if (!is_short && (lead & 0x30)) {
        return false;
    }
    uint64_t length = is_short ? lead & 0x3fu : (lead & 0x0fu) | more << 4;
    uint64_t own = 1u + (lead >> 6);
    return length >= own && length <= whole.size && span_slice(whole, own, length - own, rest);
}

/* DIAG_NONE, or what is wrong. */
static enum diag_code next_integer(struct span *rest, uint64_t *out)
{
    uint8_t op;
    if (!next_byte(rest, &op)) {
        return DIAG_AML_PACKAGE;
    }
    unsigned size = 0;
    switch (op) {
    case AML_ZERO:
    case AML_ONE:
        *out = op;
        return DIAG_NONE;
    case AML_BYTE:
        size = 1;
        break;
    case AML_WORD:
        size = 2;
        break;
    case AML_DWORD:
        size = 4;
        break;
    case AML_QWORD:
        size = 8;
        break;
    default:
        return DIAG_AML_ELEMENT;
    }
    return next_number(rest, size, out) ? DIAG_NONE : DIAG_AML_PACKAGE;
}

/* What follows the name. */
static enum diag_code read_package(struct span rest, struct aml_sleep *out)
{
    uint8_t op;
    uint8_t count;
    uint64_t a;
    if (!next_byte(&rest, &op) || op != AML_PACKAGE || !enter_package(&rest) ||
        !next_byte(&rest, &count) || count == 0) {
        return DIAG_AML_PACKAGE;
    }
    enum diag_code code = next_integer(&rest, &a);
    uint64_t b = a >> 8;
    if (code == DIAG_NONE && count == 1) {
        a &= 0xff;
    } else if (code == DIAG_NONE) {
        code = next_integer(&rest, &b);
    }
    if (code == DIAG_NONE && (a > AML_SLEEP_TYPE_MAX || b > AML_SLEEP_TYPE_MAX)) {
        code = DIAG_AML_ELEMENT;
    }
    if (code == DIAG_NONE) {
        *out = (struct aml_sleep){.type_a = (uint8_t)a, .type_b = (uint8_t)b};
    }
    return code;
}

/* The size of NameOp and the name at the start of `rest`; 0 when they are not there. */
static size_t name_at(struct span rest, const char *name)
{
    if (rest.size == 0 || rest.base[0] != AML_NAME) {
        return 0;
    }
    size_t at = rest.size > 1 && rest.base[1] == AML_ROOT ? 2 : 1;
    const void *there = span_at(rest, at, NAME_SIZE);
    return there && __builtin_memcmp(there, name, NAME_SIZE) == 0 ? at + NAME_SIZE : 0;
}

/* Reads a candidate; false where a second good one differs from the first. */
static bool add_candidate(struct found *found, struct span package, const char *name, uint64_t at)
{
    struct aml_sleep sleep;
    enum diag_code code = read_package(package, &sleep);
    if (code != DIAG_NONE) {
        if (found->bad.code == DIAG_NONE) {
            (void)!refuse(&found->bad, code, name, at);
        }
        return true;
    }
    if (found->count++ == 0) {
        found->first = sleep;
    }
    return found->first.type_a == sleep.type_a && found->first.type_b == sleep.type_b;
}

enum status aml_sleep_find(struct span aml, unsigned state, struct aml_sleep *out,
                           struct diag *diag)
{
    if (state > AML_SLEEP_STATE_MAX) {
        return ERR_INVALID_ARGUMENT;
    }
    const char name[NAME_SIZE + 1] = {'_', 'S', (char)('0' + state), '_', '\0'};
    struct found found = {0};
    struct span rest;
    for (uint64_t at = 0; span_slice(aml, at, aml.size - at, &rest) && rest.size > 0; at++) {
        size_t skip = name_at(rest, name);
        struct span package;
        if (skip && span_slice(rest, skip, rest.size - skip, &package) &&
            !add_candidate(&found, package, name, at)) {
            return refuse(diag, DIAG_AML_TWICE, name, at);
        }
    }
    if (found.count > 0) {
        *out = found.first;
        return OK;
    }
    if (found.bad.code == DIAG_NONE) {
        return refuse(diag, DIAG_AML_ABSENT, name, 0);
    }
    if (diag) {
        *diag = found.bad;
    }
    return found.bad.status;
}
