/* SPDX-License-Identifier: MIT */
/* Hands questions on without knowing what is in them. */
#include "cell.h"

CELL(library, "1.0.0");

struct shape_question;
CELL_API uint64_t shape_ask(const struct shape_question *question);
CELL_API uint64_t shape_user_ask(const struct shape_question *question);

uint64_t shape_user_ask(const struct shape_question *question)
{
    return shape_ask(question) + 1;
}
