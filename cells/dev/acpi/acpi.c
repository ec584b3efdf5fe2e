/* SPDX-License-Identifier: MIT */
/*
 * Everything is built in one block of the heap, which a slot owns until it is complete; then one
 * store publishes it. Tables are copied to be looked at and dropped again; what is kept of each is
 * where it lies, and why it was refused if it was.
 *
 * The DSDT is not named by the root table but by the FADT. Packages for sleep stand in it or in an
 * SSDT; the DSDT's counts where both have one.
 */
#include "acpi.h"
#include "acpi_tables.h"
#include "aml_sleep.h"
#include "boot_info.h"
#include "firmware_memory.h"
#include "freestanding.h"
#include "heap_block.h"

CELL(driver, "1.0.0");

/* Where a BIOS puts the root pointer (ACPI Specification 6.5, 5.2.5.1). */
#define EBDA_SEGMENT_AT 0x40eull
#define EBDA_LOWEST     0x80000ull
#define EBDA_END        0xa0000ull
#define EBDA_BYTES      1024u
#define BIOS_START      0xe0000ull
#define BIOS_END        0x100000ull
#define SCAN_BYTES      (PAGE_SIZE + ACPI_RSDP_SIZE) /* one may begin at the end of a page */

struct acpi_table {
    struct span bytes;
    uint8_t content[];
};

/* What is published: `facts` with pointers into the rest. */
struct OWN_CAPABILITY("acpi_state") acpi_state;
OWN_DECLARE(acpi_state);

struct acpi_state {
    struct acpi facts;
    struct acpi_madt madt;
    struct acpi_fadt fadt;
    struct acpi_hpet hpet;
    struct aml_sleep off;
    size_t entry_limit;
    struct acpi_entry entries[];
};

static struct acpi_state *published; /* owned, for good */
static const struct acpi nothing = {.status = ERR_STATE};

void acpi_state_drop(struct acpi_state **handle)
{
    heap_block_give_thing(handle);
}

static enum status create_state(size_t entry_limit, struct acpi_state **out) OWN_ACQUIRES(**out);

/* Unchecked: a handle begins here. */
OWN_UNCHECKED static enum status create_state(size_t entry_limit, struct acpi_state **out)
{
    size_t size = sizeof(struct acpi_state) + entry_limit * sizeof(struct acpi_entry);
    if (!heap_block_take_zeroed(size, out)) {
        return ERR_NO_MEMORY;
    }
    struct acpi_state *state = *out;
    state->entry_limit = entry_limit;
    state->facts.entries = state->entries;
    return OK;
}

static bool is_named(const char *signature, const char *name)
{
    return memcmp(signature, name, ACPI_SIGNATURE_SIZE - 1) == 0;
}

/* ---- copies of tables ---- */

void acpi_table_drop(struct acpi_table **handle)
{
    heap_block_give_thing(handle);
}

/* GCC's analyzer does not see that who says OK has filled the slot: heap_block_take() does. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-null-dereference"
struct span acpi_table_bytes(const struct acpi_table *table)
{
    return table->bytes;
}
#pragma GCC diagnostic pop

static enum status refuse(struct diag *diag, enum diag_code code, const char *name, uint64_t found)
{
    return diag_set(diag, code,
                    &(struct diag_site){.cell = "acpi", .section = name, .found = found});
}

static enum status refuse_memory(struct diag *diag, enum status status, const char *name,
                                 paddr_t address)
{
    bool is_lack = status == ERR_NO_MEMORY || status == ERR_NO_ADDRESS_SPACE;
    return refuse(diag, is_lack ? DIAG_ACPI_NO_ROOM : DIAG_ACPI_MEMORY, name, address);
}

static enum status allocate_table(uint32_t length, struct acpi_table **out) OWN_ACQUIRES(**out);

/* Unchecked: a handle begins here. */
OWN_UNCHECKED static enum status allocate_table(uint32_t length, struct acpi_table **out)
{
    if (!heap_block_take(sizeof(struct acpi_table) + length, out)) {
        return ERR_NO_MEMORY;
    }
    (*out)->bytes = span_of((*out)->content, length);
    return OK;
}

/*
 * Copies and checks the table at `address`. *out_header is filled as soon as it was read, the rest
 * may fail after it.
 */
static enum status copy_table(paddr_t address, struct acpi_header *out_header, struct diag *diag,
                              struct acpi_table **out) OWN_ACQUIRES(**out);

static enum status copy_table(paddr_t address, struct acpi_header *out_header, struct diag *diag,
                              struct acpi_table **out)
{
    if (address == 0) { /* an entry that firmware left empty */
        return refuse(diag, DIAG_ACPI_ADDRESS, "????", 0);
    }
    uint8_t header[ACPI_HEADER_SIZE];
    enum status status = firmware_memory_read(address, header, sizeof(header));
    if (status != OK) {
        return refuse_memory(diag, status, "????", address);
    }
    status = acpi_tables_read_header(span_of(header, sizeof(header)), out_header, diag);
    if (status != OK) {
        return status;
    }
    OWNED(acpi_table, table);
    if (allocate_table(out_header->length, SLOT(table)) != OK) {
        return refuse(diag, DIAG_ACPI_NO_ROOM, out_header->signature, out_header->length);
    }
    status = firmware_memory_read(address, REF(table)->content, out_header->length);
    if (status != OK) {
        return refuse_memory(diag, status, out_header->signature, address);
    }
    struct span whole;
    status = acpi_tables_check(REF(table)->bytes, NULL, &whole, diag);
    if (status != OK) {
        return status;
    }
    MOVE(*out, table);
    return OK;
}

/* ---- the root ---- */

/*
 * The root pointer in `size` bytes at `start`; what cannot be read has none. Unchecked: contracts
 * do not know raw memory.
 */
OWN_UNCHECKED static enum status scan_area(paddr_t start, size_t size, struct acpi_pointer *out)
{
    static_assert(EBDA_BYTES <= SCAN_BYTES, "it is scanned at once");
    OWNED(heap_block, block);
    if (!heap_block_take(SCAN_BYTES, SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    void *bytes = heap_block_of(*SLOT(block));
    enum status status = firmware_memory_read(start, bytes, size);
    if (status == OK) {
        status = acpi_tables_find_pointer(span_of(bytes, size), out, NULL);
    }
    return status;
}

static enum status scan_low_memory(struct acpi_pointer *out)
{
    uint16_t segment = 0;
    enum status status = firmware_memory_read(EBDA_SEGMENT_AT, &segment, sizeof(segment));
    paddr_t ebda = (paddr_t)segment << 4;
    if (status == OK && ebda >= EBDA_LOWEST && ebda <= EBDA_END - EBDA_BYTES &&
        scan_area(ebda, EBDA_BYTES, out) == OK) {
        return OK;
    }
    for (paddr_t at = BIOS_START; at < BIOS_END; at += PAGE_SIZE) {
        bool is_last = at + PAGE_SIZE == BIOS_END;
        if ((!is_last && scan_area(at, SCAN_BYTES, out) == OK) ||
            scan_area(at, PAGE_SIZE, out) == OK) {
            return OK;
        }
    }
    return ERR_NO_DEVICE;
}

static enum status find_pointer(struct acpi_pointer *out, enum acpi_source *out_source,
                                struct diag *diag)
{
    const struct boot_info *boot = boot_info_get();
    enum status status = refuse(diag, DIAG_ACPI_ABSENT, NULL, 0);
    if (boot->rsdp_size) {
        *out_source = ACPI_SOURCE_LOADER;
        status = acpi_tables_read_pointer(span_of(boot->rsdp, boot->rsdp_size), out, diag);
    }
    if (status != OK && !boot->efi_system_table && scan_low_memory(out) == OK) {
        *out_source = ACPI_SOURCE_SCAN;
        status = OK;
    }
    return status;
}

/* ---- the tables ---- */

static void search_off(struct acpi_state *state, struct span table) OWN_BORROWS(*state);

/* A later call counts more: the DSDT comes last. */
static void search_off(struct acpi_state *state, struct span table)
{
    struct span aml;
    struct diag diag = {0};
    if (span_slice(table, ACPI_HEADER_SIZE, table.size - ACPI_HEADER_SIZE, &aml) &&
        aml_sleep_find(aml, AML_SLEEP_OFF, &state->off, &diag) == OK) {
        state->facts.off = &state->off;
        state->facts.off_diag = (struct diag){0};
    } else if (!state->facts.off) {
        state->facts.off_diag = diag;
    }
}

/* Reads what we know how to read; of several tables of a kind the first good one counts. */
static enum status read_content(struct acpi_state *state, const char *signature, struct span table,
                                struct diag *diag) OWN_BORROWS(*state);

static enum status read_content(struct acpi_state *state, const char *signature, struct span table,
                                struct diag *diag)
{
    struct acpi *facts = &state->facts;
    enum status status = OK;
    if (is_named(signature, "APIC") && !facts->madt) {
        status = acpi_tables_read_madt(table, &state->madt, diag);
        facts->madt = status == OK ? &state->madt : NULL;
    } else if (is_named(signature, "FACP") && !facts->fadt) {
        status = acpi_tables_read_fadt(table, &state->fadt, diag);
        facts->fadt = status == OK ? &state->fadt : NULL;
    } else if (is_named(signature, "HPET") && !facts->hpet) {
        status = acpi_tables_read_hpet(table, &state->hpet, diag);
        facts->hpet = status == OK ? &state->hpet : NULL;
    } else if (is_named(signature, "DSDT") || is_named(signature, "SSDT")) {
        search_off(state, table);
    }
    return status;
}

static void add_table(struct acpi_state *state, paddr_t address) OWN_BORROWS(*state);

static void add_table(struct acpi_state *state, paddr_t address)
{
    struct acpi_entry *entry = &state->entries[state->facts.entry_count++];
    struct acpi_header header = {0};
    OWNED(acpi_table, table);
    entry->address = address;
    enum status status = copy_table(address, &header, &entry->diag, SLOT(table));
    memcpy(entry->signature, header.signature, sizeof(entry->signature));
    entry->revision = header.revision;
    entry->length = header.length;
    if (status != OK) {
        return;
    }
    (void)!read_content(state, header.signature, acpi_table_bytes(REF(table)), &entry->diag);
}

static void add_all(struct acpi_state *state, const struct acpi_root *root) OWN_BORROWS(*state);

static void add_all(struct acpi_state *state, const struct acpi_root *root)
{
    size_t count = acpi_root_count(root);
    size_t limit = state->entry_limit - 1; /* one for the DSDT */
    state->facts.left_out = count > limit ? count - limit : 0;
    (void)refuse(&state->facts.off_diag, DIAG_AML_ABSENT, "DSDT", 0);
    for (size_t i = 0; i < count && i < limit; i++) {
        add_table(state, acpi_root_at(root, i));
    }
    if (state->facts.fadt) {
        add_table(state, state->fadt.dsdt);
    }
}

/* ---- the whole ---- */

static enum status read_root(const struct acpi_pointer *pointer, struct diag *diag,
                             struct acpi_root *out, struct acpi_table **out_table)
    OWN_ACQUIRES(**out_table);

static enum status read_root(const struct acpi_pointer *pointer, struct diag *diag,
                             struct acpi_root *out, struct acpi_table **out_table)
{
    OWNED(acpi_table, table);
    struct acpi_header header;
    enum status status = copy_table(pointer->root, &header, diag, SLOT(table));
    if (status != OK) {
        return status;
    }
    status = acpi_tables_read_root(acpi_table_bytes(REF(table)), pointer->entry_size, out, diag);
    if (status != OK) {
        return status;
    }
    MOVE(*out_table, table);
    return OK;
}

static void publish(struct acpi_state **state) OWN_CONSUMES(**state);

static void publish(struct acpi_state **state)
{
    OWNED(acpi_state, whole);
    TAKE(whole, state);
    STORE(published, whole);
}

/* A machine of which nothing is known but why. */
static enum status publish_refusal(enum acpi_source source, const struct diag *diag)
{
    OWNED(acpi_state, state);
    enum status status = create_state(0, SLOT(state));
    if (status != OK) {
        return status;
    }
    struct acpi *facts = &REF(state)->facts;
    facts->source = source;
    facts->status = diag->status;
    facts->diag = *diag;
    facts->off_diag = *diag;
    publish(SLOT(state));
    return diag->status;
}

enum status acpi_init(void)
{
    struct diag diag = {0};
    struct acpi_pointer pointer = {0};
    struct acpi_root root = {0};
    enum acpi_source source = ACPI_SOURCE_NONE;
    OWNED(acpi_table, table);
    OWNED(acpi_state, state);

    if (published) {
        return ERR_STATE;
    }
    if (find_pointer(&pointer, &source, &diag) != OK) {
        return publish_refusal(source, &diag);
    }
    if (read_root(&pointer, &diag, &root, SLOT(table)) != OK) {
        return publish_refusal(source, &diag);
    }
    size_t count = acpi_root_count(&root);
    enum status status =
        create_state((count < ACPI_TABLE_LIMIT ? count : ACPI_TABLE_LIMIT) + 1, SLOT(state));
    if (status != OK) {
        return status;
    }
    struct acpi *facts = &REF(state)->facts;
    facts->source = source;
    facts->revision = pointer.revision;
    facts->root = pointer.root;
    add_all(REF(state), &root);
    publish(SLOT(state)); /* commit */
    return OK;
}

const struct acpi *acpi_get(void)
{
    return published ? &published->facts : &nothing;
}

enum status acpi_find(const char *signature, size_t index, struct acpi_table **out)
{
    const struct acpi *facts = acpi_get();
    const struct acpi_entry *entry = NULL;
    for (size_t i = 0; i < facts->entry_count && !entry; i++) {
        const struct acpi_entry *each = &facts->entries[i];
        if (each->diag.code == DIAG_NONE && is_named(each->signature, signature) && index-- == 0) {
            entry = each;
        }
    }
    if (!entry) {
        return ERR_NOT_FOUND;
    }
    struct acpi_header header;
    OWNED(acpi_table, table);
    enum status status = copy_table(entry->address, &header, NULL, SLOT(table));
    if (status != OK) {
        return status;
    }
    if (!is_named(header.signature, signature) || header.length != entry->length) {
        return ERR_MISMATCH;
    }
    MOVE(*out, table);
    return OK;
}
