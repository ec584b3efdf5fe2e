/* SPDX-License-Identifier: MIT */
/*
 * The bundle first, since the manifest holds its hash; the manifest last, so that one without its
 * bundle never lies there. What was written is read back by the reader that the kernel uses.
 */
#include "diff_priv.h"

#include "evolution.h"
#include "pack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct writing {
    const struct diff *diff;
    const char *path;
    char *bundle_path;
    char *folder; /* temporary, for the members of the bundle */
    struct bytes text;
    struct problem *problem;
};

static enum status no_memory(const struct writing *writing)
{
    return problem_set(writing->problem, PROBLEM_MEMORY, "no memory to write %s", writing->path);
}

/* ---- the bundle ---- */

static bool is_wanted(const struct diff *diff, uint32_t new)
{
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        if (diff->cells[i].set && diff->cells[i].new == new) {
            return true;
        }
    }
    return false;
}

/* In the order of the archive: the first of several implementations stays the first. */
static enum status extract_cells(const struct writing *writing, struct words_list *files,
                                 struct words_list *names)
{
    const struct model *new = writing->diff->new;
    for (uint32_t i = 0; i < new->cell_count; i++) {
        if (!is_wanted(writing->diff, i)) {
            continue;
        }
        words_add(files, "%s/%s.cell", writing->folder, new->cells[i].name);
        words_add(names, "%s", new->cells[i].name);
        if (files->failed || names->failed) {
            return no_memory(writing);
        }
        struct bytes bytes = {0};
        bytes_append(&bytes, new->cells[i].object.file.base, new->cells[i].object.file.size);
        enum status status = bytes_check(&bytes, writing->problem);
        status = status
                     ? status
                     : bytes_write_file(&bytes, files->words[files->count - 1], writing->problem);
        bytes_fini(&bytes);
        if (status) {
            return status;
        }
    }
    return OK;
}

static enum status write_bundle(struct writing *writing, bool *out_has_bundle)
{
    struct words_list files = {0};
    struct words_list names = {0};
    enum status status = extract_cells(writing, &files, &names);
    *out_has_bundle = files.count > 0;
    if (status == OK && files.count) {
        struct pack_result result;
        struct pack_request request = {
            .output = writing->bundle_path,
            .cells = words_of(&files),
            .first = words_of(&names),
        };
        status = pack_cells(&request, &result, writing->problem);
    } else if (status == OK) {
        unlink(writing->bundle_path); /* of an earlier run */
    }
    words_fini(&files);
    words_fini(&names);
    return status;
}

/* ---- the manifest ---- */

static void append_hash(struct bytes *text, const struct blake2b_digest *hash)
{
    for (size_t i = 0; i < BLAKE2B_DIGEST; i++) {
        bytes_append_text(text, "%02x", hash->bytes[i]);
    }
}

static void append_cell_hash(struct bytes *text, const char *name,
                             const struct blake2b_digest *hash)
{
    bytes_append_text(text, " %s ", name);
    append_hash(text, hash);
}

/* A reason may quote names from objects of any origin. */
static void append_reason(struct bytes *text, const char *reason)
{
    size_t room = EVOLUTION_MAX_LINE - strlen("because ");
    bytes_append_text(text, "because ");
    for (size_t i = 0; reason[i] && i < room; i++) {
        char c = reason[i];
        c = c < 0x20 || c > 0x7e ? '?' : c;
        /* A line does not end in a space. */
        bool is_last = !reason[i + 1] || i + 1 == room;
        bytes_append(text, c == ' ' && is_last ? "." : &c, 1);
    }
    bytes_append_text(text, "\n");
}

static void append_cell(struct writing *writing, const struct diff_cell *cell)
{
    struct bytes *text = &writing->text;
    const struct diff *diff = writing->diff;
    bool old = cell->old != MODEL_NOWHERE;
    bool new = cell->new != MODEL_NOWHERE;
    bytes_append_text(text, old && new ? "replace" : new ? "add" : "remove");
    if (old) {
        append_cell_hash(text, diff->old->cells[cell->old].name, &cell->old_hash);
    }
    if (new) {
        append_cell_hash(text, cell->name, &cell->new_hash);
    }
    bytes_append_text(text, "\n");
    for (size_t i = 0; new &&i < cell->inherits.count; i++) {
        bytes_append_text(text, "inherit %s %s\n", cell->name, cell->inherits.words[i]);
    }
    for (uint32_t i = 0; i < cell->variable_count; i++) {
        const struct diff_variable *variable = &cell->variables[i];
        if (variable->fate == DIFF_TRANSFERRED) {
            bytes_append_text(text, "transfer %s %s %s %s\n", cell->name, variable->old_name,
                              variable->symbol, variable->function);
        } else if (variable->fate == DIFF_FRESH) {
            bytes_append_text(text, "fresh %s %s\n", cell->name, variable->symbol);
        }
    }
    for (size_t i = 0; i < cell->reasons.count; i++) {
        append_reason(text, cell->reasons.words[i]);
    }
}

static void append_set(struct writing *writing, uint32_t number)
{
    const struct diff *diff = writing->diff;
    const struct diff_set *set = &diff->sets[number - 1];
    bytes_append_text(&writing->text, "set %u%s", number, set->after_count ? " after" : "");
    for (uint32_t i = 0; i < set->after_count; i++) {
        bytes_append_text(&writing->text, " %u", set->after[i]);
    }
    bytes_append_text(&writing->text, "\n");
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        if (diff->cells[i].set == number) {
            append_cell(writing, &diff->cells[i]);
        }
    }
}

static enum status append_bundle(struct writing *writing, bool has_bundle)
{
    if (!has_bundle) {
        bytes_append_text(&writing->text, "bundle -\n");
        return OK;
    }
    struct bytes bundle = {0};
    enum status status = bytes_read_file(&bundle, writing->bundle_path, writing->problem);
    if (status == OK) {
        const char *slash = strrchr(writing->bundle_path, '/');
        struct blake2b_digest hash;
        blake2b_of(bundle.data, bundle.size, &hash);
        bytes_append_text(&writing->text, "bundle");
        append_cell_hash(&writing->text, slash ? slash + 1 : writing->bundle_path, &hash);
        bytes_append_text(&writing->text, "\n");
    }
    bytes_fini(&bundle);
    return status;
}

static enum status write_manifest(struct writing *writing, bool has_bundle)
{
    bytes_append_text(&writing->text, "%s\n", EVOLUTION_HEADER);
    enum status status = append_bundle(writing, has_bundle);
    for (uint32_t number = 1; status == OK && number <= writing->diff->set_count; number++) {
        append_set(writing, number);
    }
    bytes_append_text(&writing->text, "end\n");
    status = status ? status : bytes_check(&writing->text, writing->problem);
    struct evolution evolution;
    struct diag diag = {0};
    if (status == OK && evolution_open(bytes_span(&writing->text), &evolution, &diag) != OK) {
        return problem_set_diag(writing->problem, &diag, writing->path);
    }
    return status ? status : bytes_write_file(&writing->text, writing->path, writing->problem);
}

/* ---- all of it ---- */

static void help(struct problem *problem, uint32_t missing)
{
    problem_help(problem,
                 "%" PRIu32 " such %s missing: `cellpack diff OLD NEW` prints what to write",
                 missing, missing > 1 ? "lines are" : "line is");
}

static enum status refuse_variable(const struct writing *writing, const struct diff_cell *cell,
                                   const struct diff_variable *variable)
{
    struct problem *problem = writing->problem;
    problem_set(problem, PROBLEM_DIFF_TRANSFER,
                "%s: what becomes of the variable %s is not said, or not so that it can be done",
                cell->name, variable->name);
    problem_where(problem, "%s", cell->name);
    if (variable->detail) {
        problem_because(problem, "its type has changed: %s", variable->detail);
    } else {
        problem_because(problem, "its line names a variable that no old cell has");
    }
    help(problem, writing->diff->missing_count);
    return problem->status;
}

static enum status refuse_layout(const struct writing *writing, const struct diff_cell *cell,
                                 const struct diff_layout *layout)
{
    struct problem *problem = writing->problem;
    problem_set(problem, PROBLEM_DIFF_TRANSFER,
                "%s: what becomes of each %s of the old version is not said", cell->name,
                layout->name);
    problem_where(problem, "%s", cell->name);
    problem_because(problem, "its layout has changed: %s", layout->detail);
    if (layout->holder) {
        problem_because(problem, "the variable %s leads to such", layout->holder);
    } else {
        problem_because(problem, "others may hold such");
    }
    help(problem, writing->diff->missing_count);
    return problem->status;
}

static enum status refuse_missing(const struct writing *writing)
{
    for (uint32_t i = 0; i < writing->diff->cell_count; i++) {
        const struct diff_cell *cell = &writing->diff->cells[i];
        for (uint32_t k = 0; k < cell->variable_count; k++) {
            if (cell->variables[k].fate == DIFF_MISSING) {
                return refuse_variable(writing, cell, &cell->variables[k]);
            }
        }
    }
    for (uint32_t i = 0; i < writing->diff->cell_count; i++) {
        const struct diff_cell *cell = &writing->diff->cells[i];
        if (cell->layout_count) {
            return refuse_layout(writing, cell, &cell->layouts[0]);
        }
    }
    return OK;
}

enum status diff_write(const struct diff *diff, const char *path, struct problem *problem)
{
    struct writing writing = {.diff = diff, .path = path, .problem = problem};
    bool has_bundle = false;
    if (diff->missing_count) {
        return refuse_missing(&writing);
    }
    if (asprintf(&writing.bundle_path, "%s.a", path) < 0) {
        writing.bundle_path = NULL;
        return no_memory(&writing);
    }
    writing.folder = temporary_folder_create(problem);
    enum status status = writing.folder ? write_bundle(&writing, &has_bundle) : problem->status;
    status = status ? status : write_manifest(&writing, has_bundle);
    temporary_folder_destroy(writing.folder);
    free(writing.bundle_path);
    bytes_fini(&writing.text);
    return status;
}
