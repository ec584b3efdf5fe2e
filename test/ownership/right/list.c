/* SPDX-License-Identifier: MIT */
/* A list whose nodes own things. */
#include "thing.h"

#include <stdlib.h>

struct node {
    struct node *next;
    struct thing *content;
};

static enum status push(struct node **list, int number)
{
    OWNED(thing, thing);
    if (thing_create(number, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    struct node *node = calloc(1, sizeof(*node));
    if (!node) {
        return ERR_NO_MEMORY;
    }
    STORE(node->content, thing);
    node->next = *list;
    *list = node;
    return OK;
}

static void drop_list(struct node **list)
{
    while (*list) {
        struct node *node = *list;
        *list = node->next;
        thing_drop(&node->content);
        free(node);
    }
}

enum status run(int argument)
{
    struct node *list = NULL;
    enum status status = OK;
    for (int i = 0; status == OK && i <= argument; i++) {
        status = push(&list, i);
    }
    for (struct node *node = list; node; node = node->next) {
        thing_paint(STORED(node->content), 1);
    }
    drop_list(&list);
    return status;
}
