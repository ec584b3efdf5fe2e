/* SPDX-License-Identifier: MIT */
/* What is said about an exception; that it is said at all is seen in the boot tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "address_map.h"
#include "backtrace.h"
#include "console.h"
#include "exceptions.h"
#include "nano_core_image.h"
#include "exceptions_priv.h"
#include "memory.h"
#include "owned.h"
#include "panic.h"
#include "stack.h"
#include "x86.h"

const uint64_t exceptions_stubs[EXCEPTION_COUNT];

static struct cell cell = {.name = "heap"};
static struct section section = {
    .cell = &cell, .name = ".text.heap_free", .address = 0xffffffff90001000, .size = 0x100};

void address_map_enter(void)
{
}

void address_map_leave(void)
{
}

/* As a cell's text and words lie: a PANIC(), and the words that it names. */
static struct {
    uint8_t text[8];
    char words[16];
} panic = {{0x0f, 0xb9, 0x05, 1, 0, 0, 0, 0x90}, "cold"};
static struct section panic_sections[] = {
    {.cell = &cell, .name = ".text.panic", .size = 8, .region = REGION_TEXT},
    {.cell = &cell, .name = ".rodata.str1.1", .size = 16, .region = REGION_RODATA},
};

const struct section *address_map_find(uint64_t address)
{
    panic_sections[0].address = (uint64_t)panic.text;
    panic_sections[1].address = (uint64_t)panic.words;
    for (unsigned i = 0; i < ARRAY_COUNT(panic_sections); i++) {
        if (address - panic_sections[i].address < panic_sections[i].size) {
            return &panic_sections[i];
        }
    }
    bool inside = address >= section.address && address - section.address < section.size;
    return inside ? &section : NULL;
}

size_t owned_describe(const struct own_slot *top, char *buffer, size_t size)
{
    (void)top;
    (void)size;
    buffer[0] = '\0';
    return 0;
}

#define STACK_BOTTOM (DATA_ZONE_START + 2 * PAGE_SIZE)
#define STACK_TOP    (STACK_BOTTOM + 2 * PAGE_SIZE)

void backtrace_print(const uint64_t registers[CFI_REGISTER_COUNT], bool is_exact, unsigned most)
{
    (void)registers;
    (void)is_exact;
    (void)most;
}

bool stack_find(vaddr_t address, struct stack_place *out)
{
    if (address < STACK_BOTTOM - PAGE_SIZE || address >= STACK_TOP + PAGE_SIZE) {
        return false;
    }
    *out = (struct stack_place){
        .name = "reader", .part = STACK_INSIDE, .bottom = STACK_BOTTOM, .top = STACK_TOP};
    if (address < STACK_BOTTOM) {
        out->part = STACK_GUARD_BELOW;
    } else if (address >= STACK_TOP) {
        out->part = STACK_GUARD_ABOVE;
    }
    return true;
}

bool stack_find_guard(vaddr_t address, struct stack_place *out)
{
    return stack_find(address, out) && out->part != STACK_INSIDE;
}

enum status stack_adopt(vaddr_t bottom, size_t bytes, const char *name)
{
    (void)bottom;
    (void)bytes;
    (void)name;
    return OK;
}

enum status stack_create(size_t bytes, const char *name, struct stack **out)
{
    (void)bytes;
    (void)name;
    (void)out;
    return ERR_NO_MEMORY;
}

vaddr_t stack_top(const struct stack *stack)
{
    (void)stack;
    return STACK_TOP;
}

void stack_drop(struct stack **handle)
{
    assert_null(*handle);
}

void write_msr(uint32_t msr, uint64_t value)
{
    (void)msr;
    (void)value;
}

uint64_t read_cr3(void)
{
    return 0;
}

void console_print(const char *format, ...)
{
    (void)format;
}

static void assert_described(uint64_t vector, uint64_t error, uint64_t cr2, const char *expected)
{
    char text[128] = "";
    struct exception_frame frame = {.vector = vector, .error_code = error};
    size_t length = exceptions_describe(&frame, cr2, text, sizeof(text));
    assert_string_equal(text, expected);
    assert_int_equal(length, strlen(expected));
}

static void test_describe_page_fault_says_what_was_tried(void **state)
{
    (void)state;
    assert_described(14, 0x0, 0x18, "read from 0x18, which is not mapped");
    assert_described(14, 0x2, 0x18, "wrote to 0x18, which is not mapped");
    assert_described(14, 0x3, 0xffff800000000000,
                     "wrote to 0xffff800000000000, which is not writable");
    assert_described(14, 0x11, 0x5000, "executed 0x5000, which is not executable");
    assert_described(14, 0x10, 0x5000, "executed 0x5000, which is not mapped");
    assert_described(14, 0x9, 0x5000, "read from 0x5000, whose page table entry is malformed");
    assert_described(14, 0x5, 0x5000, "read from 0x5000, which is not accessible");
}

static void test_describe_selector_names_table_and_entry(void **state)
{
    (void)state;
    assert_described(13, 0x0, 0, "not about a segment: a wrong address or operand, most likely");
    assert_described(13, 0x18, 0, "GDT entry 3");
    assert_described(13, 0x10b, 0, "IDT entry 33, from outside of the program");
    assert_described(11, 0x3c, 0, "LDT entry 7");
}

static void test_describe_without_error_code_is_empty(void **state)
{
    (void)state;
    assert_described(0, 0, 0x18, "");
    assert_described(6, 0, 0x18, "");
    assert_described(8, 0, 0x20018, "");
}

static void assert_panic_described(const char *expected)
{
    char text[64] = "";
    struct exception_frame frame = {.vector = EXCEPTION_UD, .rip = (uint64_t)panic.text};
    exceptions_describe(&frame, 0, text, sizeof(text));
    assert_string_equal(text, expected);
}

static void test_describe_panic_says_its_words(void **state)
{
    (void)state;
    assert_panic_described("cold");
    panic.text[1] = 0x0b; /* another instruction */
    assert_panic_described("");
    panic.text[1] = PANIC_OPCODE_1;
    panic_sections[0].size = 6; /* it does not end in its section */
    assert_panic_described("");
    panic_sections[0].size = 8;
    panic.text[3] = 100; /* words that are nowhere */
    assert_panic_described("");
    panic.text[3] = 1;
    panic_sections[1].size = 4; /* they do not end */
    assert_panic_described("");
    panic_sections[1].size = 16;
    panic_sections[1].region = REGION_DATA;
    assert_panic_described("");
    panic_sections[1].region = REGION_RODATA;
}

static void assert_end_described(uint64_t vector, uint64_t rsp, uint64_t cr2, const char *expected)
{
    char text[128] = "";
    struct exception_frame frame = {.vector = vector, .error_code = 2, .rsp = rsp};
    exceptions_describe(&frame, cr2, text, sizeof(text));
    assert_string_equal(text, expected);
}

static void test_describe_stack_overflow_names_stack_and_bytes(void **state)
{
    (void)state;
    assert_end_described(8, STACK_BOTTOM, STACK_BOTTOM - 8,
                         "the stack `reader` has overflowed by 8 bytes");
    assert_end_described(8, STACK_BOTTOM - 300, STACK_BOTTOM - 8,
                         "the stack `reader` has overflowed by 300 bytes");
    assert_end_described(14, STACK_BOTTOM + 64, STACK_BOTTOM - 4096,
                         "the stack `reader` has overflowed by 4096 bytes");
    assert_end_described(14, STACK_BOTTOM + 64, STACK_BOTTOM - 4097,
                         "wrote to 0xffff800000000fff, which is not mapped");
    assert_end_described(8, STACK_BOTTOM, STACK_BOTTOM, "");
    assert_end_described(8, STACK_BOTTOM - 8, 0, "");
}

static void test_describe_stack_underflow_names_stack_and_bytes(void **state)
{
    (void)state;
    assert_end_described(14, STACK_TOP, STACK_TOP, "the stack `reader` has underflowed by 1 bytes");
    assert_end_described(14, STACK_TOP - 64, STACK_TOP + 7,
                         "the stack `reader` has underflowed by 8 bytes");
}

static void test_describe_guard_page_hit_from_elsewhere_is_no_overflow(void **state)
{
    (void)state;
    assert_end_described(14, 0x1000, STACK_BOTTOM - 1,
                         "0xffff800000001fff is in the guard page below the stack `reader`");
    assert_end_described(14, 0x1000, STACK_TOP,
                         "0xffff800000004000 is in the guard page above the stack `reader`");
}

static void test_describe_cuts_but_counts(void **state)
{
    (void)state;
    char text[8];
    struct exception_frame frame = {.vector = 14};
    assert_int_equal(exceptions_describe(&frame, 0x18, text, sizeof(text)), 35);
    assert_string_equal(text, "read fr");
}

static void test_names_of_all_numbers_are_there(void **state)
{
    (void)state;
    assert_string_equal(exceptions_name(14), "page fault (#PF)");
    assert_string_equal(exceptions_name(9), "reserved");
    assert_string_equal(exceptions_name(31), "reserved");
    assert_string_equal(exceptions_name(32), "reserved");
    assert_string_equal(exceptions_name(UINT64_MAX), "reserved");
}

static void test_locate_names_cell_section_and_offset(void **state)
{
    (void)state;
    char text[64];
    exceptions_locate(0xffffffff9000101c, text, sizeof(text));
    assert_string_equal(text, "heap:.text.heap_free+0x1c");
    exceptions_locate(0xffffffff90001100, text, sizeof(text));
    assert_string_equal(text, "no cell");
    exceptions_locate(STACK_BOTTOM, text, sizeof(text));
    assert_string_equal(text, "stack `reader`");
}

/* As `cellpack link` writes it: one cell, with text and data. */
const struct nano_core_image nano_core_image = {
    .magic = NANO_CORE_IMAGE_MAGIC,
    .cell_count = 1,
    .cells = {{
        .name = "console",
        .addresses = {0xffffffff80104000, 0, 0xffffffff80120000},
        .sizes = {0x200, 0, 0x10},
    }},
};

static void test_locate_before_adoption_names_cell_and_region(void **state)
{
    (void)state;
    char text[64];
    exceptions_locate(0xffffffff801041ff, text, sizeof(text));
    assert_string_equal(text, "console, text+0x1ff");
    exceptions_locate(0xffffffff80120000, text, sizeof(text));
    assert_string_equal(text, "console, data+0");
    exceptions_locate(0xffffffff80104200, text, sizeof(text));
    assert_string_equal(text, "no cell");
    exceptions_locate(0, text, sizeof(text));
    assert_string_equal(text, "no cell");
}

/* ---- handlers ---- */

static char order[8];

static bool refuse(struct exception_frame *frame, void *context)
{
    (void)frame;
    strcat(order, context);
    return false;
}

static bool take(struct exception_frame *frame, void *context)
{
    strcat(order, context);
    frame->rip += 2;
    return true;
}

static void test_offer_asks_the_newest_first_until_one_takes_it(void **state)
{
    (void)state;
    struct exception_frame frame = {.vector = EXCEPTION_UD, .rip = 0x1000};
    order[0] = '\0';
    assert_false(exceptions_offer(&frame));
    OWNED(exception_handler, a);
    OWNED(exception_handler, b);
    OWNED(exception_handler, c);
    assert_int_equal(exception_handler_register(EXCEPTION_UD, "a", refuse, "a", SLOT(a)), OK);
    assert_int_equal(exception_handler_register(EXCEPTION_UD, "b", take, "b", SLOT(b)), OK);
    assert_int_equal(exception_handler_register(EXCEPTION_UD, "c", refuse, "c", SLOT(c)), OK);
    assert_string_equal(exception_handler_name(REF(b)), "b");
    assert_true(exceptions_offer(&frame));
    assert_string_equal(order, "cb");
    assert_int_equal(frame.rip, 0x1002);
    frame.vector = EXCEPTION_GP;
    assert_false(exceptions_offer(&frame));
    assert_string_equal(order, "cb");

    exception_handler_drop(SLOT(b));
    exception_handler_drop(SLOT(b)); /* again: nothing */
    assert_int_equal(exception_handler_register(EXCEPTION_UD, "b", refuse, "d", SLOT(b)), OK);
    order[0] = '\0';
    frame.vector = EXCEPTION_UD;
    assert_false(exceptions_offer(&frame));
    assert_string_equal(order, "dca"); /* the place of the old one, but not its age */
}

static void test_register_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    struct exception_handler *all[EXCEPTION_HANDLER_LIMIT] = {0};
    for (unsigned i = 0; i < EXCEPTION_HANDLER_LIMIT; i++) {
        assert_int_equal(exception_handler_register(EXCEPTION_PF, "p", take, "p", &all[i]), OK);
    }
    OWNED(exception_handler, more);
    assert_int_equal(exception_handler_register(EXCEPTION_PF, "p", take, "p", SLOT(more)),
                     ERR_LIMIT);
    exception_handler_drop(&all[1]);
    assert_int_equal(exception_handler_register(EXCEPTION_PF, "p", take, "p", SLOT(more)), OK);
    for (unsigned i = 0; i < EXCEPTION_HANDLER_LIMIT; i++) {
        exception_handler_drop(&all[i]);
    }
}

static void test_register_of_an_interrupt_vector_is_refused(void **state)
{
    (void)state;
    OWNED(exception_handler, handler);
    assert_int_equal(exception_handler_register(EXCEPTION_COUNT, "p", take, "p", SLOT(handler)),
                     ERR_OUT_OF_BOUNDS);
    struct exception_frame frame = {.vector = EXCEPTION_COUNT};
    assert_false(exceptions_offer(&frame));
}

static void test_cpu_without_memory_for_stacks_is_refused(void **state)
{
    (void)state;
    struct exceptions_cpu cpu;
    assert_int_equal(exceptions_cpu_init(&cpu, 1), ERR_NO_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_describe_page_fault_says_what_was_tried),
        cmocka_unit_test(test_describe_selector_names_table_and_entry),
        cmocka_unit_test(test_describe_without_error_code_is_empty),
        cmocka_unit_test(test_describe_panic_says_its_words),
        cmocka_unit_test(test_describe_stack_overflow_names_stack_and_bytes),
        cmocka_unit_test(test_describe_stack_underflow_names_stack_and_bytes),
        cmocka_unit_test(test_describe_guard_page_hit_from_elsewhere_is_no_overflow),
        cmocka_unit_test(test_describe_cuts_but_counts),
        cmocka_unit_test(test_names_of_all_numbers_are_there),
        cmocka_unit_test(test_locate_names_cell_section_and_offset),
        cmocka_unit_test(test_locate_before_adoption_names_cell_and_region),
        cmocka_unit_test(test_offer_asks_the_newest_first_until_one_takes_it),
        cmocka_unit_test(test_register_beyond_the_limit_is_refused),
        cmocka_unit_test(test_register_of_an_interrupt_vector_is_refused),
        cmocka_unit_test(test_cpu_without_memory_for_stacks_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
