/* SPDX-License-Identifier: MIT */
/*
 * elf.h - the parts of ELF64 that relocatable objects use, in the spelling of the standards.
 *
 * Why: ELF gABI 4.1 chapters "Object Files" (header, sections, symbols, relocation) and the x86-64
 * psABI 1.0 section "Relocation". The host's <elf.h> is not there in the kernel; this one can be
 * included beside it (type names differ, macros are spelled alike).
 *
 * Rules: the structures are packed, so they may be read at any address: the members of an ar
 * archive are aligned to 2 bytes only. x86-64 loads do not care, and the sanitizers are told.
 */
#pragma once

#include "cell.h"

#define EI_CLASS      4
#define EI_DATA       5
#define EI_VERSION    6
#define EI_OSABI      7
#define EI_NIDENT     16
#define ELFCLASS64    2
#define ELFDATA2LSB   1
#define EV_CURRENT    1
#define ELFOSABI_SYSV 0
#define ELFOSABI_GNU  3

#define ET_REL    1
#define EM_X86_64 62

#define SHN_UNDEF     0
#define SHN_LORESERVE 0xff00
#define SHN_ABS       0xfff1
#define SHN_COMMON    0xfff2
#define SHN_XINDEX    0xffff

#define SHT_NULL          0
#define SHT_PROGBITS      1
#define SHT_SYMTAB        2
#define SHT_STRTAB        3
#define SHT_RELA          4
#define SHT_NOTE          7
#define SHT_NOBITS        8
#define SHT_REL           9
#define SHT_INIT_ARRAY    14
#define SHT_FINI_ARRAY    15
#define SHT_GROUP         17
#define SHT_SYMTAB_SHNDX  18
#define SHT_X86_64_UNWIND 0x70000001

#define SHF_WRITE      (1 << 0)
#define SHF_ALLOC      (1 << 1)
#define SHF_EXECINSTR  (1 << 2)
#define SHF_MERGE      (1 << 4)
#define SHF_STRINGS    (1 << 5)
#define SHF_INFO_LINK  (1 << 6)
#define SHF_LINK_ORDER (1 << 7)
#define SHF_GROUP      (1 << 9)
#define SHF_TLS        (1 << 10)
#define SHF_COMPRESSED (1 << 11)

#define STB_LOCAL  0
#define STB_GLOBAL 1
#define STB_WEAK   2

#define STT_NOTYPE    0
#define STT_OBJECT    1
#define STT_FUNC      2
#define STT_SECTION   3
#define STT_FILE      4
#define STT_COMMON    5
#define STT_TLS       6
#define STT_GNU_IFUNC 10

#define STV_DEFAULT   0
#define STV_INTERNAL  1
#define STV_HIDDEN    2
#define STV_PROTECTED 3

#define R_X86_64_NONE  0
#define R_X86_64_64    1
#define R_X86_64_PC32  2
#define R_X86_64_PLT32 4
#define R_X86_64_32    10
#define R_X86_64_32S   11
#define R_X86_64_PC64  24

struct elf64_ehdr {
    uint8_t e_ident[EI_NIDENT];
    uint16_t e_type;
    uint16_t e_machine;
    uint32_t e_version;
    uint64_t e_entry;
    uint64_t e_phoff;
    uint64_t e_shoff;
    uint32_t e_flags;
    uint16_t e_ehsize;
    uint16_t e_phentsize;
    uint16_t e_phnum;
    uint16_t e_shentsize;
    uint16_t e_shnum;
    uint16_t e_shstrndx;
} PACKED;

struct elf64_shdr {
    uint32_t sh_name;
    uint32_t sh_type;
    uint64_t sh_flags;
    uint64_t sh_addr;
    uint64_t sh_offset;
    uint64_t sh_size;
    uint32_t sh_link;
    uint32_t sh_info;
    uint64_t sh_addralign;
    uint64_t sh_entsize;
} PACKED;

struct elf64_sym {
    uint32_t st_name;
    uint8_t st_info;
    uint8_t st_other;
    uint16_t st_shndx;
    uint64_t st_value;
    uint64_t st_size;
} PACKED;

struct elf64_rela {
    uint64_t r_offset;
    uint32_t r_type; /* the low half of r_info */
    uint32_t r_sym;  /* the high half */
    int64_t r_addend;
} PACKED;

static_assert(sizeof(struct elf64_ehdr) == 64, "ELF gABI, ELF Header");
static_assert(sizeof(struct elf64_shdr) == 64, "ELF gABI, Section Header");
static_assert(sizeof(struct elf64_sym) == 24, "ELF gABI, Symbol Table");
static_assert(sizeof(struct elf64_rela) == 24, "ELF gABI, Relocation");

static inline uint8_t elf_symbol_type(const struct elf64_sym *symbol)
{
    return symbol->st_info & 0xf;
}

static inline uint8_t elf_symbol_binding(const struct elf64_sym *symbol)
{
    return symbol->st_info >> 4;
}

static inline uint8_t elf_symbol_visibility(const struct elf64_sym *symbol)
{
    return symbol->st_other & 0x3;
}

/* Can another cell name this symbol? (ELF gABI, Symbol Visibility) */
static inline bool elf_symbol_is_export(const struct elf64_sym *symbol)
{
    uint8_t visibility = elf_symbol_visibility(symbol);
    return elf_symbol_binding(symbol) != STB_LOCAL && symbol->st_shndx != SHN_UNDEF &&
           (visibility == STV_DEFAULT || visibility == STV_PROTECTED);
}
