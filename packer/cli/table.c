/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 16 /* more do not fit on a screen */

struct table {
    struct {
        char *head;
        enum align align;
        size_t width;
    } columns[COLUMNS_MAX];
    size_t column_count;
    struct entry {
        char *text;
        enum colour colour;
    } * entries;
    size_t entry_count;
    size_t capacity;
};

struct table *table_create(void)
{
    struct table *table = allocate(sizeof(*table));
    *table = (struct table){0};
    return table;
}

/* Characters, not bytes: UTF-8 continuation bytes do not count. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

void table_column(struct table *table, const char *head, enum align align)
{
    if (table->column_count == COLUMNS_MAX || table->entry_count > 0) {
        internal_error("column '%s' comes too late", head);
    }
    table->columns[table->column_count].head = duplicate_text(head);
    table->columns[table->column_count].align = align;
    table->columns[table->column_count].width = width_of(head);
    table->column_count++;
}

static void add_entry(struct table *table, enum colour colour, const char *format, va_list list)
{
    if (table->entry_count == table->capacity) {
        table->capacity = table->capacity ? table->capacity * 2 : 64;
        table->entries = reallocate(table->entries, table->capacity * sizeof(*table->entries));
    }
    char *text = NULL;
    if (vasprintf(&text, format, list) < 0 || table->column_count == 0) {
        internal_error("table without columns or memory");
    }
    const char *clean = printable(text);
    if (clean != text) {
        free(text);
        text = duplicate_text(clean);
    }
    size_t column = table->entry_count % table->column_count;
    size_t width = width_of(text);
    if (width > table->columns[column].width) {
        table->columns[column].width = width;
    }
    table->entries[table->entry_count++] = (struct entry){text, colour};
}

void table_cell(struct table *table, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add_entry(table, COLOUR_NONE, format, list);
    va_end(list);
}

void table_cell_coloured(struct table *table, enum colour colour, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add_entry(table, colour, format, list);
    va_end(list);
}

static void pad(FILE *stream, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fputc(' ', stream);
    }
}

static void print_entry(const struct table *table, size_t column, const char *text,
                        enum colour wanted, FILE *stream)
{
    size_t room = table->columns[column].width - width_of(text);
    bool last = column + 1 == table->column_count;
    bool right = table->columns[column].align == ALIGN_RIGHT;
    pad(stream, right ? room : 0);
    if (wanted == COLOUR_NONE) {
        fputs(text, stream);
    } else {
        fprintf(stream, "%s%s%s", colour(stream, wanted), text, colour(stream, COLOUR_NONE));
    }
    pad(stream, last ? 0 : (right ? 0 : room) + 2);
    if (last) {
        fputc('\n', stream);
    }
}

void table_print(const struct table *table, FILE *stream)
{
    for (size_t i = 0; i < table->column_count; i++) {
        print_entry(table, i, table->columns[i].head, COLOUR_BOLD, stream);
    }
    for (size_t i = 0; i < table->entry_count; i++) {
        print_entry(table, i % table->column_count, table->entries[i].text,
                    table->entries[i].colour, stream);
    }
}

void table_destroy(struct table *table)
{
    if (!table) {
        return;
    }
    for (size_t i = 0; i < table->column_count; i++) {
        free(table->columns[i].head);
    }
    for (size_t i = 0; i < table->entry_count; i++) {
        free(table->entries[i].text);
    }
    free(table->entries);
    free(table);
}
