/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_PNG_H
#define IMAGE_PNG_H

#include "encoder.h"

extern const struct encoder png_encoder;

#endif
