/* SPDX-License-Identifier: MIT */
#include "host_symbols.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#define JUMP_SIZE 16u

/* movabs $function, %r11; jmp *%r11 */
static void write_jump(uint8_t *at, void *function)
{
    memcpy(at, "\x49\xbb", 2);
    memcpy(at + 2, &function, 8);
    memcpy(at + 10, "\x41\xff\xe3", 3);
}

void host_symbols_init(struct host_symbols *host, const struct host_symbol *list, size_t count)
{
    assert_true(count <= HOST_SYMBOLS_MAX);
    cell_namespace_init(&host->namespace, "host", NULL);
    assert_int_equal(cell_namespace_reserve(&host->namespace, 0, (uint32_t)count), OK);
    assert_int_equal(
        mapped_pages_create(PAGE_ZONE_CODE, count * JUMP_SIZE, PAGE_WRITE, &host->jumps), OK);
    uint8_t *at = (uint8_t *)mapped_pages_start(host->jumps);
    for (size_t i = 0; i < count; i++, at += JUMP_SIZE) {
        write_jump(at, list[i].function);
        host->symbols[i] = (struct symbol){
            .key = {.name = list[i].name, .hash = symbol_map_hash(list[i].name)},
            .type = STT_FUNC,
            .binding = STB_GLOBAL,
            .address = (uint64_t)at,
        };
    }
    cell_namespace_publish_symbols(&host->namespace, host->symbols, count);
    assert_int_equal(mapped_pages_remap(host->jumps, PAGE_EXECUTE), OK);
}

void host_symbols_fini(struct host_symbols *host)
{
    assert_int_equal(cell_namespace_fini(&host->namespace), OK);
    mapped_pages_drop(&host->jumps);
}
