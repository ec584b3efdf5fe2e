/* SPDX-License-Identifier: MIT */
/* model_priv.h - the two steps of model_load(): reading files into cells, then binding them. */
#pragma once

#include "model.h"

/* model_read.c: fills cells (name, note, object) and rejects. */
MUST_CHECK enum status model_read(struct model *model, const char *const *paths, size_t count,
                                  unsigned flags, struct problem *problem);
/* Unmaps the files and frees the names. */
void model_read_fini(struct model *model);

/* model_bind.c: fills sections, exports, edges, links and users. */
MUST_CHECK enum status model_bind(struct model *model, struct problem *problem);
