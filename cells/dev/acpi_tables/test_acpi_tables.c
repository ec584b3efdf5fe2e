/* SPDX-License-Identifier: MIT */
/*
 * Tables are built here, one defect at a time; test/unit/test_firmware_tables.c reads real ones.
 * What is read lies in a block of exactly its size, so that the sanitizer sees each byte beyond it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "acpi_tables.h"

#define ROOM 8192u

struct bytes {
    uint8_t at[ROOM];
    size_t size;
};

static struct bytes table;
static struct diag diag;
static uint8_t *exact;

/* A copy in a block of its own; the one before is freed. */
static struct span exactly(const void *from, size_t size)
{
    free(exact);
    exact = malloc(size ? size : 1);
    memcpy(exact, from, size);
    diag = (struct diag){0};
    return span_of(exact, size);
}

static void set(size_t offset, uint64_t value, size_t size)
{
    assert_true(offset + size <= ROOM);
    memcpy(table.at + offset, &value, size);
}

static void put(const void *content, size_t size)
{
    assert_true(table.size + size <= ROOM);
    memcpy(table.at + table.size, content, size);
    table.size += size;
}

#define PUT(...) put((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void add_checksum(size_t at, size_t size)
{
    uint8_t sum = 0;
    table.at[at] = 0;
    for (size_t i = 0; i < size; i++) {
        sum = (uint8_t)(sum + table.at[i]);
    }
    table.at[at] = (uint8_t)-sum;
}

static void begin(const char *signature, size_t size)
{
    memset(&table, 0, sizeof(table));
    memcpy(table.at, signature, strlen(signature));
    table.size = size;
    table.at[8] = 1;
}

/* Length and checksum of a table. */
static struct span finish(void)
{
    set(4, table.size, 4);
    add_checksum(9, table.size);
    return exactly(table.at, table.size);
}

static int release(void **state)
{
    (void)state;
    free(exact);
    exact = NULL;
    return 0;
}

/* ---- root pointer ---- */

static void old_pointer(void)
{
    begin("RSD PTR ", ACPI_RSDP_OLD_SIZE);
    table.at[8] = 0;
    memcpy(table.at + 9, "DEL\033OS", 6);
    set(16, 0x7fe23b3, 4);
    add_checksum(8, 20);
}

static void new_pointer(void)
{
    old_pointer();
    table.size = ACPI_RSDP_SIZE;
    set(15, 2, 1);
    set(20, ACPI_RSDP_SIZE, 4);
    set(24, 0x123456780, 8);
    add_checksum(8, 20);
    add_checksum(32, 36);
}

static enum status read_pointer(struct acpi_pointer *out)
{
    return acpi_tables_read_pointer(exactly(table.at, table.size), out, &diag);
}

static void test_pointer_old_and_new_lead_to_their_root(void **state)
{
    (void)state;
    struct acpi_pointer pointer;
    old_pointer();
    assert_int_equal(read_pointer(&pointer), OK);
    assert_int_equal(pointer.root, 0x7fe23b3);
    assert_int_equal(pointer.entry_size, 4);
    assert_int_equal(pointer.revision, 0);
    assert_string_equal(pointer.oem, "DEL?OS"); /* nothing that a terminal obeys */
    new_pointer();
    assert_int_equal(read_pointer(&pointer), OK);
    assert_int_equal(pointer.root, 0x123456780);
    assert_int_equal(pointer.entry_size, 8);
    assert_int_equal(pointer.revision, 2);
}

static void test_pointer_new_without_xsdt_or_cut_leads_to_the_rsdt(void **state)
{
    (void)state;
    struct acpi_pointer pointer;
    new_pointer();
    set(24, 0, 8);
    add_checksum(32, 36);
    assert_int_equal(read_pointer(&pointer), OK);
    assert_int_equal(pointer.root, 0x7fe23b3);
    assert_int_equal(pointer.entry_size, 4);
    new_pointer();
    table.size = ACPI_RSDP_OLD_SIZE;
    assert_int_equal(read_pointer(&pointer), OK);
    assert_int_equal(pointer.entry_size, 4);
}

static void pointer_magic(void)
{
    table.at[3] = 'P';
}

static void pointer_sum(void)
{
    table.at[8]++;
}

static void pointer_revision_1(void)
{
    set(15, 1, 1);
    add_checksum(8, 20);
}

static void pointer_length_short(void)
{
    set(20, 35, 4);
    add_checksum(32, 36);
}

static void pointer_length_long(void)
{
    set(20, 37, 4);
    add_checksum(32, 36);
}

static void pointer_new_sum(void)
{
    table.at[32]++;
}

static void pointer_without_roots(void)
{
    set(16, 0, 4);
    set(24, 0, 8);
    add_checksum(8, 20);
    add_checksum(32, 36);
}

static void pointer_beyond_memory(void)
{
    set(24, PHYSICAL_LIMIT, 8);
    add_checksum(32, 36);
}

static void test_pointer_one_defect_is_refused(void **state)
{
    static const struct {
        const char *name;
        void (*spoil)(void);
        enum diag_code code;
        uint64_t offset;
    } defects[] = {
        {"magic", pointer_magic, DIAG_ACPI_SIGNATURE, 0},
        {"sum", pointer_sum, DIAG_ACPI_CHECKSUM, 8},
        {"revision", pointer_revision_1, DIAG_ACPI_REVISION, 15},
        {"short", pointer_length_short, DIAG_ACPI_LENGTH, 20},
        {"long", pointer_length_long, DIAG_ACPI_TRUNCATED, 20},
        {"new sum", pointer_new_sum, DIAG_ACPI_CHECKSUM, 32},
        {"no roots", pointer_without_roots, DIAG_ACPI_ADDRESS, 16},
        {"beyond memory", pointer_beyond_memory, DIAG_ACPI_ADDRESS, 24},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(defects); i++) {
        struct acpi_pointer pointer = {.root = 77};
        new_pointer();
        defects[i].spoil();
        enum status status = read_pointer(&pointer);
        if (status == OK || diag.code != defects[i].code || diag.offset != defects[i].offset) {
            fail_msg("%s: status %d, code %d at %u", defects[i].name, status, diag.code,
                     (unsigned)diag.offset);
        }
        assert_int_equal(status, diag.status);
        assert_string_equal(diag.section, "RSDP");
        assert_int_equal(pointer.root, 77);
    }
}

static void test_pointer_every_truncation_is_refused_or_old(void **state)
{
    (void)state;
    struct acpi_pointer pointer;
    for (size_t size = 0; size < ACPI_RSDP_SIZE; size++) {
        new_pointer();
        table.size = size;
        enum status status = read_pointer(&pointer);
        assert_int_equal(status, size < ACPI_RSDP_OLD_SIZE ? ERR_TRUNCATED : OK);
    }
}

static void test_find_pointer_looks_at_each_sixteenth_byte(void **state)
{
    (void)state;
    struct acpi_pointer pointer;
    uint8_t area[1024];
    for (size_t at = 0; at + ACPI_RSDP_OLD_SIZE <= sizeof(area); at += 8) {
        memset(area, 0xff, sizeof(area));
        memcpy(area + 16, "RSD PTR ", 8); /* only looks like one */
        old_pointer();
        memcpy(area + at, table.at, ACPI_RSDP_OLD_SIZE);
        enum status status = acpi_tables_find_pointer(exactly(area, sizeof(area)), &pointer, &diag);
        assert_int_equal(status, at % 16 == 0 ? OK : ERR_NO_DEVICE);
        assert_int_equal(diag.code, at % 16 == 0 ? DIAG_NONE : DIAG_ACPI_ABSENT);
    }
    assert_int_equal(acpi_tables_find_pointer(span_of(NULL, 0), &pointer, NULL), ERR_NO_DEVICE);
}

/* ---- any table, and the root ---- */

static void test_check_gives_exactly_the_table(void **state)
{
    (void)state;
    struct span whole;
    begin("SSDT", 40);
    finish();
    struct span bytes = exactly(table.at, 50); /* there is more behind it */
    assert_int_equal(acpi_tables_check(bytes, "SSDT", &whole, &diag), OK);
    assert_ptr_equal(whole.base, bytes.base);
    assert_int_equal(whole.size, 40);
    assert_int_equal(acpi_tables_check(bytes, NULL, &whole, &diag), OK);
    assert_int_equal(acpi_tables_check(bytes, "DSDT", &whole, &diag), ERR_BAD_MAGIC);
    assert_int_equal(diag.code, DIAG_ACPI_SIGNATURE);
}

static void test_check_every_wrong_byte_is_refused(void **state)
{
    (void)state;
    begin("SSDT", 60);
    finish();
    for (size_t i = 0; i < 60; i++) {
        struct span whole;
        table.at[i] ^= 0x40;
        struct span bytes = exactly(table.at, 60);
        assert_true(acpi_tables_check(bytes, "SSDT", &whole, &diag) != OK);
        assert_true(diag.code != DIAG_NONE);
        table.at[i] ^= 0x40;
    }
}

static void test_header_limits(void **state)
{
    static const struct {
        uint32_t length;
        enum status expected;
        enum diag_code code;
    } cases[] = {
        {0, ERR_BAD_FORMAT, DIAG_ACPI_LENGTH},
        {ACPI_HEADER_SIZE - 1, ERR_BAD_FORMAT, DIAG_ACPI_LENGTH},
        {ACPI_HEADER_SIZE, OK, DIAG_NONE},
        {ACPI_TABLE_BYTES_LIMIT, OK, DIAG_NONE},
        {ACPI_TABLE_BYTES_LIMIT + 1, ERR_BAD_FORMAT, DIAG_ACPI_LENGTH},
        {UINT32_MAX, ERR_BAD_FORMAT, DIAG_ACPI_LENGTH},
    };
    (void)state;
    struct acpi_header header;
    begin("SS\x80T", ACPI_HEADER_SIZE);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        set(4, cases[i].length, 4);
        struct span bytes = exactly(table.at, ACPI_HEADER_SIZE);
        assert_int_equal(acpi_tables_read_header(bytes, &header, &diag), cases[i].expected);
        assert_int_equal(diag.code, cases[i].code);
    }
    set(4, 40, 4);
    assert_int_equal(acpi_tables_read_header(exactly(table.at, 36), &header, &diag), OK);
    assert_string_equal(header.signature, "SS?T");
    assert_int_equal(header.length, 40);
    assert_int_equal(header.revision, 1);
    assert_int_equal(acpi_tables_read_header(exactly(table.at, 35), &header, &diag), ERR_TRUNCATED);
    set(8, 0, 1);
    assert_int_equal(acpi_tables_read_header(exactly(table.at, 36), &header, &diag),
                     ERR_UNSUPPORTED);
    assert_int_equal(diag.code, DIAG_ACPI_REVISION);
}

static void test_root_entries_in_both_sizes(void **state)
{
    (void)state;
    struct acpi_root root;
    begin("RSDT", ACPI_HEADER_SIZE);
    PUT(1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff);
    assert_int_equal(acpi_tables_read_root(finish(), 4, &root, &diag), OK);
    assert_int_equal(acpi_root_count(&root), 2);
    assert_int_equal(acpi_root_at(&root, 0), 0x04030201);
    assert_int_equal(acpi_root_at(&root, 1), 0xffffffff);
    assert_int_equal(acpi_root_at(&root, 2), 0);
    assert_int_equal(acpi_tables_read_root(finish(), 8, &root, &diag), ERR_BAD_MAGIC);
    memcpy(table.at, "XSDT", 4);
    assert_int_equal(acpi_tables_read_root(finish(), 8, &root, &diag), OK);
    assert_int_equal(acpi_root_count(&root), 1);
    assert_int_equal(acpi_root_at(&root, 0), 0xffffffff04030201);
    assert_int_equal(acpi_root_at(&root, SIZE_MAX), 0);
}

static void test_root_odd_length_is_refused_and_none_is_fine(void **state)
{
    (void)state;
    struct acpi_root root;
    begin("XSDT", ACPI_HEADER_SIZE);
    assert_int_equal(acpi_tables_read_root(finish(), 8, &root, &diag), OK);
    assert_int_equal(acpi_root_count(&root), 0);
    PUT(1, 2, 3, 4);
    assert_int_equal(acpi_tables_read_root(finish(), 8, &root, &diag), ERR_BAD_FORMAT);
    assert_int_equal(diag.code, DIAG_ACPI_LENGTH);
    assert_int_equal(acpi_tables_read_root(finish(), 5, &root, &diag), ERR_INVALID_ARGUMENT);
}

/* ---- MADT ---- */

static struct acpi_madt madt;

static void begin_madt(void)
{
    begin("APIC", 44);
    set(36, 0xfee00000, 4);
    set(40, 1, 4);
}

static enum status read_madt(void)
{
    memset(&madt, 0xee, sizeof(madt));
    return acpi_tables_read_madt(finish(), &madt, &diag);
}

static void put_processor(uint8_t uid, uint8_t id, uint32_t flags)
{
    PUT(0, 8, uid, id, (uint8_t)flags, 0, 0, 0);
}

static void put_x2apic(uint32_t id, uint32_t uid, uint32_t flags)
{
    PUT(9, 16, 0, 0);
    put(&id, 4);
    put(&flags, 4);
    put(&uid, 4);
}

static void test_madt_every_kind_of_entry(void **state)
{
    (void)state;
    begin_madt();
    put_processor(1, 4, 1);
    put_processor(2, 2, 2);    /* may be plugged in */
    put_processor(3, 3, 0);    /* disabled */
    put_processor(4, 0xff, 1); /* nobody */
    put_x2apic(0x1000, 5, 1);
    put_x2apic(UINT32_MAX, 6, 1);
    PUT(1, 12, 7, 0, 0, 0, 0xc0, 0xfe, 24, 0, 0, 0);
    PUT(2, 10, 0, 0, 2, 0, 0, 0, 0, 0);
    PUT(2, 10, 0, 9, 9, 0, 0, 0, 0x0f, 0);
    PUT(3, 8, 0x0d, 0, 23, 0, 0, 0);
    PUT(4, 6, 0xff, 0x07, 0, 1);
    PUT(10, 12, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0);
    PUT(5, 12, 0, 0, 0, 0, 0xe0, 0xfe, 1, 0, 0, 0);
    PUT(0x7f, 3, 0); /* of a later specification */
    PUT(6, 2);       /* of another architecture */
    put_processor(7, 5, 3);
    assert_int_equal(read_madt(), OK);

    assert_true(madt.has_pics);
    assert_int_equal(madt.local_apic, 0x1fee00000);
    assert_int_equal(madt.processor_count, 3);
    assert_int_equal(madt.capable_count, 1);
    assert_int_equal(madt.disabled_count, 3);
    assert_int_equal(madt.duplicate_count, 0);
    assert_int_equal(madt.left_out, 0);
    assert_int_equal(madt.processors[0].apic_id, 4);
    assert_int_equal(madt.processors[0].uid, 1);
    assert_int_equal(madt.processors[1].apic_id, 0x1000);
    assert_int_equal(madt.processors[1].uid, 5);
    assert_int_equal(madt.processors[2].apic_id, 5);
    assert_int_equal(madt.processors[3].apic_id, 2); /* behind those that can be started */

    assert_int_equal(madt.io_apic_count, 1);
    assert_int_equal(madt.io_apics[0].id, 7);
    assert_int_equal(madt.io_apics[0].address, 0xfec00000);
    assert_int_equal(madt.io_apics[0].gsi_base, 24);

    assert_true(madt.isa[0].is_overridden && madt.isa[0].gsi == 2);
    assert_false(madt.isa[0].is_level || madt.isa[0].is_active_low);
    assert_true(madt.isa[9].is_overridden && madt.isa[9].gsi == 9);
    assert_true(madt.isa[9].is_level && madt.isa[9].is_active_low);
    assert_false(madt.isa[1].is_overridden || madt.isa[1].is_level);
    assert_int_equal(madt.isa[15].gsi, 15);

    assert_int_equal(madt.nmi_count, 1);
    assert_int_equal(madt.nmis[0].gsi, 23);
    assert_true(madt.nmis[0].is_level && !madt.nmis[0].is_active_low);
    assert_int_equal(madt.local_nmi_count, 2);
    assert_int_equal(madt.local_nmis[0].uid, ACPI_EVERY_PROCESSOR);
    assert_int_equal(madt.local_nmis[0].lint, 1);
    assert_true(madt.local_nmis[0].is_active_low && !madt.local_nmis[0].is_level);
    assert_int_equal(madt.local_nmis[1].uid, 5);
    assert_int_equal(madt.local_nmis[1].lint, 0);
}

static void test_madt_without_entries_has_defaults(void **state)
{
    (void)state;
    begin_madt();
    set(40, 0, 4);
    assert_int_equal(read_madt(), OK);
    assert_false(madt.has_pics);
    assert_int_equal(madt.processor_count, 0);
    assert_int_equal(madt.local_apic, 0xfee00000);
    assert_int_equal(madt.isa[7].gsi, 7);
}

static void test_madt_processor_listed_twice_counts_once(void **state)
{
    (void)state;
    begin_madt();
    put_processor(1, 4, 1);
    put_x2apic(4, 1, 1);
    put_processor(9, 4, 2);
    assert_int_equal(read_madt(), OK);
    assert_int_equal(madt.processor_count, 1);
    assert_int_equal(madt.capable_count, 0);
    assert_int_equal(madt.duplicate_count, 2);
}

static void test_madt_same_override_twice_is_no_contradiction(void **state)
{
    (void)state;
    begin_madt();
    PUT(2, 10, 0, 3, 19, 0, 0, 0, 0x0f, 0);
    PUT(2, 10, 0, 3, 19, 0, 0, 0, 0x0f, 0);
    assert_int_equal(read_madt(), OK);
    assert_int_equal(madt.isa[3].gsi, 19);
}

static void test_madt_more_than_the_limits_are_counted(void **state)
{
    (void)state;
    begin_madt();
    for (uint32_t i = 0; i < ACPI_PROCESSOR_LIMIT + 3; i++) {
        put_x2apic(i * 2, i, 1);
    }
    put_x2apic(1, 9999, 2);
    assert_int_equal(read_madt(), OK);
    assert_int_equal(madt.processor_count, ACPI_PROCESSOR_LIMIT);
    assert_int_equal(madt.processors[ACPI_PROCESSOR_LIMIT - 1].apic_id, 510);
    assert_int_equal(madt.capable_count, 0);
    assert_int_equal(madt.left_out, 4);

    begin_madt();
    for (uint32_t i = 0; i < ACPI_IO_APIC_LIMIT + 1; i++) {
        PUT(1, 12, (uint8_t)i, 0, 0, 0, 0xc0, 0xfe, (uint8_t)i, 0, 0, 0);
    }
    for (uint32_t i = 0; i < ACPI_NMI_LIMIT + 1; i++) {
        PUT(3, 8, 0, 0, (uint8_t)i, 0, 0, 0);
    }
    for (uint32_t i = 0; i < ACPI_LOCAL_NMI_LIMIT + 1; i++) {
        PUT(4, 6, (uint8_t)i, 0, 0, 1);
    }
    assert_int_equal(read_madt(), OK);
    assert_int_equal(madt.io_apic_count, ACPI_IO_APIC_LIMIT);
    assert_int_equal(madt.nmi_count, ACPI_NMI_LIMIT);
    assert_int_equal(madt.local_nmi_count, ACPI_LOCAL_NMI_LIMIT);
    assert_int_equal(madt.left_out, 3);
}

/* One bad entry each, at offset 44 unless said otherwise; `at` is where the fault is seen. */
static void test_madt_one_defect_is_refused(void **state)
{
    static const struct {
        const char *name;
        uint8_t entry[24];
        uint8_t size;
        enum diag_code code;
        uint8_t at;
    } defects[] = {
        {"half an entry", {0}, 1, DIAG_ACPI_TRUNCATED, 44},
        {"empty entry", {0, 0, 0, 0}, 4, DIAG_ACPI_ENTRY, 45},
        {"entry of one byte", {0, 1, 0, 0}, 4, DIAG_ACPI_ENTRY, 45},
        {"beyond the end", {0, 9, 0, 0, 1, 0, 0, 0}, 8, DIAG_ACPI_TRUNCATED, 44},
        {"short processor", {0, 7, 0, 0, 1, 0, 0}, 7, DIAG_ACPI_ENTRY, 45},
        {"short IO APIC", {1, 11}, 11, DIAG_ACPI_ENTRY, 45},
        {"short override", {2, 9}, 9, DIAG_ACPI_ENTRY, 45},
        {"short NMI", {3, 7}, 7, DIAG_ACPI_ENTRY, 45},
        {"short local NMI", {4, 5}, 5, DIAG_ACPI_ENTRY, 45},
        {"short address", {5, 11}, 11, DIAG_ACPI_ENTRY, 45},
        {"short x2APIC", {9, 15}, 15, DIAG_ACPI_ENTRY, 45},
        {"short x2APIC NMI", {10, 11}, 11, DIAG_ACPI_ENTRY, 45},
        {"IO APIC at 0", {1, 12}, 12, DIAG_ACPI_ADDRESS, 48},
        {"two IO APICs",
         {1, 12, 1, 0, 1, 0, 0, 0, 5, 0, 0, 0, 1, 12, 2, 0, 2, 0, 0, 0, 5, 0, 0, 0},
         24,
         DIAG_ACPI_TWICE,
         64},
        {"other bus", {2, 10, 1}, 10, DIAG_ACPI_VALUE, 46},
        {"IRQ 16", {2, 10, 0, 16}, 10, DIAG_ACPI_VALUE, 47},
        {"polarity", {2, 10, 0, 1, 1, 0, 0, 0, 2, 0}, 10, DIAG_ACPI_VALUE, 52},
        {"trigger", {2, 10, 0, 1, 1, 0, 0, 0, 8, 0}, 10, DIAG_ACPI_VALUE, 52},
        {"two overrides",
         {2, 10, 0, 1, 1, 0, 0, 0, 0, 0, 2, 10, 0, 1, 2, 0, 0, 0, 0, 0},
         20,
         DIAG_ACPI_TWICE,
         58},
        {"NMI trigger", {3, 8, 8, 0}, 8, DIAG_ACPI_VALUE, 46},
        {"LINT2", {4, 6, 0, 0, 0, 2}, 6, DIAG_ACPI_VALUE, 49},
        {"local polarity", {4, 6, 0, 2, 0, 1}, 6, DIAG_ACPI_VALUE, 47},
        {"x2APIC LINT", {10, 12, 0, 0, 0, 0, 0, 0, 9}, 12, DIAG_ACPI_VALUE, 52},
        {"address 0", {5, 12}, 12, DIAG_ACPI_ADDRESS, 48},
        {"odd address", {5, 12, 0, 0, 1}, 12, DIAG_ACPI_ADDRESS, 48},
        {"no address", {5, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0}, 12, DIAG_ACPI_ADDRESS, 48},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(defects); i++) {
        begin_madt();
        put(defects[i].entry, defects[i].size);
        enum status status = read_madt();
        if (status == OK || diag.code != defects[i].code || diag.offset != defects[i].at) {
            fail_msg("%s: status %d, code %d at %u", defects[i].name, status, diag.code,
                     (unsigned)diag.offset);
        }
        assert_string_equal(diag.section, "APIC");
    }
}

static void test_madt_bad_frame_is_refused(void **state)
{
    (void)state;
    begin_madt();
    table.size = 43;
    assert_int_equal(read_madt(), ERR_BAD_FORMAT);
    assert_int_equal(diag.code, DIAG_ACPI_LENGTH);
    begin_madt();
    set(36, 0, 4);
    assert_int_equal(read_madt(), ERR_OUT_OF_BOUNDS);
    assert_int_equal(diag.offset, 36);
    begin_madt();
    memcpy(table.at, "FACP", 4);
    assert_int_equal(read_madt(), ERR_BAD_MAGIC);
}

static void test_madt_every_truncation_is_refused_or_between_entries(void **state)
{
    (void)state;
    begin_madt();
    put_processor(1, 4, 1);
    PUT(1, 12, 7, 0, 0, 0, 0xc0, 0xfe, 24, 0, 0, 0);
    put_x2apic(0x1000, 5, 1);
    size_t full = table.size;
    for (size_t size = 0; size <= full; size++) {
        table.size = size;
        set(4, size, 4);
        bool between = size == 44 || size == 52 || size == 64 || size == full;
        if (size >= ACPI_HEADER_SIZE) {
            assert_int_equal(read_madt() == OK, between);
        } else {
            memset(&madt, 0, sizeof(madt));
            struct span bytes = exactly(table.at, size);
            assert_int_equal(acpi_tables_read_madt(bytes, &madt, &diag), ERR_TRUNCATED);
        }
    }
}

/* ---- FADT ---- */

static void set_register(size_t offset, uint8_t space, uint8_t bits, uint64_t address)
{
    set(offset, space, 1);
    set(offset + 1, bits, 1);
    set(offset + 4, address, 8);
}

/* As of ACPI 6: wide fields say something else than narrow ones. */
static void full_fadt(void)
{
    begin("FACP", 276);
    set(8, 6, 1);
    set(36, 0x1000, 4);
    set(40, 0x2000, 4);
    set(46, 9, 2);
    set(48, 0xb2, 4);
    set(52, 0xf0, 1);
    set(53, 0xf1, 1);
    set(64, 0x604, 4);
    set(68, 0x704, 4);
    set(76, 0x608, 4);
    set(89, 2, 1);
    set(91, 4, 1);
    set(108, 0x32, 1);
    set(109, 3, 2);
    set(112, 1u << 8 | 1u << 10, 4);
    set_register(116, ACPI_SPACE_IO, 8, 0xcf9);
    set(128, 0x0f, 1);
    set(132, 0x100003000, 8);
    set(140, 0x100004000, 8);
    set_register(172, ACPI_SPACE_IO, 16, 0x1804);
    set_register(208, ACPI_SPACE_MEMORY, 32, 0xfed80000);
    set_register(244, ACPI_SPACE_IO, 8, 0x70);
    set_register(256, ACPI_SPACE_IO, 8, 0x71);
}

static enum status read_fadt(struct acpi_fadt *out)
{
    return acpi_tables_read_fadt(finish(), out, &diag);
}

static void test_fadt_wide_fields_count(void **state)
{
    (void)state;
    struct acpi_fadt fadt;
    full_fadt();
    assert_int_equal(read_fadt(&fadt), OK);
    assert_int_equal(fadt.revision, 6);
    assert_int_equal(fadt.dsdt, 0x100004000);
    assert_int_equal(fadt.facs, 0x100003000);
    assert_int_equal(fadt.sci, 9);
    assert_int_equal(fadt.smi_command, 0xb2);
    assert_int_equal(fadt.acpi_enable, 0xf0);
    assert_int_equal(fadt.acpi_disable, 0xf1);
    assert_int_equal(fadt.century, 0x32);
    assert_int_equal(fadt.boot_flags, 3);
    assert_int_equal(fadt.pm1a_control.address, 0x1804);
    assert_int_equal(fadt.pm1a_control.bits, 16);
    assert_int_equal(fadt.pm1b_control.address, 0x704); /* not given as a generic address */
    assert_int_equal(fadt.pm1b_control.space, ACPI_SPACE_IO);
    assert_int_equal(fadt.pm1b_control.bits, 16);
    assert_int_equal(fadt.pm_timer.address, 0xfed80000);
    assert_int_equal(fadt.pm_timer.space, ACPI_SPACE_MEMORY);
    assert_true(fadt.is_timer_32_bits && fadt.has_reset && !fadt.is_hardware_reduced);
    assert_int_equal(fadt.reset.address, 0xcf9);
    assert_int_equal(fadt.reset_value, 0x0f);
    assert_int_equal(fadt.sleep_control.address, 0x70);
    assert_int_equal(fadt.sleep_status.address, 0x71);
}

static void test_fadt_of_acpi_1_has_no_later_fields(void **state)
{
    (void)state;
    struct acpi_fadt fadt;
    full_fadt();
    table.size = 116;
    assert_int_equal(read_fadt(&fadt), OK);
    assert_int_equal(fadt.dsdt, 0x2000);
    assert_int_equal(fadt.facs, 0x1000);
    assert_int_equal(fadt.pm1a_control.address, 0x604);
    assert_int_equal(fadt.pm_timer.address, 0x608);
    assert_int_equal(fadt.pm_timer.bits, 32);
    assert_false(fadt.has_reset); /* though the flag is set */
    assert_int_equal(fadt.sleep_control.address, 0);
}

static void test_fadt_reset_counts_only_with_its_flag(void **state)
{
    (void)state;
    struct acpi_fadt fadt;
    full_fadt();
    set(112, 1u << 20, 4);
    assert_int_equal(read_fadt(&fadt), OK);
    assert_false(fadt.has_reset || fadt.is_timer_32_bits);
    assert_true(fadt.is_hardware_reduced);
    set(112, 1u << 10, 4);
    set(120, 0, 8);
    assert_int_equal(read_fadt(&fadt), OK);
    assert_false(fadt.has_reset);
}

static void test_fadt_every_length_is_read_or_refused(void **state)
{
    (void)state;
    struct acpi_fadt fadt;
    for (size_t size = ACPI_HEADER_SIZE; size <= 276; size++) {
        full_fadt();
        table.size = size;
        enum status status = read_fadt(&fadt);
        assert_int_equal(status, size < 116 ? ERR_BAD_FORMAT : OK);
    }
}

static void test_fadt_one_defect_is_refused(void **state)
{
    static const struct {
        const char *name;
        size_t offset;
        uint64_t value;
        size_t size;
        uint64_t at; /* where the fault is seen */
    } defects[] = {
        {"DSDT beyond memory", 140, PHYSICAL_LIMIT, 8, 140},
        {"FACS beyond memory", 132, PHYSICAL_LIMIT, 8, 132},
        {"SMI port", 48, 0x10000, 4, 48},
        {"PM1a port", 176, 0x10000, 8, 176},
        {"PM1b port", 68, 0x10000, 4, 68},
        {"timer beyond memory", 212, PHYSICAL_LIMIT, 8, 212},
        {"reset port", 120, 0x10000, 8, 120},
        {"sleep control port", 248, 0x10000, 8, 248},
        {"sleep status port", 260, 0x10000, 8, 260},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(defects); i++) {
        struct acpi_fadt fadt = {.sci = 77};
        full_fadt();
        set(defects[i].offset, defects[i].value, defects[i].size);
        enum status status = read_fadt(&fadt);
        if (status != ERR_OUT_OF_BOUNDS || diag.code != DIAG_ACPI_ADDRESS ||
            diag.offset != defects[i].at) {
            fail_msg("%s: status %d, code %d at %u", defects[i].name, status, diag.code,
                     (unsigned)diag.offset);
        }
        assert_int_equal(fadt.sci, 77);
    }
    struct acpi_fadt fadt;
    full_fadt();
    set(140, 0, 8);
    set(40, 0, 4);
    assert_int_equal(read_fadt(&fadt), ERR_OUT_OF_BOUNDS);
    assert_int_equal(diag.offset, 40);
}

/* ---- HPET ---- */

static void full_hpet(void)
{
    begin("HPET", 56);
    set(36, 0x8086a201, 4);
    set_register(40, ACPI_SPACE_MEMORY, 64, 0xfed00000);
    set(52, 1, 1);
    set(53, 0x80, 2);
}

static void test_hpet_fields(void **state)
{
    (void)state;
    struct acpi_hpet hpet;
    full_hpet();
    assert_int_equal(acpi_tables_read_hpet(finish(), &hpet, &diag), OK);
    assert_int_equal(hpet.address, 0xfed00000);
    assert_int_equal(hpet.vendor, 0x8086);
    assert_int_equal(hpet.hardware_revision, 1);
    assert_int_equal(hpet.comparators, 3);
    assert_true(hpet.is_64_bit && hpet.has_legacy_routing);
    assert_int_equal(hpet.number, 1);
    assert_int_equal(hpet.minimum_tick, 0x80);
    set(36, 0x80861f01, 4);
    assert_int_equal(acpi_tables_read_hpet(finish(), &hpet, &diag), OK);
    assert_int_equal(hpet.comparators, 32);
    assert_false(hpet.is_64_bit || hpet.has_legacy_routing);
}

static void test_hpet_one_defect_is_refused(void **state)
{
    (void)state;
    struct acpi_hpet hpet = {.number = 77};
    full_hpet();
    set(40, ACPI_SPACE_IO, 1);
    set(44, 0xf000, 8);
    assert_int_equal(acpi_tables_read_hpet(finish(), &hpet, &diag), ERR_BAD_FORMAT);
    assert_int_equal(diag.code, DIAG_ACPI_VALUE);
    full_hpet();
    set(44, 0, 8);
    assert_int_equal(acpi_tables_read_hpet(finish(), &hpet, &diag), ERR_OUT_OF_BOUNDS);
    full_hpet();
    set(44, 0xfed00004, 8);
    assert_int_equal(acpi_tables_read_hpet(finish(), &hpet, &diag), ERR_OUT_OF_BOUNDS);
    assert_int_equal(diag.offset, 44);
    full_hpet();
    set(44, PHYSICAL_LIMIT, 8);
    assert_int_equal(acpi_tables_read_hpet(finish(), &hpet, &diag), ERR_OUT_OF_BOUNDS);
    full_hpet();
    table.size = 55;
    assert_int_equal(acpi_tables_read_hpet(finish(), &hpet, &diag), ERR_BAD_FORMAT);
    assert_int_equal(diag.code, DIAG_ACPI_LENGTH);
    assert_int_equal(hpet.number, 77);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, release)
    const struct CMUnitTest tests[] = {
        TEST(test_pointer_old_and_new_lead_to_their_root),
        TEST(test_pointer_new_without_xsdt_or_cut_leads_to_the_rsdt),
        TEST(test_pointer_one_defect_is_refused),
        TEST(test_pointer_every_truncation_is_refused_or_old),
        TEST(test_find_pointer_looks_at_each_sixteenth_byte),
        TEST(test_check_gives_exactly_the_table),
        TEST(test_check_every_wrong_byte_is_refused),
        TEST(test_header_limits),
        TEST(test_root_entries_in_both_sizes),
        TEST(test_root_odd_length_is_refused_and_none_is_fine),
        TEST(test_madt_every_kind_of_entry),
        TEST(test_madt_without_entries_has_defaults),
        TEST(test_madt_processor_listed_twice_counts_once),
        TEST(test_madt_same_override_twice_is_no_contradiction),
        TEST(test_madt_more_than_the_limits_are_counted),
        TEST(test_madt_one_defect_is_refused),
        TEST(test_madt_bad_frame_is_refused),
        TEST(test_madt_every_truncation_is_refused_or_between_entries),
        TEST(test_fadt_wide_fields_count),
        TEST(test_fadt_of_acpi_1_has_no_later_fields),
        TEST(test_fadt_reset_counts_only_with_its_flag),
        TEST(test_fadt_every_length_is_read_or_refused),
        TEST(test_fadt_one_defect_is_refused),
        TEST(test_hpet_fields),
        TEST(test_hpet_one_defect_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
