/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as an unwind table, and as a stack: every record, every row, every expression is read,
 * and a walk is taken from every function. What is read must keep the promises of cfi.h; a walk
 * must end.
 */
#include "cfi.h"
#include "unwind.h"

#include <stdlib.h>
#include <string.h>

#define TABLE_ADDRESS 0xffffffff80300000ull
#define FDES_MAX      64 /* a table may name one long CIE in each of thousands of FDEs */
#define WALK_MAX      4096
#define STACK_SIZE    512

struct world {
    struct cfi_table table;
    uint64_t fde;
    struct unwind_cursor cursor;
};

static _Alignas(16) uint8_t stack[STACK_SIZE];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool condition)
{
    if (!condition) {
        abort();
    }
}

/*
 * Wherever the walk is, the FDE in question describes it, so it goes round and round. Nothing else
 * is code: the unwinder would read it, to see whether a call is there.
 */
static enum unwind_found find_code(void *context, uint64_t pc, struct unwind_code *out)
{
    const struct world *world = context;
    out->table = world->table;
    out->fde = world->fde;
    if (pc != unwind_pc(&world->cursor)) {
        return UNWIND_FOUND_NOTHING;
    }
    return pc & 1 ? UNWIND_FOUND_ENTRY : (enum unwind_found)(pc >> 1 & 3) % 3;
}

static bool find_stack(void *context, uint64_t address, uint64_t *out_low, uint64_t *out_high)
{
    (void)context;
    *out_low = (uint64_t)stack;
    *out_high = (uint64_t)(stack + STACK_SIZE);
    return address >= *out_low && address < *out_high;
}

static void evaluate(const struct cfi_table *table, int32_t offset, const uint64_t *first)
{
    uint64_t registers[CFI_REGISTER_COUNT];
    struct span code;
    struct cfi_fault fault = {0};
    uint64_t value;
    for (unsigned i = 0; i < CFI_REGISTER_COUNT; i++) {
        registers[i] = (uint64_t)stack + 8ull * i;
    }
    struct cfi_frame frame = {
        .registers = registers,
        .known = 0x1fff7,
        .low = (uint64_t)stack,
        .high = (uint64_t)(stack + STACK_SIZE),
    };
    demand(cfi_expression(table, (uint32_t)offset, &code));
    enum status status = cfi_evaluate(table, (uint32_t)offset, &frame, first, &value, &fault);
    demand((status == OK) == (fault.code == CFI_FAULT_NONE));
    demand(status == OK || fault.offset <= table->bytes.size);
}

static void check_row(const struct cfi_fde *fde, const struct cfi_machine *machine)
{
    const struct cfi_rules *rules = &machine->rules;
    const uint64_t first = (uint64_t)stack;
    struct cfi_row row;
    demand(machine->start < machine->end && machine->start >= fde->start &&
           machine->end <= fde->end);
    if (rules->cfa_register == CFI_CFA_EXPRESSION) {
        evaluate(&fde->table, rules->cfa_offset, NULL);
    } else {
        demand(rules->cfa_register < CFI_REGISTER_COUNT);
    }
    for (unsigned i = 0; i < CFI_REGISTER_COUNT; i++) {
        demand(rules->kind[i] <= CFI_VALUE_EXPRESSION);
        if (rules->kind[i] == CFI_EXPRESSION || rules->kind[i] == CFI_VALUE_EXPRESSION) {
            evaluate(&fde->table, rules->value[i], &first);
        }
    }
    if (!cfi_pack(rules, fde->is_signal, &row)) {
        return;
    }
    demand(row.cfa_offset == rules->cfa_offset && row.cfa_register == rules->cfa_register);
    demand(row.return_address ? rules->value[CFI_RIP] == -8 * row.return_address
                              : rules->kind[CFI_RIP] == CFI_UNDEFINED);
    for (unsigned i = 0; i < CFI_SAVED_COUNT; i++) {
        demand(row.saved[i] <= row.deepest);
        demand(!row.saved[i] || rules->value[cfi_saved_register(i)] == -8 * row.saved[i]);
    }
}

static void check_rows(const struct cfi_fde *fde)
{
    struct cfi_machine machine;
    struct cfi_machine found;
    struct cfi_fault fault = {0};
    enum status status = cfi_begin(&machine, fde, &fault);
    uint64_t last = fde->start;
    while (status == OK && (status = cfi_next_row(&machine, &fault)) == OK) {
        demand(machine.start == last);
        last = machine.end;
        check_row(fde, &machine);
        /* Asked for by an address, the same row is found. */
        demand(cfi_begin(&found, fde, &fault) == OK);
        demand(cfi_find_row(&found, machine.end - 1, &fault) == OK);
        demand(found.start == machine.start && found.end == machine.end &&
               found.rules.cfa_offset == machine.rules.cfa_offset);
    }
    demand(status != ERR_NOT_FOUND || last == fde->end);
    demand(status == ERR_NOT_FOUND || fault.offset <= fde->table.bytes.size);
}

static void walk(const struct cfi_fde *fde, const uint8_t *data, size_t size)
{
    static struct unwind_cache cache;
    struct world world = {.table = fde->table, .fde = fde->offset};
    const struct unwind_source source = {
        .find_code = find_code, .find_stack = find_stack, .context = &world};
    struct unwind_cursor *cursor = &world.cursor;
    uint64_t registers[CFI_REGISTER_COUNT];
    /* Words that are addresses of the stack or of the code more often than chance has it. */
    for (size_t i = 0; i < STACK_SIZE / 8; i++) {
        uint64_t word = 0;
        memcpy(&word, data + (i * 8) % size, size - (i * 8) % size < 8 ? 1 : 8);
        word = i % 2 ? (uint64_t)stack + word % STACK_SIZE : fde->start + 1 + word % 64;
        memcpy(stack + 8 * i, &word, sizeof(word));
    }
    for (unsigned i = 0; i < CFI_REGISTER_COUNT; i++) {
        registers[i] = (uint64_t)stack + data[i % size];
    }
    registers[CFI_RIP] = fde->start | 1;
    memset(&cache, 0, sizeof(cache));
    unwind_begin(cursor, &source, data[0] & 1 ? &cache : NULL, registers, true);
    enum unwind_outcome outcome = UNWIND_CALLER;
    for (unsigned i = 0; outcome == UNWIND_CALLER; i++) {
        demand(i < WALK_MAX);
        outcome = unwind_step(cursor);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cfi_table table = {.bytes = span_of(data, size), .address = TABLE_ADDRESS};
    struct cfi_fde fde;
    struct cfi_fault fault = {0};
    uint64_t at = 0;
    for (unsigned i = 0; i < FDES_MAX; i++) {
        uint64_t before = at;
        enum status status = cfi_next(&table, &at, &fde, &fault);
        if (status == ERR_NOT_FOUND) {
            break;
        }
        demand(at > before);
        if (status != OK) {
            demand(fault.code != CFI_FAULT_NONE && fault.offset <= size);
            continue;
        }
        demand(fde.start <= fde.end && fde.program <= fde.end_offset && fde.end_offset <= size);
        check_rows(&fde);
        walk(&fde, data, size);
    }
    return 0;
}
