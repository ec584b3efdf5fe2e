/* SPDX-License-Identifier: MIT */
/*
 * Records. A table is a row of them: u32 length, or 0xffffffff and u64 length; u32 id; content. An
 * id of 0 makes it a CIE, which says how to read its FDEs; in an FDE `id` counts back from its own
 * field to its CIE. A length of 0 ends the table. An FDE is read together with its CIE each time:
 * that costs less than to look up one that was kept.
 */
#include "cfi_priv.h"

CELL(library, "1.0.0");

#define LENGTH_64     0xffffffffu
#define ADDRESS_BYTES 8
#define LEB_BITS      64

static const char *const register_names[CFI_REGISTER_COUNT] = {
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8",
    "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip",
};

const char *cfi_register_name(unsigned number)
{
    return number < CFI_REGISTER_COUNT ? register_names[number] : "?";
}

struct fault_row {
    enum status status;
    const char *text;
};

static const struct fault_row faults[] = {[CFI_FAULT_NONE] = {OK, "nothing"},
#define FAULT_ROW_(name, status, text) [CFI_FAULT_##name] = {status, text},
                                          CFI_FAULT_TABLE(FAULT_ROW_)
#undef FAULT_ROW_
};

const char *cfi_fault_text(enum cfi_fault_code code)
{
    return (size_t)code < ARRAY_COUNT(faults) ? faults[code].text : "?";
}

COLD enum status cfi_refuse(struct cfi_fault *fault, enum cfi_fault_code code, uint64_t offset)
{
    *fault = (struct cfi_fault){.code = code, .offset = offset};
    return faults[code].status;
}

enum status reader_status(const struct reader *reader, struct cfi_fault *fault)
{
    return LIKELY(reader->fault == CFI_FAULT_NONE)
               ? OK
               : cfi_refuse(fault, reader->fault, reader->fault_at);
}

/* ---- numbers (DWARF 5, "Variable Length Data") ---- */

/* The raw bits, and how many; bits beyond 64 must repeat the last one that counts. */
static uint64_t read_leb(struct reader *reader, bool is_signed)
{
    size_t start = reader->at;
    uint64_t value = 0;
    for (unsigned shift = 0; reader->at < reader->end; shift += 7) {
        uint8_t byte = reader->bytes.base[reader->at++];
        uint64_t bits = byte & 0x7f;
        if (shift == 63 && bits != 0 && bits != (is_signed ? 0x7fu : 1u)) {
            break;
        }
        value |= bits << shift;
        if (!(byte & 0x80)) {
            bool is_negative = is_signed && (byte & 0x40) && shift + 7 < LEB_BITS;
            return is_negative ? value | ~0ull << (shift + 7) : value;
        }
        if (shift == 63) {
            break;
        }
    }
    bool is_cut = reader->at == reader->end && reader->at - start < 10;
    reader_fail(reader, is_cut ? CFI_FAULT_TRUNCATED : CFI_FAULT_NUMBER, start);
    return 0;
}

NOINLINE uint64_t read_long_uleb(struct reader *reader)
{
    return read_leb(reader, false);
}

NOINLINE int64_t read_long_sleb(struct reader *reader)
{
    return (int64_t)read_leb(reader, true);
}

static uint64_t read_format(struct reader *reader, uint8_t format)
{
    switch (format) {
    case PE_ABSOLUTE:
    case PE_UDATA8:
    case PE_SDATA8:
        return read_u64(reader);
    case PE_ULEB:
        return read_uleb(reader);
    case PE_UDATA2:
        return read_u16(reader);
    case PE_UDATA4:
        return read_u32(reader);
    case PE_SLEB:
        return (uint64_t)read_sleb(reader);
    case PE_SDATA2:
        return (uint64_t)(int64_t)(int16_t)read_u16(reader);
    case PE_SDATA4:
        return (uint64_t)(int64_t)(int32_t)read_u32(reader);
    default:
        reader_fail(reader, CFI_FAULT_ENCODING, reader->at);
        return 0;
    }
}

uint64_t read_pointer(struct reader *reader, const struct cfi_table *table, uint8_t encoding,
                      uint64_t function)
{
    uint64_t base;
    switch (encoding & PE_BASE) {
    case PE_ABSOLUTE:
        base = 0;
        break;
    case PE_PCREL:
        base = table->address + reader->at;
        break;
    case PE_TEXTREL:
        base = table->text;
        break;
    case PE_DATAREL:
        base = table->data;
        break;
    case PE_FUNCREL:
        base = function;
        break;
    case PE_ALIGNED: /* behind padding to a multiple of 8, always absolute */
        reader_take(reader, -(table->address + reader->at) % ADDRESS_BYTES);
        return read_u64(reader);
    default:
        reader_fail(reader, CFI_FAULT_ENCODING, reader->at);
        return 0;
    }
    return base + read_format(reader, encoding & PE_FORMAT);
}

/* ---- records ---- */

struct record {
    uint32_t id_at; /* offset of the id */
    uint32_t end;
    uint32_t id;
    bool is_terminator;
};

/* On failure *end is where the next record would begin; 0 if nobody knows. */
static enum status read_record(struct span bytes, uint64_t offset, struct record *out,
                               uint64_t *end, struct cfi_fault *fault)
{
    *end = 0;
    if (bytes.size > INT32_MAX) {
        return cfi_refuse(fault, CFI_FAULT_SIZE, 0);
    }
    if (!span_holds(bytes, offset, 4)) {
        return cfi_refuse(fault, CFI_FAULT_TRUNCATED, offset);
    }
    struct reader reader = reader_of(bytes, offset, bytes.size);
    uint64_t length = read_u32(&reader);
    out->is_terminator = length == 0;
    if (length == 0) {
        *end = reader.at;
        return OK;
    }
    if (length == LENGTH_64) {
        length = read_u64(&reader);
    }
    if (reader.fault != CFI_FAULT_NONE || length > bytes.size - reader.at) {
        return cfi_refuse(fault, CFI_FAULT_TRUNCATED, offset);
    }
    out->id_at = (uint32_t)reader.at;
    out->end = (uint32_t)(reader.at + length);
    *end = out->end;
    if (length < 4) {
        return cfi_refuse(fault, CFI_FAULT_LENGTH, offset);
    }
    out->id = read_u32(&reader);
    return OK;
}

/* What the letters of the augmentation say, and the data that belongs to them. */
static void read_augmentation(struct reader *reader, const char *letters, size_t letters_at,
                              struct cfi_fde *fde)
{
    uint64_t size = read_uleb(reader);
    if (size > reader->end - reader->at) {
        reader_fail(reader, CFI_FAULT_TRUNCATED, reader->at);
        return;
    }
    struct reader data = reader_of(reader->bytes, reader->at, reader->at + size);
    uint8_t encoding;
    for (size_t i = 1; letters[i]; i++) {
        switch (letters[i]) {
        case 'R':
            fde->encoding = read_u8(&data);
            break;
        case 'L':
            fde->has_language_data = true;
            fde->language_data = read_u8(&data); /* its encoding, until the FDE is read */
            break;
        case 'P':
            encoding = read_u8(&data);
            fde->has_personality = encoding != PE_OMIT;
            fde->indirect_personality = fde->has_personality && (encoding & PE_INDIRECT);
            if (fde->has_personality) {
                fde->personality = read_pointer(&data, &fde->table, encoding & PE_DIRECT, 0);
            }
            break;
        case 'S':
            fde->is_signal = true;
            break;
        case 'B': /* AArch64's; without data */
            break;
        default:
            reader_fail(&data, CFI_FAULT_AUGMENTATION, letters_at + i);
            break;
        }
    }
    if (data.fault != CFI_FAULT_NONE) {
        reader_fail(reader, data.fault, data.fault_at);
    }
    reader_take(reader, reader->fault == CFI_FAULT_NONE ? size : 0);
}

/* What GCC writes for C: version 1, "zR", factors 1 and -8, column 16, addresses pcrel sdata4. */
static bool read_usual_cie(struct cfi_fde *fde, uint32_t at, uint32_t end)
{
    static const uint8_t usual[] = {1, 'z', 'R', 0, 1, 0x78, CFI_RIP, 1, PE_PCREL | PE_SDATA4};
    if (end - at < sizeof(usual) ||
        __builtin_memcmp(fde->table.bytes.base + at, usual, sizeof(usual)) != 0) {
        return false;
    }
    fde->encoding = PE_PCREL | PE_SDATA4;
    fde->code_factor = 1;
    fde->data_factor = -8;
    fde->cie_program = at + (uint32_t)sizeof(usual);
    fde->cie_end = end;
    return true;
}

static enum status read_cie(struct cfi_fde *fde, uint32_t at, uint32_t end, struct cfi_fault *fault)
{
    if (LIKELY(read_usual_cie(fde, at, end))) {
        return OK;
    }
    struct reader reader = reader_of(fde->table.bytes, at, end);
    uint8_t version = read_u8(&reader);
    if (version != 1 && version != 3 && version != 4) {
        reader_fail(&reader, CFI_FAULT_VERSION, at);
    }
    size_t letters_at = reader.at;
    const char *letters = (const char *)fde->table.bytes.base + letters_at;
    while (read_u8(&reader) != 0 && reader.fault == CFI_FAULT_NONE) {
    }
    if (version == 4 && (read_u8(&reader) != ADDRESS_BYTES || read_u8(&reader) != 0)) {
        reader_fail(&reader, CFI_FAULT_ADDRESS_SIZE, reader.at);
    }
    fde->code_factor = read_uleb(&reader);
    fde->data_factor = read_sleb(&reader);
    size_t column_at = reader.at;
    uint64_t column = version == 1 ? read_u8(&reader) : read_uleb(&reader);
    if (reader.fault == CFI_FAULT_NONE && column != CFI_RIP) {
        reader_fail(&reader, CFI_FAULT_RETURN_ADDRESS, column_at);
    }
    if (reader.fault == CFI_FAULT_NONE && letters[0] == 'z') {
        read_augmentation(&reader, letters, letters_at, fde);
    } else if (reader.fault == CFI_FAULT_NONE && letters[0] != '\0') {
        reader_fail(&reader, CFI_FAULT_AUGMENTATION, letters_at);
    }
    if (fde->encoding & PE_INDIRECT) {
        reader_fail(&reader, CFI_FAULT_ENCODING, at);
    }
    fde->cie_program = (uint32_t)reader.at;
    fde->cie_end = end;
    return reader_status(&reader, fault);
}

/* The FDE's own fields; the CIE has been read into `fde`. */
static enum status read_fields(struct cfi_fde *fde, bool has_augmentation, uint32_t at,
                               struct cfi_fault *fault)
{
    struct reader reader = reader_of(fde->table.bytes, at, fde->end_offset);
    fde->start = read_pointer(&reader, &fde->table, fde->encoding, 0);
    uint64_t size = read_format(&reader, fde->encoding & PE_FORMAT);
    fde->end = fde->start + size;
    if (reader.fault == CFI_FAULT_NONE && fde->end < fde->start) {
        reader_fail(&reader, CFI_FAULT_RANGE, at);
    }
    if (has_augmentation) {
        uint64_t data_size = read_uleb(&reader);
        struct reader data = reader;
        reader_take(&reader, data_size);
        data.end = reader.at;
        uint8_t encoding = (uint8_t)fde->language_data;
        bool has_data = fde->has_language_data && encoding != PE_OMIT && data_size > 0;
        fde->language_data =
            has_data ? read_pointer(&data, &fde->table, encoding & PE_DIRECT, fde->start) : 0;
        fde->has_language_data = has_data;
        if (data.fault != CFI_FAULT_NONE) {
            reader_fail(&reader, data.fault, data.fault_at);
        }
    }
    fde->program = (uint32_t)reader.at;
    return reader_status(&reader, fault);
}

static enum status read_fde(const struct cfi_table *table, uint64_t offset,
                            const struct record *record, struct cfi_fde *fde,
                            struct cfi_fault *fault)
{
    struct record cie;
    uint64_t end;
    if (record->id > record->id_at) {
        return cfi_refuse(fault, CFI_FAULT_NO_CIE, offset);
    }
    uint64_t cie_offset = record->id_at - record->id;
    enum status status = read_record(table->bytes, cie_offset, &cie, &end, fault);
    if (status != OK) {
        return status;
    }
    if (cie.is_terminator || cie.id != 0) {
        return cfi_refuse(fault, CFI_FAULT_NO_CIE, offset);
    }
    /* Field by field: to clear the structure costs more than to read the usual record. */
    fde->table = *table;
    fde->offset = (uint32_t)offset;
    fde->cie_offset = (uint32_t)cie_offset;
    fde->end_offset = record->end;
    fde->encoding = PE_ABSOLUTE;
    fde->language_data = 0;
    fde->personality = 0;
    fde->is_signal = false;
    fde->has_personality = false;
    fde->indirect_personality = false;
    fde->has_language_data = false;
    status = read_cie(fde, cie.id_at + 4, cie.end, fault);
    if (status == OK) {
        bool has_augmentation = table->bytes.base[cie.id_at + 5] == 'z'; /* behind the version */
        status = read_fields(fde, has_augmentation, record->id_at + 4, fault);
    }
    return status;
}

enum status cfi_read(const struct cfi_table *table, uint64_t offset, struct cfi_fde *out_fde,
                     struct cfi_fault *fault)
{
    struct record record;
    uint64_t end;
    enum status status = read_record(table->bytes, offset, &record, &end, fault);
    if (status != OK) {
        return status;
    }
    if (record.is_terminator || record.id == 0) {
        return cfi_refuse(fault, CFI_FAULT_NOT_AN_FDE, offset);
    }
    return read_fde(table, offset, &record, out_fde, fault);
}

enum status cfi_next(const struct cfi_table *table, uint64_t *offset, struct cfi_fde *out_fde,
                     struct cfi_fault *fault)
{
    while (*offset < table->bytes.size) {
        struct record record;
        uint64_t at = *offset;
        uint64_t end;
        enum status status = read_record(table->bytes, at, &record, &end, fault);
        *offset = end ? end : table->bytes.size;
        if (status != OK) {
            return status;
        }
        if (record.is_terminator) {
            *offset = table->bytes.size;
            return ERR_NOT_FOUND;
        }
        if (record.id != 0) {
            return read_fde(table, at, &record, out_fde, fault);
        }
    }
    return ERR_NOT_FOUND;
}
