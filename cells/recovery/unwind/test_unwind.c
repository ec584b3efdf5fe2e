/* SPDX-License-Identifier: MIT */
/*
 * Stacks and tables are made by hand here, so that each way to end a walk can be had. Real code is
 * stepped through by test/unwind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "unwind.h"

#define WORDS         64
#define CODE_SIZE     64
#define FUNCTIONS_MAX 8
#define TABLE_SIZE    256

/* A function is 64 bytes of code, and a table of one CIE and one FDE for it. */
struct function {
    uint8_t bytes[TABLE_SIZE];
    size_t size;
    size_t fde;
};

struct world {
    uint64_t stack[WORDS];
    uint64_t gap[WORDS]; /* no stack */
    uint64_t other_stack[WORDS];
    uint8_t code[FUNCTIONS_MAX][CODE_SIZE];
    struct function functions[FUNCTIONS_MAX];
    size_t count;
    unsigned lookups;
    bool has_leaf; /* the last function has no table, and is told to be a leaf */
    struct unwind_source source;
    struct unwind_cache cache;
    struct unwind_cursor cursor;
    uint64_t registers[CFI_REGISTER_COUNT];
};

static struct world world;

static uint64_t code_at(size_t function, size_t offset)
{
    return (uint64_t)&world.code[function][offset];
}

static uint64_t word(size_t index)
{
    return (uint64_t)&world.stack[index];
}

static void put(struct function *function, uint64_t value, size_t size)
{
    memcpy(function->bytes + function->size, &value, size);
    function->size += size;
}

static void close_record(struct function *function, size_t at)
{
    uint32_t length = (uint32_t)(function->size - at - 4);
    memcpy(function->bytes + at, &length, sizeof(length));
}

/* Adds a function; `program` follows the rules CFA = rsp + 8, return address at CFA - 8. */
static size_t add(const char *letters, const char *program, size_t size)
{
    size_t number = world.count++;
    struct function *function = &world.functions[number];
    put(function, 0, 8);
    put(function, 1, 1);
    memcpy(function->bytes + function->size, letters, strlen(letters) + 1);
    function->size += strlen(letters) + 1;
    memcpy(function->bytes + function->size, "\x01\x78\x10\x00\x0c\x07\x08\x90\x01", 9);
    function->size += 9;
    close_record(function, 0);
    function->fde = function->size;
    put(function, 0, 4);
    put(function, function->size, 4);
    put(function, code_at(number, 0), 8);
    put(function, CODE_SIZE, 8);
    put(function, 0, 1);
    memcpy(function->bytes + function->size, program, size);
    function->size += size;
    close_record(function, function->fde);
    return number;
}

#define ADD(program)        add("z", program, sizeof(program) - 1)
#define ADD_SIGNAL(program) add("zS", program, sizeof(program) - 1)

static enum unwind_found find_code(void *context, uint64_t pc, struct unwind_code *out)
{
    assert_ptr_equal(context, &world);
    world.lookups++;
    uint64_t number = (pc - (uint64_t)world.code) / CODE_SIZE;
    if (pc < (uint64_t)world.code || number >= world.count) {
        return UNWIND_FOUND_NOTHING;
    }
    if (world.has_leaf && number == world.count - 1) {
        return UNWIND_FOUND_LEAF;
    }
    const struct function *function = &world.functions[number];
    *out = (struct unwind_code){.table = {.bytes = span_of(function->bytes, function->size)},
                                .fde = function->fde};
    return UNWIND_FOUND_ENTRY;
}

static bool find_stack(void *context, uint64_t address, uint64_t *out_low, uint64_t *out_high)
{
    (void)context;
    uint64_t *const stacks[] = {world.stack, world.other_stack};
    for (size_t i = 0; i < ARRAY_COUNT(stacks); i++) {
        if (address - (uint64_t)stacks[i] < sizeof(world.stack)) {
            *out_low = (uint64_t)stacks[i];
            *out_high = (uint64_t)(stacks[i] + WORDS);
            return true;
        }
    }
    return false;
}

static int set_up(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    world.source =
        (struct unwind_source){.find_code = find_code, .find_stack = find_stack, .context = &world};
    for (unsigned i = 0; i < CFI_REGISTER_COUNT; i++) {
        world.registers[i] = 0x1000 + i;
    }
    world.registers[CFI_RSP] = word(8);
    return 0;
}

static void begin(uint64_t rip, bool is_exact)
{
    world.registers[CFI_RIP] = rip;
    unwind_begin(&world.cursor, &world.source, NULL, world.registers, is_exact);
}

static uint64_t get(unsigned number)
{
    assert_true(world.cursor.known >> number & 1);
    return world.cursor.registers[number];
}

static void assert_step(enum unwind_outcome outcome)
{
    assert_int_equal(unwind_step(&world.cursor), outcome);
}

/* The step fails for that reason, and leaves the registers alone. */
static void assert_unreliable(enum unwind_reason reason)
{
    struct unwind_cursor before = world.cursor;
    assert_step(UNWIND_UNRELIABLE);
    assert_int_equal(world.cursor.reason, reason);
    assert_memory_equal(before.registers, world.cursor.registers, sizeof(before.registers));
    assert_int_equal(before.known, world.cursor.known);
}

/* ---- steps ---- */

static void test_unwind_steps_to_the_outermost_frame(void **state)
{
    (void)state;
    size_t inner = ADD("\x0e\x20\x83\x02\x86\x03"); /* frame of 4 words; rbx, rbp saved */
    size_t middle = ADD("");
    size_t outer = ADD("\x07\x10");
    world.stack[11] = code_at(middle, 5);
    world.stack[10] = 77; /* rbx */
    world.stack[9] = 88;  /* rbp */
    world.stack[12] = code_at(outer, 5);
    begin(code_at(inner, 3), true);
    assert_step(UNWIND_CALLER);
    assert_int_equal(get(CFI_RIP), code_at(middle, 5));
    assert_int_equal(get(CFI_RSP), word(12));
    assert_int_equal(get(CFI_RBX), 77);
    assert_int_equal(get(CFI_RBP), 88);
    assert_int_equal(get(CFI_R12), 0x1000 + CFI_R12);
    assert_false(world.cursor.known >> CFI_RAX & 1);
    assert_false(world.cursor.is_exact);
    assert_step(UNWIND_CALLER);
    assert_int_equal(get(CFI_RIP), code_at(outer, 5));
    assert_int_equal(get(CFI_RSP), word(13));
    assert_step(UNWIND_END);
    assert_step(UNWIND_END);
}

/* A return address behind the last byte of a function belongs to the function. */
static void test_unwind_looks_up_return_addresses_one_byte_lower(void **state)
{
    (void)state;
    size_t inner = ADD("");
    size_t caller = ADD("\x0e\x10"); /* ends with a call that does not return */
    size_t behind = ADD("\x07\x10");
    world.stack[8] = code_at(behind, 0);
    world.stack[10] = code_at(behind, 1);
    begin(code_at(inner, 0), true);
    assert_step(UNWIND_CALLER);
    assert_int_equal(unwind_pc(&world.cursor), code_at(caller, CODE_SIZE - 1));
    assert_step(UNWIND_CALLER);
    assert_int_equal(get(CFI_RSP), word(11));
    begin(code_at(behind, 0), true); /* interrupted there, it is that one */
    assert_step(UNWIND_END);
}

static void test_unwind_goes_through_an_interrupt(void **state)
{
    (void)state;
    size_t handler = ADD("\x0e\x10");
    /* rax at CFA - 8, rip at CFA - 40, rsp at CFA - 16: as exceptions_stubs.S has it */
    size_t stub = ADD_SIGNAL("\x0e\x30\x90\x05\x87\x02\x80\x06");
    size_t inner = ADD("\x0e\x10");
    size_t outer = ADD("\x07\x10");
    world.stack[9] = code_at(stub, 8);
    world.stack[10] = 0xaaaa;                           /* rax */
    world.stack[11] = code_at(inner, 0);                /* rip: the first instruction */
    world.stack[14] = (uint64_t)&world.other_stack[20]; /* rsp */
    world.other_stack[21] = code_at(outer, 9);
    begin(code_at(handler, 0), true);
    assert_step(UNWIND_CALLER);
    assert_false(world.cursor.is_exact);
    assert_step(UNWIND_CALLER);
    assert_true(world.cursor.is_exact);
    assert_int_equal(get(CFI_RIP), code_at(inner, 0));
    assert_int_equal(get(CFI_RSP), (uint64_t)&world.other_stack[20]);
    assert_int_equal(get(CFI_RAX), 0xaaaa);
    assert_false(world.cursor.known >> CFI_RCX & 1);
    assert_step(UNWIND_CALLER);
    assert_int_equal(get(CFI_RIP), code_at(outer, 9));
    assert_step(UNWIND_END);
}

static void test_unwind_goes_from_stack_to_stack(void **state)
{
    (void)state;
    size_t function = ADD("\x0c\x06\x10\x86\x02"); /* CFA is rbp + 16, as in stack_call.S */
    size_t outer = ADD("\x07\x10");
    world.registers[CFI_RBP] = (uint64_t)&world.other_stack[2];
    world.other_stack[2] = 0xbbbb;
    world.other_stack[3] = code_at(outer, 1);
    begin(code_at(function, 1), true);
    assert_step(UNWIND_CALLER);
    assert_int_equal(get(CFI_RBP), 0xbbbb);
    assert_int_equal(get(CFI_RSP), (uint64_t)&world.other_stack[4]);
    assert_step(UNWIND_END);
}

static void test_unwind_leaf_has_its_return_address_on_top(void **state)
{
    (void)state;
    size_t outer = ADD("\x07\x10");
    size_t leaf = ADD("");
    world.has_leaf = true;
    world.stack[8] = code_at(outer, 4);
    begin(code_at(leaf, 0), true);
    assert_step(UNWIND_CALLER);
    assert_int_equal(get(CFI_RIP), code_at(outer, 4));
    assert_int_equal(get(CFI_RSP), word(9));
    assert_step(UNWIND_END);
}

/* ---- guesses ---- */

static void set_call(size_t function, size_t end, const char *bytes, size_t size)
{
    memcpy(&world.code[function][end - size], bytes, size);
    world.stack[8] = code_at(function, end);
}

static void test_unwind_guesses_only_what_looks_like_a_call(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        bool is_call;
    } cases[] = {
        {"\xe8\x00\x00\x00\x00", 5, true},
        {"\xff\xd0", 2, true},
        {"\x41\xff\xd4", 3, true},
        {"\xff\x53\x08", 3, true},
        {"\xff\x54\x24\x08", 4, true},
        {"\xff\x14\xc5\x00\x00\x00\x00", 7, true},
        {"\xff\x93\x00\x01\x00\x00", 6, true},
        {"\xff\x15\x00\x00\x00\x00", 6, true},
        {"\xff\x94\x24\x00\x01\x00\x00", 7, true},
        {"\xff\x14\x24", 3, true},
        {"\x90\x90\x90\x90\x90\x90\x90", 7, false},
        {"\xff\xe0", 2, false}, /* a jump */
        {"\xe9\x00\x00\x00\x00", 5, false},
        {"\xff\xd0\x90", 3, false},
    };
    size_t caller = ADD("\x07\x10");
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        memset(world.code, 0x90, sizeof(world.code));
        set_call(caller, 20, cases[i].bytes, cases[i].size);
        begin(0, true); /* a call through NULL */
        if (!cases[i].is_call) {
            assert_unreliable(UNWIND_REASON_NO_CODE);
            continue;
        }
        assert_step(UNWIND_GUESSED);
        assert_true(world.cursor.is_guess);
        assert_int_equal(get(CFI_RIP), code_at(caller, 20));
        assert_int_equal(get(CFI_RSP), word(9));
        assert_step(UNWIND_END);
    }
}

static void test_unwind_guesses_once_and_not_of_return_addresses(void **state)
{
    (void)state;
    size_t caller = ADD("");
    set_call(caller, 20, "\xff\xd0", 2);
    world.stack[9] = 0x4000; /* the next one is wild as well */
    begin(0x4000, true);
    assert_step(UNWIND_GUESSED);
    assert_step(UNWIND_CALLER);
    assert_unreliable(UNWIND_REASON_NO_CODE);
    begin(0x4000, false);
    assert_unreliable(UNWIND_REASON_NO_CODE);
    world.registers[CFI_RSP] = 0x10;
    begin(0x4000, true);
    assert_unreliable(UNWIND_REASON_NO_CODE);
    world.registers[CFI_RSP] = word(8);
    world.stack[8] = code_at(0, 1); /* nothing lies before it that could be a call */
    begin(0x4000, true);
    assert_unreliable(UNWIND_REASON_NO_CODE);
}

/* ---- ends ---- */

static void test_unwind_refuses_frames_outside_of_the_stack(void **state)
{
    (void)state;
    size_t function = ADD("\x0e\x20\x83\x04");
    const uint64_t wrong[] = {0, 8, UINT64_MAX - 7, word(0) - 32, word(WORDS) - 24, word(WORDS)};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        world.registers[CFI_RSP] = wrong[i];
        begin(code_at(function, 0), true);
        assert_unreliable(UNWIND_REASON_OUTSIDE_STACK);
    }
    size_t saved_below = ADD("\x83\x7f"); /* rbx 127 words below: under the stack's end */
    world.registers[CFI_RSP] = word(8);
    begin(code_at(saved_below, 0), true);
    assert_unreliable(UNWIND_REASON_OUTSIDE_STACK);
}

static void test_unwind_refuses_to_go_down(void **state)
{
    (void)state;
    size_t function = ADD("\x0c\x06\x10");
    world.registers[CFI_RBP] = word(4);
    begin(code_at(function, 0), true);
    assert_unreliable(UNWIND_REASON_NO_PROGRESS);
}

static void test_unwind_refuses_registers_that_are_lost(void **state)
{
    (void)state;
    size_t inner = ADD("");
    size_t by_rax = ADD("\x0c\x00\x08");
    size_t by_expression = ADD("\x0f\x02\x70\x08");
    world.stack[8] = code_at(by_rax, 1);
    begin(code_at(inner, 0), true);
    assert_step(UNWIND_CALLER);
    assert_unreliable(UNWIND_REASON_LOST_REGISTER);
    world.stack[8] = code_at(by_expression, 1);
    begin(code_at(inner, 0), true);
    assert_step(UNWIND_CALLER);
    assert_unreliable(UNWIND_REASON_LOST_REGISTER);
    assert_int_equal(world.cursor.fault.code, CFI_FAULT_UNKNOWN_REGISTER);
}

static void test_unwind_refuses_tables(void **state)
{
    (void)state;
    size_t strange = ADD("\x3f");
    size_t no_rule = ADD("\x08\x10\x09\x10\x40"); /* rip in a register that does not exist */
    begin(code_at(strange, 0), true);
    assert_unreliable(UNWIND_REASON_BAD_TABLE);
    assert_int_equal(world.cursor.fault.code, CFI_FAULT_OPERATION);
    begin(code_at(no_rule, 0), true);
    assert_unreliable(UNWIND_REASON_NO_RULE);
    begin(code_at(7, 0), true); /* code of nobody */
    assert_unreliable(UNWIND_REASON_NO_CODE);
    world.functions[strange].fde = 0; /* where the CIE is */
    begin(code_at(strange, 0), true);
    assert_unreliable(UNWIND_REASON_BAD_TABLE);
    assert_int_equal(world.cursor.fault.code, CFI_FAULT_NOT_AN_FDE);
}

/* The index leads to an entry for other code. */
static void test_unwind_checks_what_the_entry_describes(void **state)
{
    (void)state;
    size_t a = ADD("");
    size_t b = ADD("");
    memcpy(&world.functions[a], &world.functions[b], sizeof(world.functions[a]));
    begin(code_at(a, 0), true);
    assert_unreliable(UNWIND_REASON_NO_CODE);
}

static void test_unwind_ends_in_circles(void **state)
{
    (void)state;
    /* An interrupted frame that restores itself, and a return address that leads to itself. */
    size_t stub = ADD_SIGNAL("\x0e\x30\x90\x05\x87\x02");
    world.stack[9] = code_at(stub, 0);
    world.stack[12] = word(8);
    begin(code_at(stub, 0), true);
    for (unsigned i = 0; i < UNWIND_STACKS_MAX; i++) {
        assert_step(UNWIND_CALLER);
    }
    assert_unreliable(UNWIND_REASON_STACKS);
    size_t by_register = ADD("\x0e\x00\x09\x10\x03"); /* rip is in rbx, nothing on the stack */
    world.registers[CFI_RBX] = code_at(by_register, 1);
    begin(code_at(by_register, 0), true);
    for (unsigned i = 0; i < UNWIND_STACKS_MAX; i++) {
        assert_step(UNWIND_CALLER);
    }
    assert_unreliable(UNWIND_REASON_STACKS);
}

/* ---- cache ---- */

static void walk_with_cache(void)
{
    unwind_begin(&world.cursor, &world.source, &world.cache, world.registers, true);
    assert_step(UNWIND_CALLER);
    assert_step(UNWIND_END);
}

static void make_two_frames(void)
{
    size_t inner = ADD("\x0e\x10");
    size_t outer = ADD("\x07\x10");
    world.stack[9] = code_at(outer, 3);
    world.registers[CFI_RIP] = code_at(inner, 2);
}

static void test_unwind_cache_answers_until_code_changes(void **state)
{
    (void)state;
    make_two_frames();
    walk_with_cache();
    assert_int_equal(world.lookups, 2);
    for (int i = 0; i < 10; i++) {
        walk_with_cache();
    }
    assert_int_equal(world.lookups, 2);
    assert_int_equal(world.cache.hits, 20);
    assert_int_equal(world.cache.misses, 2);
    world.source.generation++;
    walk_with_cache();
    assert_int_equal(world.lookups, 4);
}

/* Whatever single bit of a row or its sum is wrong, the row is not used. */
static void test_unwind_cache_ignores_damaged_rows(void **state)
{
    (void)state;
    make_two_frames();
    walk_with_cache();
    struct unwind_cache good = world.cache;
    for (unsigned bit = 0; bit < 3 * 64; bit++) {
        world.cache = good;
        for (size_t set = 0; set < UNWIND_CACHE_SETS; set++) {
            uint64_t *words[] = {&world.cache.entries[set][0].sum,
                                 &world.cache.entries[set][0].row[0],
                                 &world.cache.entries[set][0].row[1]};
            *words[bit / 64] ^= 1ull << bit % 64;
        }
        unsigned before = world.lookups;
        walk_with_cache();
        assert_int_equal(world.lookups, before + 2);
    }
}

static void test_unwind_empty_cache_knows_nothing(void **state)
{
    (void)state;
    static const uint64_t addresses[] = {0, 1, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(addresses); i++) {
        world.registers[CFI_RIP] = addresses[i];
        for (int exact = 0; exact <= 1; exact++) {
            unwind_begin(&world.cursor, &world.source, &world.cache, world.registers, exact);
            assert_unreliable(UNWIND_REASON_NO_CODE);
        }
    }
}

static void test_unwind_texts(void **state)
{
    (void)state;
    assert_string_equal(unwind_reason_text(UNWIND_REASON_STACKS), "too many changes of stack");
    assert_string_equal(unwind_reason_text((enum unwind_reason)99), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_unwind_steps_to_the_outermost_frame, set_up),
        cmocka_unit_test_setup(test_unwind_looks_up_return_addresses_one_byte_lower, set_up),
        cmocka_unit_test_setup(test_unwind_goes_through_an_interrupt, set_up),
        cmocka_unit_test_setup(test_unwind_goes_from_stack_to_stack, set_up),
        cmocka_unit_test_setup(test_unwind_leaf_has_its_return_address_on_top, set_up),
        cmocka_unit_test_setup(test_unwind_guesses_only_what_looks_like_a_call, set_up),
        cmocka_unit_test_setup(test_unwind_guesses_once_and_not_of_return_addresses, set_up),
        cmocka_unit_test_setup(test_unwind_refuses_frames_outside_of_the_stack, set_up),
        cmocka_unit_test_setup(test_unwind_refuses_to_go_down, set_up),
        cmocka_unit_test_setup(test_unwind_refuses_registers_that_are_lost, set_up),
        cmocka_unit_test_setup(test_unwind_refuses_tables, set_up),
        cmocka_unit_test_setup(test_unwind_checks_what_the_entry_describes, set_up),
        cmocka_unit_test_setup(test_unwind_ends_in_circles, set_up),
        cmocka_unit_test_setup(test_unwind_cache_answers_until_code_changes, set_up),
        cmocka_unit_test_setup(test_unwind_cache_ignores_damaged_rows, set_up),
        cmocka_unit_test_setup(test_unwind_empty_cache_knows_nothing, set_up),
        cmocka_unit_test_setup(test_unwind_texts, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
