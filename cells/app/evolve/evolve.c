/* SPDX-License-Identifier: MIT */
/*
 * evolve [plan] [prove] [NAME] - carries out the evolution whose manifest QEMU hands over as the file
 * opt/org.theoris/NAME, with the bundle opt/org.theoris/NAME.a (docs/evolution-format.md), and says what
 * became of each set. NAME is `evolution` where none is given. With `plan` everything but the swaps
 * themselves; with `prove` each swap compares hashes of the whole system where it is taken back.
 */
#include "application.h"
#include "cell_namespace.h"
#include "console.h"
#include "diag.h"
#include "evolution.h"
#include "evolver.h"
#include "format.h"
#include "fw_cfg.h"
#include "mapped_pages.h"

CELL(application, "1.0.0");

APPLICATION(evolve);

#define FOLDER     "opt/org.theoris/"
#define USUAL_NAME "evolution"
#define BUNDLE_MAX (64u << 20)   /* all cells have about 1 MiB */
#define TIMEOUT_NS 2000000000ull /* for frames of old cells */
#define LINE_SIZE  400

static void print_refusal(const char *what, enum status status, const struct diag *diag)
{
    char line[LINE_SIZE];
    if (diag && diag->code != DIAG_NONE) {
        diag_format(diag, line, sizeof(line));
        console_print("evolve: %s refused: %s: %s\n", what, status_name(status), line);
    } else {
        console_print("evolve: %s refused: %s: %s\n", what, status_name(status),
                      status_text(status));
    }
}

/* A file in pages of its own. ERR_NOT_FOUND; ERR_LIMIT where it is empty or longer than `limit`. */
static enum status read_file(const char *name, uint64_t limit, uint64_t *out_size,
                             struct mapped_pages **out) OWN_ACQUIRES(**out);
static enum status read_file(const char *name, uint64_t limit, uint64_t *out_size,
                             struct mapped_pages **out)
{
    struct fw_cfg_file file;
    enum status status = fw_cfg_find(name, &file);
    if (status != OK) {
        return status;
    }
    if (file.size == 0 || file.size > limit) {
        return ERR_LIMIT;
    }
    OWNED(mapped_pages, pages);
    status = mapped_pages_create(PAGE_ZONE_DATA, file.size, PAGE_READ | PAGE_WRITE, SLOT(pages));
    if (status != OK) {
        return status;
    }
    uint8_t *bytes = MAPPED_PAGES_SLICE_MUTABLE(uint8_t, REF(pages), 0, file.size);
    status = fw_cfg_read(&file, bytes, file.size);
    status = status ? status : mapped_pages_remap(REF(pages), PAGE_READ);
    if (status != OK) {
        return status;
    }
    *out_size = file.size;
    MOVE(*out, pages);
    return OK;
}

static void report_set(void *context, const struct evolver_set *set)
{
    bool is_plan = *(const bool *)context;
    unsigned number = (unsigned)set->number;
    if (set->is_left_out) {
        console_print("evolve: set %u: left out: one before it was not swapped\n", number);
    } else if (set->status != OK) {
        char line[LINE_SIZE];
        diag_format(set->diag, line, sizeof(line));
        console_print("evolve: set %u: refused: %s: %s\n", number, status_name(set->status), line);
    } else if (set->pair_count == 0) {
        console_print("evolve: set %u: nothing to do, %u cells run already, %u are not loaded\n",
                      number, (unsigned)set->same_count, (unsigned)set->absent_count);
    } else {
        console_print(
            "evolve: set %u: %s: %u cells by %u, %u patches, %u entries; variables: "
            "%u adopted, %u new, %u removed, %u transferred, %u fresh; window %lu ticks\n",
            number, is_plan ? "planned" : "swapped", (unsigned)set->swap.old_cells,
            (unsigned)set->swap.new_cells, (unsigned)set->swap.patches, (unsigned)set->swap.entries,
            (unsigned)set->swap.adopted_variables, (unsigned)set->swap.new_variables,
            (unsigned)set->swap.removed_variables, (unsigned)set->swap.transferred,
            (unsigned)set->swap.fresh, (unsigned long)set->swap.window_ticks);
    }
}

static enum status say(const char *name, const struct diag *diag, bool is_plan, enum status status)
{
    if (status != OK) {
        print_refusal(name, status, diag);
    } else {
        console_print("evolve: %s: %s\n", name, is_plan ? "the plan is good" : "done");
    }
    return status;
}

static enum status run(const char *name, uint32_t flags, struct mapped_pages *manifest,
                       uint64_t manifest_size) OWN_BORROWS(*manifest);
static enum status run(const char *name, uint32_t flags, struct mapped_pages *manifest,
                       uint64_t manifest_size)
{
    char file[FW_CFG_NAME_SIZE];
    OWNED(mapped_pages, bundle);
    struct diag diag = {0};
    bool is_plan = (flags & SWAP_DRY_RUN) != 0;
    struct evolver_request request = {
        .namespace = cell_namespace_initial(),
        .manifest = span_of(MAPPED_PAGES_SLICE(uint8_t, manifest, 0, manifest_size), manifest_size),
        .flags = flags,
        .timeout_ns = TIMEOUT_NS,
        .report = report_set,
        .context = &is_plan,
    };
    format_into(file, sizeof(file), FOLDER "%s.a", name);
    enum status status = read_file(file, BUNDLE_MAX, &request.bundle_size, SLOT(bundle));
    if (status == OK) {
        return say(name, &diag, is_plan, evolver_apply(&request, SLOT(bundle), &diag));
    }
    if (status == ERR_NOT_FOUND) { /* it may only remove */
        return say(name, &diag, is_plan, evolver_apply_alone(&request, &diag));
    }
    print_refusal(file, status, NULL);
    return status;
}

enum status evolve_main(const struct app_arguments *arguments)
{
    const char *name = USUAL_NAME;
    uint32_t flags = 0;
    for (int i = 1; i < arguments->count; i++) {
        const char *word = arguments->values[i];
        bool is_plan = __builtin_strcmp(word, "plan") == 0;
        bool is_proof = __builtin_strcmp(word, "prove") == 0;
        flags |= is_plan ? SWAP_DRY_RUN : is_proof ? SWAP_PROVE : 0;
        name = is_plan || is_proof ? name : word;
    }
    char file[FW_CFG_NAME_SIZE];
    uint64_t size;
    OWNED(mapped_pages, manifest);
    format_into(file, sizeof(file), FOLDER "%s", name);
    enum status status = read_file(file, EVOLUTION_MAX_SIZE, &size, SLOT(manifest));
    if (status != OK) {
        print_refusal(file, status, NULL);
        return status;
    }
    return run(name, flags, REF(manifest), size);
}
