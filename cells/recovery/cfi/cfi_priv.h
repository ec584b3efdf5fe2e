/* SPDX-License-Identifier: MIT */
/*
 * cfi_priv.h - the one way in which the files of this cell touch bytes.
 *
 * A reader goes through a part of the table. It never leaves it: what is not there reads as 0, and
 * `fault` keeps the first thing that went wrong, so a caller tests it once, behind several reads.
 */
#pragma once

#include "cfi.h"

struct reader {
    struct span bytes; /* of the whole table */
    size_t at;
    size_t end; /* at most bytes.size */
    enum cfi_fault_code fault;
    size_t fault_at;
};

/* DW_EH_PE_*: how a pointer is stored, what it counts from (LSB Core, "DWARF Exception Headers") */
#define PE_ABSOLUTE 0x00
#define PE_ULEB     0x01
#define PE_UDATA2   0x02
#define PE_UDATA4   0x03
#define PE_UDATA8   0x04
#define PE_SLEB     0x09
#define PE_SDATA2   0x0a
#define PE_SDATA4   0x0b
#define PE_SDATA8   0x0c
#define PE_FORMAT   0x0f
#define PE_PCREL    0x10
#define PE_TEXTREL  0x20
#define PE_DATAREL  0x30
#define PE_FUNCREL  0x40
#define PE_ALIGNED  0x50
#define PE_BASE     0x70
#define PE_INDIRECT 0x80
#define PE_DIRECT   0x7f /* all but that bit */
#define PE_OMIT     0xff

static inline struct reader reader_of(struct span bytes, size_t at, size_t end)
{
    return (struct reader){.bytes = bytes, .at = at, .end = end};
}

static inline void reader_fail(struct reader *reader, enum cfi_fault_code fault, size_t at)
{
    if (reader->fault == CFI_FAULT_NONE) {
        reader->fault = fault;
        reader->fault_at = at;
    }
    reader->at = reader->end;
}

/* Passes over `size` bytes and returns where they are, or NULL. */
static inline const uint8_t *reader_take(struct reader *reader, size_t size)
{
    if (UNLIKELY(size > reader->end - reader->at)) {
        reader_fail(reader, CFI_FAULT_TRUNCATED, reader->at);
        return NULL;
    }
    const uint8_t *bytes = reader->bytes.base + reader->at;
    reader->at += size;
    return bytes;
}

/* Numbers are little-endian, as this CPU is. */
#define READ_FIXED_(name, type)                                 \
    static inline type name(struct reader *reader)              \
    {                                                           \
        type value = 0;                                         \
        const void *bytes = reader_take(reader, sizeof(value)); \
        if (LIKELY(bytes)) {                                    \
            __builtin_memcpy(&value, bytes, sizeof(value));     \
        }                                                       \
        return value;                                           \
    }
READ_FIXED_(read_u8, uint8_t)
READ_FIXED_(read_u16, uint16_t)
READ_FIXED_(read_u32, uint32_t)
READ_FIXED_(read_u64, uint64_t)
#undef READ_FIXED_

uint64_t read_long_uleb(struct reader *reader);
int64_t read_long_sleb(struct reader *reader);

/* Most numbers are one byte long. */
static inline uint64_t read_uleb(struct reader *reader)
{
    if (LIKELY(reader->at < reader->end && reader->bytes.base[reader->at] < 0x80)) {
        return reader->bytes.base[reader->at++];
    }
    return read_long_uleb(reader);
}

static inline int64_t read_sleb(struct reader *reader)
{
    if (LIKELY(reader->at < reader->end && reader->bytes.base[reader->at] < 0x80)) {
        uint8_t byte = reader->bytes.base[reader->at++];
        return (int64_t)((uint64_t)byte << 57) >> 57;
    }
    return read_long_sleb(reader);
}

/* A pointer of that encoding; `function` is what DW_EH_PE_funcrel counts from. */
uint64_t read_pointer(struct reader *reader, const struct cfi_table *table, uint8_t encoding,
                      uint64_t function);

/* Hands on what a reader met. */
enum status reader_status(const struct reader *reader, struct cfi_fault *fault);
enum status cfi_refuse(struct cfi_fault *fault, enum cfi_fault_code code, uint64_t offset);
