/* SPDX-License-Identifier: MIT */
/* Files of one page that somebody hands over, and an evolver that says what it was handed. */
#include "application.h"
#include "boot_file.h"
#include "cell_namespace.h"
#include "console_recorder.h"
#include "diag.h"
#include "evolver.h"
#include "mapped_pages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

APPLICATION(evolve);

struct mapped_pages {
    char bytes[64];
    unsigned flags;
    bool is_used;
};

static struct mapped_pages memory[2];
static const char *bundle; /* of the evolution `evolution`; NULL: none */
static uint32_t manifest_size;
static enum status result;     /* of the evolver */
static uint32_t flags;         /* that it was handed */
static char handed[2][16];     /* manifest and bundle */
static struct evolver_set set; /* that it reports */
static unsigned rollbacks;
static struct console_recorder said;

const char *boot_file_prefix(enum boot_file_door from)
{
    return from == BOOT_FILE_NONE ? "" : "door ";
}

enum status boot_file_read(const char *name, uint64_t limit, struct boot_file *out_file,
                           struct mapped_pages **out)
{
    bool is_manifest = strcmp(name, "evolution") == 0;
    bool is_bundle = bundle && strcmp(name, "evolution.a") == 0;
    *out_file = (struct boot_file){0};
    if (!is_manifest && !is_bundle) {
        return ERR_NOT_FOUND;
    }
    *out_file = (struct boot_file){.door = BOOT_FILE_MODULE,
                                   .size = is_bundle ? strlen(bundle) : manifest_size};
    if (out_file->size == 0 || out_file->size > limit) {
        return ERR_LIMIT;
    }
    struct mapped_pages *pages = &memory[is_bundle];
    assert_false(pages->is_used);
    *pages = (struct mapped_pages){.is_used = true, .flags = PAGE_READ};
    memcpy(pages->bytes, is_bundle ? bundle : "manifest", out_file->size);
    FILL(out, pages);
    return OK;
}

void mapped_pages_drop(struct mapped_pages **handle)
{
    if (*handle) {
        (*handle)->is_used = false;
    }
    EMPTY(handle);
}

void *mapped_pages_access(const struct mapped_pages *pages, uint64_t offset, uint64_t size,
                          uint64_t alignment, uint64_t count, unsigned needed)
{
    assert_int_equal(pages->flags & needed, needed);
    return (void *)&pages->bytes[offset];
}

struct cell_namespace *cell_namespace_initial(void)
{
    return NULL;
}

static enum status note(const struct evolver_request *request, const char *cells, struct diag *diag)
{
    flags = request->flags;
    memcpy(handed[0], request->manifest.base, request->manifest.size);
    memcpy(handed[1], cells, request->bundle_size);
    if (set.number) {
        request->report(request->context, &set);
    }
    return result ? diag_set(diag, DIAG_EVOLUTION_CELL, &(struct diag_site){.cell = "bell"}) : OK;
}

enum status evolver_apply(const struct evolver_request *request, struct mapped_pages **pages,
                          struct diag *diag)
{
    enum status status = note(request, (*pages)->bytes, diag);
    mapped_pages_drop(pages);
    return status;
}

enum status evolver_apply_alone(const struct evolver_request *request, struct diag *diag)
{
    return note(request, "", diag);
}

enum status evolver_rollback(uint64_t timeout_ns, struct swap_report *out_report, struct diag *diag)
{
    *out_report = (struct swap_report){.old_cells = 3, .new_cells = 2, .patches = 4};
    assert_true(timeout_ns > 0);
    rollbacks++;
    return result ? diag_set(diag, DIAG_EVOLUTION_NONE, &(struct diag_site){0}) : OK;
}

uint32_t evolver_remembered_count(void)
{
    return 7;
}

static enum status run(int count, const char *const *values)
{
    memset(handed, 0, sizeof(handed));
    console_recorder_clear(&said);
    enum status status = evolve_main(&(struct app_arguments){.count = count, .values = values});
    assert_false(memory[0].is_used || memory[1].is_used);
    return status;
}

#define RUN(...)                                                          \
    run(sizeof((const char *[]){"evolve", __VA_ARGS__}) / sizeof(char *), \
        (const char *[]){"evolve", __VA_ARGS__, NULL})

static int set_up(void **state)
{
    bundle = NULL;
    manifest_size = 8;
    result = OK;
    set = (struct evolver_set){0};
    return 0;
}

static void test_evolve_hands_both_files_over(void **state)
{
    bundle = "cells";
    set = (struct evolver_set){
        .number = 1,
        .pair_count = 2,
        .swap = {.old_cells = 2, .new_cells = 3, .patches = 4, .adopted_variables = 5},
    };
    assert_int_equal(RUN("prove"), OK);
    assert_string_equal(handed[0], "manifest");
    assert_string_equal(handed[1], "cells");
    assert_int_equal(flags, SWAP_PROVE);
    assert_string_equal(
        said.text,
        "evolve: door evolution, 8 bytes\n"
        "evolve: set 1: swapped: 2 cells by 3, 4 patches, 0 entries; variables: 5 adopted, "
        "0 new, 0 removed, 0 transferred, 0 fresh; window 0 ticks\n"
        "evolve: evolution: done; `evolve rollback` takes it back\n");
}

static void test_evolve_plan_without_a_bundle(void **state)
{
    set = (struct evolver_set){.number = 7, .same_count = 2, .absent_count = 1};
    assert_int_equal(RUN("plan"), OK);
    assert_string_equal(handed[0], "manifest");
    assert_int_equal(flags, SWAP_DRY_RUN);
    assert_string_equal(said.text,
                        "evolve: door evolution, 8 bytes\n"
                        "evolve: set 7: nothing to do, 2 cells run already, 1 are not loaded\n"
                        "evolve: evolution: the plan is good\n");
    set = (struct evolver_set){0}; /* no set at all */
    assert_int_equal(RUN("evolution"), OK);
    assert_string_equal(said.text, "evolve: door evolution, 8 bytes\n"
                                   "evolve: evolution: done: there was nothing to swap\n");
}

static void test_evolve_rollback_takes_back(void **state)
{
    rollbacks = 0;
    assert_int_equal(RUN("rollback"), OK);
    assert_int_equal(rollbacks, 1);
    assert_string_equal(
        said.text,
        "evolve: rollback: 3 cells by 2, 4 patches, 0 entries; variables: 0 adopted, 0 new, "
        "0 removed, 0 transferred, 0 fresh; window 0 ticks\n"
        "evolve: rollback: done, 7 more can be taken back\n");
    result = ERR_NOT_FOUND;
    assert_int_equal(RUN("rollback"), ERR_NOT_FOUND);
    assert_string_equal(said.text, "evolve: rollback refused: ERR_NOT_FOUND: C0813: there is no "
                                   "evolution that can be taken back\n");
    assert_string_equal(handed[0], "");
}

static void test_evolve_refusals_are_told(void **state)
{
    struct diag diag = {0};
    (void)!diag_set(&diag, DIAG_LINK_HELD, &(struct diag_site){.cell = "rope"});
    set = (struct evolver_set){.number = 1, .pair_count = 1, .status = ERR_BUSY, .diag = &diag};
    result = ERR_MISMATCH;
    assert_int_equal(RUN("evolution"), ERR_MISMATCH);
    assert_string_equal(
        said.text, "evolve: door evolution, 8 bytes\n"
                   "evolve: set 1: refused: ERR_BUSY: C0214 rope: the cell is held\n"
                   "evolve: evolution refused: ERR_MISMATCH: C0808 bell: the running cell is not "
                   "what the manifest expects\n");
    set = (struct evolver_set){.number = 2, .is_left_out = true};
    result = OK;
    assert_int_equal(RUN("plan", "prove"), OK);
    assert_string_equal(said.text, "evolve: door evolution, 8 bytes\n"
                                   "evolve: set 2: left out: one before it was not swapped\n"
                                   "evolve: evolution: the plan is good\n");
}

static void test_evolve_files_that_cannot_be_are_refused(void **state)
{
    assert_int_equal(RUN("other"), ERR_NOT_FOUND);
    assert_string_equal(said.text, "evolve: other refused: ERR_NOT_FOUND: not found\n");
    manifest_size = 0;
    assert_int_equal(RUN("plan"), ERR_LIMIT);
    manifest_size = (1u << 20) + 1;
    assert_int_equal(RUN("plan"), ERR_LIMIT);
    assert_string_equal(said.text, "evolve: door evolution refused: ERR_LIMIT: limit exceeded\n");
    manifest_size = 8;
    bundle = "";
    assert_int_equal(RUN("plan"), ERR_LIMIT);
    assert_non_null(strstr(said.text, "evolve: door evolution.a refused: ERR_LIMIT: "));
    assert_string_equal(handed[0], "");
}

int main(void)
{
    console_recorder_start(&said);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_evolve_hands_both_files_over, set_up),
        cmocka_unit_test_setup(test_evolve_plan_without_a_bundle, set_up),
        cmocka_unit_test_setup(test_evolve_rollback_takes_back, set_up),
        cmocka_unit_test_setup(test_evolve_refusals_are_told, set_up),
        cmocka_unit_test_setup(test_evolve_files_that_cannot_be_are_refused, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
