/* SPDX-License-Identifier: MIT */
/*
 * The machine. A row ends where an operation advances the location; what stands before belongs to
 * the row. Restoring a state restores the CFA too, as compilers expect and DWARF leaves open.
 * DWARF 5, "Call Frame Instructions".
 */
#include "cfi_priv.h"

/* In the upper two bits of an operation, with an operand in the lower six. */
#define OP_HIGH    0xc0
#define OP_LOW     0x3f
#define OP_ADVANCE 0x40
#define OP_OFFSET  0x80
#define OP_RESTORE 0xc0

enum operation {
    OP_NOP = 0x00,
    OP_SET_LOC = 0x01,
    OP_ADVANCE_1 = 0x02,
    OP_ADVANCE_2 = 0x03,
    OP_ADVANCE_4 = 0x04,
    OP_OFFSET_EXTENDED = 0x05,
    OP_RESTORE_EXTENDED = 0x06,
    OP_UNDEFINED = 0x07,
    OP_SAME_VALUE = 0x08,
    OP_REGISTER = 0x09,
    OP_REMEMBER_STATE = 0x0a,
    OP_RESTORE_STATE = 0x0b,
    OP_DEF_CFA = 0x0c,
    OP_DEF_CFA_REGISTER = 0x0d,
    OP_DEF_CFA_OFFSET = 0x0e,
    OP_DEF_CFA_EXPRESSION = 0x0f,
    OP_EXPRESSION = 0x10,
    OP_OFFSET_EXTENDED_SF = 0x11,
    OP_DEF_CFA_SF = 0x12,
    OP_DEF_CFA_OFFSET_SF = 0x13,
    OP_VAL_OFFSET = 0x14,
    OP_VAL_OFFSET_SF = 0x15,
    OP_VAL_EXPRESSION = 0x16,
    OP_ADVANCE_8 = 0x1d, /* MIPS's, which every decoder knows */
    OP_GNU_ARGS_SIZE = 0x2e,
    OP_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,
};

#define NO_CFA 0xfe /* cfa_register until there is one */

static int32_t narrow(struct reader *reader, int64_t value)
{
    if (UNLIKELY(value != (int32_t)value)) {
        reader_fail(reader, CFI_FAULT_OFFSET, reader->at);
        return 0;
    }
    return (int32_t)value;
}

/* A factored offset. Factors of that size are nobody's. */
static int32_t scale(struct reader *reader, const struct cfi_fde *fde, int64_t factored)
{
    int64_t value;
    if (UNLIKELY(__builtin_mul_overflow(factored, fde->data_factor, &value))) {
        value = INT64_MAX;
    }
    return narrow(reader, value);
}

static int32_t read_scaled(struct reader *reader, const struct cfi_fde *fde)
{
    uint64_t factored = read_uleb(reader);
    return scale(reader, fde, factored > INT64_MAX ? INT64_MAX : (int64_t)factored);
}

static int32_t read_scaled_signed(struct reader *reader, const struct cfi_fde *fde)
{
    int64_t factored = read_sleb(reader);
    return scale(reader, fde, factored);
}

static int32_t read_plain(struct reader *reader)
{
    uint64_t value = read_uleb(reader);
    return narrow(reader, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

/* Where the expression is, which is passed over. */
static int32_t read_block(struct reader *reader)
{
    int32_t at = (int32_t)reader->at;
    uint64_t size = read_uleb(reader);
    if (size > reader->end - reader->at) {
        reader_fail(reader, CFI_FAULT_TRUNCATED, (size_t)at);
        return 0;
    }
    reader_take(reader, size);
    return at;
}

static void set_rule(struct cfi_rules *rules, uint64_t number, enum cfi_rule kind, int32_t value)
{
    if (LIKELY(number < CFI_REGISTER_COUNT)) {
        rules->named |= 1u << number;
        rules->kind[number] = (uint8_t)kind;
        rules->value[number] = value;
    }
}

static void restore_rule(struct cfi_machine *machine, uint64_t number)
{
    if (number < CFI_REGISTER_COUNT) {
        enum cfi_rule kind = machine->initial.kind[number];
        machine->rules.kind[number] = (uint8_t)kind;
        if (kind != CFI_UNSPECIFIED) {
            machine->rules.value[number] = machine->initial.value[number];
        }
    }
}

static void set_cfa_register(struct reader *reader, struct cfi_rules *rules, uint64_t number)
{
    if (UNLIKELY(number >= CFI_REGISTER_COUNT)) {
        reader_fail(reader, CFI_FAULT_NO_CFA, reader->at);
        return;
    }
    rules->cfa_register = (uint8_t)number;
}

/* The operations that change one part of the CFA want the other part to be there. */
static void need_cfa(struct reader *reader, const struct cfi_rules *rules)
{
    if (UNLIKELY(rules->cfa_register >= CFI_REGISTER_COUNT)) {
        reader_fail(reader, CFI_FAULT_NO_CFA, reader->at);
    }
}

static void run_cfa_operation(struct reader *reader, struct cfi_machine *machine, uint8_t operation)
{
    struct cfi_rules *rules = &machine->rules;
    switch (operation) {
    case OP_DEF_CFA:
        set_cfa_register(reader, rules, read_uleb(reader));
        rules->cfa_offset = read_plain(reader);
        break;
    case OP_DEF_CFA_SF:
        set_cfa_register(reader, rules, read_uleb(reader));
        rules->cfa_offset = read_scaled_signed(reader, machine->fde);
        break;
    case OP_DEF_CFA_REGISTER:
        need_cfa(reader, rules);
        set_cfa_register(reader, rules, read_uleb(reader));
        break;
    case OP_DEF_CFA_OFFSET:
        need_cfa(reader, rules);
        rules->cfa_offset = read_plain(reader);
        break;
    case OP_DEF_CFA_OFFSET_SF:
        need_cfa(reader, rules);
        rules->cfa_offset = read_scaled_signed(reader, machine->fde);
        break;
    default: /* OP_DEF_CFA_EXPRESSION */
        rules->cfa_register = CFI_CFA_EXPRESSION;
        rules->cfa_offset = read_block(reader);
        break;
    }
}

static void run_state_operation(struct reader *reader, struct cfi_machine *machine,
                                uint8_t operation)
{
    if (operation == OP_REMEMBER_STATE) {
        if (machine->depth == CFI_REMEMBERED_MAX) {
            reader_fail(reader, CFI_FAULT_REMEMBERED, reader->at - 1);
            return;
        }
        machine->remembered[machine->depth++] = machine->rules;
    } else {
        if (machine->depth == 0) {
            reader_fail(reader, CFI_FAULT_RESTORED, reader->at - 1);
            return;
        }
        machine->rules = machine->remembered[--machine->depth];
    }
}

static void run_register_operation(struct reader *reader, struct cfi_machine *machine,
                                   uint8_t operation)
{
    struct cfi_rules *rules = &machine->rules;
    const struct cfi_fde *fde = machine->fde;
    uint64_t number = read_uleb(reader);
    switch (operation) {
    case OP_OFFSET_EXTENDED:
        set_rule(rules, number, CFI_OFFSET, read_scaled(reader, fde));
        break;
    case OP_OFFSET_EXTENDED_SF:
        set_rule(rules, number, CFI_OFFSET, read_scaled_signed(reader, fde));
        break;
    case OP_GNU_NEGATIVE_OFFSET_EXTENDED:
        set_rule(rules, number, CFI_OFFSET, narrow(reader, -(int64_t)read_scaled(reader, fde)));
        break;
    case OP_VAL_OFFSET:
        set_rule(rules, number, CFI_VALUE_OFFSET, read_scaled(reader, fde));
        break;
    case OP_VAL_OFFSET_SF:
        set_rule(rules, number, CFI_VALUE_OFFSET, read_scaled_signed(reader, fde));
        break;
    case OP_UNDEFINED:
        set_rule(rules, number, CFI_UNDEFINED, 0);
        break;
    case OP_SAME_VALUE:
        set_rule(rules, number, CFI_SAME, 0);
        break;
    case OP_REGISTER:
        set_rule(rules, number, CFI_REGISTER, read_plain(reader));
        break;
    case OP_EXPRESSION:
        set_rule(rules, number, CFI_EXPRESSION, read_block(reader));
        break;
    case OP_VAL_EXPRESSION:
        set_rule(rules, number, CFI_VALUE_EXPRESSION, read_block(reader));
        break;
    default: /* OP_RESTORE_EXTENDED */
        restore_rule(machine, number);
        break;
    }
}

/* Operations that neither advance nor have an operand in themselves. */
static void run_operation(struct reader *reader, struct cfi_machine *machine, uint8_t operation)
{
    switch (operation) {
    case OP_NOP:
        break;
    case OP_DEF_CFA:
    case OP_DEF_CFA_SF:
    case OP_DEF_CFA_REGISTER:
    case OP_DEF_CFA_OFFSET:
    case OP_DEF_CFA_OFFSET_SF:
    case OP_DEF_CFA_EXPRESSION:
        run_cfa_operation(reader, machine, operation);
        break;
    case OP_REMEMBER_STATE:
    case OP_RESTORE_STATE:
        run_state_operation(reader, machine, operation);
        break;
    case OP_OFFSET_EXTENDED:
    case OP_OFFSET_EXTENDED_SF:
    case OP_GNU_NEGATIVE_OFFSET_EXTENDED:
    case OP_VAL_OFFSET:
    case OP_VAL_OFFSET_SF:
    case OP_UNDEFINED:
    case OP_SAME_VALUE:
    case OP_REGISTER:
    case OP_EXPRESSION:
    case OP_VAL_EXPRESSION:
    case OP_RESTORE_EXTENDED:
        run_register_operation(reader, machine, operation);
        break;
    case OP_GNU_ARGS_SIZE: /* of interest to who resumes in the function only */
        read_uleb(reader);
        break;
    default:
        reader_fail(reader, CFI_FAULT_OPERATION, reader->at - 1);
        break;
    }
}

/* Is it one that advances, and where to? */
static bool read_advance(struct reader *reader, const struct cfi_machine *machine,
                         uint8_t operation, uint64_t *location)
{
    uint64_t distance;
    if ((operation & OP_HIGH) == OP_ADVANCE) {
        distance = operation & OP_LOW;
    } else if (operation == OP_ADVANCE_1) {
        distance = read_u8(reader);
    } else if (operation == OP_ADVANCE_2) {
        distance = read_u16(reader);
    } else if (operation == OP_ADVANCE_4) {
        distance = read_u32(reader);
    } else if (operation == OP_ADVANCE_8) {
        distance = read_u64(reader);
    } else if (operation == OP_SET_LOC) {
        *location =
            read_pointer(reader, &machine->fde->table, machine->fde->encoding, machine->fde->start);
        return true;
    } else {
        return false;
    }
    uint64_t scaled;
    if (__builtin_mul_overflow(distance, machine->fde->code_factor, &scaled) ||
        __builtin_add_overflow(machine->start, scaled, location)) {
        reader_fail(reader, CFI_FAULT_LOCATION, reader->at);
    }
    return true;
}

/* Where the location advances to: within the row that is wanted, which begins anew, or behind it.
 */
static inline bool advance(struct cfi_machine *machine, uint64_t location, uint64_t wanted)
{
    if (location > wanted) {
        machine->end = location;
        return true;
    }
    machine->start = location;
    return false;
}

/*
 * The operations that make up nearly all of what GCC writes, with small operands, as long as they
 * come: advance, move the CFA, save a register. True where the row ends.
 */
static bool run_usual(struct reader *reader, struct cfi_machine *machine, uint64_t wanted)
{
    const struct cfi_fde *fde = machine->fde;
    struct cfi_rules *rules = &machine->rules;
    const uint8_t *at = reader->bytes.base + reader->at;
    const uint8_t *end = reader->bytes.base + reader->end;
    bool is_row = false;
    while (end - at >= 3 && !is_row) {
        uint8_t operation = at[0];
        uint32_t operand = at[1];
        unsigned low = operation & OP_LOW;
        if ((operation & OP_HIGH) == OP_ADVANCE || operation == OP_ADVANCE_1) {
            uint64_t distance = operation == OP_ADVANCE_1 ? operand : low;
            uint64_t location = machine->start + distance * fde->code_factor;
            if (location < machine->start || location > fde->end) {
                break;
            }
            at += operation == OP_ADVANCE_1 ? 2 : 1;
            is_row = advance(machine, location, wanted);
        } else if (operation == OP_DEF_CFA_OFFSET && rules->cfa_register < CFI_REGISTER_COUNT &&
                   (operand < 0x80 || at[2] < 0x80)) {
            rules->cfa_offset = (int32_t)(operand < 0x80 ? operand : (operand & 0x7f) | at[2] << 7);
            at += operand < 0x80 ? 2 : 3;
        } else if ((operation & OP_HIGH) == OP_OFFSET && low < CFI_REGISTER_COUNT &&
                   operand < 0x80) {
            rules->named |= 1u << low;
            rules->kind[low] = CFI_OFFSET;
            rules->value[low] = (int32_t)operand * (int32_t)fde->data_factor;
            at += 2;
        } else {
            break;
        }
    }
    reader->at = (size_t)(at - reader->bytes.base);
    return is_row;
}

/* Factors so small that the usual operations cannot overflow. */
static bool has_usual_factors(const struct cfi_fde *fde)
{
    return fde->code_factor <= UINT16_MAX && fde->data_factor == (int16_t)fde->data_factor;
}

/* Runs until the location advances beyond `wanted`, which ends the row; or to the end. */
static void run(struct reader *reader, struct cfi_machine *machine, uint64_t wanted)
{
    bool is_usual = has_usual_factors(machine->fde);
    while (reader->at < reader->end) {
        if (is_usual && run_usual(reader, machine, wanted)) {
            return;
        }
        if (reader->at == reader->end) {
            return;
        }
        size_t at = reader->at;
        uint8_t operation = reader->bytes.base[reader->at++];
        uint64_t location = machine->start;
        if ((operation & OP_HIGH) == OP_OFFSET) {
            set_rule(&machine->rules, operation & OP_LOW, CFI_OFFSET,
                     read_scaled(reader, machine->fde));
        } else if ((operation & OP_HIGH) == OP_RESTORE) {
            restore_rule(machine, operation & OP_LOW);
        } else if (!read_advance(reader, machine, operation, &location)) {
            run_operation(reader, machine, operation);
        } else if (location < machine->start || location > machine->fde->end) {
            reader_fail(reader, CFI_FAULT_LOCATION, at);
        } else if (advance(machine, location, wanted)) {
            return;
        }
    }
}

enum status cfi_begin(struct cfi_machine *machine, const struct cfi_fde *fde,
                      struct cfi_fault *fault)
{
    machine->fde = fde;
    machine->start = machine->end = fde->start;
    machine->at = fde->program;
    machine->depth = 0;
    machine->rules.cfa_offset = 0;
    machine->rules.cfa_register = NO_CFA;
    machine->rules.named = 0;
    __builtin_memset(machine->rules.kind, CFI_UNSPECIFIED, sizeof(machine->rules.kind));
    __builtin_memset(machine->initial.kind, CFI_UNSPECIFIED, sizeof(machine->initial.kind));
    struct reader reader = reader_of(fde->table.bytes, fde->cie_program, fde->cie_end);
    run(&reader, machine, fde->start);
    if (machine->end != fde->start) { /* a CIE has no locations */
        reader_fail(&reader, CFI_FAULT_LOCATION, reader.at);
    }
    machine->end = fde->start;
    machine->initial = machine->rules;
    return reader_status(&reader, fault);
}

/* Goes on to the first row that ends behind `wanted`; there is one. */
static enum status run_to(struct cfi_machine *machine, uint64_t wanted, struct cfi_fault *fault)
{
    const struct cfi_fde *fde = machine->fde;
    struct reader reader = reader_of(fde->table.bytes, machine->at, fde->end_offset);
    machine->start = machine->end;
    machine->end = fde->end;
    run(&reader, machine, wanted);
    machine->at = (uint32_t)reader.at;
    if (UNLIKELY(machine->rules.cfa_register == NO_CFA)) {
        reader_fail(&reader, CFI_FAULT_NO_CFA, fde->program);
    }
    return reader_status(&reader, fault);
}

enum status cfi_next_row(struct cfi_machine *machine, struct cfi_fault *fault)
{
    bool is_last = machine->end == machine->fde->end;
    return is_last ? ERR_NOT_FOUND : run_to(machine, machine->end, fault);
}

enum status cfi_find_row(struct cfi_machine *machine, uint64_t address, struct cfi_fault *fault)
{
    if (address < machine->start || address >= machine->fde->end) {
        return ERR_NOT_FOUND;
    }
    return address < machine->end ? OK : run_to(machine, address, fault);
}

/* ---- rows that can be kept ---- */

#define WORD              8u
#define WORDS_BELOW_LIMIT 256u

static const uint8_t saved_registers[CFI_SAVED_COUNT] = {CFI_RBX, CFI_RBP, CFI_R12,
                                                         CFI_R13, CFI_R14, CFI_R15};

unsigned cfi_saved_register(unsigned i)
{
    return saved_registers[i];
}

/* How many words below the CFA a register is saved; 0 if its rule is another one. */
static uint8_t words_below(const struct cfi_rules *rules, unsigned number)
{
    uint32_t bytes = -(uint32_t)rules->value[number];
    bool fits =
        rules->kind[number] == CFI_OFFSET && bytes % WORD == 0 && bytes < WORDS_BELOW_LIMIT * WORD;
    return fits ? (uint8_t)(bytes / WORD) : 0;
}

static bool keeps_its_value(const struct cfi_rules *rules, unsigned number)
{
    return rules->kind[number] == CFI_UNSPECIFIED || rules->kind[number] == CFI_SAME;
}

/* May something be known of a register that rows do not speak of? */
static bool says_more(const struct cfi_rules *rules)
{
    uint32_t others = rules->named & ~(CFI_PRESERVED | 1u << CFI_RIP);
    for (unsigned i = 0; others >> i; i++) {
        if ((others >> i & 1) && rules->kind[i] != CFI_UNSPECIFIED &&
            rules->kind[i] != CFI_UNDEFINED) {
            return true;
        }
    }
    return false;
}

bool cfi_pack(const struct cfi_rules *rules, bool is_signal, struct cfi_row *out_row)
{
    struct cfi_row row = {.cfa_offset = rules->cfa_offset, .cfa_register = rules->cfa_register};
    if (is_signal || rules->cfa_register >= CFI_REGISTER_COUNT || says_more(rules)) {
        return false;
    }
    row.return_address = words_below(rules, CFI_RIP);
    if (row.return_address == 0 && rules->kind[CFI_RIP] != CFI_UNDEFINED) {
        return false;
    }
    row.deepest = row.return_address;
    for (unsigned i = 0; i < CFI_SAVED_COUNT; i++) {
        unsigned number = saved_registers[i];
        if (!(rules->named >> number & 1)) {
            continue;
        }
        row.saved[i] = words_below(rules, number);
        row.deepest = row.saved[i] > row.deepest ? row.saved[i] : row.deepest;
        if (row.saved[i] == 0 && !keeps_its_value(rules, number)) {
            return false;
        }
    }
    *out_row = row;
    return true;
}
