/* SPDX-License-Identifier: MIT */
/*
 * Types of all kinds, each of which a variant of this source lays out otherwise; or knows by name
 * only.
 */
#include "cell.h"

CELL(library, "1.0.0");

#ifndef KINDS
    #define KINDS
#endif
#ifndef QUESTION
    #define QUESTION uint32_t size
#endif
#ifndef NODE
    #define NODE uint32_t value
#endif

enum shape_kind { SHAPE_ROUND, SHAPE_FLAT KINDS };

struct shape_question {
    QUESTION;
};

/* On a list that begins in a variable. */
struct shape_node {
    struct shape_node *next;
    NODE;
};

CELL_API uint64_t shape_ask(const struct shape_question *question);
CELL_API enum shape_kind shape_turn(void);
CELL_API uint64_t shape_shift(void);

static enum shape_kind kind;
static struct shape_node *first;

uint64_t shape_ask(const struct shape_question *question)
{
    return question->size;
}

enum shape_kind shape_turn(void)
{
    kind = kind == SHAPE_ROUND ? SHAPE_FLAT : SHAPE_ROUND;
    return kind;
}

uint64_t shape_shift(void)
{
    if (first) {
        first = first->next;
    }
    return first ? first->value : 0;
}
