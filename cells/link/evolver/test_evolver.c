/* SPDX-License-Identifier: MIT */
/*
 * Cells of one byte of code, a namespace of those that run, and a swap that writes down what it is
 * asked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "archive.h"
#include "cell_hash.h"
#include "cell_metadata.h"
#include "cell_namespace.h"
#include "counted_heap.h"
#include "diag.h"
#include "elf_builder.h"
#include "evolver.h"
#include "loader.h"
#include "mapped_pages.h"
#include "mutex.h"

/* ---- stubs ---- */

struct mapped_pages {
    uint8_t bytes[16384];
    uint64_t size;
};

static struct mapped_pages bundle;
static unsigned drops;
static struct cell_namespace running = {.name = "running"};
static struct cell cells[4];
static size_t cell_count;
static const char *alternative;
static char asked[512];     /* of all swaps: "old>new " for a pair, "| " behind each */
static const char *refused; /* the swap of this old cell fails */
static bool only_planned;
static unsigned slow_swaps; /* these take too long */
static uint64_t last_swap;  /* id */
static uint64_t taken_back; /* likewise */
static uint64_t refused_id; /* this one cannot be taken back */

void mapped_pages_drop(struct mapped_pages **handle)
{
    drops += *handle != NULL;
    EMPTY(handle);
}

void *mapped_pages_access(const struct mapped_pages *pages, uint64_t offset, uint64_t size,
                          uint64_t alignment, uint64_t count, unsigned needed)
{
    assert_int_equal(needed, PAGE_READ);
    return offset + size * count <= pages->size ? (void *)&pages->bytes[offset] : NULL;
}

struct mutex *cell_namespace_mutex(void)
{
    static struct mutex mutex;
    return &mutex;
}

struct cell *cell_namespace_find_cell(const struct cell_namespace *namespace, const char *name)
{
    assert_ptr_equal(namespace, &running);
    for (size_t i = 0; i < cell_count; i++) {
        if (strcmp(cells[i].name, name) == 0) {
            return &cells[i];
        }
    }
    return NULL;
}

const char *loader_find_alternative(const struct cell_namespace *namespace, const char *cell)
{
    return alternative && strcmp(alternative, cell) == 0 ? "another" : NULL;
}

enum status swap_cells(const struct swap_request *request, struct swap_report *out_report,
                       struct diag *diag)
{
    size_t length = strlen(asked);
    enum status status = OK;
    *out_report = (struct swap_report){.old_cells = request->pair_count};
    assert_ptr_equal(request->namespace, &running);
    if (request->continues) {
        length += (size_t)snprintf(asked + length, sizeof(asked) - length, "%+d ",
                                   (int)(request->continues - last_swap));
    }
    for (uint32_t i = 0; i < request->pair_count; i++) {
        const struct swap_pair *pair = &request->pairs[i];
        length += (size_t)snprintf(asked + length, sizeof(asked) - length, "%s>%s ",
                                   pair->old_name ? pair->old_name : "",
                                   pair->new_name ? pair->new_name : "");
        if (refused && pair->old_name && strcmp(pair->old_name, refused) == 0) {
            status = diag_set(diag, DIAG_LINK_HELD, &(struct diag_site){.cell = refused});
        }
    }
    if (slow_swaps) {
        slow_swaps--;
        status = diag_set(diag, DIAG_SWAP_TRANSFER_FAILED,
                          &(struct diag_site){.expected = 1, .found = 2});
    }
    snprintf(asked + length, sizeof(asked) - length, "| ");
    only_planned = (request->flags & SWAP_DRY_RUN) != 0;
    if (status == OK && !only_planned) {
        out_report->id = ++last_swap;
        *request->out_id = last_swap;
    }
    return status;
}

enum status swap_rollback(uint64_t id, uint64_t timeout_ns, struct swap_report *out_report,
                          struct diag *diag)
{
    assert_int_equal(timeout_ns, 5);
    *out_report = (struct swap_report){0};
    taken_back = id;
    return id == refused_id ? diag_set(diag, DIAG_SWAP_LAYOUT, &(struct diag_site){0}) : OK;
}

/* ---- cells, bundles, manifests ---- */

static struct elf_builder builders[8];
static size_t builder_count;

/* A cell whose content hangs on the letter alone; '!' has a line about transfer. */
static struct span make_cell(char letter)
{
    struct elf_builder *builder = &builders[builder_count++];
    elf_builder_init(builder);
    elf_add_text(builder, ".text.f", &letter, 1);
    if (letter == '!') {
        uint32_t data = elf_add_data(builder, ".data.count", NULL, 4);
        elf_add_symbol(builder, "count", STB_LOCAL, STT_OBJECT, data, 0, 4);
        static const struct cell_transfer_note note = {
            CELL_TRANSFER_FORMAT, CELL_TRANSFER_FRESH, 4, "", "count", ""};
        elf_add_section(builder, CELL_TRANSFER_SECTION, SHT_PROGBITS, 0, &note, sizeof(note));
    }
    return elf_build(builder);
}

static void run_cell(const char *name, char letter)
{
    struct cell *cell = &cells[cell_count++];
    *cell = (struct cell){.name = name};
    assert_int_equal(elf_object_open(make_cell(letter), &cell->object, NULL), OK);
}

static const char *hash_text(struct span file)
{
    static char texts[8][2 * BLAKE2B_DIGEST + 1];
    static unsigned next;
    char *text = texts[next++ % 8];
    struct blake2b_digest hash;
    struct elf_object object;
    assert_int_equal(elf_object_open(file, &object, NULL), OK);
    void *scratch = malloc(cell_hash_scratch_size(&object));
    cell_hash_of(&object, CELL_HASH_CONTENT, scratch, &hash);
    free(scratch);
    for (size_t i = 0; i < BLAKE2B_DIGEST; i++) {
        snprintf(text + 2 * i, 3, "%02x", hash.bytes[i]);
    }
    return text;
}

static void add_member(const char *name, const void *bytes, size_t size)
{
    char header[61];
    snprintf(header, sizeof(header), "%-16s%-12d%-6d%-6d%-8d%-10zu`\n", name, 0, 0, 0, 644, size);
    memcpy(bundle.bytes + bundle.size, header, 60);
    memcpy(bundle.bytes + bundle.size + 60, bytes, size);
    bundle.size += 60 + size + size % 2;
}

/* Cells by name and letter: "bell.cell/", 'b', NULL. */
static void make_bundle(const char *member, ...)
{
    bundle = (struct mapped_pages){.bytes = "!<arch>\n", .size = 8};
    add_member("/", "\0\0\0\0", 4);
    va_list list;
    va_start(list, member);
    for (; member; member = va_arg(list, const char *)) {
        struct span cell = make_cell((char)va_arg(list, int));
        add_member(member, cell.base, cell.size);
    }
    va_end(list);
}

static char manifest[4096];

/* The lines of sets: %A to %Z become the hash of the cell of that letter, %! that of its. */
static void write_manifest(const char *lines)
{
    struct blake2b_digest hash;
    blake2b_of(bundle.bytes, bundle.size, &hash);
    size_t length = (size_t)sprintf(manifest, "theoris-evolution 1\nbundle ");
    if (bundle.size) {
        length += (size_t)sprintf(manifest + length, "new.a ");
        for (size_t i = 0; i < BLAKE2B_DIGEST; i++) {
            length += (size_t)sprintf(manifest + length, "%02x", hash.bytes[i]);
        }
    } else {
        manifest[length++] = '-';
    }
    manifest[length++] = '\n';
    for (const char *at = lines; *at; at++) {
        if (*at == '%') {
            size_t kept = builder_count;
            length += (size_t)sprintf(manifest + length, "%s", hash_text(make_cell(*++at)));
            elf_builder_fini(&builders[--builder_count]);
            assert_int_equal(builder_count, kept);
        } else {
            manifest[length++] = *at;
        }
    }
    sprintf(manifest + length, "end\n");
}

/* ---- one evolution ---- */

static char reports[512];

static void report(void *context, const struct evolver_set *set)
{
    assert_ptr_equal(context, reports);
    size_t length = strlen(reports);
    snprintf(reports + length, sizeof(reports) - length, "%u:%s%s%u,%u,%u ", set->number,
             set->is_left_out ? "left " : "", set->status ? "refused " : "", set->pair_count,
             set->same_count, set->absent_count);
}

static enum status apply(uint32_t flags, struct diag *diag)
{
    struct mapped_pages *pages = bundle.size ? &bundle : NULL;
    struct evolver_request request = {
        .namespace = &running,
        .manifest = span_of(manifest, strlen(manifest)),
        .bundle_size = bundle.size,
        .flags = flags,
        .report = report,
        .context = reports,
    };
    if (!pages) {
        return evolver_apply_alone(&request, diag);
    }
    enum status status = evolver_apply(&request, &pages, diag);
    assert_null(pages);
    return status;
}

static int set_up(void **state)
{
    cell_count = 0;
    alternative = NULL;
    refused = NULL;
    heap_limit = -1;
    asked[0] = '\0';
    reports[0] = '\0';
    drops = 0;
    bundle = (struct mapped_pages){0};
    return 0;
}

static int tear_down(void **state)
{
    while (builder_count) {
        elf_builder_fini(&builders[--builder_count]);
    }
    return 0;
}

#define TWO_SETS                                       \
    "set 1\nreplace bell %B bell %C\nremove rope %R\n" \
    "set 2\nadd gong %G\nset 3 after 1\nreplace cord %D line %E\n"

static void run_old_build(void)
{
    run_cell("bell", 'B');
    run_cell("rope", 'R');
    run_cell("cord", 'D');
    make_bundle("bell.cell/", 'C', "gong.cell/", 'G', "line.cell/", 'E', NULL);
    write_manifest(TWO_SETS);
}

static void test_evolver_swaps_set_by_set_and_keeps_the_bundle(void **state)
{
    uint32_t kept = evolver_kept_count();
    run_old_build();
    assert_int_equal(apply(0, NULL), OK);
    assert_string_equal(asked, "bell>bell rope> | +0 >gong | +0 cord>line | ");
    assert_string_equal(reports, "1:2,0,0 2:1,0,0 3:1,0,0 ");
    assert_int_equal(drops, 0);
    assert_int_equal(evolver_kept_count(), kept + 1);
}

static void test_evolver_failed_set_leaves_those_behind_it_out(void **state)
{
    struct diag diag = {0};
    run_old_build();
    refused = "bell";
    assert_int_equal(apply(0, &diag), ERR_BUSY);
    assert_int_equal(diag.code, DIAG_LINK_HELD);
    assert_string_equal(asked, "bell>bell rope> | >gong | ");
    assert_string_equal(reports, "1:refused 2,0,0 2:1,0,0 3:left 1,0,0 ");
    assert_int_equal(drops, 0); /* gong came from it */
}

static void test_evolver_swap_that_was_held_up_is_tried_again(void **state)
{
    run_old_build();
    slow_swaps = 2;
    assert_int_equal(apply(0, NULL), OK);
    assert_string_equal(asked, "bell>bell rope> | bell>bell rope> | bell>bell rope> | +0 >gong | "
                               "+0 cord>line | ");
    tear_down(state);
    set_up(state);
    struct diag diag = {0};
    run_old_build();
    slow_swaps = 3;
    assert_int_equal(apply(0, &diag), ERR_FAILED);
    assert_int_equal(diag.code, DIAG_SWAP_TRANSFER_FAILED);
    assert_string_equal(reports, "1:refused 2,0,0 2:1,0,0 3:left 1,0,0 ");
}

static void test_evolver_plan_changes_nothing(void **state)
{
    uint32_t kept = evolver_kept_count();
    run_old_build();
    assert_int_equal(apply(SWAP_DRY_RUN, NULL), OK);
    assert_true(only_planned);
    assert_string_equal(asked, "bell>bell rope> | >gong | ");
    assert_string_equal(reports, "1:2,0,0 2:1,0,0 3:left 1,0,0 ");
    assert_int_equal(drops, 1);
    assert_int_equal(evolver_kept_count(), kept);
}

static void test_evolver_leaves_alone_what_is_done_already(void **state)
{
    run_cell("bell", 'C');
    run_cell("line", 'E');
    run_cell("gong", 'G');
    make_bundle("bell.cell/", 'C', "gong.cell/", 'G', "line.cell/", 'E', NULL);
    write_manifest(TWO_SETS);
    assert_int_equal(apply(0, NULL), OK);
    assert_string_equal(asked, "");
    assert_string_equal(reports, "1:0,1,1 2:0,1,0 3:0,1,0 ");
    assert_int_equal(drops, 1);
}

static void test_evolver_adds_what_is_not_loaded(void **state)
{
    make_bundle("bell.cell/", 'C', "gong.cell/", 'G', "line.cell/", 'E', NULL);
    write_manifest(TWO_SETS);
    alternative = "cord";
    assert_int_equal(apply(0, NULL), OK);
    assert_string_equal(asked, ">bell | +0 >gong | ");
    assert_string_equal(reports, "1:1,0,1 2:1,0,0 3:0,0,1 ");
}

static void test_evolver_passes_on_who_inherits(void **state)
{
    run_cell("bell", 'B');
    run_cell("rope", 'R');
    make_bundle("bell.cell/", 'C', "gong.cell/", 'G', NULL);
    write_manifest(
        "set 1\nreplace bell %B bell %C\ninherit bell rope\nadd gong %G\ninherit gong bell\n"
        "remove rope %R\n");
    assert_int_equal(apply(0, NULL), OK);
    assert_string_equal(asked, "bell>bell rope>bell bell>gong | ");
}

static void test_evolver_refuses_before_anything_is_swapped(void **state)
{
    static const struct {
        const char *lines;
        enum diag_code code;
        const char *cell;
    } rows[] = {
        {"set 1\nadd gong %G\nset 2\nreplace bell %X bell %C\n", DIAG_EVOLUTION_CELL, "bell"},
        {"set 1\nadd gong %G\nset 2\nremove rope %X\n", DIAG_EVOLUTION_CELL, "rope"},
        {"set 1\nadd gong %G\nset 2\nreplace bell %B bell %X\n", DIAG_EVOLUTION_MEMBER, "bell"},
        {"set 1\nadd gong %G\nset 2\nadd lamp %X\n", DIAG_EVOLUTION_MEMBER, "lamp"},
        {"set 1\nadd gong %G\nset 2\nadd bell %C\n", DIAG_EVOLUTION_PRESENT, "bell"},
        {"set 1\nadd gong %G\nset 2\nreplace rope %R bell %C\n", DIAG_EVOLUTION_PRESENT, "bell"},
        {"set 1\nadd gong %G\nfresh gong count\n", DIAG_EVOLUTION_TRANSFER, "gong"},
        {"set 1\nadd gong %G\nset 2\nadd fresh %!\ntransfer fresh a count f\n",
         DIAG_EVOLUTION_TRANSFER, "fresh"},
        {"set 1\nadd gong %G\ninherit gong rope\n", DIAG_EVOLUTION_ORDER, "gong"},
        {"set 1\nadd gong %G\ninherit gong rope\nset 2\nremove rope %R\n", DIAG_EVOLUTION_ORDER,
         "gong"},
        {"set 2\nadd gong %G\n", DIAG_EVOLUTION_ORDER, "evolution"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct diag diag = {0};
        set_up(state);
        run_cell("bell", 'B');
        run_cell("rope", 'R');
        make_bundle("bell.cell/", 'C', "gong.cell/", 'G', "fresh.cell/", '!', NULL);
        write_manifest(rows[i].lines);
        enum status status = apply(0, &diag);
        if (status != diag.status || diag.code != rows[i].code ||
            strcmp(diag.cell, rows[i].cell) != 0) {
            fail_msg("row %zu: C%04u %s", i, diag.code, diag.cell);
        }
        assert_string_equal(asked, "");
        assert_string_equal(reports, "");
        assert_int_equal(drops, 1);
        tear_down(state);
    }
}

static void test_evolver_line_that_the_cell_has_is_good(void **state)
{
    run_cell("bell", 'B');
    make_bundle("bell.cell/", '!', NULL);
    write_manifest("set 1\nreplace bell %B bell %!\nfresh bell count\n");
    assert_int_equal(apply(0, NULL), OK);
    assert_string_equal(asked, "bell>bell | ");
}

static void test_evolver_other_bundle_is_refused(void **state)
{
    struct diag diag = {0};
    run_old_build();
    bundle.bytes[bundle.size - 9] ^= 1;
    assert_int_equal(apply(0, &diag), ERR_MISMATCH);
    assert_int_equal(diag.code, DIAG_EVOLUTION_BUNDLE);
    assert_int_not_equal(diag.expected, diag.found);
    bundle.size = 0; /* none at all */
    diag = (struct diag){0};
    assert_int_equal(apply(0, &diag), ERR_MISMATCH);
    assert_int_equal(diag.code, DIAG_EVOLUTION_BUNDLE);
    assert_string_equal(asked, "");
}

static enum status roll_back(struct diag *diag)
{
    struct swap_report swap;
    taken_back = 0;
    return evolver_rollback(5, &swap, diag);
}

/* From the last one to the first, each as a whole; those that fell out of memory are not there. */
static void test_evolver_rollback_takes_the_last_one_back(void **state)
{
    struct diag diag = {0};
    while (evolver_remembered_count()) {
        assert_int_equal(roll_back(NULL), OK);
    }
    assert_int_equal(roll_back(&diag), ERR_NOT_FOUND);
    assert_int_equal(diag.code, DIAG_EVOLUTION_NONE);
    for (uint32_t i = 1; i <= EVOLVER_REMEMBERED + 1; i++) {
        set_up(state);
        run_old_build();
        assert_int_equal(apply(0, NULL), OK);
        assert_int_equal(evolver_remembered_count(),
                         i < EVOLVER_REMEMBERED ? i : EVOLVER_REMEMBERED);
        tear_down(state);
    }
    refused_id = last_swap;
    diag = (struct diag){0};
    assert_int_equal(roll_back(&diag), ERR_MISMATCH);
    assert_int_equal(diag.code, DIAG_SWAP_LAYOUT);
    refused_id = 0;
    for (uint32_t i = 0; i < EVOLVER_REMEMBERED; i++) {
        assert_int_equal(evolver_remembered_count(), EVOLVER_REMEMBERED - i);
        assert_int_equal(roll_back(NULL), OK);
        assert_int_equal(taken_back, last_swap - 3 * i); /* three sets each */
    }
    assert_int_equal(roll_back(NULL), ERR_NOT_FOUND);
    assert_int_equal(taken_back, 0);
}

static void test_evolver_without_a_bundle_only_removes(void **state)
{
    run_cell("rope", 'R');
    write_manifest("set 1\nremove rope %R\n");
    assert_int_equal(apply(0, NULL), OK);
    assert_string_equal(asked, "rope> | ");
}

/* Each allocation fails in turn: nothing is swapped, and nothing is lost. */
static void test_evolver_without_memory_changes_nothing(void **state)
{
    long limit = 0;
    enum status status;
    do {
        set_up(state);
        run_old_build();
        long before = heap_blocks;
        heap_limit = limit++;
        status = apply(0, NULL);
        if (status != OK) {
            assert_int_equal(status, ERR_NO_MEMORY);
            assert_string_equal(asked, "");
            assert_int_equal(heap_blocks, before);
            assert_int_equal(drops, 1);
        }
        tear_down(state);
    } while (status != OK);
    assert_true(limit > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evolver_swaps_set_by_set_and_keeps_the_bundle),
        cmocka_unit_test(test_evolver_failed_set_leaves_those_behind_it_out),
        cmocka_unit_test(test_evolver_swap_that_was_held_up_is_tried_again),
        cmocka_unit_test(test_evolver_plan_changes_nothing),
        cmocka_unit_test(test_evolver_leaves_alone_what_is_done_already),
        cmocka_unit_test(test_evolver_adds_what_is_not_loaded),
        cmocka_unit_test(test_evolver_passes_on_who_inherits),
        cmocka_unit_test(test_evolver_refuses_before_anything_is_swapped),
        cmocka_unit_test(test_evolver_line_that_the_cell_has_is_good),
        cmocka_unit_test(test_evolver_other_bundle_is_refused),
        cmocka_unit_test(test_evolver_rollback_takes_the_last_one_back),
        cmocka_unit_test(test_evolver_without_a_bundle_only_removes),
        cmocka_unit_test(test_evolver_without_memory_changes_nothing),
    };
    struct CMUnitTest prepared[ARRAY_COUNT(tests)];
    for (size_t i = 0; i < ARRAY_COUNT(tests); i++) {
        prepared[i] = tests[i];
        prepared[i].setup_func = set_up;
        prepared[i].teardown_func = tear_down;
    }
    return cmocka_run_group_tests(prepared, NULL, NULL);
}
