/* SPDX-License-Identifier: MIT */
/*
 * Where compilers differ: GCC writes the place of a bit-field as DW_AT_data_bit_offset, older ones
 * as DW_AT_bit_offset, counted from the other end of its storage unit; const of an array is the
 * array's in one and its elements' in another. Both are brought into one form.
 */
#include "abi_types.h"

#include <dwarf.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX      64u        /* of types in types without a name: what is deeper is damaged */
#define TEXT_MAX       (1u << 20) /* bytes of one text, for the same reason */
#define DIMENSIONS_MAX 16u

enum qualifier { CONST = 1, VOLATILE = 2, ATOMIC = 4 };

static void append(struct bytes *out, const char *text)
{
    bytes_append(out, text, strlen(text));
}

PRINTF_LIKE(2, 3)
static void append_numbers(struct bytes *out, const char *format, ...)
{
    char text[64];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    append(out, text);
}

/* ---- the table of names ---- */

bool abi_types_init(struct abi_types *types, Dwarf *dwarf)
{
    *types = (struct abi_types){.dwarf = dwarf, .slot_count = 1024};
    types->slots = calloc(types->slot_count, sizeof(*types->slots));
    return types->slots != NULL;
}

void abi_types_fini(struct abi_types *types)
{
    for (uint32_t i = 0; i < types->count; i++) {
        free(types->list[i].name);
        free(types->list[i].text);
    }
    free(types->list);
    free(types->slots);
    free(types->again);
}

static struct abi_named_type *find(const struct abi_types *types, const char *name, size_t length)
{
    uint64_t key = cell_abi_hash(name, length);
    for (uint32_t at = types->slots[key % types->slot_count]; at;) {
        struct abi_named_type *type = &types->list[at - 1];
        if (type->key == key && strlen(type->name) == length &&
            memcmp(type->name, name, length) == 0) {
            return type;
        }
        at = type->slot_of;
    }
    return NULL;
}

static void enter(struct abi_types *types, uint32_t index)
{
    struct abi_named_type *type = &types->list[index];
    uint32_t *slot = &types->slots[type->key % types->slot_count];
    type->slot_of = *slot;
    *slot = index + 1;
}

static bool grow(struct abi_types *types)
{
    uint32_t room = types->room ? types->room * 2 : 64;
    struct abi_named_type *list = realloc(types->list, room * sizeof(*list));
    if (!list) {
        return false;
    }
    types->list = list;
    types->room = room;
    if (room <= types->slot_count) {
        return true;
    }
    uint32_t *slots = calloc(2 * room, sizeof(*slots));
    if (!slots) {
        return false;
    }
    free(types->slots);
    types->slots = slots;
    types->slot_count = 2 * room;
    for (uint32_t i = 0; i < types->count; i++) {
        enter(types, i);
    }
    return true;
}

/* Finds or adds; NULL for lack of memory. */
static struct abi_named_type *obtain(struct abi_types *types, const char *name)
{
    struct abi_named_type *type = find(types, name, strlen(name));
    if (type) {
        return type;
    }
    if (types->count == types->room && !grow(types)) {
        types->failed = true;
        return NULL;
    }
    type = &types->list[types->count];
    *type = (struct abi_named_type){.name = strdup(name)};
    if (!type->name) {
        types->failed = true;
        return NULL;
    }
    type->key = cell_abi_hash(name, strlen(name));
    enter(types, types->count++);
    return type;
}

/* ---- DWARF ---- */

static const char *keyword_of(int tag)
{
    switch (tag) {
    case DW_TAG_structure_type:
        return "struct";
    case DW_TAG_union_type:
        return "union";
    case DW_TAG_enumeration_type:
        return "enum";
    default:
        return NULL;
    }
}

static bool number_of(Dwarf_Die *die, unsigned attribute, uint64_t *out)
{
    Dwarf_Attribute attr;
    Dwarf_Word word;
    if (!dwarf_attr_integrate(die, attribute, &attr) || dwarf_formudata(&attr, &word) != 0) {
        return false;
    }
    *out = word;
    return true;
}

static bool has_flag(Dwarf_Die *die, unsigned attribute)
{
    Dwarf_Attribute attr;
    bool flag;
    return dwarf_attr_integrate(die, attribute, &attr) && dwarf_formflag(&attr, &flag) == 0 && flag;
}

static bool type_of(Dwarf_Die *die, Dwarf_Die *out)
{
    Dwarf_Attribute attr;
    return dwarf_attr_integrate(die, DW_AT_type, &attr) && dwarf_formref_die(&attr, out);
}

void abi_types_scan(struct abi_types *types, Dwarf_Die *unit)
{
    Dwarf_Die die;
    if (dwarf_child(unit, &die) != 0) {
        return;
    }
    struct bytes name = {0};
    do {
        const char *keyword = keyword_of(dwarf_tag(&die));
        const char *text = keyword ? dwarf_diename(&die) : NULL;
        if (!text || has_flag(&die, DW_AT_declaration)) {
            continue;
        }
        name.size = 0;
        bytes_append_text(&name, "%s %s", keyword, text);
        bytes_append(&name, "", 1);
        struct abi_named_type *type = name.failed ? NULL : obtain(types, (const char *)name.data);
        if (type && type->die == 0) {
            type->die = dwarf_dieoffset(&die);
        } else if (type) {
            if (types->again_count == types->again_room) {
                uint32_t room = types->again_room ? types->again_room * 2 : 64;
                void *again = realloc(types->again, room * sizeof(*types->again));
                if (!again) {
                    types->failed = true;
                    break;
                }
                types->again = again;
                types->again_room = room;
            }
            types->again[types->again_count].type = (uint32_t)(type - types->list);
            types->again[types->again_count++].die = dwarf_dieoffset(&die);
        }
    } while (dwarf_siblingof(&die, &die) == 0);
    types->failed |= name.failed;
    bytes_fini(&name);
}

/* ---- texts ---- */

static void append_die(struct abi_types *types, struct bytes *out, Dwarf_Die *die,
                       unsigned qualifiers, unsigned depth);

static void append_base(struct bytes *out, Dwarf_Die *die)
{
    uint64_t encoding = 0;
    uint64_t size = 0;
    number_of(die, DW_AT_encoding, &encoding);
    number_of(die, DW_AT_byte_size, &size);
    switch (encoding) {
    case DW_ATE_boolean:
        if (size == 1) {
            append(out, "bool");
            return;
        }
        append_numbers(out, "u%" PRIu64, size * 8);
        return;
    case DW_ATE_signed:
    case DW_ATE_signed_char:
        append_numbers(out, "s%" PRIu64, size * 8);
        return;
    case DW_ATE_float:
        append_numbers(out, "f%" PRIu64, size * 8);
        return;
    case DW_ATE_complex_float:
        append_numbers(out, "c%" PRIu64, size * 8);
        return;
    default: /* unsigned, unsigned_char, UTF */
        append_numbers(out, "u%" PRIu64, size * 8);
        return;
    }
}

/* Follows typedefs and qualifiers. False where that ends at void. */
static bool strip(Dwarf_Die *die, unsigned *qualifiers)
{
    for (unsigned steps = 0; steps < DEPTH_MAX; steps++) {
        switch (dwarf_tag(die)) {
        case DW_TAG_typedef:
        case DW_TAG_restrict_type:
            break;
        case DW_TAG_const_type:
            *qualifiers |= CONST;
            break;
        case DW_TAG_volatile_type:
            *qualifiers |= VOLATILE;
            break;
        case DW_TAG_atomic_type:
            *qualifiers |= ATOMIC;
            break;
        default:
            return true;
        }
        if (!type_of(die, die)) {
            return false;
        }
    }
    return false;
}

static void append_qualifiers(struct bytes *out, unsigned qualifiers)
{
    append(out, qualifiers & CONST ? " const" : "");
    append(out, qualifiers & VOLATILE ? " volatile" : "");
    append(out, qualifiers & ATOMIC ? " atomic" : "");
}

enum strictness { WITH_QUALIFIERS, WITHOUT_QUALIFIERS };

/* The type that `holder` has: a variable, a field, a pointer... */
static void append_type_of(struct abi_types *types, struct bytes *out, Dwarf_Die *holder,
                           enum strictness strictness, unsigned depth)
{
    Dwarf_Die die;
    unsigned qualifiers = 0;
    bool is_void = !type_of(holder, &die) || !strip(&die, &qualifiers);
    qualifiers = strictness == WITHOUT_QUALIFIERS ? 0 : qualifiers;
    if (is_void) {
        append(out, "void");
        append_qualifiers(out, qualifiers);
    } else {
        append_die(types, out, &die, qualifiers, depth);
    }
}

static void append_dimension(struct bytes *out, Dwarf_Die *range)
{
    uint64_t count;
    if (number_of(range, DW_AT_count, &count)) {
        append_numbers(out, "[%" PRIu64 "]", count);
    } else if (number_of(range, DW_AT_upper_bound, &count)) {
        append_numbers(out, "[%" PRIu64 "]", count + 1);
    } else {
        append(out, "[]");
    }
}

/* Arrays of arrays, whether by typedef or not, are one list of dimensions, as in C. */
static void append_array(struct abi_types *types, struct bytes *out, Dwarf_Die *array,
                         unsigned qualifiers, unsigned depth)
{
    struct bytes dimensions = {0};
    Dwarf_Die die = *array;
    bool is_void = false;
    for (unsigned steps = 0; steps < DIMENSIONS_MAX && dwarf_tag(&die) == DW_TAG_array_type;
         steps++) {
        Dwarf_Die range;
        for (int more = dwarf_child(&die, &range); more == 0;
             more = dwarf_siblingof(&range, &range)) {
            if (dwarf_tag(&range) == DW_TAG_subrange_type) {
                append_dimension(&dimensions, &range);
            }
        }
        is_void = !type_of(&die, &die) || !strip(&die, &qualifiers);
        if (is_void) {
            break;
        }
    }
    if (is_void || dwarf_tag(&die) == DW_TAG_array_type) {
        append(out, "void");
    } else {
        append_die(types, out, &die, qualifiers, depth + 1);
    }
    bytes_append(out, dimensions.data ? (const char *)dimensions.data : "", dimensions.size);
    out->failed |= dimensions.failed;
    bytes_fini(&dimensions);
}

static void append_function(struct abi_types *types, struct bytes *out, Dwarf_Die *function,
                            unsigned depth)
{
    append_type_of(types, out, function, WITHOUT_QUALIFIERS, depth + 1);
    append(out, "(");
    Dwarf_Die die;
    bool is_first = true;
    if (!has_flag(function, DW_AT_prototyped)) {
        append(out, "?)");
        return;
    }
    for (int more = dwarf_child(function, &die); more == 0; more = dwarf_siblingof(&die, &die)) {
        int tag = dwarf_tag(&die);
        if (tag != DW_TAG_formal_parameter && tag != DW_TAG_unspecified_parameters) {
            continue;
        }
        append(out, is_first ? "" : ",");
        is_first = false;
        if (tag == DW_TAG_unspecified_parameters) {
            append(out, "...");
        } else {
            append_type_of(types, out, &die, WITHOUT_QUALIFIERS, depth + 1);
        }
    }
    append(out, ")");
}

/* In bits from the start of the structure. */
static uint64_t place_of(Dwarf_Die *member, uint64_t width)
{
    uint64_t at = 0;
    uint64_t value;
    if (number_of(member, DW_AT_data_bit_offset, &value)) {
        return value;
    }
    if (number_of(member, DW_AT_data_member_location, &value)) {
        at = value * 8;
    } else {
        Dwarf_Attribute attr;
        Dwarf_Op *expression;
        size_t length;
        if (dwarf_attr(member, DW_AT_data_member_location, &attr) &&
            dwarf_getlocation(&attr, &expression, &length) == 0 && length == 1 &&
            expression[0].atom == DW_OP_plus_uconst) {
            at = expression[0].number * 8;
        }
    }
    uint64_t storage = 0;
    if (number_of(member, DW_AT_bit_offset, &value)) {
        Dwarf_Die type;
        if (!number_of(member, DW_AT_byte_size, &storage) && type_of(member, &type)) {
            int size = dwarf_bytesize(&type);
            storage = size > 0 ? (uint64_t)size : 0;
        }
        at += storage * 8 - value - width;
    }
    return at;
}

static void append_field(struct abi_types *types, struct bytes *out, Dwarf_Die *member,
                         unsigned depth)
{
    uint64_t width = 0;
    bool is_bits = number_of(member, DW_AT_bit_size, &width);
    uint64_t place = place_of(member, width);
    const char *name = dwarf_diename(member);
    append_type_of(types, out, member, WITH_QUALIFIERS, depth + 1);
    append(out, " ");
    append(out, name ? name : "");
    append_numbers(out, "@%" PRIu64, place / 8);
    if (is_bits) {
        append_numbers(out, ".%" PRIu64 ":%" PRIu64, place % 8, width);
    }
    append(out, ";");
}

static void append_enumerator(struct bytes *out, Dwarf_Die *die)
{
    Dwarf_Attribute attr;
    Dwarf_Word word = 0;
    Dwarf_Sword number = 0;
    const char *name = dwarf_diename(die);
    append(out, name ? name : "?");
    if (dwarf_attr(die, DW_AT_const_value, &attr)) {
        unsigned form = dwarf_whatform(&attr);
        bool is_signed = form == DW_FORM_sdata || form == DW_FORM_implicit_const;
        if (is_signed && dwarf_formsdata(&attr, &number) == 0) {
            append_numbers(out, "=%" PRId64, (int64_t)number);
        } else if (dwarf_formudata(&attr, &word) == 0) {
            append_numbers(out, "=%" PRIu64, (uint64_t)word);
        }
    }
    append(out, ",");
}

static void append_enumeration(struct bytes *out, Dwarf_Die *die)
{
    append(out, "{");
    Dwarf_Die child;
    for (int more = dwarf_child(die, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        if (dwarf_tag(&child) == DW_TAG_enumerator) {
            append_enumerator(out, &child);
        }
    }
    append(out, "}");
    Dwarf_Die base;
    unsigned ignored = 0;
    bool has_base =
        type_of(die, &base) && strip(&base, &ignored) && dwarf_tag(&base) == DW_TAG_base_type;
    append_base(out, has_base ? &base : die);
}

/* From the brace on. */
static void append_layout(struct abi_types *types, struct bytes *out, Dwarf_Die *die,
                          unsigned depth)
{
    if (dwarf_tag(die) == DW_TAG_enumeration_type) {
        append_enumeration(out, die);
        return;
    }
    append(out, "{");
    Dwarf_Die child;
    for (int more = dwarf_child(die, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        if (dwarf_tag(&child) == DW_TAG_member && !has_flag(&child, DW_AT_external)) {
            append_field(types, out, &child, depth);
        }
    }
    uint64_t size = 0;
    uint64_t alignment;
    number_of(die, DW_AT_byte_size, &size);
    append_numbers(out, "}%" PRIu64, size);
    if (number_of(die, DW_AT_alignment, &alignment)) {
        append_numbers(out, " align %" PRIu64, alignment);
    }
}

static void append_aggregate(struct abi_types *types, struct bytes *out, Dwarf_Die *die,
                             unsigned depth)
{
    size_t start = out->size;
    const char *name = dwarf_diename(die);
    append(out, keyword_of(dwarf_tag(die)));
    if (!name) {
        append_layout(types, out, die, depth);
        return;
    }
    append(out, " ");
    append(out, name);
    bytes_append(out, "", 1); /* for a moment */
    struct abi_named_type *type = out->failed ? NULL : obtain(types, (char *)out->data + start);
    out->size -= !out->failed;
    if (type) {
        type->is_wanted = true;
        if (type->die == 0 && !has_flag(die, DW_AT_declaration)) {
            type->die = dwarf_dieoffset(die); /* local to a function */
        }
    }
}

static void append_die(struct abi_types *types, struct bytes *out, Dwarf_Die *die,
                       unsigned qualifiers, unsigned depth)
{
    if (depth > DEPTH_MAX || out->size > TEXT_MAX) {
        append(out, "?");
        return;
    }
    switch (dwarf_tag(die)) {
    case DW_TAG_base_type:
        append_base(out, die);
        break;
    case DW_TAG_pointer_type:
        append_type_of(types, out, die, WITH_QUALIFIERS, depth + 1);
        append(out, "*");
        break;
    case DW_TAG_array_type:
        append_array(types, out, die, qualifiers, depth);
        return;
    case DW_TAG_subroutine_type:
        append_function(types, out, die, depth);
        return;
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
        append_aggregate(types, out, die, depth);
        break;
    default:
        append(out, "?");
        break;
    }
    append_qualifiers(out, qualifiers);
}

/* Ends a text and gives it away. */
static char *take(struct abi_types *types, struct bytes *text)
{
    bytes_append(text, "", 1);
    if (text->failed) {
        bytes_fini(text);
        types->failed = true;
        return NULL;
    }
    return (char *)text->data;
}

char *abi_types_function(struct abi_types *types, Dwarf_Die *function)
{
    struct bytes text = {0};
    append_function(types, &text, function, 0);
    return take(types, &text);
}

char *abi_types_variable(struct abi_types *types, Dwarf_Die *variable)
{
    struct bytes text = {0};
    append_type_of(types, &text, variable, WITH_QUALIFIERS, 0);
    return take(types, &text);
}

/* ---- named types ---- */

static char *layout_of(struct abi_types *types, uint32_t index, Dwarf_Off offset)
{
    struct bytes text = {0};
    Dwarf_Die die;
    append(&text, types->list[index].name);
    if (offset != 0 && dwarf_offdie(types->dwarf, offset, &die)) {
        append_layout(types, &text, &die, 0);
    }
    return take(types, &text);
}

static enum status refuse_conflict(const struct abi_named_type *type, const char *other,
                                   struct problem *problem)
{
    char line[PROBLEM_TEXT_SIZE];
    struct cell_abi_difference difference = cell_abi_compare(type->text, other);
    cell_abi_format_difference(&difference, "one", "another", line, sizeof(line));
    problem_set(problem, PROBLEM_ABI_CONFLICT, "two sources of the cell lay out %s differently",
                type->name);
    problem_because(problem, "%s", line);
    return problem->status;
}

/* Writing one text may ask for more types: they are at the end of the list, or before it and come
 * next time. */
enum status abi_types_complete(struct abi_types *types, struct problem *problem)
{
    for (bool any = true; any && !types->failed;) {
        any = false;
        for (uint32_t i = 0; i < types->count && !types->failed; i++) {
            if (types->list[i].is_wanted && !types->list[i].text) {
                char *text = layout_of(types, i, types->list[i].die);
                types->list[i].text = text;
                any = true;
            }
        }
    }
    for (uint32_t i = 0; i < types->again_count && !types->failed; i++) {
        uint32_t index = types->again[i].type;
        if (!types->list[index].is_wanted) {
            continue;
        }
        char *text = layout_of(types, index, types->again[i].die);
        bool is_equal = text && strcmp(text, types->list[index].text) == 0;
        if (text && !is_equal) {
            refuse_conflict(&types->list[index], text, problem);
        }
        free(text);
        if (!is_equal && !types->failed) {
            return problem->status;
        }
    }
    return types->failed ? problem_set(problem, PROBLEM_MEMORY, "out of memory") : OK;
}

void abi_types_share(struct abi_types *types, const char *text)
{
    uint32_t *stack = malloc((types->count + 1) * sizeof(*stack));
    uint32_t depth = 0;
    if (!stack) {
        types->failed = true;
        return;
    }
    for (;;) {
        uint64_t cursor = 0;
        struct span name;
        bool is_inside;
        while (cell_abi_next_mention(text, &cursor, &name, &is_inside)) {
            struct abi_named_type *type = find(types, (const char *)name.base, name.size);
            if (type && type->text && !type->is_shared) {
                type->is_shared = true;
                stack[depth++] = (uint32_t)(type - types->list);
            }
        }
        if (depth == 0) {
            break;
        }
        text = types->list[stack[--depth]].text;
    }
    free(stack);
}

struct layout_walk {
    const struct abi_types *types;
    uint64_t hash;
    bool *seen;
};

static void hash_more(struct layout_walk *walk, const char *text)
{
    for (; *text; text++) {
        walk->hash = (walk->hash ^ (uint8_t)*text) * CELL_ABI_HASH_PRIME;
    }
}

static void walk_layout(struct layout_walk *walk, const char *text)
{
    uint64_t cursor = 0;
    struct span name;
    bool is_inside;
    hash_more(walk, text);
    while (cell_abi_next_mention(text, &cursor, &name, &is_inside)) {
        struct abi_named_type *type = find(walk->types, (const char *)name.base, name.size);
        if (is_inside && type && type->text && !walk->seen[type - walk->types->list]) {
            walk->seen[type - walk->types->list] = true;
            hash_more(walk, ";");
            walk_layout(walk, type->text);
        }
    }
}

uint64_t abi_types_layout(const struct abi_types *types, const char *text)
{
    struct layout_walk walk = {types, CELL_ABI_HASH_START, calloc(types->count + 1, sizeof(bool))};
    if (walk.seen) {
        walk_layout(&walk, text);
    }
    bool failed = !walk.seen;
    free(walk.seen);
    return failed ? 0 : walk.hash ? walk.hash : 1;
}
