/* SPDX-License-Identifier: MIT */
/*
 * Random relocations, applied by the linker and by a model that follows relocation.h word by word
 * and is made to be read, not to be fast. Runs of relocations to one symbol are frequent, as
 * compilers write them; now and then one is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "diag.h"
#include "elf_builder.h"
#include "relocation.h"

enum { EARLY = 1, TEXT, LATE, DATA, FRAME, COMMENT, SECTIONS };
enum {
    NONE,
    EARLY_SECTION,
    TEXT_SECTION,
    LATE_SECTION,
    FUNCTION,
    VARIABLE,
    OTHER_FUNCTION,
    OTHER_DATA,
    NUMBER,
    WEAK,
    UNLOADED,
};
enum { SYMBOLS = UNLOADED + 1 };

#define GOTPCREL   9u    /* R_X86_64_GOTPCREL: any kind that is refused */
#define OTHER_SIZE 4096u /* larger than what refers to it */
#define SIZE       512u
#define MOST       64
#define ENTRIES    0xffffffff93000000ull
#define TEXT_AT    0xffffffff90000000ull
#define DATA_AT    0xffffffff92000000ull
#define OTHER_AT   0xffffffff94000040ull

/* All functions of the object, by section and offset. */
static const struct {
    uint32_t section;
    uint32_t offset;
} functions[] = {
    {EARLY, 0},  {EARLY, 16}, {EARLY, 20}, {EARLY, 500}, {TEXT, 0},   {TEXT, 64},
    {TEXT, 128}, {TEXT, 192}, {LATE, 8},   {LATE, 100},  {LATE, 104},
};
#define FUNCTIONS ARRAY_COUNT(functions)

struct outcome {
    uint8_t bytes[SIZE];
    struct dependency records[MOST]; /* what they refer to */
    uint32_t slots[FUNCTIONS];
    uint32_t entry_count;
    struct diag diag;
};

struct bench {
    struct elf_builder builder;
    struct elf_object object;
    struct section sections[SECTIONS + 8];
    struct section other_sections[2];
    struct binding bindings[2];
    struct link_symbol symbols[SYMBOLS];
    uint8_t contents[SIZE];
    uint32_t section; /* that is relocated */
    uint64_t address;
    const struct elf64_rela *relocations;
    uint64_t count;
};

static uint32_t below(uint32_t limit)
{
    return (uint32_t)rand() % limit;
}

/* ---- the model ---- */

static bool takes_address(const struct bench *bench, const uint8_t *bytes,
                          const struct elf64_rela *rela)
{
    bool is_code = bench->section == TEXT;
    bool is_operand = rela->r_type == R_X86_64_PC32 || rela->r_type == R_X86_64_PLT32;
    if (bench->section == FRAME || rela->r_type == R_X86_64_NONE) {
        return false;
    }
    if (!is_code || !is_operand || rela->r_offset < 1) {
        return true;
    }
    uint8_t last = bytes[rela->r_offset - 1];
    uint8_t before = rela->r_offset >= 2 ? bytes[rela->r_offset - 2] : 0;
    return last != 0xe8 && last != 0xe9 && !(before == 0x0f && last >= 0x80 && last <= 0x8f);
}

/* The entry that a reference to this place of an executable section gets, or 0. */
static uint64_t entry_at(const struct link_symbol *symbol, const struct bench *bench,
                         uint64_t place, struct outcome *outcome)
{
    if (symbol->section == &bench->other_sections[0]) {
        return place == symbol->offset ? symbol->entry : 0;
    }
    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        if (symbol->section == &bench->sections[functions[i].section] &&
            place == functions[i].offset) {
            if (outcome->slots[i] == FUNCTION_NO_SLOT) {
                outcome->slots[i] = outcome->entry_count++;
            }
            return ENTRIES + 8 * (uint64_t)outcome->slots[i];
        }
    }
    return 0;
}

static bool refuse(struct outcome *outcome, const struct elf64_rela *rela, enum diag_code code,
                   uint64_t expected, uint64_t found)
{
    outcome->diag =
        (struct diag){.code = code, .offset = rela->r_offset, .expected = expected, .found = found};
    return false;
}

/* Writes the value, unless it does not fit; `value` is S + A, or S + A - P. */
static bool store(struct outcome *outcome, const struct elf64_rela *rela, uint64_t value)
{
    bool is_signed = (int64_t)value >= INT32_MIN && (int64_t)value <= INT32_MAX;
    switch (rela->r_type) {
    case R_X86_64_32:
        if (value > UINT32_MAX) {
            return refuse(outcome, rela, DIAG_LINK_OVERFLOW, UINT32_MAX, value);
        }
        break;
    case R_X86_64_64:
    case R_X86_64_PC64:
        memcpy(outcome->bytes + rela->r_offset, &value, 8);
        return true;
    default:
        if (!is_signed) {
            return refuse(outcome, rela, DIAG_LINK_OVERFLOW, INT32_MAX, value);
        }
    }
    memcpy(outcome->bytes + rela->r_offset, &value, 4);
    return true;
}

static bool apply_one(const struct bench *bench, const struct elf64_rela *rela,
                      struct dependency *record, struct outcome *outcome)
{
    uint32_t type = rela->r_type;
    uint64_t width = type == R_X86_64_64 || type == R_X86_64_PC64 ? 8 : 4;
    bool is_relative = type == R_X86_64_PC32 || type == R_X86_64_PLT32 || type == R_X86_64_PC64;
    if (rela->r_sym >= SYMBOLS) {
        return refuse(outcome, rela, DIAG_LINK_SYMBOL_INDEX, SYMBOLS, rela->r_sym);
    }
    if (type == GOTPCREL) {
        return refuse(outcome, rela, DIAG_LINK_RELOCATION_TYPE, 0, type);
    }
    const struct link_symbol *symbol = &bench->symbols[rela->r_sym];
    bool is_none = type == R_X86_64_NONE;
    if (!is_none && (rela->r_offset > SIZE || SIZE - rela->r_offset < width)) {
        return refuse(outcome, rela, DIAG_LINK_OFFSET, SIZE, rela->r_offset);
    }
    if (!is_none && symbol->kind == LINK_SYMBOL_NOT_LOADED) {
        return refuse(outcome, rela, DIAG_LINK_NOT_LOADED, 0, 0);
    }
    uint64_t bias = bench->section == TEXT && is_relative && width == 4 ? 4 : 0;
    uint64_t place = symbol->offset + (uint64_t)rela->r_addend + bias;
    uint64_t value = symbol->value + (uint64_t)rela->r_addend;
    uint64_t entry = 0;
    if (symbol->kind == LINK_SYMBOL_CODE && takes_address(bench, bench->contents, rela)) {
        entry = entry_at(symbol, bench, place, outcome);
        value = entry ? entry - bias : value;
    }
    *record = (struct dependency){
        .source = (struct section *)&bench->sections[bench->section],
        .target = is_none ? NULL : symbol->section,
        .offset = (uint32_t)rela->r_offset,
        .target_offset = (int32_t)place,
        .symbol = rela->r_sym,
        .type = (uint16_t)type,
        .via_entry = entry != 0,
    };
    return is_none ||
           store(outcome, rela, is_relative ? value - (bench->address + rela->r_offset) : value);
}

static void apply_model(const struct bench *bench, struct outcome *outcome)
{
    for (uint64_t i = 0; i < bench->count; i++) {
        if (!apply_one(bench, &bench->relocations[i], &outcome->records[i], outcome)) {
            return;
        }
    }
}

/* ---- the linker ---- */

static void start(const struct bench *bench, struct outcome *outcome)
{
    memset(outcome, 0, sizeof(*outcome));
    memcpy(outcome->bytes, bench->contents, SIZE);
    outcome->slots[0] = 0; /* exported: it has one from the start */
    outcome->entry_count = 1;
    for (uint32_t i = 1; i < FUNCTIONS; i++) {
        outcome->slots[i] = FUNCTION_NO_SLOT;
    }
}

/* Makes a cell of what was linked, and asks what each relocation refers to. */
static void describe(struct bench *bench, struct function *own, struct outcome *outcome)
{
    struct cell cell = {
        .object = bench->object,
        .sections = bench->sections,
        .functions = own,
        .function_count = FUNCTIONS,
        .bindings = bench->bindings,
    };
    for (uint32_t i = 0; i < bench->object.section_count; i++) {
        struct section *section = &bench->sections[i];
        section->cell = &cell;
        section->flags = (uint32_t)bench->object.sections[i].sh_flags;
        section->region =
            elf_object_section_is_loaded(&bench->object, i) ? REGION_TEXT : REGION_NONE;
    }
    for (uint32_t i = 0; i < 2; i++) {
        const struct link_symbol *symbol = &bench->symbols[OTHER_FUNCTION + i];
        bench->bindings[cell.binding_count++] = (struct binding){
            .cell = &cell,
            .target = symbol->section,
            .symbol = OTHER_FUNCTION + i,
            .offset = symbol->offset,
            .has_entry = symbol->entry != 0,
        };
    }
    bench->other_sections[0].flags = SHF_ALLOC | SHF_EXECINSTR;
    bench->sections[bench->section].relocations = bench->relocations;
    bench->sections[bench->section].relocation_count = (uint32_t)bench->count;
    for (uint32_t i = 0; i < bench->count; i++) {
        relocation_describe(&bench->sections[bench->section], i, &outcome->records[i]);
    }
}

static void apply_linker(struct bench *bench, struct outcome *outcome, bool is_general)
{
    struct function own[FUNCTIONS];
    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        own[i] = (struct function){.section = functions[i].section,
                                   .offset = functions[i].offset,
                                   .slot = outcome->slots[i]};
    }
    uint8_t *bytes = malloc(SIZE);
    memcpy(bytes, bench->contents, SIZE);
    const struct relocation_batch batch = {
        .object = &bench->object,
        .section = bench->section,
        .relocation_section = elf_relocation_section(&bench->builder, bench->section),
        .symbols = bench->symbols,
        .bytes = bytes,
        .address = bench->address,
        .sections = bench->sections,
        .functions = own,
        .function_count = FUNCTIONS,
        .entry_count = &outcome->entry_count,
        .entries = ENTRIES,
        .is_general = is_general,
    };
    if (relocation_apply(&batch, &outcome->diag) == OK) {
        describe(bench, own, outcome);
    }
    memcpy(outcome->bytes, bytes, SIZE);
    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        outcome->slots[i] = own[i].slot;
    }
    free(bytes);
}

static void assert_same_record(const struct dependency *a, const struct dependency *b)
{
    assert_ptr_equal(a->source, b->source);
    assert_ptr_equal(a->target, b->target);
    assert_int_equal(a->offset, b->offset);
    assert_int_equal(a->target_offset, b->target_offset);
    assert_int_equal(a->symbol, b->symbol);
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->via_entry, b->via_entry);
}

static void assert_same(const struct bench *bench, const struct outcome *linker,
                        const struct outcome *model)
{
    assert_int_equal(linker->diag.code, model->diag.code);
    if (model->diag.code != DIAG_NONE) { /* the bytes are unusable then */
        assert_int_equal(linker->diag.offset, model->diag.offset);
        assert_int_equal(linker->diag.expected, model->diag.expected);
        assert_int_equal(linker->diag.found, model->diag.found);
        return;
    }
    assert_memory_equal(linker->bytes, model->bytes, SIZE);
    assert_int_equal(linker->entry_count, model->entry_count);
    assert_memory_equal(linker->slots, model->slots, sizeof(model->slots));
    for (uint64_t i = 0; i < bench->count; i++) {
        assert_same_record(&linker->records[i], &model->records[i]);
    }
}

/* ---- random input ---- */

static void resolve(struct bench *bench)
{
    struct link_symbol *symbols = bench->symbols;
    for (uint32_t i = 0; i < 3; i++) {
        symbols[EARLY_SECTION + i] = (struct link_symbol){.value = TEXT_AT + SIZE * i,
                                                          .section = &bench->sections[EARLY + i],
                                                          .kind = LINK_SYMBOL_CODE};
    }
    symbols[FUNCTION] = (struct link_symbol){.value = TEXT_AT + SIZE + 128,
                                             .section = &bench->sections[TEXT],
                                             .offset = 128,
                                             .kind = LINK_SYMBOL_CODE};
    symbols[VARIABLE] = (struct link_symbol){
        .value = DATA_AT + 32, .section = &bench->sections[DATA], .offset = 32};
    symbols[OTHER_FUNCTION] = (struct link_symbol){.value = OTHER_AT,
                                                   .section = &bench->other_sections[0],
                                                   .entry = ENTRIES + 0x1000,
                                                   .offset = 0x40,
                                                   .kind = LINK_SYMBOL_CODE};
    symbols[OTHER_DATA] = (struct link_symbol){
        .value = OTHER_AT + 0x1000, .section = &bench->other_sections[1], .offset = 0x800};
    symbols[NUMBER] = (struct link_symbol){.value = 0x12345678};
    symbols[UNLOADED] = (struct link_symbol){.kind = LINK_SYMBOL_NOT_LOADED};
}

static struct elf64_rela random_relocation(void)
{
    static const uint32_t common[] = {R_X86_64_PLT32, R_X86_64_PC32, R_X86_64_32S,
                                      R_X86_64_64,    R_X86_64_PC64, R_X86_64_NONE};
    static const int64_t addends[] = {0, -4, 64, 60, 124, 128, 8, 4, 16, 20, 100, 500, -64, 1000};
    int64_t any = below((below(2) ? SIZE : OTHER_SIZE) + 40);
    struct elf64_rela rela = {
        .r_type = common[below(ARRAY_COUNT(common))],
        .r_sym = below(UNLOADED),
        .r_addend = below(2) ? addends[below(ARRAY_COUNT(addends))] : any - 20,
    };
    if (rela.r_sym == NUMBER || rela.r_sym == WEAK || rela.r_sym == NONE) {
        static const uint32_t absolute[] = {R_X86_64_32, R_X86_64_32S, R_X86_64_64};
        rela.r_type = absolute[below(3)];
        rela.r_addend = below(100);
    }
    return rela;
}

/* Makes one relocation wrong, in one of the ways that there are. */
static void spoil(struct elf64_rela *rela)
{
    switch (below(6)) {
    case 0:
        rela->r_sym = SYMBOLS + below(3);
        break;
    case 1:
        rela->r_offset = SIZE - below(9);
        break;
    case 2:
        rela->r_offset = UINT64_MAX - below(9);
        break;
    case 3:
        rela->r_type = GOTPCREL;
        break;
    case 4:
        rela->r_sym = UNLOADED;
        break;
    default:
        rela->r_addend = (int64_t)((uint64_t)below(1u << 30) << 34); /* most do not fit */
    }
}

static void random_contents(struct bench *bench)
{
    static const uint8_t bytes[] = {0xe8, 0xe9, 0x0f, 0x84, 0x8f, 0x80, 0x48, 0x8d, 0x05, 0x90};
    for (size_t i = 0; i < SIZE; i++) {
        bench->contents[i] = bytes[below(sizeof(bytes))];
    }
}

/* Puts other data about as far away as a 32-bit distance reaches. */
static void move_far_away(struct bench *bench)
{
    uint64_t distance = below(2) ? 0x7fffffff : -0x80000000ull;
    struct link_symbol *symbol = &bench->symbols[OTHER_DATA];
    symbol->value = bench->address + distance + below(2 * OTHER_SIZE) - OTHER_SIZE;
    symbol->section->address = symbol->value - symbol->offset;
}

static void begin(struct bench *bench)
{
    static const uint32_t sections[] = {TEXT, DATA, FRAME};
    memset(bench, 0, sizeof(*bench));
    elf_builder_init(&bench->builder);
    elf_add_text(&bench->builder, ".text.early", NULL, SIZE);
    elf_add_text(&bench->builder, ".text", NULL, SIZE);
    elf_add_text(&bench->builder, ".text.late", NULL, SIZE);
    elf_add_data(&bench->builder, ".data", NULL, SIZE);
    elf_add_rodata(&bench->builder, ".eh_frame", NULL, SIZE);
    elf_add_section(&bench->builder, ".comment", SHT_PROGBITS, 0, NULL, SIZE);
    static const uint16_t defined_in[SYMBOLS] = {
        [EARLY_SECTION] = EARLY, [TEXT_SECTION] = TEXT, [LATE_SECTION] = LATE, [FUNCTION] = TEXT,
        [VARIABLE] = DATA,       [NUMBER] = SHN_ABS,    [UNLOADED] = COMMENT};
    for (uint32_t i = 1; i < SYMBOLS; i++) {
        elf_add_symbol(&bench->builder, "symbol", i < OTHER_FUNCTION ? STB_LOCAL : STB_GLOBAL,
                       STT_NOTYPE, defined_in[i],
                       i == FUNCTION   ? 128
                       : i == VARIABLE ? 32
                                       : 0,
                       0);
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(bench->sections); i++) {
        bench->sections[i].index = i;
        bench->sections[i].size = SIZE;
    }
    bench->other_sections[0].size = bench->other_sections[1].size = OTHER_SIZE;
    resolve(bench);
    random_contents(bench);
    bench->section = sections[below(3)];
    bench->address =
        bench->section == TEXT ? TEXT_AT + SIZE : DATA_AT + SIZE * (bench->section - DATA);
}

/* Fields do not overlap, so the order in which they are written does not matter. */
static void add_relocations(struct bench *bench, bool with_error)
{
    uint32_t count = 1 + below(MOST - 1);
    uint32_t wrong = with_error ? below(count) : count;
    uint64_t offset = below(3);
    struct elf64_rela rela = random_relocation();
    for (uint32_t i = 0; i < count && offset <= SIZE - 8; i++) {
        int64_t addend = rela.r_addend;
        if (below(3) == 0) {
            rela = random_relocation();
        } else if (below(2) == 0) {
            struct elf64_rela other = random_relocation();
            rela.r_addend =
                rela.r_sym == NUMBER ? addend : other.r_addend; /* else it is the same */
            rela.r_addend = rela.r_type == R_X86_64_32 ? addend : rela.r_addend;
        }
        rela.r_offset = offset;
        struct elf64_rela added = rela;
        if (i == wrong) {
            spoil(&added);
        }
        elf_add_relocation(&bench->builder, bench->section, added.r_offset, added.r_type,
                           added.r_sym, added.r_addend);
        offset += rela.r_type == R_X86_64_64 || rela.r_type == R_X86_64_PC64 ? 8 : 4;
        offset += below(4);
    }
}

/* One random section; true when it could be linked. */
static bool run_once(bool with_error)
{
    struct bench bench;
    struct outcome model;
    begin(&bench);
    bool is_far = with_error && below(2);
    if (is_far) {
        move_far_away(&bench);
    }
    add_relocations(&bench, with_error && !is_far);
    assert_int_equal(elf_object_open(elf_build(&bench.builder), &bench.object, NULL), OK);
    bench.relocations = elf_object_relocations(
        &bench.object, elf_relocation_section(&bench.builder, bench.section), &bench.count);
    struct span pristine = elf_object_section_bytes(&bench.object, bench.section);
    memcpy((uint8_t *)pristine.base, bench.contents, SIZE); /* the builder's memory */
    start(&bench, &model);
    apply_model(&bench, &model);
    for (int is_general = 0; is_general < 2; is_general++) {
        struct outcome linker;
        start(&bench, &linker);
        apply_linker(&bench, &linker, is_general);
        assert_same(&bench, &linker, &model);
    }
    elf_builder_fini(&bench.builder);
    return model.diag.code == DIAG_NONE;
}

static void test_relocation_random_sections_match_the_model(void **state)
{
    (void)state;
    int linked = 0;
    srand(1);
    for (int i = 0; i < 6000; i++) {
        linked += run_once(false);
    }
    assert_true(linked > 5000);
}

static void test_relocation_random_errors_match_the_model(void **state)
{
    (void)state;
    int refused = 0;
    srand(2);
    for (int i = 0; i < 6000; i++) {
        refused += !run_once(true);
    }
    assert_true(refused > 2000 && refused < 5900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relocation_random_sections_match_the_model),
        cmocka_unit_test(test_relocation_random_errors_match_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
