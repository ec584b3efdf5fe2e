/* SPDX-License-Identifier: MIT */
/*
 * Expressions: a program for a stack of 64-bit words (DWARF 5, "DWARF Expressions"). Jumps may go
 * back, so steps are counted. Operations that need more than registers and memory (types, other
 * objects, debug information) are refused; the standard forbids most of them in these tables.
 */
#include "cfi_priv.h"

enum operation {
    OP_ADDR = 0x03,
    OP_DEREF = 0x06,
    OP_CONST1U = 0x08,
    OP_CONST1S,
    OP_CONST2U,
    OP_CONST2S,
    OP_CONST4U,
    OP_CONST4S,
    OP_CONST8U,
    OP_CONST8S,
    OP_CONSTU,
    OP_CONSTS,
    OP_DUP,
    OP_DROP,
    OP_OVER,
    OP_PICK,
    OP_SWAP,
    OP_ROT,
    OP_ABS = 0x19,
    OP_AND,
    OP_DIV,
    OP_MINUS,
    OP_MOD,
    OP_MUL,
    OP_NEG,
    OP_NOT,
    OP_OR,
    OP_PLUS,
    OP_PLUS_UCONST,
    OP_SHL,
    OP_SHR,
    OP_SHRA,
    OP_XOR,
    OP_BRA,
    OP_EQ,
    OP_GE,
    OP_GT,
    OP_LE,
    OP_LT,
    OP_NE,
    OP_SKIP,
    OP_LIT0 = 0x30,
    OP_LIT31 = 0x4f,
    OP_BREG0 = 0x70,
    OP_BREG31 = 0x8f,
    OP_BREGX = 0x92,
    OP_DEREF_SIZE = 0x94,
    OP_NOP = 0x96,
};

struct evaluation {
    struct reader code;
    size_t first; /* offset of the first operation */
    const struct cfi_frame *frame;
    uint32_t depth;
    uint64_t stack[CFI_EXPRESSION_STACK];
};

static void fail(struct evaluation *e, enum cfi_fault_code fault)
{
    reader_fail(&e->code, fault, e->code.at ? e->code.at - 1 : 0);
}

static void push(struct evaluation *e, uint64_t value)
{
    if (e->depth == CFI_EXPRESSION_STACK) {
        fail(e, CFI_FAULT_STACK);
        return;
    }
    e->stack[e->depth++] = value;
}

static uint64_t pop(struct evaluation *e)
{
    if (e->depth == 0) {
        fail(e, CFI_FAULT_STACK);
        return 0;
    }
    return e->stack[--e->depth];
}

/* The word that lies `index` below the top. */
static uint64_t peek(struct evaluation *e, uint32_t index)
{
    if (index >= e->depth) {
        fail(e, CFI_FAULT_STACK);
        return 0;
    }
    return e->stack[e->depth - 1 - index];
}

static uint64_t read_memory(struct evaluation *e, uint64_t address, uint64_t size)
{
    const struct cfi_frame *frame = e->frame;
    uint64_t value = 0;
    if (size == 0 || size > sizeof(value) || address < frame->low || address >= frame->high ||
        size > frame->high - address) {
        fail(e, CFI_FAULT_MEMORY);
        return 0;
    }
    const uint8_t *bytes = (const uint8_t *)address;
    for (uint64_t i = 0; i < size; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

static void push_register(struct evaluation *e, uint64_t number, int64_t offset)
{
    if (number >= CFI_REGISTER_COUNT || !(e->frame->known >> number & 1)) {
        fail(e, CFI_FAULT_UNKNOWN_REGISTER);
        return;
    }
    push(e, e->frame->registers[number] + (uint64_t)offset);
}

static void jump(struct evaluation *e, bool is_taken)
{
    int64_t distance = (int16_t)read_u16(&e->code);
    int64_t target = (int64_t)e->code.at + distance;
    if (e->code.fault != CFI_FAULT_NONE || !is_taken) {
        return;
    }
    if (target < (int64_t)e->first || target > (int64_t)e->code.end) {
        fail(e, CFI_FAULT_TRUNCATED);
        return;
    }
    e->code.at = (size_t)target;
}

static bool run_constant(struct evaluation *e, uint8_t operation)
{
    struct reader *code = &e->code;
    switch (operation) {
    case OP_ADDR:
    case OP_CONST8U:
    case OP_CONST8S:
        push(e, read_u64(code));
        return true;
    case OP_CONST1U:
        push(e, read_u8(code));
        return true;
    case OP_CONST1S:
        push(e, (uint64_t)(int64_t)(int8_t)read_u8(code));
        return true;
    case OP_CONST2U:
        push(e, read_u16(code));
        return true;
    case OP_CONST2S:
        push(e, (uint64_t)(int64_t)(int16_t)read_u16(code));
        return true;
    case OP_CONST4U:
        push(e, read_u32(code));
        return true;
    case OP_CONST4S:
        push(e, (uint64_t)(int64_t)(int32_t)read_u32(code));
        return true;
    case OP_CONSTU:
        push(e, read_uleb(code));
        return true;
    case OP_CONSTS:
        push(e, (uint64_t)read_sleb(code));
        return true;
    default:
        return false;
    }
}

static bool run_stack_operation(struct evaluation *e, uint8_t operation)
{
    uint64_t a;
    uint64_t b;
    uint64_t c;
    switch (operation) {
    case OP_DUP:
        push(e, peek(e, 0));
        return true;
    case OP_DROP:
        pop(e);
        return true;
    case OP_OVER:
        push(e, peek(e, 1));
        return true;
    case OP_PICK:
        push(e, peek(e, read_u8(&e->code)));
        return true;
    case OP_SWAP:
        a = pop(e);
        b = pop(e);
        push(e, a);
        push(e, b);
        return true;
    case OP_ROT: /* the top becomes the third */
        a = pop(e);
        b = pop(e);
        c = pop(e);
        push(e, a);
        push(e, c);
        push(e, b);
        return true;
    case OP_DEREF:
        push(e, read_memory(e, pop(e), sizeof(uint64_t)));
        return true;
    case OP_DEREF_SIZE:
        a = read_u8(&e->code);
        push(e, read_memory(e, pop(e), a));
        return true;
    default:
        return false;
    }
}

static bool run_unary(struct evaluation *e, uint8_t operation)
{
    uint64_t a;
    switch (operation) {
    case OP_ABS:
        a = pop(e);
        push(e, (int64_t)a < 0 ? -a : a);
        return true;
    case OP_NEG:
        push(e, -pop(e));
        return true;
    case OP_NOT:
        push(e, ~pop(e));
        return true;
    case OP_PLUS_UCONST:
        a = read_uleb(&e->code);
        push(e, pop(e) + a);
        return true;
    default:
        return false;
    }
}

static uint64_t divide(struct evaluation *e, uint64_t a, uint64_t b, bool is_modulo)
{
    if (b == 0) {
        fail(e, CFI_FAULT_DIVISION);
        return 0;
    }
    if (is_modulo) {
        return a % b;
    }
    /* The smallest number by -1 would trap. */
    return b == UINT64_MAX ? -a : (uint64_t)((int64_t)a / (int64_t)b);
}

static uint64_t shift(uint64_t a, uint64_t by, uint8_t operation)
{
    if (operation == OP_SHRA) {
        return (uint64_t)((int64_t)a >> (by < 64 ? by : 63));
    }
    if (by >= 64) {
        return 0;
    }
    return operation == OP_SHL ? a << by : a >> by;
}

static uint64_t combine(struct evaluation *e, uint64_t a, uint64_t b, uint8_t operation)
{
    switch (operation) {
    case OP_AND:
        return a & b;
    case OP_DIV:
    case OP_MOD:
        return divide(e, a, b, operation == OP_MOD);
    case OP_MINUS:
        return a - b;
    case OP_MUL:
        return a * b;
    case OP_OR:
        return a | b;
    case OP_PLUS:
        return a + b;
    case OP_XOR:
        return a ^ b;
    case OP_EQ:
        return a == b;
    case OP_NE:
        return a != b;
    case OP_GE:
        return (int64_t)a >= (int64_t)b;
    case OP_GT:
        return (int64_t)a > (int64_t)b;
    case OP_LE:
        return (int64_t)a <= (int64_t)b;
    case OP_LT:
        return (int64_t)a < (int64_t)b;
    case OP_SHL:
    case OP_SHR:
    case OP_SHRA:
        return shift(a, b, operation);
    default:
        fail(e, CFI_FAULT_EXPRESSION);
        return 0;
    }
}

static void run_operation(struct evaluation *e, uint8_t operation)
{
    if (operation >= OP_LIT0 && operation <= OP_LIT31) {
        push(e, operation - OP_LIT0);
    } else if (operation >= OP_BREG0 && operation <= OP_BREG31) {
        push_register(e, operation - OP_BREG0, read_sleb(&e->code));
    } else if (operation == OP_BREGX) {
        uint64_t number = read_uleb(&e->code);
        push_register(e, number, read_sleb(&e->code));
    } else if (operation == OP_BRA) {
        jump(e, pop(e) != 0);
    } else if (operation == OP_SKIP) {
        jump(e, true);
    } else if (operation != OP_NOP && !run_constant(e, operation) &&
               !run_stack_operation(e, operation) && !run_unary(e, operation)) {
        uint64_t b = pop(e);
        uint64_t a = pop(e);
        push(e, combine(e, a, b, operation));
    }
}

bool cfi_expression(const struct cfi_table *table, uint32_t offset, struct span *out_code)
{
    if (offset > table->bytes.size) {
        return false;
    }
    struct reader reader = reader_of(table->bytes, offset, table->bytes.size);
    uint64_t size = read_uleb(&reader);
    return reader.fault == CFI_FAULT_NONE && span_slice(table->bytes, reader.at, size, out_code);
}

enum status cfi_evaluate(const struct cfi_table *table, uint32_t offset,
                         const struct cfi_frame *frame, const uint64_t *first, uint64_t *out_value,
                         struct cfi_fault *fault)
{
    struct span code;
    if (!cfi_expression(table, offset, &code)) {
        return cfi_refuse(fault, CFI_FAULT_TRUNCATED, offset);
    }
    size_t start = (size_t)(code.base - table->bytes.base);
    struct evaluation e = {
        .code = reader_of(table->bytes, start, start + code.size),
        .first = start,
        .frame = frame,
    };
    if (first) {
        push(&e, *first);
    }
    for (unsigned steps = 0; e.code.at < e.code.end; steps++) {
        if (steps == CFI_EXPRESSION_STEPS) {
            return cfi_refuse(fault, CFI_FAULT_STEPS, offset);
        }
        run_operation(&e, read_u8(&e.code));
    }
    uint64_t value = pop(&e);
    enum status status = reader_status(&e.code, fault);
    if (status == OK) {
        *out_value = value;
    }
    return status;
}
