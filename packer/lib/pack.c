/* SPDX-License-Identifier: MIT */
#include "pack.h"
#include "abi/abi_check.h"
#include "cell_gate.h"
#include "cell_info.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC          "!<arch>\n"
#define MAGIC_SIZE     8u
#define HEADER_SIZE    60u
#define SHORT_NAME_MAX 15u /* and a slash fill the name field */
#define DATA_ALIGNMENT 8u
#define MEMBER_SUFFIX  ".cell"

struct member {
    const char *path;
    struct bytes file;
    struct elf_object object;
    struct cell_info info;
    size_t rank; /* place among those that come first; SIZE_MAX for the others */
    uint64_t header_offset;
    size_t long_name; /* offset in "//"; SIZE_MAX when the header holds the name */
};

struct export
{
    const char *symbol;
    const struct member *member;
};

struct packing {
    struct member *members;
    size_t member_count;
    struct export *exports; /* in the order of members, then of symbols */
    size_t export_count;
    progress_report progress;
    struct problem *problem;
};

static enum status read_member(struct packing *packing, struct member *member)
{
    struct problem *problem = packing->problem;
    struct cell_gate gate = {.file = member->path};
    struct diag diag;
    enum status status = bytes_read_file(&member->file, member->path, problem);
    if (status == OK) {
        status = cell_gate_check(&gate, bytes_span(&member->file), problem);
    }
    if (status == OK && (elf_object_open(bytes_span(&member->file), &member->object, &diag) != OK ||
                         cell_info_read(&member->object, &member->info, &diag) != OK)) {
        status = problem_set_diag(problem, &diag, member->path);
    }
    if (status != OK && !problem->where[0]) {
        problem_where(problem, "%s", member->path);
    }
    return status;
}

static int compare_members(const void *left, const void *right)
{
    const struct member *a = left;
    const struct member *b = right;
    if (a->rank != b->rank) {
        return a->rank < b->rank ? -1 : 1;
    }
    return strcmp(a->info.name, b->info.name);
}

/* Two of one name have one rank, and stay neighbours. */
static enum status rank_members(struct packing *packing, const char *const *first)
{
    for (size_t i = 0; i < packing->member_count; i++) {
        packing->members[i].rank = SIZE_MAX;
    }
    for (size_t rank = 0; first && first[rank]; rank++) {
        bool any = false;
        for (size_t i = 0; i < packing->member_count; i++) {
            struct member *member = &packing->members[i];
            if (strcmp(member->info.name, first[rank]) == 0) {
                member->rank = rank;
                any = true;
            }
        }
        if (!any) {
            problem_set(packing->problem, PROBLEM_PACK_FIRST, "no cell %s, which is to come first",
                        first[rank]);
            return packing->problem->status;
        }
    }
    return OK;
}

static enum status check_names(const struct packing *packing)
{
    for (size_t i = 1; i < packing->member_count; i++) {
        const struct member *a = &packing->members[i - 1];
        const struct member *b = &packing->members[i];
        if (strcmp(a->info.name, b->info.name) == 0) {
            problem_set(packing->problem, PROBLEM_PACK_TWICE, "two cells are named %s",
                        a->info.name);
            problem_because(packing->problem, "%s", a->path);
            problem_because(packing->problem, "%s", b->path);
            return packing->problem->status;
        }
    }
    return OK;
}

static enum status collect_exports(struct packing *packing)
{
    size_t most = 0;
    for (size_t i = 0; i < packing->member_count; i++) {
        most += packing->members[i].object.symbol_count;
    }
    packing->exports = calloc(most + 1, sizeof(*packing->exports));
    if (!packing->exports) {
        return problem_set(packing->problem, PROBLEM_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < packing->member_count; i++) {
        const struct member *member = &packing->members[i];
        const struct elf_object *object = &member->object;
        for (uint32_t k = object->first_global; k < object->symbol_count; k++) {
            if (elf_symbol_is_export(&object->symbols[k])) {
                packing->exports[packing->export_count++] =
                    (struct export){elf_object_symbol_name(object, k), member};
            }
        }
    }
    return OK;
}

static int compare_exports(const void *left, const void *right)
{
    const struct export *a = left;
    const struct export *b = right;
    int order = strcmp(a->symbol, b->symbol);
    return order ? order : compare_members(a->member, b->member);
}

static bool same_interface(const struct member *a, const struct member *b)
{
    return a->info.interface && b->info.interface &&
           strcmp(a->info.interface, b->info.interface) == 0;
}

static enum status refuse_duplicate(const struct packing *packing, const struct export *a,
                                    const struct export *b)
{
    problem_set(packing->problem, PROBLEM_PACK_DUPLICATE, "%s and %s both export %s",
                a->member->info.name, b->member->info.name, a->symbol);
    problem_because(packing->problem, "%s", a->member->path);
    problem_because(packing->problem, "%s", b->member->path);
    problem_help(packing->problem,
                 "rename or hide one of them; only cells with the same INTERFACE may agree");
    return packing->problem->status;
}

static enum status check_duplicates(const struct packing *packing)
{
    size_t size = packing->export_count * sizeof(struct export);
    struct export *sorted = malloc(size + 1);
    if (!sorted) {
        return problem_set(packing->problem, PROBLEM_MEMORY, "out of memory");
    }
    memcpy(sorted, packing->exports, size);
    qsort(sorted, packing->export_count, sizeof(*sorted), compare_exports);
    enum status status = OK;
    for (size_t i = 1; status == OK && i < packing->export_count; i++) {
        const struct export *a = &sorted[i - 1];
        const struct export *b = &sorted[i];
        if (strcmp(a->symbol, b->symbol) == 0 && !same_interface(a->member, b->member)) {
            status = refuse_duplicate(packing, a, b);
        }
    }
    free(sorted);
    return status;
}

/* The first conflict is the problem. */
static void take_conflict(void *context, const struct abi_conflict *conflict)
{
    struct problem *problem = context;
    if (problem->code) {
        return;
    }
    char how[DIAG_SYMBOL_SIZE];
    char what[DIAG_SECTION_SIZE];
    abi_conflict_format(conflict, how, sizeof(how));
    snprintf(what, sizeof(what), "%.*s", (int)conflict->what.size,
             (const char *)conflict->what.base);
    struct diag diag;
    enum status ignored =
        diag_set(&diag, conflict->code,
                 &(struct diag_site){.cell = conflict->mine->name, .section = what, .symbol = how});
    ignored = problem_set_diag(problem, &diag, NULL);
    (void)ignored;
}

static enum status check_abi(const struct packing *packing)
{
    struct abi_party *parties = calloc(packing->member_count + 1, sizeof(*parties));
    struct diag diag;
    enum status status = parties ? OK : ERR_NO_MEMORY;
    for (size_t i = 0; status == OK && i < packing->member_count; i++) {
        const struct member *member = &packing->members[i];
        parties[i].name = member->info.name;
        parties[i].interface = member->info.interface;
        parties[i].object = &member->object;
        if (cell_abi_read(&member->object, &parties[i].abi, &diag) != OK) { /* the gate was here */
            status = problem_set_diag(packing->problem, &diag, member->path);
        }
    }
    if (status == OK) {
        status = abi_check(parties, packing->member_count, take_conflict, packing->problem);
    }
    free(parties);
    if (status == ERR_NO_MEMORY) {
        return problem_set(packing->problem, PROBLEM_MEMORY, "out of memory");
    }
    return packing->problem->code ? packing->problem->status : OK;
}

static void append_header(struct bytes *out, const char *name, size_t size)
{
    char header[2 * HEADER_SIZE]; /* GCC proves that any number would fit */
    snprintf(header, sizeof(header), "%-16s%-12d%-6d%-6d%-8s%-10zu`\n", name, 0, 0, 0, "100644",
             size);
    bytes_append(out, header, HEADER_SIZE);
}

/* Bytes to add so that a member's data behind `end` and a header starts aligned. */
static size_t padding_of(size_t end)
{
    return -(end + HEADER_SIZE) & (DATA_ALIGNMENT - 1);
}

static void collect_long_names(struct packing *packing, struct bytes *long_names)
{
    for (size_t i = 0; i < packing->member_count; i++) {
        struct member *member = &packing->members[i];
        bool fits = strlen(member->info.name) + strlen(MEMBER_SUFFIX) <= SHORT_NAME_MAX;
        member->long_name = fits ? SIZE_MAX : long_names->size;
        if (!fits) {
            bytes_append_text(long_names, "%s%s/\n", member->info.name, MEMBER_SUFFIX);
        }
    }
}

/* The index comes first and holds offsets of what follows: sizes are added up before. */
static enum status place_members(struct packing *packing, uint64_t first)
{
    uint64_t offset = first;
    for (size_t i = 0; i < packing->member_count; i++) {
        struct member *member = &packing->members[i];
        member->header_offset = offset;
        offset += HEADER_SIZE + member->file.size;
        offset += padding_of(offset);
    }
    if (offset > UINT32_MAX) {
        return problem_set(packing->problem, PROBLEM_PACK_LIMIT,
                           "the archive would have %" PRIu64 " bytes; its index ends at 4 GiB",
                           offset);
    }
    return OK;
}

static void append_big_endian_32(struct bytes *out, uint64_t value)
{
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                        (uint8_t)value};
    bytes_append(out, bytes, sizeof(bytes));
}

static void append_index(const struct packing *packing, struct bytes *out, size_t size)
{
    append_header(out, "/", size);
    size_t start = out->size;
    append_big_endian_32(out, packing->export_count);
    for (size_t i = 0; i < packing->export_count; i++) {
        append_big_endian_32(out, packing->exports[i].member->header_offset);
    }
    for (size_t i = 0; i < packing->export_count; i++) {
        bytes_append_string(out, packing->exports[i].symbol);
    }
    bytes_append_fill(out, 0, size - (out->size - start));
}

static void append_member(const struct member *member, struct bytes *out)
{
    char name[32];
    if (member->long_name == SIZE_MAX) {
        snprintf(name, sizeof(name), "%.20s%s/", member->info.name, MEMBER_SUFFIX);
    } else {
        snprintf(name, sizeof(name), "/%zu", member->long_name);
    }
    size_t padding = padding_of(out->size + HEADER_SIZE + member->file.size);
    append_header(out, name, member->file.size + padding);
    bytes_append(out, member->file.data, member->file.size);
    bytes_append_fill(out, 0, padding);
}

static size_t index_size(const struct packing *packing)
{
    size_t size = 4 + 4 * packing->export_count;
    for (size_t i = 0; i < packing->export_count; i++) {
        size += strlen(packing->exports[i].symbol) + 1;
    }
    return size;
}

static enum status write_archive(struct packing *packing, struct bytes *out)
{
    struct bytes long_names = {0};
    collect_long_names(packing, &long_names);
    size_t index = index_size(packing);
    index += padding_of(MAGIC_SIZE + HEADER_SIZE + index);
    size_t first = MAGIC_SIZE + HEADER_SIZE + index;
    if (long_names.size) {
        size_t padding = padding_of(first + HEADER_SIZE + long_names.size);
        bytes_append_fill(&long_names, '\n', padding);
        first += HEADER_SIZE + long_names.size;
    }
    enum status status = place_members(packing, first);
    if (status == OK) {
        bytes_append(out, MAGIC, MAGIC_SIZE);
        append_index(packing, out, index);
        if (long_names.size) {
            append_header(out, "//", long_names.size);
            bytes_append(out, long_names.data, long_names.size);
        }
        for (size_t i = 0; i < packing->member_count; i++) {
            append_member(&packing->members[i], out);
        }
    }
    out->failed |= long_names.failed;
    bytes_fini(&long_names);
    return status;
}

static enum status pack(struct packing *packing, const char *const *first, struct bytes *out)
{
    for (size_t i = 0; i < packing->member_count; i++) {
        progress_step(packing->progress, i + 1, packing->member_count, packing->members[i].path);
        if (read_member(packing, &packing->members[i]) != OK) {
            return packing->problem->status;
        }
    }
    if (rank_members(packing, first) != OK) {
        return packing->problem->status;
    }
    qsort(packing->members, packing->member_count, sizeof(*packing->members), compare_members);
    if (check_names(packing) != OK || collect_exports(packing) != OK ||
        check_duplicates(packing) != OK || check_abi(packing) != OK) {
        return packing->problem->status;
    }
    return write_archive(packing, out);
}

enum status pack_cells(const struct pack_request *request, struct pack_result *out_result,
                       struct problem *problem)
{
    struct packing packing = {.problem = problem, .progress = request->progress};
    struct bytes out = {0};
    while (request->cells[packing.member_count]) {
        packing.member_count++;
    }
    packing.members = calloc(packing.member_count + 1, sizeof(*packing.members));
    enum status status = OK;
    if (!packing.members) {
        packing.member_count = 0;
        status = problem_set(problem, PROBLEM_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < packing.member_count; i++) {
        packing.members[i].path = request->cells[i];
    }
    status = status == OK ? pack(&packing, request->first, &out) : status;
    status = status == OK ? bytes_write_file(&out, request->output, problem) : status;
    if (status == OK) {
        *out_result = (struct pack_result){
            .cell_count = packing.member_count,
            .symbol_count = packing.export_count,
            .size = out.size,
        };
    }
    for (size_t i = 0; i < packing.member_count; i++) {
        bytes_fini(&packing.members[i].file);
    }
    bytes_fini(&out);
    free(packing.exports);
    free(packing.members);
    return status;
}
