/* SPDX-License-Identifier: MIT */
/*
 * Whole objects, linked into heap blocks of exactly their size for addresses in the code zone. The
 * other cells are one table of symbols.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "cell_abi_maker.h"
#include "diag.h"
#include "elf_builder.h"
#include "link_unit.h"

#define TEXT_AT   0xffffffff90000000ull
#define RODATA_AT 0xffffffff91000000ull
#define DATA_AT   0xffffffff92000000ull
#define ENTRIES   0xffffffff93000010ull
#define OTHER_AT  0xffffffff94000020ull

static const uint64_t addresses[REGION_COUNT] = {TEXT_AT, RODATA_AT, DATA_AT};

struct bench {
    struct elf_builder builder;
    struct elf_object object;
    struct cell cell;
    struct link_unit unit;
    struct link_sizes sizes;
    struct link_memory memory;
    uint8_t *bytes[REGION_COUNT];
    struct section other_section; /* executable, of another cell */
    struct symbol others[4];
    uint32_t other_count;
    uint32_t lookups;
    struct diag diag;
};

static void begin(struct bench *bench)
{
    memset(bench, 0, sizeof(*bench));
    elf_builder_init(&bench->builder);
    bench->other_section =
        (struct section){.address = OTHER_AT - 0x20, .flags = SHF_ALLOC | SHF_EXECINSTR};
}

static void add_other(struct bench *bench, const char *name, uint8_t type)
{
    uint64_t number = bench->other_count++;
    bench->others[number] = (struct symbol){
        .key = {.name = name, .hash = symbol_map_hash(name)},
        .type = type,
        .binding = STB_GLOBAL,
        .section = &bench->other_section,
        .address = OTHER_AT + 16 * number,
        .entry = type == STT_FUNC ? ENTRIES + 0x1000 + 8 * number : 0,
    };
}

static const struct symbol *look_up(void *context, const char *name, uint32_t hash)
{
    struct bench *bench = context;
    assert_int_equal(hash, symbol_map_hash(name));
    bench->lookups++;
    for (uint32_t i = 0; i < bench->other_count; i++) {
        if (strcmp(bench->others[i].key.name, name) == 0) {
            return &bench->others[i];
        }
    }
    return NULL;
}

static void open_object(struct bench *bench)
{
    assert_int_equal(elf_object_open(elf_build(&bench->builder), &bench->object, &bench->diag), OK);
    link_unit_sizes(&bench->object, &bench->sizes);
    const struct link_sizes *sizes = &bench->sizes;
    /* Not zeroed, and with the least that is promised to be enough. */
    bench->memory = (struct link_memory){
        .sections = malloc(sizes->sections * sizeof(struct section)),
        .by_address = malloc(sizes->sections * sizeof(uint32_t)),
        .symbols = malloc(sizes->exports * sizeof(struct symbol)),
        .functions = malloc(sizes->functions * sizeof(struct function)),
        .bindings = malloc(sizes->bindings * sizeof(struct binding)),
        .places = malloc(sizes->sections * sizeof(struct section_place)),
        .resolved = malloc(sizes->symbols * sizeof(struct link_symbol)),
    };
}

/* Plans, places and copies. */
static void place(struct bench *bench)
{
    open_object(bench);
    assert_int_equal(
        link_unit_plan(&bench->unit, &bench->cell, &bench->object, &bench->memory, &bench->diag),
        OK);
    for (int r = 0; r < REGION_COUNT; r++) {
        size_t size = bench->unit.layout.sizes[r];
        bench->bytes[r] = size ? malloc(size) : NULL;
    }
    link_unit_place(&bench->unit, addresses, bench->bytes, ENTRIES);
    link_unit_copy(&bench->unit);
}

static enum status link_object(struct bench *bench)
{
    place(bench);
    bench->diag = (struct diag){.code = DIAG_NONE};
    enum status status = link_unit_resolve(&bench->unit, look_up, bench, &bench->diag);
    if (status == OK) {
        status = link_unit_relocate(&bench->unit, &bench->diag);
    }
    assert_int_equal(status, bench->diag.status);
    return status;
}

static void end(struct bench *bench)
{
    for (int r = 0; r < REGION_COUNT; r++) {
        free(bench->bytes[r]);
    }
    free(bench->memory.sections);
    free(bench->memory.by_address);
    free(bench->memory.symbols);
    free(bench->memory.functions);
    free(bench->memory.bindings);
    free(bench->memory.places);
    free(bench->memory.resolved);
    elf_builder_fini(&bench->builder);
}

static uint64_t word(const struct bench *bench, int region, uint64_t offset)
{
    uint64_t value;
    memcpy(&value, bench->bytes[region] + offset, sizeof(value));
    return value;
}

static struct dependency dependency(const struct bench *bench, uint32_t section, uint32_t index)
{
    struct dependency is;
    assert_true(index < bench->cell.sections[section].relocation_count);
    relocation_describe(&bench->cell.sections[section], index, &is);
    return is;
}

static const struct symbol *export_named(const struct bench *bench, const char *name)
{
    for (uint32_t i = 0; i < bench->cell.symbol_count; i++) {
        if (strcmp(bench->cell.symbols[i].key.name, name) == 0) {
            return &bench->cell.symbols[i];
        }
    }
    return NULL;
}

/* ---- plan and place ---- */

static void test_link_unit_sizes_count_what_is_needed(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    uint32_t text = elf_add_text(&bench.builder, ".text", NULL, 32);
    uint32_t data = elf_add_data(&bench.builder, ".data", NULL, 16);
    uint32_t debug = elf_add_section(&bench.builder, ".debug", SHT_PROGBITS, 0, NULL, 16);
    elf_add_symbol(&bench.builder, "local", STB_LOCAL, STT_FUNC, text, 0, 0);
    elf_add_symbol(&bench.builder, "global", STB_GLOBAL, STT_FUNC, text, 8, 0);
    elf_add_symbol(&bench.builder, "label", STB_GLOBAL, STT_NOTYPE, text, 9, 0);
    elf_add_symbol(&bench.builder, "in_data", STB_GLOBAL, STT_FUNC, data, 0, 0);
    elf_add_symbol(&bench.builder, "in_debug", STB_GLOBAL, STT_OBJECT, debug, 0, 0);
    elf_add_symbol(&bench.builder, "absolute", STB_GLOBAL, STT_NOTYPE, SHN_ABS, 5, 0);
    uint32_t hidden = elf_add_symbol(&bench.builder, "hidden", STB_GLOBAL, STT_FUNC, text, 16, 0);
    elf_symbol(&bench.builder, hidden)->st_other = STV_HIDDEN;
    uint32_t other = elf_add_symbol(&bench.builder, "other", STB_GLOBAL, STT_FUNC, 0, 0, 0);
    elf_add_relocation(&bench.builder, text, 0, R_X86_64_NONE, other, 0);
    elf_add_relocation(&bench.builder, debug, 0, R_X86_64_64, other, 0);
    open_object(&bench);
    assert_int_equal(bench.sizes.sections, bench.object.section_count);
    assert_int_equal(bench.sizes.symbols, 9);
    assert_int_equal(bench.sizes.exports, 4); /* global, label, in_data, absolute */
    assert_int_equal(bench.sizes.functions, 3);
    assert_int_equal(bench.sizes.bindings, 1); /* other */
    end(&bench);
}

static void test_link_unit_exports_get_address_and_entry(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    uint32_t pad = elf_add_text(&bench.builder, ".text.pad", NULL, 5);
    uint32_t text = elf_add_text(&bench.builder, ".text.f", NULL, 32);
    uint32_t data = elf_add_data(&bench.builder, ".data", NULL, 16);
    elf_section(&bench.builder, text)->sh_addralign = 16;
    elf_add_symbol(&bench.builder, "local", STB_LOCAL, STT_FUNC, pad, 0, 0);
    elf_add_symbol(&bench.builder, "second", STB_GLOBAL, STT_FUNC, text, 8, 0);
    elf_add_symbol(&bench.builder, "first", STB_WEAK, STT_FUNC, text, 0, 0);
    elf_add_symbol(&bench.builder, "alias", STB_GLOBAL, STT_FUNC, text, 8, 0);
    elf_add_symbol(&bench.builder, "label", STB_GLOBAL, STT_NOTYPE, text, 8, 0);
    elf_add_symbol(&bench.builder, "variable", STB_GLOBAL, STT_OBJECT, data, 4, 0);
    elf_add_symbol(&bench.builder, "absolute", STB_GLOBAL, STT_NOTYPE, SHN_ABS, 5, 0);
    elf_add_symbol(&bench.builder, "no_code", STB_GLOBAL, STT_FUNC, data, 8, 0);
    place(&bench);
    assert_int_equal(bench.cell.symbol_count, 7);
    assert_int_equal(bench.cell.function_count, 3); /* two names of one function count once */
    const struct symbol *second = export_named(&bench, "second");
    assert_int_equal(second->address, TEXT_AT + 16 + 8);
    assert_int_equal(second->entry, ENTRIES); /* slots in the order of the symbol table */
    assert_ptr_equal(second->section, &bench.cell.sections[text]);
    const struct symbol *first = export_named(&bench, "first");
    assert_int_equal(first->address, TEXT_AT + 16);
    assert_int_equal(first->entry, ENTRIES + 8);
    assert_int_equal(first->binding, STB_WEAK);
    assert_int_equal(export_named(&bench, "alias")->entry, ENTRIES);
    assert_int_equal(export_named(&bench, "label")->entry, 0);
    assert_int_equal(export_named(&bench, "label")->address, TEXT_AT + 16 + 8);
    assert_int_equal(export_named(&bench, "variable")->address, DATA_AT + 4);
    assert_int_equal(export_named(&bench, "variable")->entry, 0);
    assert_int_equal(export_named(&bench, "no_code")->address, DATA_AT + 8);
    assert_int_equal(export_named(&bench, "no_code")->entry, 0);
    assert_int_equal(export_named(&bench, "absolute")->address, 5);
    assert_null(export_named(&bench, "absolute")->section);
    assert_int_equal(bench.cell.entry_count, 2); /* the local one's address is not taken */
    end(&bench);
}

static void test_link_unit_sections_know_their_cell_and_place(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    uint32_t text = elf_add_text(&bench.builder, ".text", NULL, 7);
    uint32_t rodata = elf_add_rodata(&bench.builder, ".rodata", "abc", 4);
    uint32_t comment = elf_add_section(&bench.builder, ".comment", SHT_PROGBITS, 0, "x", 1);
    place(&bench);
    const struct section *section = &bench.cell.sections[rodata];
    assert_ptr_equal(section->cell, &bench.cell);
    assert_string_equal(section->name, ".rodata");
    assert_int_equal(section->address, RODATA_AT);
    assert_int_equal(section->size, 4);
    assert_int_equal(section->index, rodata);
    assert_int_equal(section->flags, SHF_ALLOC);
    assert_int_equal(section->region, REGION_RODATA);
    assert_null(section->incoming);
    assert_int_equal(bench.cell.sections[comment].address, 0);
    assert_int_equal(bench.cell.sections[comment].region, REGION_NONE);
    assert_int_equal(bench.cell.regions[REGION_TEXT].address, TEXT_AT);
    assert_int_equal(bench.cell.regions[REGION_TEXT].size, 7);
    assert_int_equal(bench.cell.regions[REGION_DATA].address, 0); /* empty */
    assert_int_equal(bench.cell.region_first[REGION_COUNT], 2);
    assert_int_equal(bench.cell.by_address[0], text);
    end(&bench);
}

static void test_link_unit_copy_clears_gaps_and_what_has_no_bytes(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    elf_add_data(&bench.builder, ".data.a", "aaa", 3);
    uint32_t b = elf_add_data(&bench.builder, ".data.b", "bb", 2);
    uint32_t bss = elf_add_bss(&bench.builder, ".bss", 5);
    elf_section(&bench.builder, b)->sh_addralign = 8;
    elf_section(&bench.builder, bss)->sh_addralign = 4;
    place(&bench);
    assert_int_equal(bench.unit.layout.sizes[REGION_DATA], 17);
    assert_memory_equal(bench.bytes[REGION_DATA], "aaa\0\0\0\0\0bb\0\0\0\0\0\0\0", 17);
    end(&bench);
}

/* ---- resolve ---- */

static void test_link_unit_missing_symbol_is_refused(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    elf_add_symbol(&bench.builder, "nobody_defines_this", STB_GLOBAL, STT_NOTYPE, 0, 0, 0);
    assert_int_equal(link_object(&bench), ERR_MISSING_SYMBOL);
    assert_int_equal(bench.diag.code, DIAG_LINK_MISSING_SYMBOL);
    assert_string_equal(bench.diag.symbol, "nobody_defines_this");
    end(&bench);
}

/*
 * Links a cell that imports `get`, which another cell exports, where each states a signature of it and a layout
 * of struct task; NULL: it says nothing of it.
 */
static enum status link_declared(struct bench *bench, const char *const mine[2],
                                 const char *const theirs[2])
{
    struct cell_abi_maker my_maker = {0};
    struct cell_abi_maker their_maker = {0};
    struct cell other = {.name = "other"};
    struct cell_abi abi;
    begin(bench);
    if (mine[0]) {
        cell_abi_add_symbol(&my_maker, 1, mine[0]);
        cell_abi_add_type(&my_maker, mine[1], CELL_ABI_TYPE_SHARED);
        struct span note = cell_abi_finish(&my_maker);
        elf_add_section(&bench->builder, CELL_ABI_SECTION, SHT_PROGBITS, 0, note.base, note.size);
    }
    uint32_t data = elf_add_data(&bench->builder, ".data", NULL, 8);
    uint32_t get = elf_add_symbol(&bench->builder, "get", STB_GLOBAL, STT_NOTYPE, 0, 0, 0);
    elf_add_relocation(&bench->builder, data, 0, R_X86_64_64, get, 0);
    add_other(bench, "get", STT_FUNC);
    bench->other_section.cell = &other;
    bench->cell.name = "user";
    if (theirs[0]) {
        cell_abi_add_symbol(&their_maker, 7, theirs[0]);
        cell_abi_add_type(&their_maker, theirs[1], CELL_ABI_TYPE_SHARED);
        other.abi = cell_abi_finish(&their_maker);
        assert_int_equal(cell_abi_open(other.abi, &abi, NULL), OK);
        bench->others[0].abi = abi.symbols;
    }
    enum status status = link_object(bench);
    cell_abi_maker_fini(&my_maker);
    cell_abi_maker_fini(&their_maker);
    return status;
}

#define TASK_16 "struct task{u64 id@0;u32 state@8;}16"
#define TASK_24 "struct task{u64 id@0;u64 state@8;u64 time@16;}24"

static void test_link_unit_symbols_declared_alike_are_linked(void **state)
{
    (void)state;
    static const char *const pairs[][4] = {
        {"u64(struct task*)", TASK_16, "u64(struct task*)", TASK_16},
        {"u64(struct task*)", "struct task", "u64(struct task*)", TASK_16}, /* known by name */
        {"u64(struct task*)", TASK_24, "u64(struct task*)", "struct task"},
        {NULL, NULL, "u64(struct task*)", TASK_16}, /* nobody knows */
        {"u64(struct task*)", TASK_16, NULL, NULL},
        {"struct task*[]", "struct task", "struct task*[4]", TASK_16},
    };
    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++) {
        struct bench bench;
        assert_int_equal(link_declared(&bench, &pairs[i][0], &pairs[i][2]), OK);
        assert_int_equal(word(&bench, REGION_DATA, 0), bench.others[0].entry);
        end(&bench);
    }
}

static void test_link_unit_symbol_declared_differently_is_refused(void **state)
{
    (void)state;
    static const char *const mine[] = {"u64(struct task*,u32)", TASK_16};
    static const char *const theirs[] = {"u64(struct task*,u64)", TASK_16};
    struct bench bench;
    assert_int_equal(link_declared(&bench, mine, theirs), ERR_MISMATCH);
    assert_int_equal(bench.diag.code, DIAG_LINK_SIGNATURE);
    assert_string_equal(bench.diag.cell, "user");
    assert_string_equal(bench.diag.section, "get");
    assert_string_equal(bench.diag.symbol, "parameter 2: u32 in user, u64 in other");
    end(&bench);
}

static void test_link_unit_type_of_two_layouts_is_refused(void **state)
{
    (void)state;
    static const char *const mine[] = {"u64(struct task*)", TASK_16};
    static const char *const theirs[] = {"u64(struct task*)", TASK_24};
    struct bench bench;
    assert_int_equal(link_declared(&bench, mine, theirs), ERR_MISMATCH);
    assert_int_equal(bench.diag.code, DIAG_LINK_TYPE);
    assert_string_equal(bench.diag.cell, "user");
    assert_string_equal(bench.diag.section, "struct task");
    assert_string_equal(bench.diag.symbol, "field 2: u32 state@8 in user, u64 state@8 in other");
    end(&bench);
}

static void test_link_unit_exports_carry_their_signatures(void **state)
{
    (void)state;
    struct bench bench;
    struct cell_abi_maker maker = {0};
    begin(&bench);
    cell_abi_add_symbol(&maker, 1, "void()");
    cell_abi_add_symbol(&maker, 3, "u32(u64)");
    struct span note = cell_abi_finish(&maker);
    uint32_t text = elf_add_text(&bench.builder, ".text", NULL, 48);
    elf_add_section(&bench.builder, CELL_ABI_SECTION, SHT_PROGBITS, 0, note.base, note.size);
    elf_add_symbol(&bench.builder, "local", STB_LOCAL, STT_FUNC, (uint16_t)text, 0, 16);
    elf_add_symbol(&bench.builder, "unknown", STB_GLOBAL, STT_FUNC, (uint16_t)text, 16, 16);
    elf_add_symbol(&bench.builder, "known", STB_GLOBAL, STT_FUNC, (uint16_t)text, 32, 16);
    assert_int_equal(link_object(&bench), OK);
    assert_int_equal(bench.cell.symbol_count, 2);
    assert_null(bench.cell.symbols[0].abi);
    assert_int_equal(bench.cell.symbols[1].abi->signature, cell_abi_maker_hash("u32(u64)"));
    cell_abi_maker_fini(&maker);
    end(&bench);
}

static void test_link_unit_damaged_fingerprints_are_refused(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    elf_add_section(&bench.builder, CELL_ABI_SECTION, SHT_PROGBITS, 0, "CABI", 4);
    open_object(&bench);
    assert_int_equal(
        link_unit_plan(&bench.unit, &bench.cell, &bench.object, &bench.memory, &bench.diag),
        ERR_BAD_FORMAT);
    assert_int_equal(bench.diag.code, DIAG_CELL_ABI);
    end(&bench);
}

static void test_link_unit_undefined_weak_symbol_is_zero(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    uint32_t data = elf_add_data(&bench.builder, ".data", NULL, 16);
    uint32_t absent = elf_add_symbol(&bench.builder, "absent", STB_WEAK, STT_NOTYPE, 0, 0, 0);
    uint32_t present = elf_add_symbol(&bench.builder, "present", STB_WEAK, STT_NOTYPE, 0, 0, 0);
    elf_add_relocation(&bench.builder, data, 0, R_X86_64_64, absent, 0);
    elf_add_relocation(&bench.builder, data, 8, R_X86_64_64, present, 0);
    add_other(&bench, "present", STT_OBJECT);
    assert_int_equal(link_object(&bench), OK);
    assert_int_equal(word(&bench, REGION_DATA, 0), 0);
    assert_int_equal(word(&bench, REGION_DATA, 8), OTHER_AT);
    assert_int_equal(bench.sizes.bindings, 2);
    assert_int_equal(bench.cell.binding_count, 1);
    assert_int_equal(bench.cell.bindings[0].symbol, present);
    assert_ptr_equal(bench.cell.bindings[0].target, &bench.other_section);
    assert_int_equal(bench.cell.bindings[0].offset, 0x20);
    assert_null(dependency(&bench, data, 0).target);
    assert_ptr_equal(dependency(&bench, data, 1).target, &bench.other_section);
    assert_int_equal(dependency(&bench, data, 1).target_offset, 0x20);
    end(&bench);
}

static void test_link_unit_strong_definition_binds_to_itself(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    uint32_t data = elf_add_data(&bench.builder, ".data", NULL, 16);
    uint32_t own = elf_add_symbol(&bench.builder, "own", STB_GLOBAL, STT_OBJECT, data, 8, 8);
    elf_add_relocation(&bench.builder, data, 0, R_X86_64_64, own, 0);
    add_other(&bench, "own", STT_OBJECT);
    assert_int_equal(link_object(&bench), OK);
    assert_int_equal(word(&bench, REGION_DATA, 0), DATA_AT + 8);
    assert_int_equal(bench.lookups, 0);
    end(&bench);
}

static void test_link_unit_weak_definition_yields_to_another(void **state)
{
    (void)state;
    for (int is_there = 0; is_there < 2; is_there++) {
        struct bench bench;
        begin(&bench);
        uint32_t data = elf_add_data(&bench.builder, ".data", NULL, 16);
        uint32_t text = elf_add_text(&bench.builder, ".text", NULL, 16);
        uint32_t f = elf_add_symbol(&bench.builder, "f", STB_WEAK, STT_FUNC, text, 0, 0);
        elf_add_relocation(&bench.builder, data, 0, R_X86_64_64, f, 0);
        if (is_there) {
            add_other(&bench, "f", STT_FUNC);
        }
        assert_int_equal(link_object(&bench), OK);
        assert_int_equal(word(&bench, REGION_DATA, 0), is_there ? ENTRIES + 0x1000 : ENTRIES);
        struct dependency taken = dependency(&bench, data, 0);
        assert_int_equal(taken.via_entry, 1);
        assert_ptr_equal(taken.target,
                         is_there ? &bench.other_section : &bench.cell.sections[text]);
        assert_int_equal(bench.cell.binding_count, is_there);
        assert_int_equal(bench.cell.functions[0].is_via_entry, !is_there);
        assert_true(!is_there ||
                    (bench.cell.bindings[0].has_entry && bench.cell.bindings[0].is_via_entry));
        end(&bench);
    }
}

static void test_link_unit_hidden_weak_definition_stays(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    uint32_t data = elf_add_data(&bench.builder, ".data", NULL, 16);
    uint32_t weak = elf_add_symbol(&bench.builder, "w", STB_WEAK, STT_OBJECT, data, 8, 0);
    elf_symbol(&bench.builder, weak)->st_other = STV_HIDDEN;
    elf_add_relocation(&bench.builder, data, 0, R_X86_64_64, weak, 0);
    add_other(&bench, "w", STT_OBJECT);
    assert_int_equal(link_object(&bench), OK);
    assert_int_equal(word(&bench, REGION_DATA, 0), DATA_AT + 8);
    assert_int_equal(bench.cell.symbol_count, 0);
    end(&bench);
}

static void test_link_unit_absolute_symbol_has_no_section(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    uint32_t data = elf_add_data(&bench.builder, ".data", NULL, 16);
    uint32_t local = elf_add_symbol(&bench.builder, "l", STB_LOCAL, STT_NOTYPE, SHN_ABS, 77, 0);
    uint32_t global = elf_add_symbol(&bench.builder, "g", STB_GLOBAL, STT_FUNC, SHN_ABS, 88, 0);
    elf_add_relocation(&bench.builder, data, 0, R_X86_64_64, local, 1);
    elf_add_relocation(&bench.builder, data, 8, R_X86_64_64, global, 0);
    assert_int_equal(link_object(&bench), OK);
    assert_int_equal(word(&bench, REGION_DATA, 0), 78);
    assert_int_equal(word(&bench, REGION_DATA, 8), 88);
    assert_null(dependency(&bench, data, 1).target);
    assert_int_equal(bench.cell.entry_count, 0);
    end(&bench);
}

static void test_link_unit_symbol_of_an_unloaded_section_is_refused_where_used(void **state)
{
    (void)state;
    for (int is_used = 0; is_used < 2; is_used++) {
        struct bench bench;
        begin(&bench);
        uint32_t data = elf_add_data(&bench.builder, ".data", NULL, 16);
        uint32_t debug = elf_add_section(&bench.builder, ".debug", SHT_PROGBITS, 0, NULL, 8);
        uint32_t symbol = elf_add_symbol(&bench.builder, "d", STB_GLOBAL, STT_OBJECT, debug, 0, 0);
        elf_add_relocation(&bench.builder, data, 4, is_used ? R_X86_64_64 : R_X86_64_NONE, symbol,
                           0);
        assert_int_equal(link_object(&bench), is_used ? ERR_BAD_FORMAT : OK);
        if (is_used) {
            assert_int_equal(bench.diag.code, DIAG_LINK_NOT_LOADED);
            assert_string_equal(bench.diag.section, ".data");
            assert_string_equal(bench.diag.symbol, "R_X86_64_64 d");
            assert_int_equal(bench.diag.offset, 4);
        }
        end(&bench);
    }
}

/* ---- relocate ---- */

static void test_link_unit_sections_know_their_relocations(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    uint32_t a = elf_add_data(&bench.builder, ".data.a", NULL, 16);
    uint32_t b = elf_add_data(&bench.builder, ".data.b", NULL, 16);
    uint32_t debug = elf_add_section(&bench.builder, ".debug", SHT_PROGBITS, 0, NULL, 16);
    uint32_t s = elf_add_symbol(&bench.builder, "s", STB_LOCAL, STT_OBJECT, a, 0, 0);
    elf_add_relocation(&bench.builder, b, 0, R_X86_64_64, s, 1);
    elf_add_relocation(&bench.builder, debug, 0, R_X86_64_64, s, 9);
    elf_add_relocation(&bench.builder, a, 8, R_X86_64_64, s, 2);
    elf_add_relocation(&bench.builder, b, 8, R_X86_64_64, s, 3);
    assert_int_equal(link_object(&bench), OK);
    assert_int_equal(bench.cell.relocation_count, 3);
    assert_int_equal(bench.cell.sections[b].relocation_count, 2);
    assert_int_equal(dependency(&bench, b, 0).target_offset, 1);
    assert_int_equal(dependency(&bench, b, 1).target_offset, 3);
    assert_ptr_equal(dependency(&bench, b, 1).source, &bench.cell.sections[b]);
    assert_int_equal(bench.cell.sections[a].relocation_count, 1);
    assert_int_equal(dependency(&bench, a, 0).target_offset, 2);
    assert_int_equal(bench.cell.sections[debug].relocation_count, 0);
    assert_int_equal(bench.cell.binding_count, 0);
    assert_int_equal(word(&bench, REGION_DATA, 16 + 8), DATA_AT + 3);
    end(&bench);
}

static void test_link_unit_two_relocation_tables_of_one_section_are_refused(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    uint32_t data = elf_add_data(&bench.builder, ".data", NULL, 16);
    uint32_t s = elf_add_symbol(&bench.builder, "s", STB_LOCAL, STT_OBJECT, data, 0, 0);
    elf_add_relocation(&bench.builder, data, 0, R_X86_64_64, s, 1);
    struct elf64_rela rela = {.r_offset = 8, .r_type = R_X86_64_64, .r_sym = s};
    uint32_t second =
        elf_add_section(&bench.builder, ".rela.second", SHT_RELA, 0, &rela, sizeof(rela));
    elf_section(&bench.builder, second)->sh_entsize = sizeof(rela);
    elf_section(&bench.builder, second)->sh_info = data;
    /* The other table is made by elf_build(), behind this one. */
    assert_int_equal(link_object(&bench), ERR_BAD_FORMAT);
    assert_int_equal(bench.diag.code, DIAG_ELF_SECTION_LINK);
    assert_string_equal(bench.diag.section, ".rela");
    assert_int_equal(bench.diag.found, data);
    end(&bench);
}

static void test_link_unit_more_relocations_than_can_be_counted_are_refused(void **state)
{
    (void)state;
    enum { TABLES = 6000, RELOCATIONS = 750000 }; /* tables may share their bytes */
    struct bench bench;
    begin(&bench);
    uint32_t data = elf_add_data(&bench.builder, ".data", NULL, 16);
    uint32_t first = elf_add_section(&bench.builder, ".rela.0", SHT_RELA, 0, NULL,
                                     RELOCATIONS * sizeof(struct elf64_rela));
    uint64_t at = elf_section(&bench.builder, first)->sh_offset;
    for (uint32_t i = 0; i < TABLES; i++) {
        uint32_t table =
            i == 0 ? first : elf_add_section(&bench.builder, ".rela", SHT_RELA, 0, NULL, 0);
        struct elf64_shdr *section = elf_section(&bench.builder, table);
        section->sh_offset = at;
        section->sh_size = RELOCATIONS * sizeof(struct elf64_rela);
        section->sh_entsize = sizeof(struct elf64_rela);
        section->sh_info = data;
    }
    assert_int_equal(elf_object_open(elf_build(&bench.builder), &bench.object, NULL), OK);
    const struct link_memory none = {.sections = NULL};
    assert_int_equal(link_unit_plan(&bench.unit, &bench.cell, &bench.object, &none, &bench.diag),
                     ERR_LIMIT);
    assert_int_equal(bench.diag.code, DIAG_ELF_LIMIT);
    assert_int_equal(bench.diag.expected, UINT32_MAX);
    assert_int_equal(bench.diag.found, (uint64_t)TABLES * RELOCATIONS);
    end(&bench);
}

static void test_link_unit_cold_part_is_called_directly_and_may_be_pointed_to(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    uint32_t cold = elf_add_text(&bench.builder, ".text.unlikely.f", NULL, 16);
    uint32_t hot = elf_add_text(&bench.builder, ".text.f", "\x0f\x84\0\0\0\0\xe9\0\0\0\0", 11);
    uint32_t table = elf_add_rodata(&bench.builder, ".rodata.f", NULL, 16);
    uint32_t cold_section = elf_add_symbol(&bench.builder, "", STB_LOCAL, STT_SECTION, cold, 0, 0);
    uint32_t f_cold = elf_add_symbol(&bench.builder, "f.cold", STB_LOCAL, STT_FUNC, cold, 0, 0);
    elf_add_symbol(&bench.builder, "f", STB_GLOBAL, STT_FUNC, hot, 0, 0);
    elf_add_relocation(&bench.builder, hot, 2, R_X86_64_PC32, f_cold, -4);
    elf_add_relocation(&bench.builder, hot, 7, R_X86_64_PLT32, cold_section, 4 - 4);
    elf_add_relocation(&bench.builder, table, 0, R_X86_64_64, cold_section, 4);
    assert_int_equal(link_object(&bench), OK);
    /* Both are text, in the order of the section table. */
    assert_int_equal(bench.cell.sections[cold].address, TEXT_AT);
    assert_int_equal(bench.cell.sections[hot].address, TEXT_AT + 16);
    assert_int_equal((uint32_t)word(&bench, REGION_TEXT, 16 + 2), (uint32_t)(0 - (16 + 6)));
    assert_int_equal((uint32_t)(word(&bench, REGION_TEXT, 16 + 3) >> 32),
                     (uint32_t)(4 - (16 + 11)));
    assert_int_equal(word(&bench, REGION_RODATA, 0), TEXT_AT + 4); /* a jump table */
    assert_int_equal(bench.cell.entry_count, 1);                   /* of f alone */
    end(&bench);
}

static void test_link_unit_entries_jump_to_their_functions(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    uint32_t text = elf_add_text(&bench.builder, ".text", NULL, 64);
    uint32_t data = elf_add_data(&bench.builder, ".data", NULL, 8);
    uint32_t local = elf_add_symbol(&bench.builder, "local", STB_LOCAL, STT_FUNC, text, 48, 0);
    elf_add_symbol(&bench.builder, "unused", STB_LOCAL, STT_FUNC, text, 32, 0);
    elf_add_symbol(&bench.builder, "exported", STB_GLOBAL, STT_FUNC, text, 16, 0);
    elf_add_relocation(&bench.builder, data, 0, R_X86_64_64, local, 0);
    assert_int_equal(link_object(&bench), OK);
    assert_int_equal(bench.cell.entry_count, 2);
    assert_int_equal(word(&bench, REGION_DATA, 0), ENTRIES + 8);
    uint8_t *entries = malloc(2 * ENTRY_SIZE);
    link_unit_write_entries(&bench.unit, entries);
    static const uint64_t targets[] = {TEXT_AT + 16, TEXT_AT + 48};
    for (uint64_t i = 0; i < 2; i++) {
        int32_t distance;
        assert_int_equal(entries[8 * i], 0xe9);
        memcpy(&distance, entries + 8 * i + 1, 4);
        assert_int_equal(ENTRIES + 8 * i + 5 + (uint64_t)(int64_t)distance, targets[i]);
        assert_memory_equal(entries + 8 * i + 5, "\xcc\xcc\xcc", 3);
    }
    free(entries);
    end(&bench);
}

static void test_link_unit_object_without_anything_is_linked(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    assert_int_equal(link_object(&bench), OK);
    assert_int_equal(bench.cell.relocation_count, 0);
    assert_int_equal(bench.cell.symbol_count, 0);
    assert_int_equal(bench.cell.entry_count, 0);
    end(&bench);
}

static void test_link_unit_relocations_of_an_empty_section_do_nothing(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    uint32_t text = elf_add_text(&bench.builder, ".text", NULL, 0);
    uint32_t s = elf_add_symbol(&bench.builder, "s", STB_LOCAL, STT_NOTYPE, SHN_ABS, 1, 0);
    elf_add_relocation(&bench.builder, text, 0, R_X86_64_NONE, s, 0);
    assert_int_equal(link_object(&bench), OK);
    end(&bench);
    begin(&bench);
    text = elf_add_text(&bench.builder, ".text", NULL, 0);
    s = elf_add_symbol(&bench.builder, "s", STB_LOCAL, STT_NOTYPE, SHN_ABS, 1, 0);
    elf_add_relocation(&bench.builder, text, 0, R_X86_64_32, s, 0);
    assert_int_equal(link_object(&bench), ERR_OUT_OF_BOUNDS);
    assert_int_equal(bench.diag.code, DIAG_LINK_OFFSET);
    end(&bench);
}

/* ---- many ---- */

static void test_link_unit_thousands_of_sections_are_linked(void **state)
{
    (void)state;
    enum { COUNT = 6000 };
    struct bench bench;
    char name[32];
    begin(&bench);
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), ".text.f%u", i);
        elf_add_text(&bench.builder, name, "\xe8\0\0\0\0\xc3", 6); /* calls the next one */
    }
    uint32_t data = elf_add_data(&bench.builder, ".data", NULL, COUNT * 8);
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        elf_add_symbol(&bench.builder, name, i < COUNT / 2 ? STB_LOCAL : STB_GLOBAL, STT_FUNC,
                       i + 1, 0, 6);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        elf_add_relocation(&bench.builder, data, 8 * i, R_X86_64_64, i + 1, 0);
    }
    /* One table a section, as a compiler writes them; elf_build() would search for each. */
    for (uint32_t i = 0; i < COUNT; i++) {
        struct elf64_rela rela = {
            .r_offset = 1, .r_type = R_X86_64_PLT32, .r_sym = (i + 1) % COUNT + 1, .r_addend = -4};
        uint32_t table =
            elf_add_section(&bench.builder, ".rela.text", SHT_RELA, 0, &rela, sizeof(rela));
        elf_section(&bench.builder, table)->sh_info = i + 1;
        elf_section(&bench.builder, table)->sh_entsize = sizeof(rela);
    }
    assert_int_equal(link_object(&bench), OK);
    assert_int_equal(bench.cell.relocation_count, 2 * COUNT);
    assert_int_equal(bench.cell.entry_count, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t callee = (i + 1) % COUNT;
        int32_t distance;
        memcpy(&distance, bench.bytes[REGION_TEXT] + 6 * i + 1, 4);
        assert_int_equal(distance, 6 * (int32_t)callee - (6 * (int32_t)i + 5));
        /* Exported functions got their slots first. */
        uint64_t slot = i < COUNT / 2 ? COUNT / 2 + i : i - COUNT / 2;
        assert_int_equal(word(&bench, REGION_DATA, 8 * i), ENTRIES + 8 * slot);
    }
    end(&bench);
}

/* Functions in falling order, each with two names; of more symbols than a key has room for. */
static void check_exports_of(uint32_t count)
{
    struct bench bench;
    begin(&bench);
    char name[16];
    elf_add_text(&bench.builder, ".text", NULL, count);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        elf_add_symbol(&bench.builder, name, i % 3 ? STB_WEAK : STB_GLOBAL, STT_FUNC, 1,
                       (count - 1 - i) / 2, 1);
    }
    place(&bench);
    const uint32_t functions = (count + 1) / 2;
    assert_int_equal(bench.cell.function_count, functions);
    assert_int_equal(bench.cell.entry_count, functions);
    assert_int_equal(bench.cell.symbol_count, count);
    for (uint32_t i = 0; i < functions; i++) {
        assert_int_equal(bench.cell.functions[i].offset, i);
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t offset = (count - 1 - i) / 2;
        const struct symbol *symbol = &bench.cell.symbols[i];
        assert_int_equal(symbol->address, TEXT_AT + offset);
        assert_int_equal(symbol->entry, bench.cell.functions[offset].entry);
        assert_int_equal(symbol->entry, ENTRIES + 8 * (uint64_t)bench.cell.functions[offset].slot);
    }
    end(&bench);
}

static void test_link_unit_any_number_of_symbols_find_their_functions(void **state)
{
    (void)state;
    check_exports_of(1);
    check_exports_of(300);
    check_exports_of((1u << 17) - 1); /* and symbol 0 */
    check_exports_of(1u << 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_link_unit_sizes_count_what_is_needed),
        cmocka_unit_test(test_link_unit_exports_get_address_and_entry),
        cmocka_unit_test(test_link_unit_sections_know_their_cell_and_place),
        cmocka_unit_test(test_link_unit_copy_clears_gaps_and_what_has_no_bytes),
        cmocka_unit_test(test_link_unit_missing_symbol_is_refused),
        cmocka_unit_test(test_link_unit_symbols_declared_alike_are_linked),
        cmocka_unit_test(test_link_unit_symbol_declared_differently_is_refused),
        cmocka_unit_test(test_link_unit_type_of_two_layouts_is_refused),
        cmocka_unit_test(test_link_unit_exports_carry_their_signatures),
        cmocka_unit_test(test_link_unit_damaged_fingerprints_are_refused),
        cmocka_unit_test(test_link_unit_undefined_weak_symbol_is_zero),
        cmocka_unit_test(test_link_unit_strong_definition_binds_to_itself),
        cmocka_unit_test(test_link_unit_weak_definition_yields_to_another),
        cmocka_unit_test(test_link_unit_hidden_weak_definition_stays),
        cmocka_unit_test(test_link_unit_absolute_symbol_has_no_section),
        cmocka_unit_test(test_link_unit_symbol_of_an_unloaded_section_is_refused_where_used),
        cmocka_unit_test(test_link_unit_sections_know_their_relocations),
        cmocka_unit_test(test_link_unit_two_relocation_tables_of_one_section_are_refused),
        cmocka_unit_test(test_link_unit_more_relocations_than_can_be_counted_are_refused),
        cmocka_unit_test(test_link_unit_cold_part_is_called_directly_and_may_be_pointed_to),
        cmocka_unit_test(test_link_unit_entries_jump_to_their_functions),
        cmocka_unit_test(test_link_unit_object_without_anything_is_linked),
        cmocka_unit_test(test_link_unit_relocations_of_an_empty_section_do_nothing),
        cmocka_unit_test(test_link_unit_thousands_of_sections_are_linked),
        cmocka_unit_test(test_link_unit_any_number_of_symbols_find_their_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
