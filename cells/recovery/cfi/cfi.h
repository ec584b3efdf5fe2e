/* SPDX-License-Identifier: MIT */
/*
 * cfi.h - reads `.eh_frame`: where a function's caller is, at each of its instructions.
 *
 * Why: who faults at an arbitrary instruction has no frame pointer to follow. The compiler leaves a
 * table instead, a small program for each function, that says at which address the caller's frame
 * begins (the CFA) and where the caller's registers are. The kernel's unwinder, cellpack and the
 * tests evaluate it with this source.
 *
 * Rules: pure; no memory but the caller's, no recursion, no state; any context. The bytes may be
 * anything: every access is checked, work is bounded by the record's size, and what is malformed is
 * refused with a reason and an offset (struct cfi_fault). A table of 2 GiB or more is refused.
 *
 * Format: LSB Core 5.0, "Exception Frames"; DWARF 5, "Call Frame Information" and "DWARF
 * Expressions"; x86-64 psABI, "DWARF Register Number Mapping". Understood are CIE versions 1, 3, 4;
 * the augmentations z R P L S and B; 64-bit lengths; every encoding of pointers, of which
 * "indirect" only where a pointer need not be followed; all operations of DWARF 5, and GNU's
 * args_size and negative_offset_extended. Rules for registers beyond the return address are read
 * and dropped.
 */
#pragma once

#include "span.h"
#include "status.h"

/* DWARF's numbers. */
enum cfi_register {
    CFI_RAX,
    CFI_RDX,
    CFI_RCX,
    CFI_RBX,
    CFI_RSI,
    CFI_RDI,
    CFI_RBP,
    CFI_RSP,
    CFI_R8,
    CFI_R9,
    CFI_R10,
    CFI_R11,
    CFI_R12,
    CFI_R13,
    CFI_R14,
    CFI_R15,
    CFI_RIP, /* the return address */
    CFI_REGISTER_COUNT
};

/* A bit for each register that functions preserve (x86-64 psABI, "Register Usage"). */
#define CFI_PRESERVED \
    (1u << CFI_RBX | 1u << CFI_RBP | 1u << CFI_R12 | 1u << CFI_R13 | 1u << CFI_R14 | 1u << CFI_R15)

/* "rbx"; "rip" for the return address; "?" for other numbers. */
CELL_API const char *cfi_register_name(unsigned number);

/* ---- what can be wrong ---- */

/* X(name, status, text) */
#define CFI_FAULT_TABLE(X)                                                                \
    X(SIZE, ERR_LIMIT, "table of 2 GiB or more")                                          \
    X(TRUNCATED, ERR_TRUNCATED, "ends in the middle of a record")                         \
    X(NUMBER, ERR_OVERFLOW, "number is too large")                                        \
    X(LENGTH, ERR_BAD_FORMAT, "record is too short")                                      \
    X(NOT_AN_FDE, ERR_BAD_FORMAT, "no FDE is here")                                       \
    X(NO_CIE, ERR_BAD_FORMAT, "FDE without a CIE")                                        \
    X(VERSION, ERR_UNSUPPORTED, "unknown version of a CIE")                               \
    X(AUGMENTATION, ERR_UNSUPPORTED, "unknown augmentation")                              \
    X(ADDRESS_SIZE, ERR_UNSUPPORTED, "addresses of another size than 8, or segments")     \
    X(RETURN_ADDRESS, ERR_UNSUPPORTED, "return address in another register than 16")      \
    X(ENCODING, ERR_UNSUPPORTED, "pointer encoding that cannot be used here")             \
    X(RANGE, ERR_OVERFLOW, "code ends beyond the address space")                          \
    X(OPERATION, ERR_UNSUPPORTED, "unknown operation")                                    \
    X(LOCATION, ERR_BAD_FORMAT, "row begins outside of the code, or before the last one") \
    X(OFFSET, ERR_OVERFLOW, "offset does not fit 32 bits")                                \
    X(NO_CFA, ERR_BAD_FORMAT, "the CFA is no register and offset")                        \
    X(REMEMBERED, ERR_LIMIT, "too many states are remembered")                            \
    X(RESTORED, ERR_BAD_FORMAT, "restores a state that was not remembered")               \
    X(EXPRESSION, ERR_UNSUPPORTED, "unknown operation of an expression")                  \
    X(STACK, ERR_BAD_FORMAT, "expression uses more, or less, than its stack holds")       \
    X(STEPS, ERR_LIMIT, "expression takes too many steps")                                \
    X(DIVISION, ERR_BAD_FORMAT, "expression divides by zero")                             \
    X(UNKNOWN_REGISTER, ERR_NOT_FOUND, "needs a register whose value is not known")       \
    X(MEMORY, ERR_OUT_OF_BOUNDS, "needs memory that must not be read")

enum cfi_fault_code {
    CFI_FAULT_NONE,
#define CFI_FAULT_ENUMERATOR_(name, status, text) CFI_FAULT_##name,
    CFI_FAULT_TABLE(CFI_FAULT_ENUMERATOR_)
#undef CFI_FAULT_ENUMERATOR_
};

struct cfi_fault {
    enum cfi_fault_code code;
    uint64_t offset; /* in the table */
};

CELL_API const char *cfi_fault_text(enum cfi_fault_code code);

/* ---- records ---- */

/* A table, and the addresses that its relative pointers count from. */
struct cfi_table {
    struct span bytes; /* the section, without anything behind it */
    uint64_t address;  /* of its first byte, where the code expects it */
    uint64_t text;     /* base of DW_EH_PE_textrel; 0 where there is none */
    uint64_t data;     /* base of DW_EH_PE_datarel: the global offset table, on x86-64 */
};

/* One function, or a part of one, with what its CIE says of it. */
struct cfi_fde {
    struct cfi_table table;
    uint64_t start; /* first address of its code */
    uint64_t end;   /* behind the last one */
    uint64_t language_data;
    uint64_t personality; /* where it is found, if `indirect_personality` */
    uint64_t code_factor;
    int64_t data_factor;
    uint32_t offset; /* of the record in the table */
    uint32_t cie_offset;
    uint32_t cie_program; /* offset and end of the CIE's operations */
    uint32_t cie_end;
    uint32_t program; /* and of its own */
    uint32_t end_offset;
    uint8_t encoding; /* of its addresses: DW_EH_PE_* */
    bool is_signal;   /* 'S': the caller was interrupted, it has not called */
    bool has_personality;
    bool indirect_personality;
    bool has_language_data;
};

/* Reads the FDE whose record begins at `offset`. `fault` says what is wrong with it. */
CELL_API MUST_CHECK enum status cfi_read(const struct cfi_table *table, uint64_t offset,
                                         struct cfi_fde *out_fde, struct cfi_fault *fault);

/*
 * The next FDE at or behind *offset (0 at first), which is set behind it. ERR_NOT_FOUND at the end:
 * at a terminator, or where the bytes end. After another error *offset is behind the bad record, if
 * its length can be believed, else at the end.
 */
CELL_API MUST_CHECK enum status cfi_next(const struct cfi_table *table, uint64_t *offset,
                                         struct cfi_fde *out_fde, struct cfi_fault *fault);

/* ---- rules ---- */

enum cfi_rule {
    CFI_UNSPECIFIED, /* nothing is said: as `same` for registers that are preserved */
    CFI_UNDEFINED,   /* lost; of the return address: there is no caller */
    CFI_SAME,
    CFI_OFFSET,           /* saved at CFA + value */
    CFI_VALUE_OFFSET,     /* is CFA + value */
    CFI_REGISTER,         /* in register `value` */
    CFI_EXPRESSION,       /* saved where the expression at offset `value` of the table says */
    CFI_VALUE_EXPRESSION, /* is what it says */
};

#define CFI_CFA_EXPRESSION 0xff /* in place of the CFA's register */

/* What holds at one instruction: a row of the table. */
struct cfi_rules {
    int32_t cfa_offset;   /* from its register; of CFI_CFA_EXPRESSION: where that is in the table */
    uint32_t named;       /* a bit for each register whose kind may be other than unspecified */
    uint8_t cfa_register; /* below CFI_REGISTER_COUNT, or CFI_CFA_EXPRESSION */
    uint8_t kind[CFI_REGISTER_COUNT];  /* enum cfi_rule */
    int32_t value[CFI_REGISTER_COUNT]; /* means nothing where the kind needs none */
};

#define CFI_REMEMBERED_MAX 4 /* GCC nests 1, in libc and libstdc++ too; clang none */

/* Walks the rows of a function. 0.6 KiB. */
struct cfi_machine {
    const struct cfi_fde *fde;
    uint64_t start; /* the row: its first address, and behind its last one */
    uint64_t end;
    struct cfi_rules rules;
    uint32_t at;
    uint32_t depth;
    struct cfi_rules initial; /* by the CIE */
    struct cfi_rules remembered[CFI_REMEMBERED_MAX];
};

/* Runs the CIE's part; `fde` must live as long as the machine. */
CELL_API MUST_CHECK enum status cfi_begin(struct cfi_machine *machine, const struct cfi_fde *fde,
                                          struct cfi_fault *fault);

/* Goes on to the next row, which is never empty. ERR_NOT_FOUND behind the last one. */
CELL_API MUST_CHECK enum status cfi_next_row(struct cfi_machine *machine, struct cfi_fault *fault);

/* Goes on to the row of `address`. ERR_NOT_FOUND if the FDE does not describe it. */
CELL_API MUST_CHECK enum status cfi_find_row(struct cfi_machine *machine, uint64_t address,
                                             struct cfi_fault *fault);

/* ---- rows that can be kept ---- */

#define CFI_SAVED_COUNT 6 /* rbx, rbp, r12 to r15: in the order of their numbers */

/* A usual row, in 16 bytes: everything is a number of words below the CFA. */
struct cfi_row {
    int32_t cfa_offset;
    uint8_t cfa_register;
    uint8_t deepest;                /* of all below */
    uint8_t return_address;         /* 0: there is no caller */
    uint8_t saved[CFI_SAVED_COUNT]; /* 0: the register still holds the caller's value */
    uint8_t reserved[3];            /* 0 */
};
static_assert(sizeof(struct cfi_row) == 16, "two words: the unwinder's cache keeps them as such");

/* False if the rules cannot be said in that form. Signal frames never can. */
CELL_API bool cfi_pack(const struct cfi_rules *rules, bool is_signal, struct cfi_row *out_row);

/* The register that saved[i] is about. */
CELL_API unsigned cfi_saved_register(unsigned i);

/* ---- expressions ---- */

#define CFI_EXPRESSION_STACK 16
#define CFI_EXPRESSION_STEPS 256

struct cfi_frame {
    const uint64_t *registers; /* CFI_REGISTER_COUNT */
    uint32_t known;            /* a bit for each of them */
    uint64_t low;              /* memory that may be read: from low to below high */
    uint64_t high;
};

/*
 * Evaluates the expression at `offset` of the table: a length, then operations. `first` lies on the
 * stack at its begin, unless it is NULL: the CFA, for all but the CFA's own expression.
 */
CELL_API MUST_CHECK enum status cfi_evaluate(const struct cfi_table *table, uint32_t offset,
                                             const struct cfi_frame *frame, const uint64_t *first,
                                             uint64_t *out_value, struct cfi_fault *fault);

/* The expression's operations, without its length. False if it does not lie in the table. */
CELL_API bool cfi_expression(const struct cfi_table *table, uint32_t offset, struct span *out_code);
