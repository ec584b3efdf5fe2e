/* SPDX-License-Identifier: MIT */
/*
 * What a swap decides, before anything is touched: real cells are loaded into this process, and the
 * plan of their swap is looked at. Each pair of cells differs in one thing (swap_cells/). Whatever
 * a plan says, making it changes nothing: that is looked at each time.
 */
#include "cell_abi.h"
#include "loader.h"
#include "relocation.h"
#include "swap_plan.h"
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
#include <setjmp.h>
#include <cmocka.h>

/* ---- making plans ---- */

struct pair {
    const char *old;
    const char *new;
};

/* A list of pairs, and its length. */
#define ITEMS(...) \
    (const struct pair[]){__VA_ARGS__}, ARRAY_COUNT(((const struct pair[]){__VA_ARGS__}))

struct planned {
    struct swap_item items[8];
    struct swap_plan plan;
    struct step_counter steps;
    struct diag diag;
    enum status status;
    struct state_snapshot *before;
};

static enum status run_stages(struct planned *of)
{
    enum status status = swap_plan_load(&of->plan, &of->diag);
    if (status == OK) {
        status = swap_plan_verify(&of->plan, &of->diag);
    }
    return status == OK ? swap_plan_make(&of->plan, &of->diag) : status;
}

static void begin_plan(struct planned *of, const char *const bundle[], const struct pair *pairs,
                       uint32_t count)
{
    *of = (struct planned){.before = state_snapshot_take(cell_namespace_initial())};
    assert_true(count <= ARRAY_COUNT(of->items));
    for (uint32_t i = 0; i < count; i++) {
        of->items[i] = (struct swap_item){.old_name = pairs[i].old, .new_name = pairs[i].new};
    }
    swap_plan_begin(&of->plan, cell_namespace_initial(), of->items, count, &of->steps);
    of->plan.bundle = scene_bundle(bundle);
}

static void end_plan(struct planned *of)
{
    swap_plan_fini(&of->plan);
    swap_plan_fini(&of->plan); /* does nothing */
    state_snapshot_assert_same(of->before);
    state_snapshot_release(of->before);
}

static void make_plan(struct planned *of, const char *const bundle[], const struct pair *pairs,
                      uint32_t count)
{
    char line[256] = "";
    begin_plan(of, bundle, pairs, count);
    of->status = run_stages(of);
    if (of->status != OK) {
        diag_format(&of->diag, line, sizeof(line));
    }
    assert_string_equal(line, "");
    assert_int_equal(of->status, OK);
}

/* The first difference is named. */
static void refuse(const char *const bundle[], const struct pair *pairs, uint32_t count,
                   enum diag_code code, const char *cell, const char *section, const char *symbol)
{
    struct planned of;
    begin_plan(&of, bundle, pairs, count);
    of.status = run_stages(&of);
    char line[256] = "";
    diag_format(&of.diag, line, sizeof(line));
    print_message("  %s\n", line);
    assert_int_not_equal(of.status, OK);
    assert_int_equal(of.diag.code, code);
    assert_string_equal(of.diag.cell, cell);
    assert_string_equal(of.diag.section, section);
    assert_string_equal(of.diag.symbol, symbol);
    end_plan(&of);
}

/* ---- looking at them ---- */

static struct cell *new_cell(const struct planned *of, const char *name)
{
    for (uint32_t i = 0; i < of->plan.new_count; i++) {
        if (strcmp(swap_plan_new_cell(&of->plan, i)->name, name) == 0) {
            return swap_plan_new_cell(&of->plan, i);
        }
    }
    fail_msg("%s is no new cell", name);
    abort();
}

/* Are the new cell's variable, or constant, and the old one's at one place? */
static bool is_adopted(const struct planned *of, const char *new, const char *old, const char *name)
{
    return scene_place(new_cell(of, new), name) == scene_place(scene_cell(old), name);
}

static const struct swap_store *find_patch(const struct planned *of, uint64_t address)
{
    const struct swap_store *found = NULL;
    for (uint32_t i = 0; i < of->plan.patches.count; i++) {
        if (of->plan.patches.stores[i].address == address) {
            assert_null(found); /* each place is stored to once */
            found = &of->plan.patches.stores[i];
        }
    }
    return found;
}

/* Where the jump leads that will be in an entry. */
static uint64_t follow_after(const struct planned *of, uint64_t entry)
{
    const struct swap_store *store = find_patch(of, entry);
    assert_non_null(store);
    assert_int_equal(store->kind, SWAP_STORE_TEXT);
    assert_int_equal(store->size, ENTRY_SIZE);
    assert_int_equal(store->after & 0xff, 0xe9);
    assert_int_equal(store->after >> 40, 0xcccccc);
    return entry + 5 + (uint64_t)(int64_t)(int32_t)(store->after >> 8);
}

static bool is_retargeted(const struct planned *of, const char *new, const char *old,
                          const char *function)
{
    struct cell *cell = scene_cell(old);
    uint64_t place = scene_place(cell, function);
    for (uint32_t i = 0; i < cell->function_count; i++) {
        const struct function *at = &cell->functions[i];
        if (cell->sections[at->section].address + at->offset == place && at->entry &&
            find_patch(of, at->entry)) {
            return follow_after(of, at->entry) == scene_place(new_cell(of, new), function);
        }
    }
    return false;
}

static bool is_entry_of_leaving(const struct planned *of, uint64_t address)
{
    for (uint32_t i = 0; i < of->plan.inheritance_count; i++) {
        if (of->plan.inheritances[i].old->entry == address) {
            return true;
        }
    }
    return false;
}

/* What the field of a reference that binds to a symbol of a cell that leaves must hold afterwards,
 * from the symbol's name alone. */
static uint64_t value_after(const struct planned *of, const struct dependency *reference)
{
    const struct elf_object *object = &reference->source->cell->object;
    const char *name = elf_object_symbol_name(object, reference->symbol);
    const struct symbol *is = loader_aside_find(of->plan.aside, name, symbol_map_hash(name));
    assert_non_null(is);
    uint64_t place = reference->source->address + reference->offset;
    bool is_relative = reference->type != R_X86_64_64 && reference->type != R_X86_64_32 &&
                       reference->type != R_X86_64_32S;
    uint64_t value = reference->via_entry ? is->entry : is->address;
    int64_t into = reference->target_offset -
                   (int64_t)(find(of->plan.namespace, name)->address - reference->target->address);
    value += reference->via_entry ? 0 : (uint64_t)into;
    return is_relative ? value - (place + 4) : value;
}

/*
 * Each reference from what stays to what goes is patched, unless it holds already what it must; the
 * others are entries and initial pointers of adopted variables. Every store says what is there now.
 */
static void check_patches(const struct planned *of)
{
    uint32_t found = 0;
    for (const struct cell *cell = of->plan.namespace->first; cell; cell = cell->next) {
        struct relocation_walk walk = {0};
        struct dependency reference;
        while (!cell->is_leaving && relocation_next(cell, &walk, &reference)) {
            if (!reference.target || !reference.target->cell->is_leaving) {
                continue;
            }
            uint64_t place = reference.source->address + reference.offset;
            bool is_wide = reference.type == R_X86_64_64;
            uint64_t mask = is_wide ? UINT64_MAX : UINT32_MAX;
            uint64_t holds = 0;
            memcpy(&holds, (const void *)place, is_wide ? 8 : 4);
            uint64_t after = value_after(of, &reference) & mask;
            const struct swap_store *store = find_patch(of, place);
            assert_int_equal(store != NULL, holds != after);
            assert_int_equal(store ? store->after : after, after);
            found += store != NULL;
        }
    }
    for (uint32_t i = 0; i < of->plan.patches.count; i++) {
        const struct swap_store *store = &of->plan.patches.stores[i];
        uint64_t holds = 0;
        memcpy(&holds, (const void *)store->address, store->size);
        assert_true(store->kind == SWAP_STORE_DATA || holds == store->before);
        assert_int_not_equal(store->before, store->after);
        found += store->kind == SWAP_STORE_DATA || is_entry_of_leaving(of, store->address);
    }
    assert_int_equal(found, of->plan.patches.count);
    assert_int_equal(of->plan.counts.entries, of->plan.inheritance_count);
    assert_int_equal(of->plan.counts.patches + of->plan.counts.entries, of->plan.patches.count);
    assert_int_equal(of->plan.counts.stores, of->plan.patches.count + of->plan.metadata.count);
}

struct expected {
    uint32_t adopted_variables;
    uint32_t adopted_constants;
    uint32_t new_variables;
    uint32_t removed_variables;
    uint32_t transferred;
    uint32_t fresh;
    uint32_t entries;
    uint32_t kept;
    bool must_be_quiet;
};

static void check_counts(const struct planned *of, struct expected expected)
{
    const struct swap_plan_counts *counts = &of->plan.counts;
    assert_int_equal(counts->adopted_variables, expected.adopted_variables);
    assert_int_equal(counts->adopted_constants, expected.adopted_constants);
    assert_int_equal(counts->new_variables, expected.new_variables);
    assert_int_equal(counts->removed_variables, expected.removed_variables);
    assert_int_equal(counts->transferred, expected.transferred);
    assert_int_equal(counts->fresh, expected.fresh);
    assert_int_equal(counts->entries, expected.entries);
    assert_int_equal(counts->kept, expected.kept);
    assert_int_equal(of->plan.must_be_quiet, expected.must_be_quiet);
    check_patches(of);
}

/* `tally`: variables count, zeroed, heading, pointer, tally_slots; constants title, limits,
 * tally_row; 7 exported functions and one whose address a variable has. */
#define VARIABLES 5u
#define CONSTANTS 3u
#define ENTRIES   8u

static uint64_t read_word(uint64_t address)
{
    return *(const uint64_t *)address;
}

/* ---- functions and variables ---- */

static void equal_cells_take_everything_over(void **state)
{
    struct planned of;
    scene_begin(CELLS("tally", "teller", "reader"));
    make_plan(&of, CELLS("tally_same"), ITEMS({"tally", "tally_same"}));
    check_counts(&of, (struct expected){
                          .adopted_variables = VARIABLES,
                          .adopted_constants = CONSTANTS,
                          .entries = ENTRIES,
                      });
    static const char *const variables[] = {"count",       "zeroed", "heading", "pointer",
                                            "tally_slots", "title",  "limits",  "tally_row"};
    for (size_t i = 0; i < ARRAY_COUNT(variables); i++) {
        assert_true(is_adopted(&of, "tally_same", "tally", variables[i]));
    }
    static const char *const functions[] = {"tally_version", "tally_next",  "tally_zeroed",
                                            "tally_local",   "tally_title", "tally_heading",
                                            "tally_limits",  "local"};
    for (size_t i = 0; i < ARRAY_COUNT(functions); i++) {
        assert_true(is_retargeted(&of, "tally_same", "tally", functions[i]));
    }
    assert_true(of.plan.counts.checked >= 3); /* of teller and of reader */
    assert_int_equal(of.plan.old_count, 1);
    assert_int_equal(of.plan.new_count, 1);
    end_plan(&of);
}

static void an_added_variable_begins_with_its_value(void **state)
{
    struct planned of;
    scene_begin(CELLS("tally", "teller"));
    make_plan(&of, CELLS("tally_added"), ITEMS({"tally", "tally_added"}));
    check_counts(&of, (struct expected){
                          .adopted_variables = VARIABLES,
                          .adopted_constants = CONSTANTS,
                          .new_variables = 1,
                          .entries = ENTRIES,
                      });
    assert_true(is_adopted(&of, "tally_added", "tally", "count"));
    assert_int_equal(read_word(scene_place(new_cell(&of, "tally_added"), "extra")), 9);
    end_plan(&of);
}

static void a_removed_variable_goes_with_its_cell(void **state)
{
    struct planned of;
    scene_begin(CELLS("tally", "teller"));
    make_plan(&of, CELLS("tally_removed"), ITEMS({"tally", "tally_removed"}));
    check_counts(&of, (struct expected){
                          .adopted_variables = VARIABLES - 1,
                          .adopted_constants = CONSTANTS,
                          .removed_variables = 1,
                          .entries = ENTRIES - 1,
                      });
    end_plan(&of);
}

static void a_renamed_variable_is_another_one(void **state)
{
    struct planned of;
    scene_begin(CELLS("tally", "teller"));
    scene_call(scene_entry("tally_next"));
    make_plan(&of, CELLS("tally_renamed"), ITEMS({"tally", "tally_renamed"}));
    check_counts(&of, (struct expected){
                          .adopted_variables = VARIABLES - 1,
                          .adopted_constants = CONSTANTS,
                          .new_variables = 1,
                          .removed_variables = 1,
                          .entries = ENTRIES,
                      });
    assert_int_equal(read_word(scene_place(new_cell(&of, "tally_renamed"), "number")), 5);
    end_plan(&of);
}

static void initialised_or_zeroed_makes_no_difference(void **state)
{
    static const char *const ways[][2] = {{"tally", "tally_bss"}, {"tally_bss", "tally"}};
    for (size_t i = 0; i < ARRAY_COUNT(ways); i++) {
        struct planned of;
        struct cell_namespace *here = scene_begin(CELLS(ways[i][0], "teller"));
        uint64_t count = scene_call(scene_entry("tally_next"));
        make_plan(&of, CELLS(ways[i][1]), ITEMS({ways[i][0], ways[i][1]}));
        check_counts(&of, (struct expected){
                              .adopted_variables = VARIABLES,
                              .adopted_constants = CONSTANTS,
                              .entries = ENTRIES,
                          });
        assert_true(is_adopted(&of, ways[i][1], ways[i][0], "count"));
        assert_int_equal(read_word(scene_place(new_cell(&of, ways[i][1]), "count")), count);
        end_plan(&of);
        unload_all(here);
    }
}

static void what_becomes_a_constant_or_was_one_is_not_taken_over(void **state)
{
    struct planned of;
    struct cell_namespace *here = scene_begin(CELLS("tally", "teller"));
    make_plan(&of, CELLS("tally_const"), ITEMS({"tally", "tally_const"}));
    check_counts(&of, (struct expected){
                          .adopted_variables = VARIABLES - 1,
                          .adopted_constants = CONSTANTS,
                          .removed_variables = 1,
                          .entries = ENTRIES,
                      });
    assert_false(is_adopted(&of, "tally_const", "tally", "count"));
    end_plan(&of);
    make_plan(&of, CELLS("tally_limits"), ITEMS({"tally", "tally_limits"}));
    check_counts(&of, (struct expected){
                          .adopted_variables = VARIABLES,
                          .adopted_constants = CONSTANTS - 1,
                          .new_variables = 1,
                          .entries = ENTRIES,
                      });
    assert_false(is_adopted(&of, "tally_limits", "tally", "limits"));
    end_plan(&of);
    unload_all(here);
    scene_begin(CELLS("tally_const", "teller"));
    make_plan(&of, CELLS("tally"), ITEMS({"tally_const", "tally"}));
    check_counts(&of, (struct expected){
                          .adopted_variables = VARIABLES - 1,
                          .adopted_constants = CONSTANTS,
                          .new_variables = 1,
                          .entries = ENTRIES,
                      });
    assert_int_equal(read_word(scene_place(new_cell(&of, "tally"), "count")), 5);
    end_plan(&of);
}

static void a_pointer_that_still_holds_its_initial_value_is_moved(void **state)
{
    struct planned of;
    scene_begin(CELLS("tally", "teller"));
    make_plan(&of, CELLS("tally_title"), ITEMS({"tally", "tally_title"}));
    check_counts(&of, (struct expected){
                          .adopted_variables = VARIABLES,
                          .adopted_constants = CONSTANTS - 1,
                          .entries = ENTRIES,
                      });
    const struct swap_store *store = find_patch(&of, scene_place(scene_cell("tally"), "heading"));
    assert_non_null(store);
    assert_int_equal(store->kind, SWAP_STORE_DATA);
    assert_int_equal(store->before, scene_place(scene_cell("tally"), "title"));
    assert_int_equal(store->after, scene_place(new_cell(&of, "tally_title"), "title"));
    assert_string_equal((const char *)store->after, "tally, anew");
    end_plan(&of);
}

static void fresh_constants_are_taken_from_nobody(void **state)
{
    struct planned of;
    scene_begin(CELLS("tally", "teller"));
    begin_plan(&of, CELLS("tally_same"), ITEMS({"tally", "tally_same"}));
    of.plan.has_fresh_constants = true;
    assert_int_equal(run_stages(&of), OK);
    check_counts(&of, (struct expected){
                          .adopted_variables = VARIABLES,
                          .entries = ENTRIES,
                      });
    assert_false(is_adopted(&of, "tally_same", "tally", "title"));
    end_plan(&of);
}

/* ---- types that change ---- */

static void another_type_is_refused(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    refuse(CELLS("tally_signed"), ITEMS({"tally", "tally_signed"}), DIAG_SWAP_LAYOUT,
           "tally_signed", ".data.count", "count, also in tally");
    refuse(CELLS("tally_wide_bare"), ITEMS({"tally", "tally_wide_bare"}), DIAG_SWAP_LAYOUT,
           "tally_wide_bare", ".bss.count", "count, also in tally");
}

static void another_type_is_transferred(void **state)
{
    struct planned of;
    scene_begin(CELLS("tally", "teller"));
    make_plan(&of, CELLS("tally_wide"), ITEMS({"tally", "tally_wide"}));
    check_counts(&of, (struct expected){
                          .adopted_variables = VARIABLES - 1,
                          .adopted_constants = CONSTANTS,
                          .transferred = 1,
                          .entries = ENTRIES,
                          .must_be_quiet = true,
                      });
    assert_int_equal(of.plan.transfer_count, 1);
    const struct swap_transfer *transfer = &of.plan.transfers[0];
    const struct cell *cell = new_cell(&of, "tally_wide");
    assert_int_equal(transfer->old->address + transfer->old_offset,
                     scene_place(scene_cell("tally"), "count"));
    assert_int_equal(transfer->old_bytes, sizeof(uint64_t));
    assert_string_equal(elf_object_symbol_name(&cell->object, transfer->new_symbol), "count");
    assert_string_equal(elf_object_symbol_name(&cell->object, transfer->function_symbol), "widen");
    end_plan(&of);
}

static void a_transfer_from_nothing_is_refused(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    refuse(CELLS("tally_wide_unknown"), ITEMS({"tally", "tally_wide_unknown"}), DIAG_SWAP_TRANSFER,
           "tally_wide_unknown", "", "nobody");
}

static void a_fresh_variable_begins_anew(void **state)
{
    struct planned of;
    scene_begin(CELLS("tally", "teller"));
    scene_call(scene_entry("tally_next"));
    make_plan(&of, CELLS("tally_fresh"), ITEMS({"tally", "tally_fresh"}));
    check_counts(&of, (struct expected){
                          .adopted_variables = VARIABLES - 1,
                          .adopted_constants = CONSTANTS,
                          .removed_variables = 1,
                          .fresh = 1,
                          .entries = ENTRIES,
                          .must_be_quiet = true,
                      });
    assert_int_equal(read_word(scene_place(new_cell(&of, "tally_fresh"), "count")), 5);
    assert_int_equal(read_word(scene_place(scene_cell("tally"), "count")), 6);
    end_plan(&of);
}

/* What is in memory means the same, wherever it is. */
static void an_enumeration_with_more_names_is_adopted(void **state)
{
    struct planned of;
    scene_begin(CELLS("shape", "shape_user"));
    make_plan(&of, CELLS("shape_kinds"), ITEMS({"shape", "shape_kinds"}));
    assert_int_equal(of.plan.counts.adopted_variables, 2);
    assert_int_equal(of.plan.counts.new_variables, 0);
    assert_false(of.plan.must_be_quiet);
    end_plan(&of);
    refuse(CELLS("shape_fewer_kinds"), ITEMS({"shape", "shape_fewer_kinds"}), DIAG_SWAP_LAYOUT,
           "shape_fewer_kinds", ".bss.kind", "kind, also in shape");
}

/* They are in frames, which are looked for; unless a cell that stays may hold one. */
static void an_argument_of_another_layout_needs_no_line(void **state)
{
    struct planned of;
    scene_begin(CELLS("shape"));
    make_plan(&of, CELLS("shape_question"), ITEMS({"shape", "shape_question"}));
    assert_int_equal(of.plan.counts.adopted_variables, 2);
    assert_true(of.plan.must_be_quiet);
    end_plan(&of);
    scene_begin(CELLS("shape", "shape_user"));
    refuse(CELLS("shape_question"), ITEMS({"shape", "shape_question"}), DIAG_SWAP_LAYOUT,
           "shape_question", "struct shape_question",
           "field 2: u32 colour@4 in the new version, none in the old one");
}

static void what_a_variable_leads_to_needs_a_line(void **state)
{
    scene_begin(CELLS("shape"));
    refuse(CELLS("shape_node"), ITEMS({"shape", "shape_node"}), DIAG_SWAP_LAYOUT, "shape_node",
           "struct shape_node",
           "field 2: u64 value@8 in the new version, u32 value@8 in the old one");
}

/* ---- functions that go or change ---- */

static void a_function_that_goes_keeps_its_entry_where_it_may_be_held(void **state)
{
    struct planned of;
    scene_begin(CELLS("tally", "teller"));
    uint64_t entry = (uint64_t)demand(cell_namespace_initial(), "tally_zeroed");
    make_plan(&of, CELLS("tally_removed"), ITEMS({"tally", "tally_removed"}));
    assert_int_equal(of.plan.counts.kept, 1);
    assert_string_equal(of.plan.counts.kept_name, "tally_zeroed");
    assert_null(find_patch(&of, entry));
    check_patches(&of);
    end_plan(&of);
}

static void a_function_that_is_used_must_not_go(void **state)
{
    scene_begin(CELLS("part_bc", "part_a", "part_d", "gauge"));
    refuse(CELLS("part_b"), ITEMS({"part_bc", "part_b"}), DIAG_SWAP_MISSING, "gauge",
           ".text.gauge_all", "part_gamma");
    refuse(CELLS("part_b"), ITEMS({"part_bc", NULL}), DIAG_SWAP_MISSING, "gauge", ".text.gauge_all",
           "part_beta");
}

static void another_signature_on_one_side_is_refused(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    refuse(CELLS("tally_signature"), ITEMS({"tally", "tally_signature"}), DIAG_SWAP_SIGNATURE,
           "teller", "tally_next", "parameter 1: none in teller, u32 in tally_signature");
    refuse(CELLS("teller_signature"), ITEMS({"teller", "teller_signature"}), DIAG_LINK_SIGNATURE,
           "teller_signature", "tally_next", "parameter 1: u32 in teller_signature, none in tally");
}

static void another_signature_on_both_sides_leaves_the_old_entry_alone(void **state)
{
    struct planned of;
    scene_begin(CELLS("tally", "teller"));
    uint64_t entry = scene_entry("tally_next");
    make_plan(&of, CELLS("tally_signature", "teller_signature"),
              ITEMS({"tally", "tally_signature"}, {"teller", "teller_signature"}));
    assert_null(find_patch(&of, entry));
    assert_true(is_retargeted(&of, "tally_signature", "tally", "tally_version"));
    assert_true(is_retargeted(&of, "teller_signature", "teller", "teller_ask"));
    assert_false(of.plan.must_be_quiet);
    end_plan(&of);
}

/* `T x[]` in who uses it is any array of T. */
static void an_array_without_a_bound_fits_one_with_any(void **state)
{
    struct planned of;
    scene_begin(CELLS("tally", "reader"));
    make_plan(&of, CELLS("tally_version"), ITEMS({"tally", "tally_version"}));
    assert_true(of.plan.counts.checked >= 2);
    check_patches(&of);
    end_plan(&of);
    make_plan(&of, CELLS("reader_same"), ITEMS({"reader", "reader_same"}));
    check_patches(&of);
    end_plan(&of);
    make_plan(&of, CELLS("reader_same", "tally_version"),
              ITEMS({"reader", "reader_same"}, {"tally", "tally_version"}));
    check_patches(&of);
    end_plan(&of);
}

/* ---- what is needed ---- */

static void a_new_cell_that_needs_more_than_there_is_is_refused(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    refuse(CELLS("tally_needy"), ITEMS({"tally", "tally_needy"}), DIAG_LINK_MISSING_SYMBOL,
           "tally_needy", ".symtab", "nobody_has_this");
    refuse(CELLS("tally_needs_spare"), ITEMS({"tally", "tally_needs_spare"}),
           DIAG_LINK_MISSING_SYMBOL, "tally_needs_spare", ".symtab", "spare_wheel");
}

static void what_a_new_cell_needs_comes_with_it(void **state)
{
    struct planned of;
    scene_begin(CELLS("tally", "teller"));
    make_plan(&of, CELLS("tally_needs_spare", "spare"), ITEMS({"tally", "tally_needs_spare"}));
    assert_int_equal(of.plan.new_count, 2);
    assert_int_equal(of.plan.link_count, 1);
    assert_non_null(new_cell(&of, "spare"));
    check_patches(&of);
    end_plan(&of);
}

/* What comes never binds to what goes. */
static void what_goes_is_loaded_anew_where_it_is_needed(void **state)
{
    struct planned of;
    scene_begin(CELLS("tally", "spare"));
    make_plan(&of, CELLS("tally_needs_spare"),
              ITEMS({"tally", "tally_needs_spare"}, {"spare", NULL}));
    assert_int_equal(of.plan.new_count, 2);
    struct cell *needs = new_cell(&of, "tally_needs_spare");
    uint32_t bound = 0;
    for (uint32_t i = 0; i < needs->binding_count; i++) {
        const struct cell *target = needs->bindings[i].target->cell;
        assert_false(target->is_leaving);
        bound += target == new_cell(&of, "spare");
    }
    assert_int_equal(bound, 1);
    end_plan(&of);
}

/* ---- several cells ---- */

static void begin_parts(void)
{
    scene_begin(CELLS("part_a", "part_bc", "part_d", "gauge"));
    assert_int_equal(scene_call(scene_entry("gauge_all")), 2345);
}

static void check_part(const struct planned *of, const char *new, const char *old,
                       const char *variable)
{
    char function[32];
    snprintf(function, sizeof(function), "part_%s", variable);
    assert_true(is_adopted(of, new, old, variable));
    assert_true(is_retargeted(of, new, old, function));
}

static void one_cell_is_split(void **state)
{
    struct planned of;
    begin_parts();
    make_plan(&of, CELLS("part_b", "part_c"), ITEMS({"part_bc", "part_b"}, {"part_bc", "part_c"}));
    check_counts(&of, (struct expected){.adopted_variables = 2, .entries = 2});
    check_part(&of, "part_b", "part_bc", "beta");
    check_part(&of, "part_c", "part_bc", "gamma");
    assert_int_equal(of.plan.old_count, 1);
    assert_int_equal(of.plan.new_count, 2);
    end_plan(&of);
}

static void two_cells_are_merged(void **state)
{
    struct planned of;
    begin_parts();
    make_plan(&of, CELLS("part_ad"), ITEMS({"part_a", "part_ad"}, {"part_d", "part_ad"}));
    check_counts(&of, (struct expected){.adopted_variables = 2, .entries = 2});
    check_part(&of, "part_ad", "part_a", "alpha");
    check_part(&of, "part_ad", "part_d", "delta");
    assert_int_equal(of.plan.old_count, 2);
    assert_int_equal(of.plan.new_count, 1);
    end_plan(&of);
}

static void three_cells_become_two(void **state)
{
    struct planned of;
    begin_parts();
    make_plan(&of, CELLS("part_ab", "part_cd"),
              ITEMS({"part_a", "part_ab"}, {"part_bc", "part_ab"}, {"part_bc", "part_cd"},
                    {"part_d", "part_cd"}));
    check_counts(&of, (struct expected){.adopted_variables = 4, .entries = 4});
    check_part(&of, "part_ab", "part_a", "alpha");
    check_part(&of, "part_ab", "part_bc", "beta");
    check_part(&of, "part_cd", "part_bc", "gamma");
    check_part(&of, "part_cd", "part_d", "delta");
    end_plan(&of);
}

static void a_variable_does_not_come_from_a_cell_that_is_no_partner(void **state)
{
    struct planned of;
    begin_parts();
    make_plan(&of, CELLS("part_ab", "part_cd"),
              ITEMS({"part_a", "part_ab"}, {"part_bc", "part_cd"}, {"part_d", "part_cd"}));
    check_counts(&of, (struct expected){
                          .adopted_variables = 3,
                          .new_variables = 1,
                          .removed_variables = 1,
                          .entries = 4, /* exported functions are found wherever they were */
                      });
    assert_false(is_adopted(&of, "part_ab", "part_bc", "beta"));
    assert_true(is_retargeted(&of, "part_ab", "part_bc", "part_beta"));
    end_plan(&of);
}

static void two_that_define_the_same_are_refused(void **state)
{
    begin_parts();
    refuse(CELLS("part_b", "part_bb"), ITEMS({"part_bc", "part_b"}, {"part_bc", "part_bb"}),
           DIAG_LINK_DUPLICATE_SYMBOL, "part_bb", ".text.part_beta", "part_beta, also in part_b");
}

static void variables_that_cannot_be_told_apart_are_refused(void **state)
{
    scene_begin(CELLS("twin_one", "twin_two"));
    refuse(CELLS("twins"), ITEMS({"twin_one", "twins"}, {"twin_two", "twins"}), DIAG_SWAP_AMBIGUOUS,
           "twins", ".data.count", "count, also in older versions");
}

/* Each is alone in its source, and its source is still there. */
static void variables_of_two_sources_are_told_apart_by_them(void **state)
{
    struct planned of;
    struct cell_namespace *here = scene_begin(CELLS("twin_east", "twin_west"));
    make_plan(&of, CELLS("twin_both"),
              ITEMS({"twin_east", "twin_both"}, {"twin_west", "twin_both"}));
    check_counts(&of, (struct expected){.adopted_variables = 2, .entries = 2});
    end_plan(&of);
    unload_all(here);
    scene_begin(CELLS("twin_both"));
    make_plan(&of, CELLS("twin_east", "twin_west"),
              ITEMS({"twin_both", "twin_east"}, {"twin_both", "twin_west"}));
    check_counts(&of, (struct expected){.adopted_variables = 2, .entries = 2});
    assert_int_equal(read_word(scene_place(new_cell(&of, "twin_east"), "count")), 10);
    assert_int_equal(read_word(scene_place(new_cell(&of, "twin_west"), "count")), 20);
    end_plan(&of);
}

/* ---- requests ---- */

static void pairs_that_say_nothing_are_refused(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    refuse(CELLS("spare"), ITEMS({"nobody", "spare"}), DIAG_SWAP_CELL, "nobody", "", "");
    refuse(CELLS("spare"), ITEMS({NULL, NULL}), DIAG_SWAP_PAIRS, "", "", "");
    refuse(CELLS("spare"), ITEMS({"tally", "tally_same"}), DIAG_LINK_CELL, "tally_same", "", "");
    refuse(CELLS("teller"), ITEMS({NULL, "teller"}), DIAG_LINK_DUPLICATE_CELL, "teller", "", "");
}

static void what_is_held_needs_a_successor(void **state)
{
    struct planned of;
    scene_begin(CELLS("tally", "spare"));
    struct cell_reference *reference = NULL;
    assert_int_equal(loader_hold_for(scene_entry("tally_next"), "the test", &reference), OK);
    refuse(CELLS("spare"), ITEMS({"tally", NULL}), DIAG_SWAP_HELD, "tally", "", "");
    make_plan(&of, CELLS("tally_same"), ITEMS({"tally", "tally_same"}));
    end_plan(&of);
    cell_reference_drop(&reference);
    make_plan(&of, CELLS("tally_same"), ITEMS({"tally", NULL}));
    check_counts(&of, (struct expected){.removed_variables = VARIABLES, .kept = 1});
    assert_string_equal(of.plan.counts.kept_name, "local"); /* a variable had its address */
    end_plan(&of);
}

static void damaged_text_is_noticed(void **state)
{
    struct planned of;
    scene_begin(CELLS("tally", "teller"));
    struct cell *teller = scene_cell("teller");
    struct dependency call = {0};
    struct relocation_walk walk = {0};
    struct dependency at;
    while (relocation_next(teller, &walk, &at)) {
        bool is_call = at.source->region == REGION_TEXT && at.type == R_X86_64_PLT32;
        call = is_call && at.target && at.target->cell != teller ? at : call;
    }
    assert_non_null(call.source);
    uint8_t *field = (uint8_t *)(call.source->address + call.offset);
    text_patch((uint64_t)field, *field ^ 1, 1, true);
    begin_plan(&of, CELLS("tally_version"), ITEMS({"tally", "tally_version"}));
    assert_int_equal(run_stages(&of), ERR_MISMATCH);
    assert_int_equal(of.diag.code, DIAG_SWAP_BYTES);
    assert_string_equal(of.diag.cell, "teller");
    assert_int_equal(of.diag.offset, call.offset);
    end_plan(&of);
    text_patch((uint64_t)field, *field ^ 1, 1, true);
}

/* ---- every step fails ---- */

static void fail_every_step(const char *const bundle[], const struct pair *pairs, uint32_t count)
{
    uint64_t n = 0;
    enum status status = ERR_FAILED;
    for (n = 1; status != OK; n++) {
        struct planned of;
        begin_plan(&of, bundle, pairs, count);
        of.steps.fail = n;
        status = run_stages(&of);
        assert_int_equal(status == OK, of.steps.count < n);
        end_plan(&of);
    }
    print_message("  %lu steps, each failed once\n", (unsigned long)n - 2);
    assert_true(n > 20);
}

static void every_step_that_fails_leaves_nothing(void **state)
{
    begin_parts();
    fail_every_step(CELLS("part_ab", "part_cd"),
                    ITEMS({"part_a", "part_ab"}, {"part_bc", "part_ab"}, {"part_bc", "part_cd"},
                          {"part_d", "part_cd"}));
}

/* The same, but asked of the host: each block, each page, each change of protection. */
static void every_refused_request_leaves_nothing(void **state)
{
    scene_begin(CELLS("tally", "teller"));
    enum status status = ERR_FAILED;
    uint64_t n;
    for (n = 1; status != OK; n++) {
        struct planned of;
        begin_plan(&of, CELLS("tally_wide"), ITEMS({"tally", "tally_wide"}));
        host_memory_fail(HOST_REQUEST_HEAP | HOST_REQUEST_PAGES | HOST_REQUEST_PROTECT, n);
        status = run_stages(&of);
        host_memory_fail(0, 0);
        end_plan(&of);
    }
    print_message("  %lu requests, each refused once\n", (unsigned long)n - 2);
    assert_true(n > 20);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(equal_cells_take_everything_over),
        SCENE_TEST(an_added_variable_begins_with_its_value),
        SCENE_TEST(a_removed_variable_goes_with_its_cell),
        SCENE_TEST(a_renamed_variable_is_another_one),
        SCENE_TEST(initialised_or_zeroed_makes_no_difference),
        SCENE_TEST(what_becomes_a_constant_or_was_one_is_not_taken_over),
        SCENE_TEST(a_pointer_that_still_holds_its_initial_value_is_moved),
        SCENE_TEST(fresh_constants_are_taken_from_nobody),
        SCENE_TEST(another_type_is_refused),
        SCENE_TEST(another_type_is_transferred),
        SCENE_TEST(a_transfer_from_nothing_is_refused),
        SCENE_TEST(a_fresh_variable_begins_anew),
        SCENE_TEST(an_enumeration_with_more_names_is_adopted),
        SCENE_TEST(an_argument_of_another_layout_needs_no_line),
        SCENE_TEST(what_a_variable_leads_to_needs_a_line),
        SCENE_TEST(a_function_that_goes_keeps_its_entry_where_it_may_be_held),
        SCENE_TEST(a_function_that_is_used_must_not_go),
        SCENE_TEST(another_signature_on_one_side_is_refused),
        SCENE_TEST(another_signature_on_both_sides_leaves_the_old_entry_alone),
        SCENE_TEST(an_array_without_a_bound_fits_one_with_any),
        SCENE_TEST(a_new_cell_that_needs_more_than_there_is_is_refused),
        SCENE_TEST(what_a_new_cell_needs_comes_with_it),
        SCENE_TEST(what_goes_is_loaded_anew_where_it_is_needed),
        SCENE_TEST(one_cell_is_split),
        SCENE_TEST(two_cells_are_merged),
        SCENE_TEST(three_cells_become_two),
        SCENE_TEST(a_variable_does_not_come_from_a_cell_that_is_no_partner),
        SCENE_TEST(two_that_define_the_same_are_refused),
        SCENE_TEST(variables_that_cannot_be_told_apart_are_refused),
        SCENE_TEST(variables_of_two_sources_are_told_apart_by_them),
        SCENE_TEST(pairs_that_say_nothing_are_refused),
        SCENE_TEST(what_is_held_needs_a_successor),
        SCENE_TEST(damaged_text_is_noticed),
        SCENE_TEST(every_step_that_fails_leaves_nothing),
        SCENE_TEST(every_refused_request_leaves_nothing),
    };
    return scene_start(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
