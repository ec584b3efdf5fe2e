/* SPDX-License-Identifier: MIT */
/*
 * evolve [plan] [prove] [NAME] - carries out the evolution whose manifest is handed over as the
 * file NAME, with the bundle NAME.a, by QEMU or by the boot loader (boot_file.h,
 * docs/evolution-format.md), and says what became of each set. NAME is `evolution` where none is
 * given. With `plan` everything but the swaps themselves; with `prove` each swap compares hashes of
 * the whole system where it is taken back.
 *
 * evolve rollback - takes the latest evolution back.
 */
#include "application.h"
#include "boot_file.h"
#include "cell_namespace.h"
#include "console.h"
#include "diag.h"
#include "evolution.h"
#include "evolver.h"
#include "format.h"
#include "mapped_pages.h"

CELL(application, "1.1.0");

APPLICATION(evolve);

#define USUAL_NAME "evolution"
#define NAME_SIZE  56            /* as fw_cfg's: what is cut off here is refused there */
#define BUNDLE_MAX (64u << 20)   /* all cells have about 2 MiB */
#define TIMEOUT_NS 2000000000ull /* for frames of old cells */
#define LINE_SIZE  400

static void print_refusal(const char *prefix, const char *what, enum status status,
                          const struct diag *diag)
{
    char line[LINE_SIZE];
    if (diag && diag->code != DIAG_NONE) {
        diag_format(diag, line, sizeof(line));
        console_print("evolve: %s%s refused: %s: %s\n", prefix, what, status_name(status), line);
    } else {
        console_print("evolve: %s%s refused: %s: %s\n", prefix, what, status_name(status),
                      status_text(status));
    }
}

static void print_swap(const char *what, const struct swap_report *swap)
{
    console_print("evolve: %s: %u cells by %u, %u patches, %u entries; variables: "
                  "%u adopted, %u new, %u removed, %u transferred, %u fresh; window %lu ticks\n",
                  what, (unsigned)swap->old_cells, (unsigned)swap->new_cells,
                  (unsigned)swap->patches, (unsigned)swap->entries,
                  (unsigned)swap->adopted_variables, (unsigned)swap->new_variables,
                  (unsigned)swap->removed_variables, (unsigned)swap->transferred,
                  (unsigned)swap->fresh, (unsigned long)swap->window_ticks);
}

/* Of one evolution. */
struct counts {
    bool is_plan;
    uint32_t sets;
    uint32_t swapped; /* of them; planned, where nothing is swapped */
};

static void report_set(void *context, const struct evolver_set *set)
{
    struct counts *counts = context;
    unsigned number = (unsigned)set->number;
    counts->sets++;
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
        char what[LINE_SIZE];
        format_into(what, sizeof(what), "set %u: %s", number,
                    counts->is_plan ? "planned" : "swapped");
        print_swap(what, &set->swap);
        counts->swapped++;
    }
}

static enum status say(const char *name, const struct diag *diag, const struct counts *counts,
                       enum status status)
{
    if (status != OK) {
        print_refusal("", name, status, diag);
    } else if (counts->is_plan) {
        console_print("evolve: %s: the plan is good\n", name);
    } else if (counts->swapped == 0) {
        console_print("evolve: %s: done: there was nothing to swap\n", name);
    } else {
        console_print("evolve: %s: done; `evolve rollback` takes it back\n", name);
    }
    return status;
}

static enum status run(const char *name, uint32_t flags, struct mapped_pages *manifest,
                       uint64_t manifest_size) OWN_BORROWS(*manifest);
static enum status run(const char *name, uint32_t flags, struct mapped_pages *manifest,
                       uint64_t manifest_size)
{
    char file[NAME_SIZE];
    struct boot_file found;
    OWNED(mapped_pages, bundle);
    struct diag diag = {0};
    struct counts counts = {.is_plan = (flags & SWAP_DRY_RUN) != 0};
    struct evolver_request request = {
        .namespace = cell_namespace_initial(),
        .manifest = span_of(MAPPED_PAGES_SLICE(uint8_t, manifest, 0, manifest_size), manifest_size),
        .flags = flags,
        .timeout_ns = TIMEOUT_NS,
        .report = report_set,
        .context = &counts,
    };
    format_into(file, sizeof(file), "%s.a", name);
    enum status status = boot_file_read(file, BUNDLE_MAX, &found, SLOT(bundle));
    if (status == OK) {
        request.bundle_size = found.size;
        return say(name, &diag, &counts, evolver_apply(&request, SLOT(bundle), &diag));
    }
    if (status == ERR_NOT_FOUND) { /* it may only remove */
        return say(name, &diag, &counts, evolver_apply_alone(&request, &diag));
    }
    print_refusal(boot_file_prefix(found.door), file, status, NULL);
    return status;
}

static enum status carry_out(const char *name, uint32_t flags)
{
    struct boot_file found;
    OWNED(mapped_pages, manifest);
    enum status status = boot_file_read(name, EVOLUTION_MAX_SIZE, &found, SLOT(manifest));
    const char *prefix = boot_file_prefix(found.door);
    if (status != OK) {
        print_refusal(prefix, name, status, NULL);
        return status;
    }
    console_print("evolve: %s%s, %lu bytes\n", prefix, name, (unsigned long)found.size);
    return run(name, flags, REF(manifest), found.size);
}

static enum status roll_back(void)
{
    struct diag diag = {0};
    struct swap_report report;
    enum status status = evolver_rollback(TIMEOUT_NS, &report, &diag);
    if (status != OK) {
        print_refusal("", "rollback", status, &diag);
        return status;
    }
    print_swap("rollback", &report);
    console_print("evolve: rollback: done, %u more can be taken back\n",
                  (unsigned)evolver_remembered_count());
    return OK;
}

enum status evolve_main(const struct app_arguments *arguments)
{
    const char *name = USUAL_NAME;
    uint32_t flags = 0;
    bool is_rollback = false;
    for (int i = 1; i < arguments->count; i++) {
        const char *word = arguments->values[i];
        bool is_plan = __builtin_strcmp(word, "plan") == 0;
        bool is_proof = __builtin_strcmp(word, "prove") == 0;
        flags |= is_plan ? SWAP_DRY_RUN : is_proof ? SWAP_PROVE : 0;
        is_rollback |= __builtin_strcmp(word, "rollback") == 0;
        name = is_plan || is_proof ? name : word;
    }
    return is_rollback ? roll_back() : carry_out(name, flags);
}
