/* SPDX-License-Identifier: MIT */
/*
 * Adoption: an image that the packer links for the low 2 GiB is mapped into this process, and the
 * loader gives its cells their metadata; then any single byte is changed, and it must notice.
 */
#include "address_map.h"
#include "cell_namespace.h"
#include "diag.h"
#include "elf.h"
#include "format.h"
#include "loader.h"
#include "nano_core_image.h"

#include "problem.h"
#include "static_link.h"
#include "support/archive_maker.h"
#include "support/host_memory.h"
#include "support/loaded_cells.h"
#include "support/loading_frame.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <setjmp.h>
#include <cmocka.h>

#define IMAGE_BASE 0x18000000u /* no cell, no arena, no program is here */

static const char *const image_cells[] = {"freestanding", "format",       "diag",
                                          "status",       "sort",         "symbol_map",
                                          "elf_object",   "bounded_lock", "console"};

static struct nano_core_image *image;

/* ---- making the image ---- */

/* ELF gABI, Program Header. */
struct program_header {
    uint32_t p_type;
    uint32_t p_flags;
    uint64_t p_offset;
    uint64_t p_vaddr;
    uint64_t p_paddr;
    uint64_t p_filesz;
    uint64_t p_memsz;
    uint64_t p_align;
};

static void link_image(const char *output)
{
    char files[ARRAY_COUNT(image_cells)][64];
    const char *cells[ARRAY_COUNT(image_cells) + 1] = {NULL};
    for (size_t i = 0; i < ARRAY_COUNT(image_cells); i++) {
        struct span object = archive_copy_cell(loading_archive(), image_cells[i]);
        snprintf(files[i], sizeof(files[i]), "%s.%zu", output, i);
        FILE *file = fopen(files[i], "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(object.base, 1, object.size, file), object.size);
        fclose(file);
        free((void *)object.base);
        cells[i] = files[i];
    }
    struct static_link_request request = {
        .output = output,
        .cells = cells,
        .base = IMAGE_BASE,
        .physical = IMAGE_BASE,
        .entry = "format_into",
    };
    struct static_image *linked;
    struct problem problem = {0};
    assert_int_equal(static_link(&request, &linked, &problem), OK);
    static_image_destroy(linked);
    problem_fini(&problem);
    for (size_t i = 0; i < ARRAY_COUNT(image_cells); i++) {
        unlink(files[i]);
    }
}

/* As the boot loader does it; all of it writable, for the tests change bytes. */
static void map_image(struct span file)
{
    const struct elf64_ehdr *header = (const struct elf64_ehdr *)file.base;
    const struct program_header *segments =
        (const struct program_header *)(file.base + header->e_phoff);
    for (uint16_t i = 0; i < header->e_phnum; i++) {
        uint64_t start = page_align_down(segments[i].p_vaddr);
        uint64_t size = page_align_up(segments[i].p_vaddr + segments[i].p_memsz) - start;
        if (segments[i].p_type != 1 || size == 0) { /* PT_LOAD */
            continue;
        }
        void *got = mmap((void *)start, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        assert_ptr_equal(got, (void *)start);
        memcpy((void *)segments[i].p_vaddr, file.base + segments[i].p_offset, segments[i].p_filesz);
        for (uint64_t at = start; at < start + size; at += PAGE_SIZE) {
            uint64_t magic;
            memcpy(&magic, (void *)at, sizeof(magic));
            image = magic == NANO_CORE_IMAGE_MAGIC ? (struct nano_core_image *)at : image;
        }
    }
    assert_non_null(image);
}

static int make_image(void **state)
{
    char name[] = "/tmp/theoris-image-XXXXXX";
    int descriptor = mkstemp(name);
    assert_true(descriptor >= 0);
    close(descriptor);
    link_image(name);
    struct span file = archive_read_file(name);
    map_image(file);
    free((void *)file.base);
    unlink(name);
    return 0;
}

/* ---- adopting it ---- */

static void adopt(struct cell_namespace *namespace)
{
    struct diag diag = {0};
    char line[256] = "";
    enum status status = loader_adopt(namespace, image, &diag);
    if (status != OK) {
        diag_format(&diag, line, sizeof(line));
    }
    assert_string_equal(line, "");
    assert_int_equal(status, OK);
}

/* Adopted cells stay for ever; the next test wants a clean start all the same. */
static void end_adopted(struct cell_namespace *namespace)
{
    for (struct cell *cell = namespace->first; cell; cell = cell->next) {
        cell->is_static = false;
    }
    end_namespace(namespace);
}

static void refuse_adoption(struct diag *out_diag)
{
    struct cell_namespace here;
    struct baseline before = loading_measure();
    cell_namespace_init(&here, "here", NULL);
    *out_diag = (struct diag){0};
    assert_int_not_equal(loader_adopt(&here, image, out_diag), OK);
    assert_int_equal(here.cell_count, 0);
    assert_int_equal(here.symbols.count, 0);
    assert_int_equal(cell_namespace_fini(&here), OK);
    loading_assert_same(before);
    assert_null(address_map_find(image->start));
}

static void adopted_cells_have_all_metadata(void **state)
{
    struct cell_namespace here;
    struct cells_tally tally = {0};
    const struct cell_namespace *const namespaces[] = {&here, NULL};
    cell_namespace_init(&here, "here", NULL);
    adopt(&here);
    assert_int_equal(here.cell_count, ARRAY_COUNT(image_cells));
    check_cells(&here, true, &tally);
    assert_true(tally.branches > 50);
    check_addresses(image->start, image->end, namespaces);
    check_all_addresses(namespaces);
    assert_int_equal(find(&here, "nano_core_image")->address, (uint64_t)image);
    size_t i = 0;
    for (const struct cell *cell = here.first; cell; cell = cell->next) {
        assert_string_equal(cell->name, image_cells[i++]);
        assert_true(cell->is_static);
        assert_int_equal(cell->regions[REGION_TEXT].address,
                         image->cells[i - 1].addresses[REGION_TEXT]);
    }
    assert_int_equal(loader_unload(here.last, NULL), ERR_PERMISSION);
    end_adopted(&here);
}

static void loaded_cells_bind_to_adopted_ones(void **state)
{
    struct cell_namespace here;
    struct cells_tally tally = {0};
    cell_namespace_init(&here, "here", NULL);
    adopt(&here);
    demand(&here,
           "link_unit_plan"); /* relocation, layout, cell_abi come with it, the rest is there */
    assert_int_equal(here.cell_count, ARRAY_COUNT(image_cells) + 4);
    check_cells(&here, true, &tally);
    bool is_used = false;
    struct cell *sort = load(&here, "sort");
    for (uint32_t i = 0; i < sort->object.section_count; i++) {
        for (const struct binding *at = sort->sections[i].incoming; at; at = at->next_incoming) {
            is_used |= at->cell == load(&here, "link_unit");
        }
    }
    assert_true(is_used);
    assert_int_equal(loader_unload(load(&here, "relocation"), NULL), ERR_BUSY);
    assert_int_equal(loader_unload(load(&here, "link_unit"), NULL), OK);
    end_adopted(&here);
}

static void adopted_cells_run(void **state)
{
    struct cell_namespace here;
    char text[32];
    cell_namespace_init(&here, "here", NULL);
    adopt(&here);
    size_t size = image->entries_end - image->start; /* text of all cells, then the entries */
    assert_int_equal(mprotect((void *)image->start, size, PROT_READ | PROT_EXEC), 0);
    ((__typeof__(format_into) *)demand(&here, "format_into"))(text, sizeof(text), "%x", 0xace);
    assert_string_equal(text, "ace");
    assert_int_equal(mprotect((void *)image->start, size, PROT_READ | PROT_WRITE), 0);
    end_adopted(&here);
}

static void data_may_have_changed(void **state)
{
    struct cell_namespace here;
    const struct nano_core_image_cell *console = &image->cells[ARRAY_COUNT(image_cells) - 1];
    uint8_t *data = (uint8_t *)console->addresses[REGION_DATA];
    cell_namespace_init(&here, "here", NULL);
    assert_string_equal(console->name, "console");
    assert_true(console->sizes[REGION_DATA] > 0);
    data[0] ^= 0xff;
    adopt(&here);
    assert_int_equal(data[0], 0xff);
    data[0] ^= 0xff;
    end_adopted(&here);
}

/* ---- images that are not what the archive says ---- */

/* Changes one byte and expects a refusal that names it. */
static void refuse_changed_byte(const char *cell, const char *section, uint64_t address,
                                uint64_t offset)
{
    struct diag diag;
    uint8_t *byte = (uint8_t *)address;
    *byte ^= 0x10;
    refuse_adoption(&diag);
    *byte ^= 0x10;
    assert_int_equal(diag.code, DIAG_LINK_IMAGE);
    assert_string_equal(diag.cell, cell);
    assert_string_equal(diag.section, section);
    assert_int_equal(diag.offset, offset);
    assert_int_equal(diag.expected, *byte);
    assert_int_equal(diag.found, *byte ^ 0x10);
}

static void a_changed_byte_is_named(void **state)
{
    struct cell_namespace here;
    struct {
        const char *cell;
        char section[DIAG_SECTION_SIZE];
        uint64_t address;
        uint64_t size;
    } places[256];
    size_t count = 0;
    cell_namespace_init(&here, "here", NULL);
    adopt(&here);
    for (size_t c = 0; c < ARRAY_COUNT(image_cells); c++) {
        const struct cell *cell = load(&here, image_cells[c]);
        for (uint32_t i = 0; i < cell->object.section_count; i++) {
            const struct section *section = &cell->sections[i];
            if ((section->region == REGION_TEXT || section->region == REGION_RODATA) &&
                section->size > 0) {
                assert_true(count < ARRAY_COUNT(places));
                places[count].cell = image_cells[c];
                snprintf(places[count].section, DIAG_SECTION_SIZE, "%s", section->name);
                places[count].address = section->address;
                places[count++].size = section->size;
            }
        }
    }
    end_adopted(&here);
    assert_true(count > 40);
    for (size_t i = 0; i < count; i++) {
        uint64_t last = places[i].size - 1;
        refuse_changed_byte(places[i].cell, places[i].section, places[i].address, 0);
        refuse_changed_byte(places[i].cell, places[i].section, places[i].address + last / 2,
                            last / 2);
        refuse_changed_byte(places[i].cell, places[i].section, places[i].address + last, last);
    }
}

static void a_changed_entry_is_named(void **state)
{
    for (size_t c = 0; c < ARRAY_COUNT(image_cells); c++) {
        for (uint64_t at = 0; at < image->cells[c].entry_count * ENTRY_SIZE; at++) {
            refuse_changed_byte(image_cells[c], "entries", image->cells[c].entries + at, at);
        }
    }
}

/* Between two sections of one region there are zeros; they count as well. The first place of them,
 * by cell and region; the debug profile aligns no function, so it has them between constants only.
 */
static bool find_padding(const struct nano_core_image_cell **out_row, uint32_t *out_region,
                         uint64_t *out_offset)
{
    for (size_t c = 0; c < ARRAY_COUNT(image_cells); c++) {
        const struct nano_core_image_cell *row = &image->cells[c];
        for (uint32_t region = REGION_TEXT; region <= REGION_RODATA; region++) {
            for (uint64_t at = 1; at < row->sizes[region]; at++) {
                if (!address_map_find(row->addresses[region] + at)) {
                    *out_row = row;
                    *out_region = region;
                    *out_offset = at;
                    return true;
                }
            }
        }
    }
    return false;
}

static void changed_padding_is_noticed(void **state)
{
    const struct nano_core_image_cell *row;
    uint32_t region;
    uint64_t offset;
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    adopt(&here);
    bool has_padding = find_padding(&row, &region, &offset);
    end_adopted(&here);
    assert_true(has_padding);
    refuse_changed_byte(row->name, region == REGION_TEXT ? "text" : "rodata",
                        row->addresses[region] + offset, offset);
}

static void a_wrong_table_is_refused(void **state)
{
    struct diag diag;
    image->magic++;
    refuse_adoption(&diag);
    image->magic--;
    assert_int_equal(diag.code, DIAG_LINK_IMAGE);

    image->cells[1].sizes[REGION_RODATA]++;
    refuse_adoption(&diag);
    image->cells[1].sizes[REGION_RODATA]--;
    assert_int_equal(diag.code, DIAG_LINK_IMAGE);
    assert_string_equal(diag.cell, "format");

    image->cells[1].entry_count++;
    refuse_adoption(&diag);
    image->cells[1].entry_count--;
    assert_int_equal(diag.code, DIAG_LINK_IMAGE);
    assert_string_equal(diag.section, "entries");

    image->cells[3].name[0] = 'z';
    refuse_adoption(&diag);
    image->cells[3].name[0] = 's';
    assert_int_equal(diag.code, DIAG_LINK_CELL);
    assert_string_equal(diag.cell, "ztatus");

    struct nano_core_image_cell row = image->cells[2];
    image->cells[2] = image->cells[1];
    refuse_adoption(&diag);
    image->cells[2] = row;
    assert_int_equal(diag.code, DIAG_LINK_DUPLICATE_CELL);
}

static void an_image_is_adopted_once(void **state)
{
    struct cell_namespace here;
    struct diag diag;
    cell_namespace_init(&here, "here", NULL);
    adopt(&here);
    struct baseline before = loading_measure();
    assert_int_equal(loader_adopt(&here, image, &diag), ERR_DUPLICATE_SYMBOL);
    assert_string_equal(diag.symbol, "nano_core_image");
    assert_non_null(find(&here, "nano_core_image"));
    loading_assert_same(before);
    end_adopted(&here);
}

static void every_refused_request_leaves_no_trace(void **state)
{
    struct cell_namespace here;
    struct diag diag = {0};
    uint64_t requests;
    for (uint64_t n = 1;; n++) {
        struct baseline before = loading_measure();
        cell_namespace_init(&here, "here", NULL);
        host_memory_fail(HOST_REQUEST_HEAP | HOST_REQUEST_PAGES, n);
        enum status status = loader_adopt(&here, image, &diag);
        requests = host_memory_fail(0, 0);
        if (status == OK) {
            break;
        }
        assert_int_equal(diag.code, DIAG_LINK_MEMORY);
        assert_int_equal(here.cell_count, 0);
        assert_int_equal(here.symbols.count, 0);
        assert_int_equal(cell_namespace_fini(&here), OK);
        loading_assert_same(before);
    }
    assert_true(requests > 4 * here.cell_count);
    end_adopted(&here);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        LOADING_TEST(adopted_cells_have_all_metadata),
        LOADING_TEST(loaded_cells_bind_to_adopted_ones),
        LOADING_TEST(adopted_cells_run),
        LOADING_TEST(data_may_have_changed),
        LOADING_TEST(a_changed_byte_is_named),
        LOADING_TEST(a_changed_entry_is_named),
        LOADING_TEST(changed_padding_is_noticed),
        LOADING_TEST(a_wrong_table_is_refused),
        LOADING_TEST(an_image_is_adopted_once),
        LOADING_TEST(every_refused_request_leaves_no_trace),
    };
    return loading_start(argc, argv) ? cmocka_run_group_tests(tests, make_image, NULL) : 2;
}
