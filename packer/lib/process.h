/* SPDX-License-Identifier: MIT */
/*
 * process.h - runs another program and keeps what it says.
 *
 * Why: gcc, ld, xorriso and others do part of the work. Their words belong into our error message,
 * not between our lines; the program's name and exit status belong there too.
 *
 * Rules: no shell is involved. The program is found through PATH; a missing one is C0404, with the
 * Debian package that has it. Standard input is empty.
 */
#pragma once

#include "bytes.h"

struct process {
    const char *const *arguments; /* ends with NULL; the first is the program */
    const char *package;          /* Debian package to name when it is missing */
    const char *const *settings;  /* "NAME=value" to add to the environment, or NULL */
    const char *what;             /* for the message: "compile heap.c" */
};

/*
 * Runs it and waits. `output` gets its stdout, `remarks` its stderr; each may be NULL. If it fails,
 * `problem` is C0405 and its transcript holds stderr.
 */
MUST_CHECK enum status process_run(const struct process *process, struct bytes *output,
                                   struct bytes *remarks, struct problem *problem);

/* A list of arguments that grows; the strings are owned. */
struct words_list {
    char **words; /* ends with NULL */
    size_t count;
    bool failed;
};

void words_add(struct words_list *list, const char *format, ...) PRINTF_LIKE(2, 3);
void words_fini(struct words_list *list);

static inline const char *const *words_of(const struct words_list *list)
{
    return (const char *const *)list->words;
}

/* A fresh folder under $TMPDIR, or NULL with `problem` set; removed with all files in it. */
char *temporary_folder_create(struct problem *problem);
void temporary_folder_destroy(char *folder);
