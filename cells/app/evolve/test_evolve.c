/* SPDX-License-Identifier: MIT */
/* A made-up device has files of one page, and an evolver that says what it was handed. */
#include "application.h"
#include "cell_namespace.h"
#include "console_recorder.h"
#include "diag.h"
#include "evolver.h"
#include "fw_cfg.h"
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
static struct console_recorder said;

enum status fw_cfg_find(const char *name, struct fw_cfg_file *out)
{
    bool is_manifest = strcmp(name, "opt/org.theoris/evolution") == 0;
    bool is_bundle = bundle && strcmp(name, "opt/org.theoris/evolution.a") == 0;
    *out = (struct fw_cfg_file){.size = is_bundle ? (uint32_t)strlen(bundle) : manifest_size,
                                .selector = is_bundle};
    return is_manifest || is_bundle ? OK : ERR_NOT_FOUND;
}

enum status fw_cfg_read(const struct fw_cfg_file *file, void *buffer, size_t size)
{
    memcpy(buffer, file->selector ? bundle : "manifest", size);
    return OK;
}

enum status mapped_pages_create(enum page_zone zone, size_t bytes, unsigned page_flags,
                                struct mapped_pages **out)
{
    struct mapped_pages *pages = memory[0].is_used ? &memory[1] : &memory[0];
    assert_false(pages->is_used);
    *pages = (struct mapped_pages){.is_used = true, .flags = page_flags};
    FILL(out, pages);
    return bytes <= sizeof(pages->bytes) && zone == PAGE_ZONE_DATA ? OK : ERR_NO_MEMORY;
}

void mapped_pages_drop(struct mapped_pages **handle)
{
    if (*handle) {
        (*handle)->is_used = false;
    }
    EMPTY(handle);
}

enum status mapped_pages_remap(struct mapped_pages *pages, unsigned page_flags)
{
    pages->flags = page_flags;
    return OK;
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
        "evolve: set 1: swapped: 2 cells by 3, 4 patches, 0 entries; variables: 5 adopted, "
        "0 new, 0 removed, 0 transferred, 0 fresh; window 0 ticks\n"
        "evolve: evolution: done\n");
}

static void test_evolve_plan_without_a_bundle(void **state)
{
    set = (struct evolver_set){.number = 7, .same_count = 2, .absent_count = 1};
    assert_int_equal(RUN("plan"), OK);
    assert_string_equal(handed[0], "manifest");
    assert_int_equal(flags, SWAP_DRY_RUN);
    assert_string_equal(said.text,
                        "evolve: set 7: nothing to do, 2 cells run already, 1 are not loaded\n"
                        "evolve: evolution: the plan is good\n");
}

static void test_evolve_refusals_are_told(void **state)
{
    struct diag diag = {0};
    (void)!diag_set(&diag, DIAG_LINK_HELD, &(struct diag_site){.cell = "rope"});
    set = (struct evolver_set){.number = 1, .pair_count = 1, .status = ERR_BUSY, .diag = &diag};
    result = ERR_MISMATCH;
    assert_int_equal(RUN("evolution"), ERR_MISMATCH);
    assert_string_equal(
        said.text, "evolve: set 1: refused: ERR_BUSY: C0214 rope: the cell is held\n"
                   "evolve: evolution refused: ERR_MISMATCH: C0808 bell: the running cell is not "
                   "what the manifest expects\n");
    set = (struct evolver_set){.number = 2, .is_left_out = true};
    result = OK;
    assert_int_equal(RUN("plan", "prove"), OK);
    assert_string_equal(said.text, "evolve: set 2: left out: one before it was not swapped\n"
                                   "evolve: evolution: the plan is good\n");
}

static void test_evolve_files_that_cannot_be_are_refused(void **state)
{
    assert_int_equal(RUN("other"), ERR_NOT_FOUND);
    assert_non_null(strstr(said.text, "evolve: opt/org.theoris/other refused: ERR_NOT_FOUND: "));
    manifest_size = 0;
    assert_int_equal(RUN("plan"), ERR_LIMIT);
    manifest_size = (1u << 20) + 1;
    assert_int_equal(RUN("plan"), ERR_LIMIT);
    manifest_size = 65; /* more than there is memory for */
    assert_int_equal(RUN("plan"), ERR_NO_MEMORY);
    manifest_size = 8;
    bundle = "";
    assert_int_equal(RUN("plan"), ERR_LIMIT);
    assert_non_null(strstr(said.text, "evolve: opt/org.theoris/evolution.a refused: ERR_LIMIT: "));
    assert_string_equal(handed[0], "");
}

int main(void)
{
    console_recorder_start(&said);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_evolve_hands_both_files_over, set_up),
        cmocka_unit_test_setup(test_evolve_plan_without_a_bundle, set_up),
        cmocka_unit_test_setup(test_evolve_refusals_are_told, set_up),
        cmocka_unit_test_setup(test_evolve_files_that_cannot_be_are_refused, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
