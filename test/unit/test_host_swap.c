/* SPDX-License-Identifier: MIT */
/*
 * Whole swaps in a host process: real cells are swapped and run, every step fails once and leaves
 * every byte as it was, and swaps are taken back. What only a kernel can do is host_machine's. The
 * environment variable SWAP_SEED chooses another order of random swaps.
 */
#include "address_map.h"
#include "loader.h"
#include "relocation.h"
#include "swap.h"
#include "text_write.h"

#include "support/host_machine.h"
#include "support/host_memory.h"
#include "support/loaded_cells.h"
#include "support/loading_frame.h"
#include "support/state_snapshot.h"
#include "support/swap_scene.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <setjmp.h>
#include <cmocka.h>

#define MS 1000000ull

/* ---- swapping ---- */

/* A list of pairs, and its length. */
#define PAIRS(...) \
    (const struct swap_pair[]){__VA_ARGS__}, ARRAY_COUNT(((const struct swap_pair[]){__VA_ARGS__}))

static struct swap_report report;
static struct diag diag;

static struct swap_request request_of(const char *const bundle[], const struct swap_pair *pairs,
                                      uint32_t count)
{
    host_machine_reset();
    return (struct swap_request){
        .namespace = cell_namespace_initial(),
        .bundle = scene_bundle(bundle),
        .pairs = pairs,
        .pair_count = count,
        .flags = SWAP_PROVE,
        .timeout_ns = 100 * MS,
    };
}

/* Who is remembered takes a block of the heap, until he is forgotten for another. */
static uint64_t remembered[SWAP_REMEMBERED];

static void forget(uint64_t id)
{
    uint64_t *slot = &remembered[id % SWAP_REMEMBERED];
    scene_kept_blocks -= *slot == id;
    *slot = *slot == id ? 0 : *slot;
}

static void remember(uint64_t id)
{
    uint64_t *slot = &remembered[id % SWAP_REMEMBERED];
    scene_kept_blocks += *slot == 0;
    *slot = id;
}

static enum status run(const struct swap_request *request)
{
    diag = (struct diag){0};
    enum status status = swap_cells(request, &report, &diag);
    assert_false(host_machine.is_stopped);
    if (status == OK && !(request->flags & SWAP_DRY_RUN)) {
        remember(report.id);
    }
    return status;
}

static void explain(enum status status)
{
    char line[256] = "";
    if (status != OK) {
        diag_format(&diag, line, sizeof(line));
    }
    assert_string_equal(line, "");
}

static uint64_t swap(const char *const bundle[], const struct swap_pair *pairs, uint32_t count)
{
    struct swap_request request = request_of(bundle, pairs, count);
    enum status status = run(&request);
    explain(status);
    assert_int_equal(status, OK);
    assert_int_not_equal(report.id, 0);
    return report.id;
}

static void roll_back(uint64_t id)
{
    host_machine_reset();
    diag = (struct diag){0};
    explain(swap_rollback(id, 100 * MS, &report, &diag));
    forget(id);
    remember(report.id);
}

/* Nothing has changed; `code` says why. */
static void refuse(const struct swap_request *request, enum diag_code code)
{
    struct state_snapshot *before = state_snapshot_take(request->namespace);
    uint64_t hash = swap_state_hash(request->namespace, true);
    assert_int_not_equal(run(request), OK);
    assert_int_equal(diag.code, code);
    state_snapshot_assert_same(before);
    state_snapshot_release(before);
    assert_int_equal(swap_state_hash(request->namespace, true), hash);
    assert_int_equal(report.hash_before, report.hash_after);
    assert_int_equal(report.id, 0);
}

/*
 * What was replaced goes: nothing on a host needs it. Who holds an entry goes before whose it is.
 */
static void retire_all(void)
{
    host_machine_reset();
    uint32_t stay = swap_retire();
    for (uint32_t before = stay + 1; stay > 0 && stay < before;) {
        before = stay;
        stay = swap_retire();
    }
    assert_int_equal(stay, 0);
    assert_null(cell_namespace_initial()->retired);
}

/* ---- what it does ---- */

static void check_tally(uint64_t version, uint64_t count)
{
    assert_int_equal(scene_call(scene_address("tally_version")), version);
    assert_int_equal(scene_call(scene_entry("tally_version")), version);
    assert_int_equal(scene_call(scene_call(scene_entry("tally_local"))), version);
    assert_int_equal(scene_call(scene_call(scene_entry("teller_holds"))), version);
    assert_int_equal(scene_call(scene_entry("teller_ask")), count);
}

static void code_is_new_and_variables_go_on(void **state)
{
    scene_begin(CELLS("tally", "teller", "reader"));
    check_tally(1, 6);
    uint64_t version = scene_entry("tally_version");
    uint64_t local = scene_call(scene_entry("tally_local"));
    uint64_t title = scene_call(scene_entry("tally_title"));
    swap(CELLS("tally_version"), PAIRS({"tally", "tally_version"}));
    check_tally(2, 7);
    assert_int_equal(scene_entry("tally_version"), version);
    assert_int_equal(scene_call(scene_entry("tally_local")), local);
    assert_int_equal(scene_call(local), 2);
    assert_int_equal(scene_call(scene_entry("tally_title")), title);
    assert_int_equal(scene_call(scene_entry("reader_sum")), 7 + 9 + 10);
    assert_int_equal(report.attempts, 1);
    assert_int_equal(host_machine.stops, 1);
    assert_int_equal(host_machine.searches, 0); /* code only: no frames are looked for */
    assert_false(is_loaded(cell_namespace_initial(), "tally"));
    retire_all();
    check_tally(2, 8);
}

static void a_swap_is_taken_back(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    check_tally(1, 6);
    uint64_t id = swap(CELLS("tally_version"), PAIRS({"tally", "tally_version"}));
    check_tally(2, 7);
    roll_back(id);
    check_tally(1, 8);
    roll_back(report.id);
    check_tally(2, 9);
    retire_all();
    check_tally(2, 10);
    assert_int_equal(swap_rollback(id, 0, &report, &diag), ERR_NOT_FOUND);
    assert_int_equal(diag.code, DIAG_SWAP_UNKNOWN);
}

/* As in an evolution: the name stays. */
static void a_cell_is_swapped_for_one_of_its_name(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    check_tally(1, 6);
    const struct cell *before = scene_cell("tally");
    for (uint64_t i = 0; i < 2 * SWAP_RETIRE_AT; i++) {
        uint64_t id =
            swap(CELLS("tally", "teller"), PAIRS({"tally", "tally"}, {"teller", "teller"}));
        check_tally(1, 7 + 2 * i);
        if (i % 2) {
            roll_back(id);
        }
        check_tally(1, 8 + 2 * i);
    }
    assert_ptr_not_equal(scene_cell("tally"), before);
    retire_all();
}

static void a_pointer_is_moved_unless_the_program_changed_it(void **state)
{
    struct cell_namespace *here = scene_begin(CELLS("tally", "teller"));
    swap(CELLS("tally_title"), PAIRS({"tally", "tally_title"}));
    assert_string_equal((const char *)scene_call(scene_entry("tally_heading")), "tally, anew");
    retire_all();
    unload_all(here);
    scene_begin(CELLS("tally", "teller"));
    const char *own = "the program's";
    memcpy((void *)scene_place(scene_cell("tally"), "heading"), &own, sizeof(own));
    swap(CELLS("tally_title"), PAIRS({"tally", "tally_title"}));
    assert_ptr_equal((const char *)scene_call(scene_entry("tally_heading")), own);
    assert_string_equal((const char *)scene_call(scene_entry("tally_title")), "tally, anew");
    retire_all();
}

static void a_changed_variable_is_transferred(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    check_tally(1, 6);
    uint64_t id = swap(CELLS("tally_wide"), PAIRS({"tally", "tally_wide"}));
    assert_int_equal(report.transferred, 1);
    assert_int_equal(host_machine.searches, 1);
    check_tally(1, 7);
    check_tally(1, 8);
    host_machine_reset();
    assert_int_equal(swap_rollback(id, 0, &report, &diag), ERR_MISMATCH); /* nobody narrows it */
    assert_int_equal(diag.code, DIAG_SWAP_LAYOUT);
    check_tally(1, 9);
    retire_all();
}

static void a_held_cell_is_succeeded(void **state)
{
    struct cell_reference *reference = NULL;
    scene_begin(CELLS("tally", "teller"));
    assert_int_equal(loader_hold_for(scene_entry("tally_next"), "the test", &reference), OK);
    swap(CELLS("tally_version"), PAIRS({"tally", "tally_version"}));
    assert_ptr_equal(cell_reference_cell(reference), scene_cell("tally_version"));
    retire_all();
    cell_reference_drop(&reference);
}

/* ---- what the system says about its cells ---- */

/* Where the field of a reference leads; through the entry, where it holds one. */
static uint64_t follow(const struct dependency *reference)
{
    uint64_t at = reference->source->address + reference->offset;
    bool is_relative = reference->type == R_X86_64_PC32 || reference->type == R_X86_64_PLT32;
    bool is_code = reference->source->flags & SHF_EXECINSTR;
    uint64_t value = 0;
    memcpy(&value, (const void *)at, reference->type == R_X86_64_64 ? 8 : 4);
    if (is_relative) {
        value = at + (uint64_t)(int64_t)(int32_t)value + (is_code ? 4 : 0);
    }
    if (reference->via_entry) {
        int32_t distance;
        assert_int_equal(*(const uint8_t *)value, 0xe9);
        memcpy(&distance, (const void *)(value + 1), sizeof(distance));
        value += 5 + (uint64_t)(int64_t)distance;
    }
    return value;
}

static void check_binding(const struct cell *cell, uint32_t symbol, const struct section *target)
{
    const struct binding *binding = relocation_find_binding(cell, symbol);
    size_t count = 0;
    assert_non_null(binding);
    for (const struct binding *at = target->incoming; at; at = at->next_incoming) {
        assert_ptr_equal(at->target, target);
        count += at == binding;
    }
    assert_int_equal(count, 1);
}

/*
 * Bindings, lists and fields of the cells that run tell one story, and none leads to an old cell.
 */
static void check_system(void)
{
    const struct cell_namespace *here = cell_namespace_initial();
    uint32_t count = 0;
    for (const struct cell *cell = here->first; cell; cell = cell->next, count++) {
        assert_ptr_equal(cell->namespace, here);
        assert_false(cell->is_leaving || cell->is_retired);
        assert_ptr_equal(cell_namespace_find_cell(here, cell->name), cell);
        struct relocation_walk walk = {0};
        struct dependency reference;
        while (relocation_next(cell, &walk, &reference)) {
            if (!reference.target) {
                continue;
            }
            assert_ptr_equal(reference.target->cell->namespace, here);
            if (reference.target->cell != cell) {
                check_binding(cell, reference.symbol, reference.target);
            }
            if (reference.source->region != REGION_DATA) { /* the program may write those */
                assert_int_equal(follow(&reference),
                                 reference.target->address +
                                     (uint64_t)(int64_t)reference.target_offset);
            }
        }
        for (uint32_t i = 0; i < cell->object.section_count; i++) {
            const struct section *section = &cell->sections[i];
            bool is_known = section->region != REGION_NONE && section->size > 0;
            assert_true(!is_known || address_map_find(section->address) == section);
        }
    }
    assert_int_equal(count, here->cell_count);
    for (const struct cell *cell = here->retired; cell; cell = cell->next) {
        assert_true(cell->is_retired && !cell->is_leaving);
    }
}

/* ---- every step fails ---- */

struct scenario {
    const char *const loaded[8];
    const char *const bundle[8];
    struct swap_pair pairs[6];
    bool cannot_go_back;
};

static const struct scenario scenarios[] = {
    {{"tally", "teller", "reader"}, {"tally_same"}, {{"tally", "tally_same"}}, false},
    {{"tally", "teller"}, {"tally"}, {{"tally", "tally"}}, false},
    {{"tally", "teller"}, {"tally_added"}, {{"tally", "tally_added"}}, false},
    {{"tally", "teller"}, {"tally_removed"}, {{"tally", "tally_removed"}}, false},
    {{"tally", "teller"}, {"tally_title"}, {{"tally", "tally_title"}}, false},
    {{"tally", "teller"}, {"tally_bss"}, {{"tally", "tally_bss"}}, false},
    {{"tally", "teller"}, {"tally_const"}, {{"tally", "tally_const"}}, false},
    {{"tally", "teller"}, {"tally_limits"}, {{"tally", "tally_limits"}}, false},
    {{"tally", "teller"}, {"tally_fresh"}, {{"tally", "tally_fresh"}}, false},
    {{"tally", "teller"}, {"tally_wide"}, {{"tally", "tally_wide"}}, true},
    {{"tally", "teller"}, {"tally_needs_spare", "spare"}, {{"tally", "tally_needs_spare"}}, false},
    {{"tally", "teller"},
     {"tally_signature", "teller_signature"},
     {{"tally", "tally_signature"}, {"teller", "teller_signature"}},
     false},
    {{"tally", "spare"}, {"tally"}, {{"spare", NULL}}, false},
    {{"tally"}, {"spare"}, {{NULL, "spare"}}, false},
    {{"part_a", "part_bc", "part_d", "gauge"},
     {"part_b", "part_c"},
     {{"part_bc", "part_b"}, {"part_bc", "part_c"}},
     false},
    {{"part_a", "part_bc", "part_d", "gauge"},
     {"part_ad"},
     {{"part_a", "part_ad"}, {"part_d", "part_ad"}},
     false},
    {{"part_a", "part_bc", "part_d", "gauge"},
     {"part_ab", "part_cd"},
     {{"part_a", "part_ab"}, {"part_bc", "part_ab"}, {"part_bc", "part_cd"}, {"part_d", "part_cd"}},
     false},
    {{"twin_east", "twin_west"},
     {"twin_both"},
     {{"twin_east", "twin_both"}, {"twin_west", "twin_both"}},
     false},
};

static uint32_t count_pairs(const struct scenario *scenario)
{
    uint32_t count = 0;
    while (count < ARRAY_COUNT(scenario->pairs) &&
           (scenario->pairs[count].old_name || scenario->pairs[count].new_name)) {
        count++;
    }
    return count;
}

/* Returns how many failed. */
static uint64_t fail_each_step(const struct scenario *scenario)
{
    struct swap_request request =
        request_of(scenario->bundle, scenario->pairs, count_pairs(scenario));
    uint64_t in_window = 0;
    for (request.fail_step = 1;; request.fail_step++) {
        struct state_snapshot *before = state_snapshot_take(request.namespace);
        uint64_t hash = swap_state_hash(request.namespace, true);
        host_machine_reset();
        enum status status = run(&request);
        if (status == OK) {
            state_snapshot_release(before);
            break;
        }
        assert_true(report.steps >= request.fail_step || request.fail_step == 1);
        assert_int_equal(report.hash_before, report.hash_after);
        in_window += report.hash_before != 0;
        state_snapshot_assert_same(before);
        state_snapshot_release(before);
        assert_int_equal(swap_state_hash(request.namespace, true), hash);
    }
    check_system();
    assert_int_equal(report.steps, request.fail_step - 1);
    assert_true(in_window > 0 || report.patches + report.entries + report.transferred == 0);
    return request.fail_step - 1;
}

static void each_step_that_fails_leaves_every_byte(void **state)
{
    uint64_t steps = 0;
    for (size_t i = 0; i < ARRAY_COUNT(scenarios); i++) {
        const struct scenario *scenario = &scenarios[i];
        struct cell_namespace *here = scene_begin(scenario->loaded);
        steps += fail_each_step(scenario);
        host_machine_reset();
        uint64_t id = report.id;
        if (scenario->cannot_go_back) {
            assert_int_equal(swap_rollback(id, 0, &report, &diag), ERR_MISMATCH);
        } else {
            roll_back(id);
            assert_int_equal(here->cell_count, i == 0 ? 3 : here->cell_count);
        }
        check_system();
        retire_all();
        check_system();
        unload_all(here);
    }
    print_message("%zu swaps: %lu steps failed, one by one\n", ARRAY_COUNT(scenarios),
                  (unsigned long)steps);
    assert_true(steps > 700);
}

/* The same asked of the host; heap and pages are refused one by one. */
static void each_refused_request_leaves_every_byte(void **state)
{
    scene_begin(CELLS("part_a", "part_bc", "part_d", "gauge"));
    struct swap_request request = request_of(CELLS("part_ab", "part_cd"),
                                             PAIRS({"part_a", "part_ab"}, {"part_bc", "part_ab"},
                                                   {"part_bc", "part_cd"}, {"part_d", "part_cd"}));
    uint64_t n = 0;
    enum status status = ERR_FAILED;
    while (status != OK) {
        struct state_snapshot *before = state_snapshot_take(request.namespace);
        host_machine_reset();
        host_memory_fail(HOST_REQUEST_HEAP | HOST_REQUEST_PAGES | HOST_REQUEST_PROTECT, ++n);
        status = run(&request);
        host_memory_fail(0, 0);
        if (status != OK) {
            state_snapshot_assert_same(before);
        }
        state_snapshot_release(before);
    }
    assert_true(n > 40);
    assert_int_equal(scene_call(scene_entry("gauge_all")), 2345);
    retire_all();
}

/* ---- the window ---- */

static void a_cpu_that_does_not_stop_is_a_refusal(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    struct swap_request request =
        request_of(CELLS("tally_version"), PAIRS({"tally", "tally_version"}));
    host_machine.refuses_stop = true;
    refuse(&request, DIAG_SWAP_STOP);
    host_machine.refuses_stop = false;
    assert_int_equal(run(&request), OK);
    retire_all();
}

static void frames_are_waited_for_until_the_deadline(void **state)
{
    struct cell_namespace *here = scene_begin(CELLS("tally", "teller"));
    struct swap_request request = request_of(CELLS("tally_wide"), PAIRS({"tally", "tally_wide"}));
    host_machine.frames = UINT32_MAX;
    host_machine.frame_of = scene_cell("tally");
    refuse(&request, DIAG_SWAP_FRAMES);
    assert_string_equal(diag.cell, "tally");
    assert_string_equal(diag.section, scene_cell("tally")->sections[1].name);
    assert_string_equal(diag.symbol, "sleeper");
    assert_int_equal(diag.offset, 3);
    assert_true(report.attempts > 10);
    assert_int_equal(report.attempts, host_machine.stops);
    assert_int_equal(host_machine.sleeps + 1, host_machine.stops);
    assert_true(host_machine.now >= 100 * MS && host_machine.now < 110 * MS);

    host_machine_reset();
    request.timeout_ns = 0;
    host_machine.frames = UINT32_MAX; /* and of a stack that cannot be read */
    refuse(&request, DIAG_SWAP_FRAMES);
    assert_int_equal(report.attempts, 1);
    assert_string_equal(diag.section, "a stack that cannot be read");

    host_machine_reset();
    request.timeout_ns = 100 * MS;
    host_machine.frames = 4;
    host_machine.frame_of = scene_cell("tally");
    assert_int_equal(run(&request), OK);
    assert_int_equal(report.attempts, 5);
    check_tally(1, 6);
    retire_all();
    unload_all(here);
}

static struct swap_request request_transfer(const char *cell, const struct swap_pair *pair)
{
    scene_begin(CELLS("tally", "teller"));
    return request_of(CELLS(cell), pair, 1);
}

static void a_transfer_that_fails_is_taken_back(void **state)
{
    const struct swap_pair pair = {"tally", "tally_wide_refuses"};
    struct swap_request request = request_transfer("tally_wide_refuses", &pair);
    refuse(&request, DIAG_SWAP_TRANSFER_FAILED);
    assert_string_equal(diag.cell, "tally_wide_refuses");
    assert_string_equal(diag.symbol, "widen");
    check_tally(1, 6);
}

static void a_transfer_that_takes_too_long_is_taken_back(void **state)
{
    const struct swap_pair pair = {"tally", "tally_wide"};
    struct swap_request request = request_transfer("tally_wide", &pair);
    host_machine.tick = SWAP_TRANSFER_LIMIT_NS + 1;
    refuse(&request, DIAG_SWAP_TRANSFER_LIMIT);
    assert_string_equal(diag.symbol, "widen");
    assert_int_equal(diag.found, SWAP_TRANSFER_LIMIT_NS + 1);
    host_machine_reset();
    host_machine.ends_calls = true;
    refuse(&request, DIAG_SWAP_TRANSFER_LIMIT);
    host_machine_reset();
    host_machine.refuses_limit = true;
    refuse(&request, DIAG_SWAP_TRANSFER_LIMIT);
    assert_string_equal(diag.symbol, "");
    host_machine_reset();
    host_machine.tick = SWAP_TRANSFER_LIMIT_NS;
    assert_int_equal(run(&request), OK);
    check_tally(1, 6);
    retire_all();
}

/* A field of a call from teller to tally. */
static uint64_t find_call(void)
{
    const struct cell *teller = scene_cell("teller");
    struct relocation_walk walk = {0};
    struct dependency at;
    while (relocation_next(teller, &walk, &at)) {
        if (at.source->region == REGION_TEXT && at.type == R_X86_64_PLT32 && at.target &&
            at.target->cell != teller) {
            return at.source->address + at.offset;
        }
    }
    fail_msg("teller calls nobody");
    abort();
}

static void damage(void)
{
    uint8_t *field = (uint8_t *)find_call();
    text_patch((uint64_t)field, *field ^ 1, 1, true);
}

/* Between the plan and the window: then some stores are made already when it is noticed. */
static void what_changes_before_the_window_is_noticed_in_it(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    struct swap_request request =
        request_of(CELLS("tally_version"), PAIRS({"tally", "tally_version"}));
    struct state_snapshot *before = state_snapshot_take(request.namespace);
    host_machine.in_window = damage;
    assert_int_equal(run(&request), ERR_MISMATCH);
    assert_int_equal(diag.code, DIAG_SWAP_BYTES);
    assert_string_equal(diag.cell, "teller");
    assert_int_equal(diag.offset, find_call() - scene_address("teller_ask"));
    assert_int_equal(report.hash_before, report.hash_after);
    damage(); /* again: as it was */
    state_snapshot_assert_same(before);
    state_snapshot_release(before);
    check_tally(1, 6);
}

static void a_dry_run_reports_and_changes_nothing(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    struct swap_request request = request_of(CELLS("tally_wide"), PAIRS({"tally", "tally_wide"}));
    struct state_snapshot *before = state_snapshot_take(request.namespace);
    request.flags = SWAP_DRY_RUN;
    assert_int_equal(run(&request), OK);
    state_snapshot_assert_same(before);
    state_snapshot_release(before);
    assert_int_equal(report.id, 0);
    assert_int_equal(report.transferred, 1);
    assert_int_equal(report.adopted_variables, 4);
    assert_int_equal(report.adopted_constants, 3);
    assert_int_equal(report.entries, 8);
    assert_int_equal(host_machine.stops, 0);
}

/* ---- hooks ---- */

static struct {
    char calls[32];
    const char *fails; /* the letter of the hook that fails */
    uint64_t places[2];
} hooked;

static enum status note(const char *letter)
{
    assert_true(strlen(hooked.calls) + 1 < sizeof(hooked.calls));
    strcat(hooked.calls, letter);
    return hooked.fails && strcmp(hooked.fails, letter) == 0 ? ERR_FAILED : OK;
}

static enum status prepare(void *context, const struct swap_view *view)
{
    assert_false(host_machine.is_stopped);
    hooked.places[0] = swap_view_find(view, SWAP_OLD, "tally_version");
    hooked.places[1] = swap_view_find(view, SWAP_NEW, "tally_version");
    assert_int_equal(swap_view_find(view, SWAP_NEW, "teller_ask"), 0);
    return note("p");
}

static enum status transfer(void *context)
{
    assert_true(host_machine.is_stopped);
    assert_int_equal(scene_call(scene_entry("tally_version")),
                     2); /* as the last of what may fail */
    return note("t");
}

static void restore(void *context)
{
    assert_true(host_machine.is_stopped);
    assert_int_equal(scene_call(scene_entry("tally_version")), 1);
    (void)note("r");
}

static void finish(void *context, bool is_committed)
{
    assert_false(host_machine.is_stopped);
    (void)note(is_committed ? "F" : "f");
}

static void hooks_are_called_in_turn(void **state)
{
    static const struct swap_hooks hooks = {prepare, transfer, restore, finish, NULL};
    static const struct {
        const char *fails;
        const char *calls;
    } cases[] = {{"p", "pf"}, {"t", "ptrf"}, {NULL, "ptF"}};
    scene_begin(CELLS("tally", "teller"));
    uint64_t old = scene_address("tally_version");
    struct swap_request request =
        request_of(CELLS("tally_version"), PAIRS({"tally", "tally_version"}));
    request.hooks = &hooks;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        host_machine_reset();
        memset(&hooked, 0, sizeof(hooked));
        hooked.fails = cases[i].fails;
        if (cases[i].fails) {
            refuse(&request, DIAG_SWAP_HOOK);
        } else {
            assert_int_equal(run(&request), OK);
            assert_int_equal(hooked.places[1], scene_address("tally_version"));
        }
        assert_string_equal(hooked.calls, cases[i].calls);
        assert_int_equal(hooked.places[0], old);
    }
    retire_all();
}

/* ---- what remains ---- */

static void old_cells_stay_while_they_are_needed(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    const struct cell *old = scene_cell("tally");
    swap(CELLS("tally_version"), PAIRS({"tally", "tally_version"}));
    host_machine_reset();
    host_machine.knows_nothing = true;
    assert_int_equal(swap_retire(), 1);
    host_machine_reset();
    host_machine.keeps = old;
    assert_int_equal(swap_retire(), 1);
    assert_ptr_equal(cell_namespace_initial()->retired, old);
    assert_false(old->is_leaving);
    assert_ptr_equal(old->successor, scene_cell("tally_version"));
    check_tally(2, 6);
    swap(CELLS("tally_same"), PAIRS({"tally_version", "tally_same"}));
    assert_ptr_equal(old->successor, scene_cell("tally_same"));
    host_machine.keeps = old;
    assert_int_equal(swap_retire(), 1); /* the one in between went */
    check_tally(1, 7);
    retire_all();
    check_tally(1, 8);
}

/* Its address may be anywhere: so its cell stays, and it goes on with the shared variables. */
static void a_function_without_a_successor_keeps_its_cell(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    uint64_t zeroed = (uint64_t)demand(cell_namespace_initial(), "tally_zeroed");
    assert_int_equal(scene_call(zeroed), 1);
    swap(CELLS("tally_removed"), PAIRS({"tally", "tally_removed"}));
    assert_int_equal(report.kept, 1);
    assert_string_equal(report.kept_name, "tally_zeroed");
    host_machine_reset();
    assert_int_equal(swap_retire(), 1);
    assert_int_equal(scene_call(zeroed), 2);
    check_tally(1, 6);
    swap(CELLS("tally_same"), PAIRS({"tally_removed", "tally_same"})); /* has it again */
    assert_int_equal(scene_call(zeroed), 1); /* the new function; its variable is a new one */
    assert_int_equal(scene_entry("tally_zeroed"), zeroed);
    retire_all();
}

static void only_the_latest_swaps_are_remembered(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    uint64_t first = 0;
    for (uint32_t i = 0; i <= SWAP_REMEMBERED; i++) {
        const char *from = i % 2 ? "tally_version" : "tally";
        const char *to = i % 2 ? "tally" : "tally_version";
        uint64_t id = swap(CELLS(to), PAIRS({from, to}));
        first = first ? first : id;
        assert_int_equal(id, first + i);
    }
    assert_int_equal(swap_rollback(first, 0, &report, &diag), ERR_NOT_FOUND);
    assert_int_equal(swap_rollback(first + 1, 0, &report, &diag), ERR_NOT_FOUND); /* long over */
    retire_all();
}

static void requests_that_say_nothing_are_refused(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    static struct swap_pair many[SWAP_MAX_PAIRS + 1];
    struct swap_request request = request_of(CELLS("tally"), many, 0);
    refuse(&request, DIAG_SWAP_PAIRS);
    request.pair_count = SWAP_MAX_PAIRS + 1;
    refuse(&request, DIAG_SWAP_PAIRS);
    request.pair_count = 1;
    refuse(&request, DIAG_SWAP_PAIRS);
}

/* ---- any number of swaps, in any order ---- */

#define FORMS  4
#define ROUNDS 250

/* The four counters, in cells of several forms. */
static const char *const forms[FORMS][4] = {
    {"part_a", "part_bc", "part_d"},
    {"part_ab", "part_cd"},
    {"part_ad", "part_b", "part_c"},
    {"part_ad", "part_bc"},
};

static uint64_t random_state;

static uint32_t draw(uint32_t bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % bound;
}

static bool share_a_counter(const char *one, const char *other)
{
    return strpbrk(one + strlen("part_"), other + strlen("part_")) != NULL;
}

static bool is_in_form(const char *cell, int form)
{
    for (int i = 0; i < 4 && forms[form][i]; i++) {
        if (strcmp(forms[form][i], cell) == 0) {
            return true;
        }
    }
    return false;
}

static uint32_t pairs_between(int from, int to, struct swap_pair pairs[8])
{
    uint32_t count = 0;
    for (int i = 0; i < 4 && forms[from][i]; i++) {
        for (int k = 0; k < 4 && forms[to][k]; k++) {
            const char *old = forms[from][i];
            const char *new = forms[to][k];
            if (!is_in_form(old, to) && !is_in_form(new, from) && share_a_counter(old, new)) {
                pairs[count++] = (struct swap_pair){old, new};
            }
        }
    }
    return count;
}

static void call_counters(uint64_t counters[4])
{
    static const char *const names[] = {"part_alpha", "part_beta", "part_gamma", "part_delta"};
    uint32_t which = draw(5);
    uint64_t all = 0;
    for (uint32_t i = 0; i < 4; i++) {
        bool is_called = which == 4 || which == i;
        counters[i] += is_called;
        all = all * 10 + counters[i];
        if (which == i) {
            assert_int_equal(scene_call(draw(2) ? scene_entry(names[i]) : scene_address(names[i])),
                             counters[i]);
        }
    }
    if (which == 4) {
        assert_int_equal(scene_call(scene_entry("gauge_all")), all);
    }
}

/* Succeeds, or fails at a step of any number and leaves everything. */
static bool try_form(int from, int to)
{
    struct swap_pair pairs[8];
    uint32_t count = pairs_between(from, to, pairs);
    struct swap_request request = request_of(forms[to], pairs, count);
    request.fail_step = draw(3) ? 0 : 1 + draw(80);
    struct state_snapshot *before = state_snapshot_take(request.namespace);
    enum status status = run(&request);
    if (status != OK) {
        if (!request.fail_step) {
            explain(status);
        }
        assert_true(report.steps >= request.fail_step || request.fail_step == 1);
        state_snapshot_assert_same(before);
    }
    state_snapshot_release(before);
    return status == OK;
}

static void counters_survive_any_swaps(void **state)
{
    const char *seed = getenv("SWAP_SEED");
    random_state = seed ? strtoull(seed, NULL, 0) : 20261121;
    print_message("SWAP_SEED=%lu\n", (unsigned long)random_state);
    uint64_t counters[4] = {1, 2, 3, 4};
    int form = 0;
    uint32_t swaps = 0;
    uint32_t failures = 0;
    scene_begin(CELLS("part_a", "part_bc", "part_d", "gauge"));
    for (int i = 0; i < ROUNDS; i++) {
        call_counters(counters);
        int to = (form + 1 + (int)draw(FORMS - 1)) % FORMS;
        if (try_form(form, to)) {
            swaps++;
            uint64_t id = report.id;
            if (draw(4) == 0) {
                call_counters(counters);
                roll_back(id);
                assert_int_equal(swap_rollback(id, 0, NULL, &diag), ERR_NOT_FOUND);
            } else {
                form = to;
            }
        } else {
            failures++;
        }
        check_system();
        if (draw(5) == 0) {
            retire_all();
            check_system();
        }
    }
    call_counters(counters);
    retire_all();
    print_message("%u swaps, %u that failed\n", swaps, failures);
    assert_true(swaps > 50 && failures > 20);
}

/* The address map keeps a table from the first swap on. */
static int swap_once(void **state)
{
    scene_setup(state);
    struct cell_namespace *here = scene_begin(CELLS("tally"));
    swap(CELLS("tally"), PAIRS({"tally", "tally"}));
    retire_all();
    end_namespace(here);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(code_is_new_and_variables_go_on),
        SCENE_TEST(a_swap_is_taken_back),
        SCENE_TEST(a_cell_is_swapped_for_one_of_its_name),
        SCENE_TEST(a_pointer_is_moved_unless_the_program_changed_it),
        SCENE_TEST(a_changed_variable_is_transferred),
        SCENE_TEST(a_held_cell_is_succeeded),
        SCENE_TEST(each_step_that_fails_leaves_every_byte),
        SCENE_TEST(each_refused_request_leaves_every_byte),
        SCENE_TEST(a_cpu_that_does_not_stop_is_a_refusal),
        SCENE_TEST(frames_are_waited_for_until_the_deadline),
        SCENE_TEST(a_transfer_that_fails_is_taken_back),
        SCENE_TEST(a_transfer_that_takes_too_long_is_taken_back),
        SCENE_TEST(what_changes_before_the_window_is_noticed_in_it),
        SCENE_TEST(a_dry_run_reports_and_changes_nothing),
        SCENE_TEST(hooks_are_called_in_turn),
        SCENE_TEST(old_cells_stay_while_they_are_needed),
        SCENE_TEST(a_function_without_a_successor_keeps_its_cell),
        SCENE_TEST(only_the_latest_swaps_are_remembered),
        SCENE_TEST(requests_that_say_nothing_are_refused),
        SCENE_TEST(counters_survive_any_swaps),
    };
    return scene_start(argc, argv) ? cmocka_run_group_tests(tests, swap_once, NULL) : 2;
}
