/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_CONFIG_VALUES_H
#define SERVER_CONFIG_VALUES_H

#include "../base/str.h"
#include "secrets.h"

/* What is configured. Lists are NULL-terminated arrays. */
enum config_choice {
	SYMLINKS_NO = 0, SYMLINKS_INSIDE, SYMLINKS_FOLLOW,
	SAMPLING_420 = 0, SAMPLING_444, SAMPLING_SOURCE,
	RESAMPLE_LANCZOS = 0, RESAMPLE_MITCHELL, RESAMPLE_TRIANGLE,
	LOG_LOGFMT = 0, LOG_JSON,
	LOG_ALL = 0, LOG_ERRORS, LOG_SLOW,
	LOG_CLIENT_FULL = 0, LOG_CLIENT_MASKED, LOG_CLIENT_NONE,
	TIF_DEFLATE = 0, TIF_JPEG,
	COLOUR_CONVERT = 0, COLOUR_KEEP, COLOUR_STRIP,
	BITONAL_DITHER = 0, BITONAL_THRESHOLD,
	SOURCE_FILE = 0, SOURCE_HTTP, SOURCE_S3,
	FORBIDDEN_403 = 0, FORBIDDEN_404,
	VALIDATOR_ETAG = 0, VALIDATOR_LAST_MODIFIED, VALIDATOR_SIZE,
	VERIFY_AUTO = 0, VERIFY_YES, VERIFY_NO,
	ROLE_ALL = 0, ROLE_WORKER, ROLE_FETCHER, ROLE_HEALTH,
	SANDBOX_ON = 0, SANDBOX_OFF, SANDBOX_REQUIRE,
	TAGS_NONE = 0, TAGS_SURROGATE_KEY, TAGS_CACHE_TAG,
};

/* What a rule may override; every rule starts as a copy of the defaults. */
struct config_rule {
	const char *origin;          /* file and line, or variable, that began it: for messages */
	/* only in rules */
	const char *prefix;          /* of the decoded identifier, cut off before the path */
	int type;                    /* SOURCE_* */
	const char *pattern, *delimiter;
	const char *root;            /* absolute folder */
	const char *path, *url;      /* templates (source/template.h) */
	const char *bucket;
	/* limits */
	uint64_t max_area, max_width, max_height;   /* pixels, 0 = no limit */
	bool upscale;
	uint64_t min_tile_size;
	/* images */
	int colour;                  /* COLOUR_* */
	bool recover, linear_light;
	int metadata;                /* enum metadata_policy */
	/* access */
	int symlinks;                /* SYMLINKS_* */
	const char **allowed_roots;
	const char **suffixes;
	const char **fallback;       /* ".tif -> .jpg" */
	int verify;                  /* VERIFY_* */
	/* origin */
	uint64_t connect_timeout_ms, stall_timeout_ms, total_timeout_ms, retries, max_original_bytes;
	const char *user, *password, *bearer, *secret_file, *client_certificate, *client_key, *ca_file, *proxy;
	const char **headers, **allowed_hosts;
	int forbidden, validator;    /* FORBIDDEN_*, VALIDATOR_* */
	bool etag_is_md5;
	/* s3 */
	const char *endpoint, *region, *access_key, *secret_key, *session_token, *profile;
	bool path_style, anonymous;
	/* caching, seconds */
	uint64_t cache_images, cache_info, revalidate_after, negative_ttl, stale_if_error;
	bool immutable;
	/* info */
	const char *rights;
	const char **preferred_formats;
	const char *info_json;       /* a JSON object of further keys, "" for none */
	bool sidecars;
};

struct config {
	/* server */
	const char **prefixes_2, **prefixes_3;
	const char *base_uri;
	bool raw_slashes;
	const char *slash_substitute, *page_delimiter;
	uint64_t requests_per_worker;
	uint64_t opened_images;
	bool server_timing, start_page, pass_through;
	const char *metrics_file;
	int role;                    /* ROLE_* */
	const char *drain_file;
	int sandbox;                 /* SANDBOX_* */
	/* limits */
	uint64_t max_request_memory, max_source_pixels, workers, verifiers;   /* bytes, pixels; resolved, never 0 */
	bool workers_are_said;       /* else workers is a guess */
	uint64_t max_decode_ms;      /* 0: none */
	/* images */
	uint64_t jpeg_quality, png_compression, webp_quality, webp_method, jp2_quality, avif_quality, tile_size;
	int jpeg_sampling, tif_compression, bitonal, filter;
	const char *background;      /* six hex digits */
	const char **magick_formats, **heif_formats;
	bool jxl;
	/* cache */
	const char *cache_folder, *temporary, *nginx_folder;
	uint64_t cache_max_bytes, min_free_bytes, temporary_bytes, max_wait_ms, max_waiting;
	int tag_header;              /* TAGS_* */
	/* log */
	int log_format, log_client;
	int log_requests;            /* LOG_ALL ... */
	uint64_t log_slow_ms;        /* for LOG_SLOW */

	struct config_rule defaults;
	struct config_rule *rules;
	size_t n_rules;
	struct secret *secrets;      /* every text of a secret option that was read, also where another replaced it */
};

#endif
