/* SPDX-License-Identifier: MIT */
#include "mutate.h"
#include "elf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AR_MAGIC  "!<arch>\n"
#define AR_HEADER 60u

uint64_t mutate_random(uint64_t *state)
{
    *state ^= *state >> 12; /* xorshift64* */
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

uint64_t mutate_random_below(uint64_t *state, uint64_t limit)
{
    return limit ? mutate_random(state) % limit : 0;
}

/* ---- values ---- */

/* A number that is likely to be wrong in an interesting way. */
static uint64_t edge_value(uint64_t old, size_t file_size, uint64_t *random)
{
    static const uint64_t values[] = {
        0,          1,          2,          3,          4,           5,
        7,          8,          16,         24,         63,          64,
        127,        255,        256,        4095,       4096,        4097,
        0x7fff,     0xff00,     0xfff1,     0xfff2,     0xffff,      0x10000,
        0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff, 0x100000000, 1ull << 30,
        1ull << 32, 1ull << 62, 1ull << 63, INT64_MAX,  UINT64_MAX,  UINT64_MAX - 7};
    switch (mutate_random_below(random, 6)) {
    case 0:
        return old + 1 - 2 * mutate_random_below(random, 2);
    case 1:
        return old ^ 1ull << mutate_random_below(random, 64);
    case 2:
        return file_size + mutate_random_below(random, 3) - 1;
    case 3:
        return mutate_random_below(random, file_size + 1);
    case 4:
        return old * 2;
    default:
        return values[mutate_random_below(random, ARRAY_COUNT(values))];
    }
}

/* Changes the little-endian number of `width` bytes at `offset`, if it is there. */
static void change_number(uint8_t *bytes, size_t size, uint64_t offset, size_t width,
                          uint64_t *random)
{
    uint64_t value = 0;
    if (offset > size || width > size - offset) {
        return;
    }
    memcpy(&value, bytes + offset, width);
    value = edge_value(value, size, random);
    memcpy(bytes + offset, &value, width);
}

/* ---- any bytes ---- */

static size_t mutate_plain(uint8_t *bytes, size_t size, size_t capacity, uint64_t *random)
{
    static const size_t widths[] = {1, 2, 4, 8};
    size_t at = mutate_random_below(random, size);
    size_t length = 1 + mutate_random_below(random, 32);
    if (size == 0) {
        return 0;
    }
    switch (mutate_random_below(random, 6)) {
    case 0:
        return 1 + at; /* cut */
    case 1:
        if (size + length <= capacity) {
            memmove(bytes + at + length, bytes + at, size - at);
            return size + length;
        }
        return size;
    case 2:
        if (length < size - at) {
            memmove(bytes + at, bytes + at + length, size - at - length);
            return size - length;
        }
        return size;
    case 3:
        bytes[at] ^= (uint8_t)(1u << mutate_random_below(random, 8));
        return size;
    case 4:
        mutate_splice(bytes, size, bytes, size, random);
        return size;
    default:
        change_number(bytes, size, at, widths[mutate_random_below(random, 4)], random);
        return size;
    }
}

void mutate_splice(uint8_t *bytes, size_t size, const uint8_t *other, size_t other_size,
                   uint64_t *random)
{
    size_t from = mutate_random_below(random, other_size);
    size_t to = mutate_random_below(random, size);
    size_t length = 1 + mutate_random_below(random, 64);
    if (other_size > 0 && size > 0 && length <= other_size - from && length <= size - to) {
        memmove(bytes + to, other + from, length);
    }
}

/* ---- objects ---- */

struct field {
    uint8_t offset;
    uint8_t width;
};
#define FIELD(type, name)                                             \
    {                                                                 \
        offsetof(struct type, name), sizeof(((struct type *)0)->name) \
    }

static const struct field header_fields[] = {
    FIELD(elf64_ehdr, e_type),  FIELD(elf64_ehdr, e_machine), FIELD(elf64_ehdr, e_version),
    FIELD(elf64_ehdr, e_shoff), FIELD(elf64_ehdr, e_ehsize),  FIELD(elf64_ehdr, e_shentsize),
    FIELD(elf64_ehdr, e_shnum), FIELD(elf64_ehdr, e_shstrndx)};
static const struct field section_fields[] = {
    FIELD(elf64_shdr, sh_name),   FIELD(elf64_shdr, sh_type),   FIELD(elf64_shdr, sh_flags),
    FIELD(elf64_shdr, sh_addr),   FIELD(elf64_shdr, sh_offset), FIELD(elf64_shdr, sh_size),
    FIELD(elf64_shdr, sh_link),   FIELD(elf64_shdr, sh_info),   FIELD(elf64_shdr, sh_addralign),
    FIELD(elf64_shdr, sh_entsize)};
static const struct field symbol_fields[] = {FIELD(elf64_sym, st_name),  FIELD(elf64_sym, st_info),
                                             FIELD(elf64_sym, st_other), FIELD(elf64_sym, st_shndx),
                                             FIELD(elf64_sym, st_value), FIELD(elf64_sym, st_size)};
static const struct field relocation_fields[] = {
    FIELD(elf64_rela, r_offset), FIELD(elf64_rela, r_type), FIELD(elf64_rela, r_sym),
    FIELD(elf64_rela, r_addend)};

struct object {
    uint8_t *bytes;
    size_t size;
    struct elf64_shdr *sections; /* in the file; only those that are inside are counted */
    size_t section_count;
};

static bool find_sections(uint8_t *bytes, size_t size, struct object *out)
{
    struct elf64_ehdr header;
    if (size < sizeof(header) || memcmp(bytes, "\177ELF", 4) != 0) {
        return false;
    }
    memcpy(&header, bytes, sizeof(header));
    *out = (struct object){.bytes = bytes, .size = size};
    if (header.e_shoff < size) {
        uint64_t fitting = (size - header.e_shoff) / sizeof(struct elf64_shdr);
        out->sections = (struct elf64_shdr *)(bytes + header.e_shoff);
        out->section_count = fitting < header.e_shnum ? fitting : header.e_shnum;
    }
    return true;
}

static void change_field(const struct object *object, uint64_t base, const struct field *fields,
                         size_t count, uint64_t *random)
{
    const struct field *field = &fields[mutate_random_below(random, count)];
    if (base < object->size) {
        change_number(object->bytes, object->size, base + field->offset, field->width, random);
    }
}

/* A random section of the type, or NULL. */
static struct elf64_shdr *pick_section(const struct object *object, uint32_t type, uint64_t *random)
{
    size_t start = mutate_random_below(random, object->section_count);
    for (size_t i = 0; i < object->section_count; i++) {
        struct elf64_shdr *section = &object->sections[(start + i) % object->section_count];
        if (section->sh_type == type) {
            return section;
        }
    }
    return NULL;
}

/* The file offset of a random element of a table section. */
static uint64_t pick_element(const struct elf64_shdr *table, size_t element, uint64_t *random)
{
    return table->sh_offset + mutate_random_below(random, table->sh_size / element) * element;
}

/* Values that are valid, but not those that the object had. */
static void reshuffle_symbol(const struct object *object, uint64_t at, uint64_t *random)
{
    static const uint16_t special[] = {SHN_UNDEF, SHN_ABS, SHN_COMMON, SHN_XINDEX};
    struct elf64_sym symbol;
    if (at > object->size || sizeof(symbol) > object->size - at) {
        return;
    }
    memcpy(&symbol, object->bytes + at, sizeof(symbol));
    switch (mutate_random_below(random, 4)) {
    case 0:
        symbol.st_shndx = special[mutate_random_below(random, ARRAY_COUNT(special))];
        break;
    case 1:
        symbol.st_shndx = (uint16_t)mutate_random_below(random, object->section_count + 1);
        break;
    case 2:
        symbol.st_info =
            (uint8_t)(mutate_random_below(random, 3) << 4 | mutate_random_below(random, 11));
        break;
    default:
        symbol.st_value = mutate_random_below(random, 64);
        symbol.st_size = mutate_random_below(random, 64);
    }
    memcpy(object->bytes + at, &symbol, sizeof(symbol));
}

static void reshuffle_relocation(const struct object *object, const struct elf64_shdr *table,
                                 uint64_t at, uint64_t *random)
{
    static const uint32_t types[] = {R_X86_64_NONE, R_X86_64_64,  R_X86_64_PC32, R_X86_64_PLT32,
                                     R_X86_64_32,   R_X86_64_32S, R_X86_64_PC64};
    struct elf64_rela rela;
    if (at > object->size || sizeof(rela) > object->size - at) {
        return;
    }
    memcpy(&rela, object->bytes + at, sizeof(rela));
    uint64_t target_size =
        table->sh_info < object->section_count ? object->sections[table->sh_info].sh_size : 64;
    switch (mutate_random_below(random, 5)) {
    case 0:
        rela.r_type = (uint32_t)mutate_random_below(random, 44);
        break;
    case 1:
        rela.r_type = types[mutate_random_below(random, ARRAY_COUNT(types))];
        break;
    case 2:
        rela.r_sym = (uint32_t)mutate_random_below(random, 40);
        break;
    case 3:
        rela.r_offset = target_size - mutate_random_below(random, 10);
        break;
    default:
        rela.r_addend = (int64_t)mutate_random_below(random, 64) - 32;
    }
    memcpy(object->bytes + at, &rela, sizeof(rela));
}

static void swap_sections(const struct object *object, uint64_t *random)
{
    if (object->section_count > 0) {
        struct elf64_shdr *a =
            &object->sections[mutate_random_below(random, object->section_count)];
        struct elf64_shdr *b =
            &object->sections[mutate_random_below(random, object->section_count)];
        struct elf64_shdr kept = *a;
        *a = *b;
        *b = kept;
    }
}

/* A copy of the section table, with one section twice, behind everything else. */
static size_t duplicate_section(const struct object *object, size_t capacity, uint64_t *random)
{
    struct elf64_ehdr *header = (struct elf64_ehdr *)object->bytes;
    size_t table_size = object->section_count * sizeof(struct elf64_shdr);
    size_t end = object->size + table_size + sizeof(struct elf64_shdr);
    if (object->section_count == 0 || end > capacity) {
        return object->size;
    }
    memcpy(object->bytes + object->size, object->sections, table_size);
    memcpy(object->bytes + object->size + table_size,
           &object->sections[mutate_random_below(random, object->section_count)],
           sizeof(struct elf64_shdr));
    header->e_shoff = object->size;
    header->e_shnum = (uint16_t)(object->section_count + 1);
    return end;
}

static size_t mutate_object(const struct object *object, size_t capacity, uint64_t *random)
{
    const struct elf64_shdr *symbols = pick_section(object, SHT_SYMTAB, random);
    const struct elf64_shdr *relocations = pick_section(object, SHT_RELA, random);
    uint64_t choice = mutate_random_below(random, 12);
    uint64_t table = (uint64_t)((uint8_t *)object->sections - object->bytes);
    if (choice == 0) {
        change_field(object, 0, header_fields, ARRAY_COUNT(header_fields), random);
    } else if (choice <= 3 && object->section_count > 0) {
        uint64_t index = mutate_random_below(random, object->section_count);
        change_field(object, table + index * sizeof(struct elf64_shdr), section_fields,
                     ARRAY_COUNT(section_fields), random);
    } else if (choice == 4) {
        swap_sections(object, random);
    } else if (choice == 5) {
        return duplicate_section(object, capacity, random);
    } else if (choice <= 8 && symbols) {
        uint64_t at = pick_element(symbols, sizeof(struct elf64_sym), random);
        if (choice == 6) {
            change_field(object, at, symbol_fields, ARRAY_COUNT(symbol_fields), random);
        } else {
            reshuffle_symbol(object, at, random);
        }
    } else if (relocations) {
        uint64_t at = pick_element(relocations, sizeof(struct elf64_rela), random);
        if (choice == 9) {
            change_field(object, at, relocation_fields, ARRAY_COUNT(relocation_fields), random);
        } else {
            reshuffle_relocation(object, relocations, at, random);
        }
    }
    return object->size;
}

/* ---- archives ---- */

struct member {
    size_t header;
    size_t size; /* of the data, as far as it is there */
};

/* A random member, with the index and the long names; false where there is none. */
static bool pick_member(const uint8_t *bytes, size_t size, struct member *out, uint64_t *random)
{
    size_t count = 0;
    for (size_t at = 8; at < size && AR_HEADER <= size - at;) {
        char digits[11] = "";
        memcpy(digits, bytes + at + 48, 10);
        size_t left = size - at - AR_HEADER;
        size_t length = strtoul(digits, NULL, 10);
        length = length < left ? length : left;
        if (mutate_random_below(random, ++count) == 0) { /* each member with the same chance */
            *out = (struct member){.header = at, .size = length};
        }
        at += AR_HEADER + length + (length & 1);
    }
    return count > 0;
}

/* Big-endian, as in the symbol index. */
static void change_index(uint8_t *bytes, const struct member *index, size_t file_size,
                         uint64_t *random)
{
    uint32_t number;
    if (index->size < sizeof(number)) {
        return;
    }
    uint8_t *at = bytes + index->header + AR_HEADER +
                  mutate_random_below(random, index->size / sizeof(number)) * sizeof(number);
    memcpy(&number, at, sizeof(number));
    number = __builtin_bswap32((uint32_t)edge_value(__builtin_bswap32(number), file_size, random));
    memcpy(at, &number, sizeof(number));
}

static void change_decimal(uint8_t *field, size_t width, size_t file_size, uint64_t *random)
{
    char text[32];
    int length = snprintf(
        text, sizeof(text), "%-16llu",
        (unsigned long long)edge_value(strtoul((char *)field, NULL, 10), file_size, random));
    memcpy(field, text, (size_t)length < width ? (size_t)length : width);
}

static size_t append_member(uint8_t *bytes, size_t size, size_t capacity,
                            const struct member *member)
{
    size_t length = AR_HEADER + member->size;
    if ((size & 1) == 1 || length > capacity - size) {
        return size;
    }
    memcpy(bytes + size, bytes + member->header, length);
    return size + length;
}

static size_t mutate_archive(uint8_t *bytes, size_t size, size_t capacity, uint64_t *random)
{
    struct member member;
    struct object object;
    if (!pick_member(bytes, size, &member, random)) {
        return mutate_plain(bytes, size, capacity, random);
    }
    uint8_t *header = bytes + member.header;
    switch (mutate_random_below(random, 10)) {
    case 0:
        change_decimal(header + 48, 10, size, random);
        return size;
    case 1:
        header[mutate_random_below(random, 16)] =
            (uint8_t) "/ 0a\n\0"[mutate_random_below(random, 6)];
        return size;
    case 2:
        header[mutate_random_below(random, AR_HEADER)] ^=
            (uint8_t)(1u << mutate_random_below(random, 8));
        return size;
    case 3:
        return append_member(bytes, size, capacity, &member);
    case 4:
    case 5:
        change_index(bytes, &member, size, random);
        return size;
    default:
        if (find_sections(header + AR_HEADER, member.size, &object)) {
            mutate_object(&object, member.size, random); /* in place: nobody else moves */
        } else {
            mutate_plain(header + AR_HEADER, member.size, member.size, random);
        }
        return size;
    }
}

size_t mutate(uint8_t *bytes, size_t size, size_t capacity, uint64_t *random)
{
    struct object object;
    if (mutate_random_below(random, 8) == 0) {
        return mutate_plain(bytes, size, capacity, random);
    }
    if (size >= 8 && memcmp(bytes, AR_MAGIC, 8) == 0) {
        return mutate_archive(bytes, size, capacity, random);
    }
    if (find_sections(bytes, size, &object)) {
        return mutate_object(&object, capacity, random);
    }
    return mutate_plain(bytes, size, capacity, random);
}

/* ---- libFuzzer ---- */

/* libFuzzer's own mutations; not there in the other driver. */
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t capacity) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t capacity, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t capacity, unsigned seed)
{
    uint64_t random = seed + 1ull;
    if (LLVMFuzzerMutate && mutate_random_below(&random, 4) == 0) {
        return LLVMFuzzerMutate(bytes, size, capacity);
    }
    return mutate(bytes, size, capacity, &random);
}
