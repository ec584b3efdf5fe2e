/* SPDX-License-Identifier: MIT */
/*
 * console_test - prints and logs from all CPUs at once, and looks whether all arrives.
 *
 * Tasks on every CPU print numbered lines and keep log messages; some do so with interrupts off.
 * What arrives at a sink of the console, and what a reader of the log finds, must be each task's
 * lines in their order, each whole and once.
 */
#include "application.h"
#include "console.h"
#include "format.h"
#include "freestanding.h"
#include "logger.h"
#include "task.h"
#include "x86.h"

CELL(application, "1.0.0");

APPLICATION(console_test);

#define TASKS     8u
#define LINES     40u
#define MESSAGES  50u /* fit into the ring, with those of others */
#define LINE_SIZE 100u
#define FILLING   "abcdefghijklmnopqrstuvwxyz0123456789"

struct listener {
    struct console_sink sink;
    uint32_t arrived[TASKS];
    uint32_t wrong; /* lines that are neither the next of their task nor somebody else's */
};

struct writer {
    uint32_t number;
    bool masked; /* writes with interrupts off */
};

static void compose(char line[LINE_SIZE], uint32_t task, uint32_t number)
{
    format_into(line, LINE_SIZE, "console_test: task %u line %u %s\n", task, number, FILLING);
}

/* Each call brings whole lines. Called with the console's lock. */
static void hear(struct console_sink *sink, const char *bytes, size_t length)
{
    struct listener *listener = CONTAINER_OF(sink, struct listener, sink);
    static const char beginning[] = "console_test: task ";
    size_t place = sizeof(beginning) - 1;
    if (length <= place || memcmp(bytes, beginning, place) != 0) {
        return;
    }
    char expected[LINE_SIZE];
    uint32_t task = (uint32_t)(bytes[place] - '0');
    if (task < TASKS) {
        compose(expected, task, listener->arrived[task]);
        if (strlen(expected) == length && memcmp(expected, bytes, length) == 0) {
            listener->arrived[task]++;
            return;
        }
    }
    listener->wrong++;
}

static int write_lines(struct writer *writer)
{
    for (uint32_t i = 0; i < LINES; i++) {
        char line[LINE_SIZE];
        compose(line, writer->number, i);
        if (writer->masked) {
            GUARD(interrupt_mask, masked, INTERRUPTS);
            console_print("%s", line);
        } else {
            console_print("%s", line);
        }
    }
    for (uint32_t i = 0; i < MESSAGES; i++) {
        log_debug("task %u message %u", writer->number, i);
    }
    return 0;
}
TASK_DEFINE(console_writer, struct writer, int, write_lines);

static enum status run_writers(void)
{
    struct console_writer_task *writers[TASKS] = {0};
    enum status status = OK;
    for (uint32_t i = 0; i < TASKS && status == OK; i++) {
        struct task_options options = {.is_pinned = true, .cpu = i % dispatcher_cpu_count()};
        struct writer writer = {.number = i, .masked = i >= TASKS / 2};
        OWNED(console_writer_task, task);
        status = console_writer_spawn(&writer, &options, SLOT(task));
        if (status == OK) {
            STORE(writers[i], task);
        }
    }
    for (uint32_t i = 0; i < TASKS && writers[i]; i++) {
        OWNED(console_writer_task, task);
        LOAD(task, writers[i]);
        int result;
        enum status joined = console_writer_join(SLOT(task), &result);
        status = status == OK ? joined : status;
    }
    return status;
}

static bool say(const char *what, uint32_t seen, uint32_t expected)
{
    bool good = seen == expected;
    console_print("console_test: %s: %u of %u: %s\n", what, seen, expected, good ? "OK" : "FAILED");
    return good;
}

static bool check_lines(const struct listener *listener)
{
    uint32_t arrived = 0;
    for (uint32_t i = 0; i < TASKS; i++) {
        arrived += listener->arrived[i];
    }
    bool good = say("lines", arrived, TASKS * LINES);
    return say("broken lines", listener->wrong, 0) && good;
}

/* Counts the messages in the log that are the next of their task. */
static bool check_messages(struct logger_cursor cursor, uint64_t not_kept)
{
    static const char beginning[] = "task ";
    uint32_t next[TASKS] = {0};
    uint32_t found = 0;
    struct logger_record record;
    while (logger_next(&cursor, &record)) {
        uint32_t task = (uint32_t)(record.text[sizeof(beginning) - 1] - '0');
        if (strcmp(record.cell, CELL_NAME) == 0 && task < TASKS) {
            char expected[LINE_SIZE];
            format_into(expected, sizeof(expected), "task %u message %u", task, next[task]++);
            found += strcmp(record.text, expected) == 0;
        }
    }
    bool good = say("messages", found, TASKS * MESSAGES);
    return say("messages that were not kept", (uint32_t)not_kept, 0) && good;
}

enum status console_test_main(const struct app_arguments *arguments)
{
    (void)arguments;
    struct listener listener = {.sink = {.name = "console_test", .write = hear}};
    struct logger_cursor cursor = {0};
    struct logger_record record;
    while (logger_next(&cursor, &record)) {
    }
    uint64_t not_kept = logger_statistics().not_kept;
    enum status status = console_register(&listener.sink);
    if (status != OK) {
        return status;
    }
    status = run_writers();
    console_unregister(&listener.sink);
    if (status != OK) {
        console_print("console_test: cannot run tasks: %s\n", status_text(status));
        return status;
    }
    console_print("console_test: %u tasks on %u CPUs\n", TASKS, dispatcher_cpu_count());
    bool good = check_lines(&listener);
    good &= check_messages(cursor, logger_statistics().not_kept - not_kept);
    return good ? OK : ERR_FAULT;
}
