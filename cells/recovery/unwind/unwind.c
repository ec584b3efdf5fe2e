/* SPDX-License-Identifier: MIT */
/*
 * Two ways to take a step. Most frames have a row of 16 bytes, from the cache or evaluated: the CFA
 * from one register, everything saved at words below it (step_by_row). Signal frames, and code that
 * computes its CFA, follow the full rules (step_by_rules).
 *
 * The sum of a cache entry is that of pc, generation and both words of the row, the latter
 * multiplied, so that words of different rows do not add up to a third address. A torn entry fits
 * by chance once in 2^64.
 */
#include "unwind.h"

CELL(library, "1.0.0");

#define WORD 8u

#define SUM_START  0x8d51a2e7c3f4b96dull /* so that an entry of zeros fits no address */
#define SUM_FIRST  0x9e3779b97f4a7c15ull /* odd: multiplication by it loses nothing */
#define SUM_SECOND 0xc2b2ae3d27d4eb4full
#define SUM_AGE    0xff51afd7ed558ccdull
#define INDEX_BITS 6 /* of UNWIND_CACHE_SETS */
static_assert(1u << INDEX_BITS == UNWIND_CACHE_SETS, "an index by the upper bits of a product");

/* What a caller's frame keeps of ours. */
#define KEPT (CFI_PRESERVED | 1u << CFI_RSP | 1u << CFI_RIP)

union packed_row {
    struct cfi_row row;
    uint64_t words[2];
};

static const struct cfi_row leaf_row = {
    .cfa_offset = WORD,
    .cfa_register = CFI_RSP,
    .deepest = 1,
    .return_address = 1,
};

/* ---- cache ---- */

/* `salt` is what all entries of one generation have in common. */
static inline uint64_t sum_of(uint64_t pc, uint64_t salt, const uint64_t words[2])
{
    return pc ^ salt ^ words[0] * SUM_FIRST ^ words[1] * SUM_SECOND;
}

/* The two entries where the row of `pc` may be. */
static inline struct unwind_cache_entry *set_of(struct unwind_cache *cache, uint64_t pc)
{
    return cache->entries[pc * SUM_FIRST >> (64 - INDEX_BITS)];
}

/* Each word once, then judged: pairs with write_entry(), which may interrupt anywhere here. */
static inline bool read_entry(const struct unwind_cache_entry *entry, uint64_t pc, uint64_t salt,
                              union packed_row *out)
{
    out->words[0] = __atomic_load_n(&entry->row[0], __ATOMIC_RELAXED);
    out->words[1] = __atomic_load_n(&entry->row[1], __ATOMIC_RELAXED);
    uint64_t sum = __atomic_load_n(&entry->sum, __ATOMIC_RELAXED);
    return sum == sum_of(pc, salt, out->words);
}

static inline void write_entry(struct unwind_cache_entry *entry, uint64_t sum,
                               const uint64_t words[2])
{
    __atomic_store_n(&entry->row[0], words[0], __ATOMIC_RELAXED);
    __atomic_store_n(&entry->row[1], words[1], __ATOMIC_RELAXED);
    __atomic_store_n(&entry->sum, sum, __ATOMIC_RELAXED);
}

static inline bool find_row(struct unwind_cursor *cursor, uint64_t pc, union packed_row *out)
{
    struct unwind_cache *cache = cursor->cache;
    if (UNLIKELY(!cache)) {
        return false;
    }
    const struct unwind_cache_entry *set = set_of(cache, pc);
    bool is_found = LIKELY(read_entry(&set[0], pc, cursor->salt, out)) ||
                    read_entry(&set[1], pc, cursor->salt, out);
    cache->hits += is_found;
    return is_found;
}

/* The newer row of a set stands first; the older one makes room. */
static void keep_row(struct unwind_cursor *cursor, uint64_t pc, const union packed_row *row)
{
    if (cursor->cache) {
        struct unwind_cache_entry *set = set_of(cursor->cache, pc);
        struct unwind_cache_entry older = set[0];
        write_entry(&set[1], older.sum, older.row);
        write_entry(&set[0], sum_of(pc, cursor->salt, row->words), row->words);
    }
}

/* ---- stacks ---- */

static COLD enum unwind_outcome give_up(struct unwind_cursor *cursor, enum unwind_reason reason)
{
    cursor->reason = reason;
    return UNWIND_UNRELIABLE;
}

/* Do `size` bytes at `address` lie in the stack? */
static inline bool is_on_stack(const struct unwind_cursor *cursor, uint64_t address, uint64_t size)
{
    return address >= cursor->low && address < cursor->high && size <= cursor->high - address;
}

/* The stack of `address` becomes the one that may be read. */
static enum unwind_reason change_stack(struct unwind_cursor *cursor, uint64_t address)
{
    uint64_t low;
    uint64_t high;
    const struct unwind_source *source = cursor->source;
    if (cursor->stacks >= UNWIND_STACKS_MAX) {
        return UNWIND_REASON_STACKS;
    }
    if (!source->find_stack(source->context, address, &low, &high) || low > address ||
        high <= address) {
        return UNWIND_REASON_OUTSIDE_STACK;
    }
    cursor->stacks++;
    cursor->low = low;
    cursor->high = high;
    return UNWIND_REASON_NONE;
}

/*
 * May a frame end at `cfa`? On the same stack it must end above rsp; on another one the change is
 * counted.
 */
static NOINLINE enum unwind_reason check_frame(struct unwind_cursor *cursor, uint64_t cfa,
                                               uint64_t depth)
{
    uint64_t rsp = cursor->registers[CFI_RSP];
    if (!is_on_stack(cursor, cfa - WORD, WORD)) {
        enum unwind_reason reason = change_stack(cursor, cfa - WORD);
        if (reason != UNWIND_REASON_NONE) {
            return reason;
        }
    }
    if (rsp >= cfa && is_on_stack(cursor, rsp, 1)) {
        return UNWIND_REASON_NO_PROGRESS;
    }
    return cfa <= cursor->high && cfa - cursor->low >= depth ? UNWIND_REASON_NONE
                                                             : UNWIND_REASON_OUTSIDE_STACK;
}

/* ---- a step by a row ---- */

static inline uint64_t load(uint64_t address)
{
    uint64_t value;
    __builtin_memcpy(&value, (const void *)address, sizeof(value));
    return value;
}

static inline enum unwind_outcome step_by_row(struct unwind_cursor *cursor,
                                              const struct cfi_row *row)
{
    uint64_t *registers = cursor->registers;
    if (UNLIKELY(row->return_address == 0)) {
        return UNWIND_END;
    }
    if (UNLIKELY(!(cursor->known >> row->cfa_register & 1))) {
        return give_up(cursor, UNWIND_REASON_LOST_REGISTER);
    }
    uint64_t cfa = registers[row->cfa_register] + (uint64_t)(int64_t)row->cfa_offset;
    uint64_t depth = (uint64_t)row->deepest * WORD;
    if (UNLIKELY(cfa <= registers[CFI_RSP] || cfa > cursor->high || cfa - cursor->low < depth ||
                 cursor->low > cfa)) {
        enum unwind_reason reason = check_frame(cursor, cfa, depth);
        if (reason != UNWIND_REASON_NONE) {
            return give_up(cursor, reason);
        }
    }
    static const uint8_t saved[CFI_SAVED_COUNT] = {CFI_RBX, CFI_RBP, CFI_R12,
                                                   CFI_R13, CFI_R14, CFI_R15};
    uint32_t known = cursor->known & KEPT;
#pragma GCC unroll 6
    for (unsigned i = 0; i < CFI_SAVED_COUNT; i++) {
        if (row->saved[i]) {
            registers[saved[i]] = load(cfa - (uint64_t)row->saved[i] * WORD);
            known |= 1u << saved[i];
        }
    }
    registers[CFI_RIP] = load(cfa - (uint64_t)row->return_address * WORD);
    registers[CFI_RSP] = cfa;
    cursor->known = known;
    cursor->is_exact = false;
    return UNWIND_CALLER;
}

/* ---- a step by the full rules ---- */

/* Where a step by rules puts the caller's registers until all of them are there. */
struct caller {
    uint64_t registers[CFI_REGISTER_COUNT];
    uint32_t known;
};

static enum unwind_outcome refuse_table(struct unwind_cursor *cursor)
{
    switch (cursor->fault.code) {
    case CFI_FAULT_UNKNOWN_REGISTER:
        return give_up(cursor, UNWIND_REASON_LOST_REGISTER);
    case CFI_FAULT_MEMORY:
        return give_up(cursor, UNWIND_REASON_OUTSIDE_STACK);
    default:
        return give_up(cursor, UNWIND_REASON_BAD_TABLE);
    }
}

static struct cfi_frame frame_of(const struct unwind_cursor *cursor)
{
    return (struct cfi_frame){
        .registers = cursor->registers,
        .known = cursor->known,
        .low = cursor->low,
        .high = cursor->high,
    };
}

static void set_register(struct caller *caller, unsigned number, uint64_t value)
{
    caller->registers[number] = value;
    caller->known |= 1u << number;
}

/* The caller's register is where our register `from` is, if that is known. */
static void copy_register(const struct unwind_cursor *cursor, struct caller *caller,
                          unsigned number, unsigned from)
{
    if (from < CFI_REGISTER_COUNT && (cursor->known >> from & 1)) {
        set_register(caller, number, cursor->registers[from]);
    }
}

static bool load_register(struct unwind_cursor *cursor, struct caller *caller, unsigned number,
                          uint64_t address)
{
    if (!is_on_stack(cursor, address, WORD)) {
        give_up(cursor, UNWIND_REASON_OUTSIDE_STACK);
        return false;
    }
    set_register(caller, number, load(address));
    return true;
}

/* One register of the caller. False if it cannot be had; a lost register is no failure. */
static bool apply_rule(struct unwind_cursor *cursor, const struct cfi_table *table,
                       const struct cfi_rules *rules, unsigned number, uint64_t cfa,
                       struct caller *caller)
{
    int32_t operand = rules->value[number];
    uint64_t value = cfa + (uint64_t)(int64_t)operand;
    struct cfi_frame frame = frame_of(cursor);
    switch ((enum cfi_rule)rules->kind[number]) {
    case CFI_UNSPECIFIED:
        copy_register(cursor, caller, number,
                      CFI_PRESERVED >> number & 1 ? number : CFI_REGISTER_COUNT);
        return true;
    case CFI_SAME:
        copy_register(cursor, caller, number, number);
        return true;
    case CFI_REGISTER:
        copy_register(cursor, caller, number, (unsigned)operand);
        return true;
    case CFI_OFFSET:
        return load_register(cursor, caller, number, value);
    case CFI_VALUE_OFFSET:
        set_register(caller, number, value);
        return true;
    case CFI_EXPRESSION:
    case CFI_VALUE_EXPRESSION:
        if (cfi_evaluate(table, (uint32_t)operand, &frame, &cfa, &value, &cursor->fault) != OK) {
            refuse_table(cursor);
            return false;
        }
        if (rules->kind[number] == CFI_EXPRESSION) {
            return load_register(cursor, caller, number, value);
        }
        set_register(caller, number, value);
        return true;
    default: /* CFI_UNDEFINED */
        return true;
    }
}

static bool find_cfa(struct unwind_cursor *cursor, const struct cfi_table *table,
                     const struct cfi_rules *rules, uint64_t *out)
{
    if (rules->cfa_register == CFI_CFA_EXPRESSION) {
        struct cfi_frame frame = frame_of(cursor);
        if (cfi_evaluate(table, (uint32_t)rules->cfa_offset, &frame, NULL, out, &cursor->fault)) {
            refuse_table(cursor);
            return false;
        }
        return true;
    }
    if (!(cursor->known >> rules->cfa_register & 1)) {
        give_up(cursor, UNWIND_REASON_LOST_REGISTER);
        return false;
    }
    *out = cursor->registers[rules->cfa_register] + (uint64_t)(int64_t)rules->cfa_offset;
    return true;
}

/*
 * What was interrupted may be on any stack, at any depth; a caller is above. Where the return
 * address is in a register, or a rule gives rsp, that cannot be demanded. Such steps are counted,
 * for they could go in a circle.
 */
static enum unwind_reason check_rules_frame(struct unwind_cursor *cursor, const struct cfi_fde *fde,
                                            const struct cfi_rules *rules, uint64_t cfa)
{
    if (fde->is_signal) {
        return UNWIND_REASON_NONE;
    }
    if (rules->kind[CFI_RSP] != CFI_UNSPECIFIED ||
        (rules->kind[CFI_RIP] == CFI_REGISTER && cfa == cursor->registers[CFI_RSP])) {
        return cursor->stacks++ < UNWIND_STACKS_MAX ? UNWIND_REASON_NONE : UNWIND_REASON_STACKS;
    }
    return check_frame(cursor, cfa, WORD);
}

static enum unwind_outcome step_by_rules(struct unwind_cursor *cursor, const struct cfi_fde *fde,
                                         const struct cfi_rules *rules)
{
    struct caller caller = {.known = 0};
    uint64_t cfa;
    if (rules->kind[CFI_RIP] == CFI_UNDEFINED) {
        return UNWIND_END;
    }
    if (!find_cfa(cursor, &fde->table, rules, &cfa)) {
        return UNWIND_UNRELIABLE;
    }
    enum unwind_reason reason = check_rules_frame(cursor, fde, rules, cfa);
    if (reason != UNWIND_REASON_NONE) {
        return give_up(cursor, reason);
    }
    for (unsigned i = 0; i < CFI_REGISTER_COUNT; i++) {
        if (!apply_rule(cursor, &fde->table, rules, i, cfa, &caller)) {
            return UNWIND_UNRELIABLE;
        }
    }
    if (rules->kind[CFI_RSP] == CFI_UNSPECIFIED) {
        caller.registers[CFI_RSP] = cfa;
        caller.known |= 1u << CFI_RSP;
    }
    if ((caller.known & (1u << CFI_RIP | 1u << CFI_RSP)) != (1u << CFI_RIP | 1u << CFI_RSP)) {
        return give_up(cursor, UNWIND_REASON_NO_RULE);
    }
    uint64_t rsp = caller.registers[CFI_RSP];
    if (fde->is_signal) {
        if (cursor->stacks >= UNWIND_STACKS_MAX) {
            return give_up(cursor, UNWIND_REASON_STACKS);
        }
        cursor->stacks++;
        if (!cursor->source->find_stack(cursor->source->context, rsp, &cursor->low,
                                        &cursor->high)) {
            cursor->low = cursor->high = 0; /* the next step will want one */
        }
    }
    __builtin_memcpy(cursor->registers, caller.registers, sizeof(caller.registers));
    cursor->known = caller.known;
    cursor->is_exact = fde->is_signal;
    return UNWIND_CALLER;
}

/* ---- a guess ---- */

static bool is_code(const struct unwind_cursor *cursor, uint64_t address)
{
    struct unwind_code code;
    const struct unwind_source *source = cursor->source;
    return source->find_code(source->context, address, &code) == UNWIND_FOUND_ENTRY;
}

/* Length of `FF /2` by its ModRM byte (Intel SDM, "Instruction Format"); 0: it is no call. */
static unsigned indirect_call_length(uint8_t modrm, uint8_t sib)
{
    unsigned mode = modrm >> 6;
    unsigned base = modrm & 7;
    if ((modrm >> 3 & 7) != 2) {
        return 0;
    }
    if (mode == 3) {
        return 2;
    }
    unsigned length = base == 4 ? 3 : 2;
    bool has_base_word = mode == 0 && (base == 5 || (base == 4 && (sib & 7) == 5));
    return length + (mode == 1 ? 1 : mode == 2 || has_base_word ? 4 : 0);
}

/* Does a call instruction end at `address`? */
static bool follows_call(const struct unwind_cursor *cursor, uint64_t address)
{
    if (!is_code(cursor, address - 1)) {
        return false;
    }
    for (unsigned length = 2; length <= 7; length++) {
        const uint8_t *at = (const uint8_t *)(address - length);
        if (!is_code(cursor, address - length)) {
            return false;
        }
        if ((length == 5 && at[0] == 0xe8) ||
            (at[0] == 0xff && indirect_call_length(at[1], length > 2 ? at[2] : 0) == length)) {
            return true;
        }
    }
    return false;
}

/* A jump or call to where no code is left its return address at [rsp], if it was a call. */
static enum unwind_outcome guess(struct unwind_cursor *cursor)
{
    uint64_t rsp = cursor->registers[CFI_RSP];
    if (!cursor->is_exact || cursor->is_guess || !is_on_stack(cursor, rsp, WORD) ||
        !follows_call(cursor, load(rsp))) {
        return give_up(cursor, UNWIND_REASON_NO_CODE);
    }
    cursor->is_guess = true;
    step_by_row(cursor, &leaf_row);
    return UNWIND_GUESSED;
}

/* ---- the walk ---- */

static NOINLINE enum unwind_outcome step_by_table(struct unwind_cursor *cursor, uint64_t pc,
                                                  const struct unwind_code *code)
{
    struct cfi_fde fde;
    struct cfi_machine machine;
    enum status status = cfi_read(&code->table, code->fde, &fde, &cursor->fault);
    if (status == OK && (pc < fde.start || pc >= fde.end)) {
        return guess(cursor);
    }
    if (status == OK) {
        status = cfi_begin(&machine, &fde, &cursor->fault);
    }
    if (status == OK) {
        status = cfi_find_row(&machine, pc, &cursor->fault);
    }
    if (status != OK) {
        return refuse_table(cursor);
    }
    union packed_row packed;
    if (!cfi_pack(&machine.rules, fde.is_signal, &packed.row)) {
        return step_by_rules(cursor, &fde, &machine.rules);
    }
    keep_row(cursor, pc, &packed);
    return step_by_row(cursor, &packed.row);
}

static NOINLINE enum unwind_outcome step_by_source(struct unwind_cursor *cursor, uint64_t pc)
{
    struct unwind_code code;
    const struct unwind_source *source = cursor->source;
    if (cursor->cache) {
        cursor->cache->misses++;
    }
    switch (source->find_code(source->context, pc, &code)) {
    case UNWIND_FOUND_ENTRY:
        return step_by_table(cursor, pc, &code);
    case UNWIND_FOUND_LEAF:
        return step_by_row(cursor, &leaf_row);
    default:
        return guess(cursor);
    }
}

void unwind_begin(struct unwind_cursor *cursor, const struct unwind_source *source,
                  struct unwind_cache *cache, const uint64_t registers[CFI_REGISTER_COUNT],
                  bool is_exact)
{
    cursor->known = (1u << CFI_REGISTER_COUNT) - 1;
    cursor->is_exact = is_exact;
    cursor->is_guess = false;
    cursor->reason = UNWIND_REASON_NONE;
    cursor->fault = (struct cfi_fault){0};
    cursor->source = source;
    cursor->cache = cache;
    cursor->salt = SUM_START ^ source->generation * SUM_AGE;
    cursor->stacks = 0;
    __builtin_memcpy(cursor->registers, registers, sizeof(cursor->registers));
    if (!source->find_stack(source->context, registers[CFI_RSP], &cursor->low, &cursor->high)) {
        cursor->low = cursor->high = 0;
    }
}

enum unwind_outcome unwind_step(struct unwind_cursor *cursor)
{
    uint64_t pc = unwind_pc(cursor);
    union packed_row packed;
    return LIKELY(find_row(cursor, pc, &packed)) ? step_by_row(cursor, &packed.row)
                                                 : step_by_source(cursor, pc);
}

const char *unwind_reason_text(enum unwind_reason reason)
{
    static const char *const texts[] = {[UNWIND_REASON_NONE] = "nothing",
#define REASON_TEXT_(name, text) [UNWIND_REASON_##name] = text,
                                        UNWIND_REASON_TABLE(REASON_TEXT_)
#undef REASON_TEXT_
    };
    return (size_t)reason < ARRAY_COUNT(texts) ? texts[reason] : "?";
}
