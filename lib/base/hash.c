/* SPDX-License-Identifier: BSD-2-Clause */
#include "hash.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

void hash_hex(struct str s, char out[33])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char sum[SHA256_DIGEST_LENGTH];
	SHA256((const unsigned char *)s.at, s.n, sum);
	for (int i = 0; i < 16; i++) {
		out[2 * i] = digits[sum[i] >> 4];
		out[2 * i + 1] = digits[sum[i] & 15];
	}
	out[32] = '\0';
}

void hash_base64(struct str s, char out[45])
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	SHA256((const unsigned char *)s.at, s.n, sum);
	EVP_EncodeBlock((unsigned char *)out, sum, sizeof sum);
}
