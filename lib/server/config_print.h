/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_CONFIG_PRINT_H
#define SERVER_CONFIG_PRINT_H

#include "../base/str.h"

/* The documented default file (--print-config): every option with its help, default, bounds and
 * environment name, itself a valid configuration file. */
void config_print_default(struct buf *out);

#endif
