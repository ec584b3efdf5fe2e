/* SPDX-License-Identifier: MIT */
/*
 * The ring holds records of a header, the cell's name and the text, padded to RECORD_ALIGN. Places
 * are counted from the beginning of time (`head` and `tail` only grow), so that a reader notices
 * when it was overtaken; a place modulo the size of the ring is an index. A record never wraps:
 * where it would, a filler, a header without a name and text, takes the rest of the ring.
 *
 *      index 0                                                        LOGGER_RING_SIZE
 *      | newer | newest |      room      | oldest | older | ... | filler |
 *                       ^ head           ^ tail
 */
#include "logger.h"
#include "bounded_lock.h"
#include "console.h"
#include "format.h"
#include "freestanding.h"
#include "x86.h"

CELL(library, "1.1.0");

#define RECORD_ALIGN sizeof(struct header)

struct header {
    uint64_t ticks;
    uint32_t size; /* header, strings and padding */
    uint16_t text_length;
    uint8_t cell_length;
    uint8_t level; /* LEVEL_FILLER in a filler; LEVEL_CUT is added where the text was cut */
};

#define LEVEL_FILLER 0x7f
#define LEVEL_CUT    0x80

static_assert(sizeof(struct header) == 16, "a filler of one header fits wherever a record can end");
static_assert(LOGGER_RING_SIZE % RECORD_ALIGN == 0, "records tile the ring");

static struct bounded_lock lock;
static struct { /* by the lock */
    ALIGNED(16) uint8_t bytes[LOGGER_RING_SIZE];
    uint64_t head; /* where the next record begins */
    uint64_t tail; /* where the oldest record begins */
} ring;
static struct logger_statistics statistics; /* by the lock, but for not_kept */

static uint64_t first_ticks;                  /* of the first message; 0 before it. Atomic */
static enum log_level kept_level = LOG_DEBUG; /* words, of which any value will do */
static enum log_level printed_level = LOG_INFO;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static uint64_t ticks_now(void)
{
    uint64_t now = read_tsc();
    uint64_t first = 0;
    if (__atomic_compare_exchange_n(&first_ticks, &first, now, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
        return 0;
    }
    return now > first ? now - first : 0; /* counters of CPUs may differ by a little */
}

static struct header *header_at(uint64_t place)
{
    return (struct header *)(ring.bytes + place % LOGGER_RING_SIZE);
}

/* Forgets the oldest records until `size` bytes behind `head` are free. */
static void make_room(size_t size)
{
    while (ring.head + size - ring.tail > LOGGER_RING_SIZE) {
        const struct header *oldest = header_at(ring.tail);
        statistics.forgotten += oldest->level != LEVEL_FILLER;
        ring.tail += oldest->size;
    }
}

static void skip_to_start(void)
{
    size_t rest = LOGGER_RING_SIZE - (size_t)(ring.head % LOGGER_RING_SIZE);
    make_room(rest);
    *header_at(ring.head) = (struct header){.size = (uint32_t)rest, .level = LEVEL_FILLER};
    ring.head += rest;
}

static void store(const struct header *header, const char *cell, const char *text)
{
    if (ring.head % LOGGER_RING_SIZE + header->size > LOGGER_RING_SIZE) {
        skip_to_start();
    }
    make_room(header->size);
    struct header *record = header_at(ring.head);
    *record = *header;
    char *strings = (char *)(record + 1);
    memcpy(strings, cell, header->cell_length);
    memcpy(strings + header->cell_length, text, header->text_length);
    ring.head += header->size;
    statistics.written++;
}

static void keep(const struct logger_record *record)
{
    struct header header = {
        .ticks = record->ticks,
        .text_length = (uint16_t)strlen(record->text),
        .cell_length = (uint8_t)strlen(record->cell),
        .level = (uint8_t)(record->level | (record->cut ? LEVEL_CUT : 0)),
    };
    size_t size = sizeof(header) + header.cell_length + header.text_length;
    header.size = (uint32_t)((size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN);
    OWNED(bounded_lock, held);
    if (!bounded_lock_lock(&lock, SLOT(held))) {
        __atomic_fetch_add(&statistics.not_kept, 1, __ATOMIC_RELAXED);
        return;
    }
    store(&header, record->cell, record->text);
}

static void join_lines(char *text)
{
    for (; *text; text++) {
        if (*text == '\n' || *text == '\r') {
            *text = ' ';
        }
    }
}

void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
    if (level > LOG_DEBUG || (level > kept_level && level > printed_level)) {
        return;
    }
    struct logger_record record;
    record.ticks = ticks_now();
    record.level = level;
    format_into(record.cell, sizeof(record.cell), "%s", cell);
    struct format_buffer text = format_buffer_of(record.text, sizeof(record.text));
    va_list list;
    va_start(list, format);
    format_append_list(&text, format, list);
    va_end(list);
    record.cut = format_was_cut(&text);
    join_lines(record.text);

    if (level <= kept_level) {
        keep(&record);
    }
    if (level <= printed_level) {
        logger_print(&record);
    }
}

void logger_print(const struct logger_record *record)
{
    uint64_t thousands = record->ticks / 1000;
    console_print("[%6lu.%03lu] %-7s %s: %s%s\n", (unsigned long)(thousands / 1000),
                  (unsigned long)(thousands % 1000), logger_level_name(record->level), record->cell,
                  record->text, record->cut ? " ...[cut]" : "");
}

void logger_set_levels(enum log_level kept, enum log_level printed)
{
    kept_level = kept;
    printed_level = printed;
}

bool logger_next(struct logger_cursor *cursor, struct logger_record *out)
{
    OWNED(bounded_lock, held);
    if (!bounded_lock_lock(&lock, SLOT(held))) {
        return false;
    }
    uint64_t place = cursor->position < ring.tail ? ring.tail : cursor->position;
    while (place < ring.head && header_at(place)->level == LEVEL_FILLER) {
        place += header_at(place)->size;
    }
    cursor->position = place;
    if (place >= ring.head) {
        return false;
    }
    const struct header *header = header_at(place);
    const char *strings = (const char *)(header + 1);
    out->ticks = header->ticks;
    out->level = header->level & ~LEVEL_CUT;
    out->cut = header->level & LEVEL_CUT;
    memcpy(out->cell, strings, header->cell_length);
    out->cell[header->cell_length] = '\0';
    memcpy(out->text, strings + header->cell_length, header->text_length);
    out->text[header->text_length] = '\0';
    cursor->position = place + header->size;
    return true;
}

struct logger_statistics logger_statistics(void)
{
    OWNED(bounded_lock, held);
    (void)!bounded_lock_lock(&lock, SLOT(held)); /* else the numbers may be off by one */
    return statistics;
}

const char *logger_level_name(enum log_level level)
{
    return level <= LOG_DEBUG ? level_names[level] : "?";
}

bool logger_level_find(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < ARRAY_COUNT(level_names); i++) {
        bool first_letter = name[0] == level_names[i][0] && !name[1];
        if (first_letter || strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}
