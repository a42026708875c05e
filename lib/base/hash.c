/* SPDX-License-Identifier: BSD-2-Clause */
#include "hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#define PIECE_BYTES (1 << 18)

static void write_hex(const unsigned char *sum, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[sum[i] >> 4];
		out[2 * i + 1] = digits[sum[i] & 15];
	}
	out[2 * n] = '\0';
}

/* The library's SHA256 looks its algorithm up by name at every call, which costs more than short texts themselves. */
static void sha256(struct str s, unsigned char sum[SHA256_DIGEST_LENGTH])
{
	static EVP_MD *algorithm;
	if (!algorithm)
		algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!algorithm || !EVP_Digest(s.at, s.n, sum, NULL, algorithm, NULL))
		SHA256((const unsigned char *)s.at, s.n, sum);
}

void hash_hex(struct str s, char out[33])
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	sha256(s, sum);
	write_hex(sum, 16, out);
}

uint64_t hash_64(struct str s)
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	uint64_t v;
	sha256(s, sum);
	memcpy(&v, sum, sizeof v);
	return v ? v : 1;
}

void hash_base64(struct str s, char out[45])
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	sha256(s, sum);
	EVP_EncodeBlock((unsigned char *)out, sum, sizeof sum);
}

struct hasher {
	EVP_MD_CTX *digest;            /* NULL: a CRC */
	uint32_t crc, table[256];
};

struct hasher *hasher_open(enum hash_kind kind)
{
	const EVP_MD *const kinds[] = {
		[HASH_SHA256] = EVP_sha256(), [HASH_SHA512] = EVP_sha512(), [HASH_SHA1] = EVP_sha1(),
		[HASH_MD5] = EVP_md5(), [HASH_CRC32] = NULL, [HASH_CRC32C] = NULL};
	struct hasher *h = calloc(1, sizeof *h);
	bool ok = h != NULL;
	if (ok && kinds[kind]) {
		h->digest = EVP_MD_CTX_new();
		ok = h->digest && EVP_DigestInit_ex(h->digest, kinds[kind], NULL);
	}
	if (!ok) {
		fputs("lorikeet: no memory for a sum\n", stderr);
		abort();
	}
	uint32_t polynomial = kind == HASH_CRC32 ? UINT32_C(0xedb88320) : UINT32_C(0x82f63b78);
	for (uint32_t i = 0; i < 256 && !h->digest; i++) {
		h->table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			h->table[i] = h->table[i] >> 1 ^ (h->table[i] & 1 ? polynomial : 0);
	}
	h->crc = UINT32_MAX;
	return h;
}

void hasher_add(struct hasher *h, const void *at, size_t n)
{
	const unsigned char *bytes = at;
	if (h->digest)
		EVP_DigestUpdate(h->digest, at, n);
	else
		for (size_t i = 0; i < n; i++)
			h->crc = h->crc >> 8 ^ h->table[(h->crc ^ bytes[i]) & 255];
}

bool hasher_add_file(struct hasher *h, int fd, uint64_t offset, uint64_t n)
{
	char *piece = malloc(PIECE_BYTES);
	while (piece && n) {
		ssize_t got = pread(fd, piece, n < PIECE_BYTES ? n : PIECE_BYTES, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			errno = got ? errno : ENODATA;
			break;
		}
		hasher_add(h, piece, (size_t)got);
		offset += (uint64_t)got;
		n -= (uint64_t)got;
	}
	free(piece);
	return n == 0;
}

static size_t hasher_close(struct hasher *h, unsigned char sum[EVP_MAX_MD_SIZE])
{
	unsigned n = 4;
	uint32_t crc = ~h->crc;
	for (int i = 0; i < 4; i++)
		sum[i] = (unsigned char)(crc >> (24 - 8 * i));
	if (h->digest)
		EVP_DigestFinal_ex(h->digest, sum, &n);
	EVP_MD_CTX_free(h->digest);
	free(h);
	return n;
}

void hasher_close_hex(struct hasher *h, char out[static 65])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	size_t n = hasher_close(h, sum);
	write_hex(sum, n < 32 ? n : 32, out);
}

void hasher_close_base64(struct hasher *h, char out[HASH_BASE64_MAX])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	EVP_EncodeBlock((unsigned char *)out, sum, (int)hasher_close(h, sum));
}
