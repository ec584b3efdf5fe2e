/* SPDX-License-Identifier: MIT */
/*
 * diag.h - what exactly was wrong with a cell, or a table of the firmware, as data.
 *
 * Why: "malformed" helps nobody. A reader, linker or loader that refuses something fills one
 * `struct diag`: which rule, in which cell, section and symbol, at which offset, what was expected
 * and what was found. The kernel prints it on one line, cellpack prints it in colour with the next
 * step, and tests assert on its fields.
 *
 * Rules: a `struct diag *` parameter may be NULL where nobody asks. It is written only on failure.
 * Names are copied and cut at the array's size, so a diag outlives the bytes that it is about.
 * The codes are cellpack's: DIAG_ELF_MAGIC is C0102; 04xx and 05xx are its own. Numbers are never
 * reused. Any context.
 */
#pragma once

#include "status.h"

/*
 * X(name, number, status, rule that was broken)
 *
 * 01xx: an object file by itself.  02xx: laying out and linking.  03xx: archives.
 * 06xx: tables of the firmware, where `section` is the table's signature.
 * 07xx: swapping cells.
 * 08xx: manifests of evolutions, where `section` is the line, and what they find.
 */
#define DIAG_TABLE(X) \
    DIAG_CELL_TABLE(X) DIAG_FIRMWARE_TABLE(X) DIAG_SWAP_TABLE(X) DIAG_EVOLUTION_TABLE(X)

#define DIAG_CELL_TABLE(X)                                                                        \
    X(ELF_TRUNCATED, 101, ERR_TRUNCATED, "file ends before a structure that it announces")        \
    X(ELF_MAGIC, 102, ERR_BAD_MAGIC, "not an ELF file")                                           \
    X(ELF_CLASS, 103, ERR_UNSUPPORTED, "not a 64-bit object (EI_CLASS)")                          \
    X(ELF_ENCODING, 104, ERR_UNSUPPORTED, "not little-endian (EI_DATA)")                          \
    X(ELF_VERSION, 105, ERR_UNSUPPORTED, "unknown ELF version")                                   \
    X(ELF_ABI, 106, ERR_UNSUPPORTED, "unknown OS ABI (EI_OSABI)")                                 \
    X(ELF_TYPE, 107, ERR_UNSUPPORTED, "not a relocatable object (e_type)")                        \
    X(ELF_MACHINE, 108, ERR_UNSUPPORTED, "not x86-64 (e_machine)")                                \
    X(ELF_HEADER_SIZE, 109, ERR_BAD_FORMAT, "wrong size of a header or table entry")              \
    X(ELF_NO_SECTIONS, 110, ERR_BAD_FORMAT, "object has no section table")                        \
    X(ELF_EXTENDED_INDEX, 111, ERR_UNSUPPORTED, "extended section indices (SHN_XINDEX)")          \
    X(ELF_SECTION_NAMES, 112, ERR_BAD_FORMAT, "section name table is not usable (e_shstrndx)")    \
    X(ELF_NAME, 113, ERR_BAD_FORMAT, "name lies outside its string table")                        \
    X(ELF_SECTION_BOUNDS, 114, ERR_OUT_OF_BOUNDS, "section lies outside the file")                \
    X(ELF_ALIGNMENT, 115, ERR_MISALIGNED, "alignment is not a power of two, or too large")        \
    X(ELF_SECTION_TYPE, 116, ERR_UNSUPPORTED, "section type cannot be loaded")                    \
    X(ELF_SECTION_LINK, 117, ERR_BAD_FORMAT, "sh_link or sh_info names no suitable section")      \
    X(ELF_ENTRY_SIZE, 118, ERR_BAD_FORMAT, "size is not a multiple of the entry size")            \
    X(ELF_SYMBOL_TABLE, 119, ERR_BAD_FORMAT, "object needs exactly one symbol table")             \
    X(ELF_SYMBOL_ORDER, 120, ERR_BAD_FORMAT, "local and global symbols are mixed up")             \
    X(ELF_SYMBOL_SECTION, 121, ERR_BAD_FORMAT, "symbol names a section that does not exist")      \
    X(ELF_SYMBOL_BOUNDS, 122, ERR_OUT_OF_BOUNDS, "symbol lies outside its section")               \
    X(ELF_SYMBOL_TYPE, 123, ERR_UNSUPPORTED, "symbol type cannot be linked")                      \
    X(ELF_SYMBOL_BINDING, 124, ERR_UNSUPPORTED, "symbol binding cannot be linked")                \
    X(ELF_COMMON, 125, ERR_UNSUPPORTED, "common symbol; compile with -fno-common")                \
    X(ELF_TLS, 126, ERR_UNSUPPORTED, "thread-local storage")                                      \
    X(ELF_WRITE_EXEC, 127, ERR_PERMISSION, "section is writable and executable")                  \
    X(ELF_RELOCATION_FORM, 128, ERR_UNSUPPORTED, "relocations without addends (SHT_REL)")         \
    X(ELF_COMPRESSED, 129, ERR_UNSUPPORTED, "loadable section is compressed")                     \
    X(ELF_LIMIT, 130, ERR_LIMIT, "object exceeds a limit of the format")                          \
    X(CELL_INFO, 140, ERR_BAD_FORMAT, "the .cell.info note is missing or malformed")              \
    X(CELL_UNWIND, 141, ERR_BAD_FORMAT, "the .cell.unwind index is malformed")                    \
    X(CELL_NAME, 142, ERR_MISMATCH, "the cell is not named like its member")                      \
    X(CELL_ABI, 143, ERR_BAD_FORMAT, "the .cell.abi section is malformed")                        \
    X(CELL_TRANSFER, 145, ERR_BAD_FORMAT, "the .cell.transfer note is malformed")                 \
    X(LINK_SYMBOL_INDEX, 201, ERR_OUT_OF_BOUNDS, "relocation names a symbol that does not exist") \
    X(LINK_OFFSET, 202, ERR_OUT_OF_BOUNDS, "relocation lies outside its section")                 \
    X(LINK_RELOCATION_TYPE, 203, ERR_UNSUPPORTED, "relocation type is not supported")             \
    X(LINK_OVERFLOW, 204, ERR_OVERFLOW, "relocated value does not fit its field")                 \
    X(LINK_MISSING_SYMBOL, 205, ERR_MISSING_SYMBOL, "symbol is not defined by any cell")          \
    X(LINK_DUPLICATE_SYMBOL, 206, ERR_DUPLICATE_SYMBOL, "symbol is defined by two cells")         \
    X(LINK_NOT_LOADED, 207, ERR_BAD_FORMAT, "reference to a section that is not loaded")          \
    X(LINK_DUPLICATE_CELL, 208, ERR_EXISTS, "a cell of this name is loaded already")              \
    X(LINK_DEPTH, 209, ERR_LIMIT, "load needs more cells at once than is allowed")                \
    X(LINK_MEMORY, 210, ERR_NO_MEMORY, "not enough memory to load the cell")                      \
    X(LINK_IMAGE, 211, ERR_MISMATCH, "the running image differs from the cell in the archive")    \
    X(LINK_ENTRIES, 212, ERR_LIMIT, "no more function entries")                                   \
    X(LINK_CELL, 213, ERR_NOT_FOUND, "no such cell in the archive")                               \
    X(LINK_HELD, 214, ERR_BUSY, "the cell is held")                                               \
    X(LINK_NEEDED, 215, ERR_BUSY, "another cell refers to the cell")                              \
    X(LINK_SIGNATURE, 216, ERR_MISMATCH, "two cells declare a symbol differently")                \
    X(LINK_TYPE, 217, ERR_MISMATCH, "two cells know different layouts of a type")                 \
    X(ARCHIVE_MAGIC, 301, ERR_BAD_MAGIC, "not an ar archive")                                     \
    X(ARCHIVE_HEADER, 302, ERR_BAD_FORMAT, "malformed member header")                             \
    X(ARCHIVE_TRUNCATED, 303, ERR_TRUNCATED, "archive ends inside a member")                      \
    X(ARCHIVE_NAME, 304, ERR_BAD_FORMAT, "member has no usable name")                             \
    X(ARCHIVE_INDEX, 305, ERR_BAD_FORMAT, "symbol index is missing or malformed")                 \
    X(ARCHIVE_ABSENT, 306, ERR_NOT_FOUND, "there is no archive of cells")

#define DIAG_FIRMWARE_TABLE(X)                                                                \
    X(ACPI_TRUNCATED, 601, ERR_TRUNCATED, "table ends before a structure that it announces")  \
    X(ACPI_SIGNATURE, 602, ERR_BAD_MAGIC, "not the table that is expected here (signature)")  \
    X(ACPI_CHECKSUM, 603, ERR_BAD_FORMAT, "bytes of the table do not add up to 0 (checksum)") \
    X(ACPI_LENGTH, 604, ERR_BAD_FORMAT, "length of the table is impossible")                  \
    X(ACPI_REVISION, 605, ERR_UNSUPPORTED, "revision of the table does not exist")            \
    X(ACPI_ENTRY, 606, ERR_BAD_FORMAT, "length of an entry is impossible")                    \
    X(ACPI_ADDRESS, 607, ERR_OUT_OF_BOUNDS, "address is missing or impossible")               \
    X(ACPI_VALUE, 608, ERR_BAD_FORMAT, "value is reserved or impossible")                     \
    X(ACPI_TWICE, 609, ERR_EXISTS, "two entries contradict one another")                      \
    X(ACPI_MEMORY, 610, ERR_PERMISSION, "table lies in memory that is not the firmware's")    \
    X(ACPI_NO_ROOM, 611, ERR_NO_MEMORY, "not enough memory to copy the table")                \
    X(ACPI_ABSENT, 612, ERR_NO_DEVICE, "there are no ACPI tables")                            \
    X(ACPI_CHANGED, 613, ERR_MISMATCH, "table is not the one that was there before")          \
    X(AML_ABSENT, 621, ERR_NOT_FOUND, "no package of this name in the AML")                   \
    X(AML_PACKAGE, 622, ERR_BAD_FORMAT, "package is malformed")                               \
    X(AML_ELEMENT, 623, ERR_UNSUPPORTED, "element of the package is no small constant")       \
    X(AML_TWICE, 624, ERR_MISMATCH, "two packages of this name differ")

#define DIAG_SWAP_TABLE(X)                                                                        \
    X(SWAP_CELL, 701, ERR_NOT_FOUND, "no cell of this name is loaded that could be replaced")     \
    X(SWAP_PAIRS, 702, ERR_INVALID_ARGUMENT, "pairs of a swap name no cell, or are too many")     \
    X(SWAP_LAYOUT, 703, ERR_MISMATCH, "a variable or type has changed, and nothing transfers it") \
    X(SWAP_AMBIGUOUS, 704, ERR_MISMATCH, "variables of one name cannot be told apart")            \
    X(SWAP_MISSING, 705, ERR_MISSING_SYMBOL, "the new cells lack what a cell that stays uses")    \
    X(SWAP_SIGNATURE, 706, ERR_MISMATCH, "a new cell and another declare something differently")  \
    X(SWAP_FRAMES, 707, ERR_BUSY, "a task is in the middle of an old cell")                       \
    X(SWAP_HELD, 708, ERR_BUSY, "an old cell without a successor is held")                        \
    X(SWAP_MEMORY, 709, ERR_NO_MEMORY, "not enough memory to swap")                               \
    X(SWAP_BYTES, 710, ERR_MISMATCH, "memory does not hold what the linker wrote there")          \
    X(SWAP_TRANSFER, 711, ERR_NOT_FOUND, "a transfer names a variable that no old cell has")      \
    X(SWAP_TRANSFER_FAILED, 712, ERR_FAILED, "a function of transfer has failed")                 \
    X(SWAP_UNKNOWN, 713, ERR_NOT_FOUND, "no swap of this number is remembered")                   \
    X(SWAP_STOP, 714, ERR_TIMEOUT, "another CPU did not stop")                                    \
    X(SWAP_STEP, 715, ERR_FAILED, "a step was made to fail, by a test")                           \
    X(SWAP_HOOK, 716, ERR_FAILED, "who asked for the swap has taken it back")                     \
    X(SWAP_TRANSFER_LIMIT, 717, ERR_TIMEOUT, "a function of transfer took too long, and was ended")

#define DIAG_EVOLUTION_TABLE(X)                                                                 \
    X(EVOLUTION_FORMAT, 801, ERR_UNSUPPORTED, "not an evolution manifest of version 1")         \
    X(EVOLUTION_LINE, 802, ERR_BAD_FORMAT, "line of the manifest is not understood")            \
    X(EVOLUTION_WORD, 803, ERR_BAD_FORMAT, "not the name, number or hash that belongs here")    \
    X(EVOLUTION_ORDER, 804, ERR_BAD_FORMAT, "line of the manifest does not belong here")        \
    X(EVOLUTION_TWICE, 805, ERR_EXISTS, "a cell is named twice in the manifest")                \
    X(EVOLUTION_END, 806, ERR_TRUNCATED, "the manifest does not end with its last line")        \
    X(EVOLUTION_LIMIT, 807, ERR_LIMIT, "the manifest exceeds a limit of its format")            \
    X(EVOLUTION_CELL, 808, ERR_MISMATCH, "the running cell is not what the manifest expects")   \
    X(EVOLUTION_BUNDLE, 809, ERR_MISMATCH, "the bundle is not the one that the manifest names") \
    X(EVOLUTION_MEMBER, 810, ERR_MISMATCH,                                                      \
      "the cell in the bundle is not what the manifest names")                                  \
    X(EVOLUTION_TRANSFER, 811, ERR_MISMATCH, "the new cell has no such line about transfer")    \
    X(EVOLUTION_PRESENT, 812, ERR_EXISTS, "a cell that is to be added is there already")        \
    X(EVOLUTION_NONE, 813, ERR_NOT_FOUND, "there is no evolution that can be taken back")

enum diag_code {
    DIAG_NONE = 0,
#define DIAG_ENUMERATOR_(name, number, status, text) DIAG_##name = (number),
    DIAG_TABLE(DIAG_ENUMERATOR_)
#undef DIAG_ENUMERATOR_
};

#define DIAG_CELL_SIZE    48
#define DIAG_SECTION_SIZE 64
#define DIAG_SYMBOL_SIZE  192

struct diag {
    enum diag_code code;
    enum status status;
    char cell[DIAG_CELL_SIZE];       /* member or file at fault; may be empty */
    char section[DIAG_SECTION_SIZE]; /* may be empty */
    char symbol[DIAG_SYMBOL_SIZE];   /* symbol, relocation kind or other cell; may be empty */
    uint64_t offset;                 /* see below */
    uint64_t expected;               /* meaning depends on the code; both 0 where it has none */
    uint64_t found;
};

/*
 * `offset` counts bytes from the start of the section; from the start of the file where no section
 * is named, and where it is the section's header that is at fault (C0110 to C0130).
 */

/* What a caller knows when it refuses something; strings may be NULL. */
struct diag_site {
    const char *cell;
    const char *section;
    const char *symbol;
    uint64_t offset;
    uint64_t expected;
    uint64_t found;
};

/*
 * Fills `diag` (if not NULL) and returns the status that belongs to `code`, so that a refusal is
 * one line: `return diag_set(diag, DIAG_ELF_MAGIC, &(struct diag_site){.found = magic});`
 */
CELL_API enum status diag_set(struct diag *diag, enum diag_code code, const struct diag_site *site);

/* Names the cell afterwards, for readers that see only bytes. Does nothing where one is named. */
CELL_API void diag_name_cell(struct diag *diag, const char *cell);

/* The rule that a code stands for; "unknown error" for a number that is not in the table. */
CELL_API const char *diag_rule(enum diag_code code);

/*
 * One line without a newline, always terminated: `C0204 hello:.text.hello_main+0x1c: relocated
 * value does not fit its field: R_X86_64_32 printer (expected 0xffffffff, found 0x...)`. Returns
 * the length that the whole line needs, as snprintf does.
 */
CELL_API size_t diag_format(const struct diag *diag, char *buffer, size_t size);
