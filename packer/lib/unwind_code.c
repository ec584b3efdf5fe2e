/* SPDX-License-Identifier: MIT */
/*
 * Instructions beside rows. GCC writes rows for its own pushes; those in inline assembly and in .S
 * files are said by hand, or forgotten. So the code is walked instruction by instruction (Intel
 * SDM, volume 2, "Instruction Format" and "Opcode Map"), and where one moves rsp by a number that
 * stands in it, the rows before and behind must differ by that number. Where code does not go on (a
 * jump, a return, a call that may not return) the next row is another path's. An instruction that
 * is not in the tables, vector code for example, ends the walk of its function: cells have none.
 */
#include "unwind_table.h"

#include <string.h>

/* What follows an opcode: M a ModRM byte; 1, 2, 4 bytes; v 4, or 8 with REX.W; o 8; m as M, and for
 * /0 and /1 also 1 byte (f6) or 4 (f7); n nothing; . no instruction in 64-bit mode, or a prefix. */
static const char one_byte[] = "MMMM14..MMMM14.." /* 00 */
                               "MMMM14..MMMM14.."
                               "MMMM14..MMMM14.."
                               "MMMM14..MMMM14.."
                               "................" /* 40: REX */
                               "nnnnnnnnnnnnnnnn"
                               "...M....4X1xnnnn" /* 69: M4, 6b: M1 */
                               "1111111111111111"
                               "xX.xMMMMMMMMMMMM" /* 80 */
                               "nnnnnnnnnn.nnnnn"
                               "oooonnnn14nnnnnn"
                               "11111111vvvvvvvv"
                               "xx2n..xXen2nn1.n" /* c0 */
                               "MMMM...nMMMMMMMM"
                               "1111111144.1nnnn"
                               ".n..nnmmnnnnnnMM";
static const char two_byte[] = "MMMM.nnnnn.n.M.." /* 0f 00 */
                               "MMMMMMMMMMMMMMMM"
                               "MMMM....MMMMMMMM"
                               "nnnnnnnn........"
                               "MMMMMMMMMMMMMMMM"
                               "MMMMMMMMMMMMMMMM"
                               "MMMMMMMMMMMMMMMM"
                               "xxxxMMMnMMMMMMMM"
                               "4444444444444444"
                               "MMMMMMMMMMMMMMMM"
                               "nnnMxM..nnnMxMMM"
                               "MMMMMMMMMMxMMMMM"
                               "MMxMxxxMnnnnnnnn"
                               "MMMMMMMMMMMMMMMM"
                               "MMMMMMMMMMMMMMMM"
                               "MMMMMMMMMMMMMMMM";
static_assert(sizeof(one_byte) == 257 && sizeof(two_byte) == 257, "one letter an opcode");

struct instruction {
    size_t length;
    bool is_wide;  /* REX.W */
    bool is_two;   /* opcode of the second table */
    bool has_high; /* REX.B: register 8 to 15 */
    bool is_word;  /* 66 */
    uint8_t opcode;
    uint8_t modrm;
    uint8_t sib;
    int64_t immediate;
    int64_t displacement;
};

static bool is_prefix(uint8_t byte)
{
    return byte == 0x66 || byte == 0x67 || byte == 0xf2 || byte == 0xf3 || byte == 0xf0 ||
           byte == 0x2e || byte == 0x36 || byte == 0x3e || byte == 0x26 || byte == 0x64 ||
           byte == 0x65;
}

static int64_t read_signed(const uint8_t *at, size_t size)
{
    uint64_t value = 0;
    memcpy(&value, at, size);
    unsigned shift = (unsigned)(64 - 8 * size);
    return size ? (int64_t)(value << shift) >> shift : 0;
}

/* Bytes of the operand in memory behind the ModRM byte; 0 displacement and no SIB: none. */
static bool read_modrm(struct span code, size_t *at, struct instruction *out)
{
    if (*at >= code.size) {
        return false;
    }
    out->modrm = code.base[(*at)++];
    unsigned mode = out->modrm >> 6;
    unsigned base = out->modrm & 7;
    size_t size = mode == 1 ? 1 : mode == 2 ? 4 : 0;
    if (mode != 3 && base == 4) {
        if (*at >= code.size) {
            return false;
        }
        out->sib = code.base[(*at)++];
        size = mode == 0 && (out->sib & 7) == 5 ? 4 : size;
    } else if (mode == 0 && base == 5) {
        size = 4;
    }
    if (size > code.size - *at) {
        return false;
    }
    out->displacement = read_signed(code.base + *at, size);
    *at += size;
    return true;
}

static size_t immediate_size(char letter, const struct instruction *instruction)
{
    size_t word = instruction->is_word ? 2 : 4;
    bool is_test = (instruction->modrm >> 3 & 7) <= 1;
    switch (letter) {
    case '1':
    case 'x':
        return 1;
    case '2':
        return 2;
    case '4':
    case 'X':
        return word;
    case 'v':
        return instruction->is_wide ? 8 : word;
    case 'o':
        return 8;
    case 'e':
        return 3;
    case 'm':
        return !is_test ? 0 : instruction->opcode == 0xf6 ? 1 : word;
    default:
        return 0;
    }
}

static bool read_opcode(struct span code, size_t *at, struct instruction *out, char *letter)
{
    bool is_extended = false;
    while (*at < code.size && is_prefix(code.base[*at])) {
        out->is_word |= code.base[(*at)++] == 0x66;
    }
    if (*at < code.size && (code.base[*at] & 0xf0) == 0x40) {
        out->is_wide = code.base[*at] & 8;
        out->has_high = code.base[(*at)++] & 1;
    }
    if (*at < code.size && code.base[*at] == 0x0f) {
        out->is_two = true;
        (*at)++;
    }
    if (out->is_two && *at < code.size && (code.base[*at] == 0x38 || code.base[*at] == 0x3a)) {
        is_extended = true;
        *letter = code.base[(*at)++] == 0x38 ? 'M' : 'x';
    }
    if (*at >= code.size) {
        return false;
    }
    out->opcode = code.base[(*at)++];
    if (!is_extended) {
        *letter = out->is_two ? two_byte[out->opcode] : one_byte[out->opcode];
    }
    return *letter != '.';
}

/* False for what is not in the tables. */
static bool decode(struct span code, struct instruction *out)
{
    size_t at = 0;
    char letter;
    *out = (struct instruction){0};
    if (!read_opcode(code, &at, out, &letter)) {
        return false;
    }
    if ((letter == 'M' || letter == 'x' || letter == 'X' || letter == 'm') &&
        !read_modrm(code, &at, out)) {
        return false;
    }
    size_t size = immediate_size(letter, out);
    if (size > code.size - at) {
        return false;
    }
    out->immediate = size <= 8 ? read_signed(code.base + at, size) : 0;
    out->length = at + size;
    return true;
}

/* ---- what an instruction does to rsp ---- */

enum effect {
    EFFECT_MOVES,   /* by *moved, which may be 0, and goes on */
    EFFECT_UNKNOWN, /* sets it, or does not go on */
};

#define RSP 4

static enum effect effect_of_two(const struct instruction *i, int64_t *moved)
{
    switch (i->opcode) {
    case 0x0b: /* ud2, ud1 */
    case 0xb9:
    case 0x05: /* syscall */
    case 0x07:
    case 0x35:
        return EFFECT_UNKNOWN;
    case 0xa0: /* push, pop of fs and gs */
    case 0xa8:
        *moved = 8;
        return EFFECT_MOVES;
    case 0xa1:
    case 0xa9:
        *moved = -8;
        return EFFECT_MOVES;
    default:
        return EFFECT_MOVES;
    }
}

/* Operand-register forms of `add`, `sub` and others with an immediate on rsp. */
static enum effect effect_of_immediate(const struct instruction *i, int64_t *moved)
{
    unsigned operation = i->modrm >> 3 & 7;
    if (i->modrm >> 6 != 3 || (i->modrm & 7) != RSP || i->has_high || operation == 7) {
        return EFFECT_MOVES; /* not rsp, or a comparison */
    }
    *moved = operation == 5 ? i->immediate : operation == 0 ? -i->immediate : 0;
    return operation == 5 || operation == 0 ? EFFECT_MOVES : EFFECT_UNKNOWN;
}

static bool writes_rsp(const struct instruction *i)
{
    bool by_rm = i->modrm >> 6 == 3 && (i->modrm & 7) == RSP && !i->has_high;
    switch (i->opcode) {
    case 0x89: /* mov, add, sub, and to a register operand */
    case 0x01:
    case 0x29:
    case 0x21:
    case 0x87:
        return by_rm;
    case 0x8b:
    case 0x03:
    case 0x2b:
        return (i->modrm >> 3 & 7) ==
               RSP; /* REX.R makes it r12: then the row tells nothing wrong */
    default:
        return false;
    }
}

static enum effect effect_of_group(const struct instruction *i, int64_t *moved)
{
    unsigned operation = i->modrm >> 3 & 7;
    if (i->opcode == 0x8f) {
        *moved = operation == 0 ? -8 : 0;
        return EFFECT_MOVES;
    }
    *moved = operation == 6 ? 8 : 0; /* ff: inc, dec, call, call far, jmp, jmp far, push */
    return operation >= 2 && operation <= 5 ? EFFECT_UNKNOWN : EFFECT_MOVES;
}

static enum effect effect_of(const struct instruction *i, int64_t *moved)
{
    *moved = 0;
    if (i->is_two) {
        return effect_of_two(i, moved);
    }
    if (i->opcode >= 0x50 && i->opcode <= 0x57) {
        *moved = 8;
        return EFFECT_MOVES;
    }
    if (i->opcode >= 0x58 && i->opcode <= 0x5f) {
        *moved = -8;
        return i->opcode == 0x5c && !i->has_high ? EFFECT_UNKNOWN : EFFECT_MOVES;
    }
    switch (i->opcode) {
    case 0x68:
    case 0x6a:
    case 0x9c:
        *moved = 8;
        return EFFECT_MOVES;
    case 0x9d:
        *moved = -8;
        return EFFECT_MOVES;
    case 0x81:
    case 0x83:
        return effect_of_immediate(i, moved);
    case 0x8d: /* lea n(%rsp), %rsp, and whatever else gives rsp */
        if ((i->modrm >> 3 & 7) != RSP || !i->is_wide) {
            return EFFECT_MOVES;
        }
        return EFFECT_UNKNOWN;
    case 0x8f:
    case 0xff:
        return effect_of_group(i, moved);
    case 0xc2: /* returns, jumps, calls, leave, enter, halt, traps */
    case 0xc3:
    case 0xc8:
    case 0xc9:
    case 0xca:
    case 0xcb:
    case 0xcc:
    case 0xcf:
    case 0xe8:
    case 0xe9:
    case 0xeb:
    case 0xf4:
        return EFFECT_UNKNOWN;
    default:
        return writes_rsp(i) ? EFFECT_UNKNOWN : EFFECT_MOVES;
    }
}

/* What fills the space up to an aligned label. */
static bool is_filler(const struct instruction *i)
{
    return i->is_two ? i->opcode == 0x1f : i->opcode == 0x90;
}

bool unwind_table_strays(const struct unwind_table *table, const struct cfi_fde *fde,
                         struct unwind_stray *out_stray)
{
    struct cfi_machine machine;
    struct cfi_fault fault;
    uint32_t section;
    uint64_t offset;
    if (!unwind_table_place(table, fde->start, fde->end - fde->start, &section, &offset) ||
        cfi_begin(&machine, fde, &fault) != OK || cfi_next_row(&machine, &fault) != OK) {
        return false;
    }
    struct span code = elf_object_section_bytes(table->object, section);
    bool is_reached = true;
    for (uint64_t address = fde->start; code.size > offset;) {
        struct instruction instruction;
        int64_t moved;
        uint8_t cfa_register = machine.rules.cfa_register;
        int32_t cfa_offset = machine.rules.cfa_offset;
        if (!decode(span_of(code.base + offset, code.size - offset), &instruction)) {
            return false;
        }
        uint64_t next = address + instruction.length;
        if (cfi_find_row(&machine, next, &fault) != OK) {
            return false; /* behind the end */
        }
        int64_t told = (int64_t)machine.rules.cfa_offset - cfa_offset;
        bool goes_on = effect_of(&instruction, &moved) == EFFECT_MOVES;
        is_reached = goes_on && (is_reached || !is_filler(&instruction));
        if (is_reached && cfa_register == CFI_RSP && machine.rules.cfa_register == CFI_RSP &&
            moved != told) {
            *out_stray = (struct unwind_stray){address, moved, told};
            return true;
        }
        address = next;
        offset += instruction.length;
    }
    return false;
}
