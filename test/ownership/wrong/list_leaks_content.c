/* SPDX-License-Identifier: MIT */
/*
 * A list's nodes are released, what they own is not.
 * Caught by: analyzer, run
 */
#include "thing.h"

#include <stdlib.h>

struct node {
    struct node *next;
    struct thing *content;
};

static enum status fill(struct node **list, int count)
{
    for (int i = 0; i < count; i++) {
        OWNED(thing, thing);
        if (thing_create(i, SLOT(thing)) != OK) {
            return ERR_FAILED;
        }
        struct node *node = calloc(1, sizeof(*node));
        if (!node) {
            return ERR_NO_MEMORY;
        }
        node->next = *list;
        STORE(node->content, thing);
        *list = node;
    }
    return OK;
}

enum status run(int argument)
{
    struct node *list = NULL;
    enum status status = fill(&list, argument);
    while (list) {
        struct node *node = list;
        list = node->next;
        free(node);
    }
    return status;
}
