/* SPDX-License-Identifier: MIT */
/* Is the bell the one that the argument names? */
#include <string.h>

const char *anchor(void);

int main(int argc, char **argv)
{
    return argc == 2 && strcmp(argv[1], anchor()) == 0 ? 0 : 1;
}
