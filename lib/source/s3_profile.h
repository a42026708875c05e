/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_S3_PROFILE_H
#define SOURCE_S3_PROFILE_H

#include "s3_sign.h"

/*
 * Finds the keys of a profile in the text of a shared credentials file: sections [name] or [profile name], lines
 * `key = value`, comments by # or ; on lines of their own or after a blank. Where a key is given twice the last one
 * counts. True if the profile has an access key and its secret. The texts of keys live in a.
 */
bool s3_profile_find(struct arena *a, struct str text, struct str profile, struct s3_keys *keys);

#endif
