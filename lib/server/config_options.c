/* SPDX-License-Identifier: BSD-2-Clause */
#include "config_options.h"

#include "../source/cache.h"

/* An exbibyte: sums of a few do not overflow. */
#define MAX_BYTES (UINT64_C(1) << 60)

static const char *const symlink_words[] = {"no", "inside", "follow", NULL};
static const char *const sampling_words[] = {"420", "444", "source", NULL};
static const char *const filter_words[] = {"lanczos", "mitchell", "triangle", NULL};
static const char *const format_words[] = {"logfmt", "json", NULL};
static const char *const client_words[] = {"full", "masked", "none", NULL};
static const char *const request_words[] = {"all", "errors", "slow", NULL};
static const char *const tif_words[] = {"deflate", "jpeg", NULL};
static const char *const bitonal_words[] = {"dither", "threshold", NULL};
static const char *const colour_words[] = {"convert", "keep", "strip", NULL};
static const char *const metadata_words[] = {"none", "copyright", "all", NULL};
static const char *const type_words[] = {"file", "http", "s3", NULL};
static const char *const forbidden_words[] = {"403", "404", NULL};
static const char *const validator_words[] = {"etag", "last-modified", "size", NULL};
static const char *const verify_words[] = {"auto", "yes", "no", NULL};
static const char *const role_words[] = {"all", "worker", "fetcher", "health", NULL};
static const char *const sandbox_words[] = {"on", "off", "require", NULL};
static const char *const tag_words[] = {"none", "Surrogate-Key", "Cache-Tag", NULL};

#define C(section, key, field, type, otherwise, min, max, choices, help) \
	{section, key, type, offsetof(struct config, field), false, otherwise, min, max, choices, help, false}
#define R(section, key, type, otherwise, min, max, choices, help) \
	{section, #key, type, offsetof(struct config_rule, key), true, otherwise, min, max, choices, help, false}
/* A text, or a list of them, that is a secret. */
#define S(section, key, type, help) \
	{section, #key, type, offsetof(struct config_rule, key), true, "", 0, 0, NULL, help, true}

const struct option config_options[] = {
	C("server", "prefixes_2", prefixes_2, PREFIXES, "/iiif/2", 0, 0, NULL,
	  "Paths below which version 2.1 of the Image API is served. \"/\" is the server's root. (In variables a comma separates the words of a list.)"),
	C("server", "prefixes_3", prefixes_3, PREFIXES, "/iiif/3", 0, 0, NULL,
	  "Paths below which version 3.0 is served. A path can serve one version only."),
	C("server", "base_uri", base_uri, URI, "", 0, 0, NULL,
	  "Scheme, host and port for ids and links, as https://iiif.example.org; \"\" takes what the web server says."),
	C("server", "raw_slashes", raw_slashes, BOOL, "false", 0, 0, NULL,
	  "Identifiers may have unescaped slashes: the last four segments are the parameters."),
	C("server", "slash_substitute", slash_substitute, TEXT, "", 0, 0, NULL,
	  "A text that stands for a slash in identifiers, \"\" for none."),
	C("server", "page_delimiter", page_delimiter, TEXT, ";", 0, 0, NULL,
	  "Between an identifier and a page number (scan.tif;2), \"\" for no page numbers."),
	C("server", "requests_per_worker", requests_per_worker, UINT, "10000", 0, UINT32_MAX, NULL,
	  "A worker retires after this many requests (up to a quarter more) and a minute; 0 never."),
	C("server", "opened_images", opened_images, UINT, "32", 0, 256, NULL,
	  "Images whose facts and directories a worker keeps from one request to the next, in up to 8 MiB; 0 for none."),
	C("server", "server_timing", server_timing, BOOL, "false", 0, 0, NULL,
	  "Send a Server-Timing header with the milliseconds of each stage."),
	C("server", "start_page", start_page, BOOL, "false", 0, 0, NULL,
	  "Answer / with a page that shows up to 200 images and their names to everyone, in a viewer and by address."),

	C("server", "role", role, CHOICE, "all", 0, 0, role_words,
	  "What a process of the pool is for, by its group (scripts/supervisor.conf): all; images, never asking an origin; fetching from origins; telling how the pool is. Others' requests are 500."),
	C("server", "sandbox", sandbox, CHOICE, "on", 0, 0, sandbox_words,
	  "Whether processes give up, as they start, all that they do not need (README, \"What contains a broken decoder\"): as far as the kernel has it; not; or they do not start without."),
	C("server", "metrics_file", metrics_file, FOLDER, "/run/lorikeet/metrics", 0, 0, NULL,
	  "A small file that all processes share, for the counts of /metrics and the traces of crashes; \"\" for none."),

	C("server", "drain_file", drain_file, FOLDER, "/run/lorikeet/drain", 0, 0, NULL,
	  "While it is there, /health/ready is 503, so that balancers send nothing new; lorikeet drain on makes it."),

	R("limits", max_area, UINT, "100000000", 0, UINT64_MAX, NULL,
	  "Largest answer in pixels, published as maxArea; 0 for no limit."),
	R("limits", max_width, UINT, "0", 0, UINT32_MAX, NULL,
	  "Largest width in pixels, published as maxWidth (and the height's limit if that has none); 0 for no limit."),
	R("limits", max_height, UINT, "0", 0, UINT32_MAX, NULL,
	  "Largest height in pixels, published as maxHeight; needs max_width; 0 for no limit."),
	R("limits", upscale, BOOL, "false", 0, 0, NULL,
	  "Answers may be larger than the region asked for."),
	R("limits", min_tile_size, UINT, "256", 1, 8192, NULL,
	  "Stored tiles smaller than this are announced as multiples, in pixels."),
	C("limits", "max_request_memory", max_request_memory, UINT, "0", 0, UINT64_MAX, NULL,
	  "Bytes that one request may need, by the decoders' own estimates; more is 413. 0: three quarters of the memory (RAM "
	  "or cgroup) divided by workers, and verifiers where a rule verifies."),
	C("limits", "max_source_pixels", max_source_pixels, UINT, "0", 0, UINT64_MAX, NULL,
	  "Largest original in pixels; larger is 413. 0: eight times max_request_memory."),
	C("limits", "max_decode_ms", max_decode_ms, UINT, "45000", 0, 3600000, NULL,
	  "Longest time for reading a picture; longer is 503, and at twice the time its process ends. 0: no such limit."),
	C("limits", "workers", workers, UINT, "0", 0, 10000, NULL,
	  "Worker processes that share the machine's memory. 0: twice the processors."),
	C("limits", "verifiers", verifiers, UINT, "0", 0, STORE_TURNS, NULL,
	  "Fetchers that may decode originals in full at the same time (verify), of all that share a cache's folder; others "
	  "wait. 0: a quarter of workers, at least one."),

	C("images", "jpeg_quality", jpeg_quality, UINT, "85", 1, 100, NULL, "Quality of jpg answers."),
	C("images", "pass_through", pass_through, BOOL, "true", 0, 0, NULL,
	  "Where just stored JPEG tiles of a TIFF are asked for, as jpg, they are sent as they are, in their own quality and sampling."),
	C("images", "jpeg_sampling", jpeg_sampling, CHOICE, "420", 0, 0, sampling_words,
	  "Chroma sampling of jpg answers."),
	C("images", "png_compression", png_compression, UINT, "3", 0, 9, NULL, "How hard png answers are packed: 1 to 5 quickly, 6 to 9 with the best of all filters for each row, 0 not at all."),
	C("images", "webp_quality", webp_quality, UINT, "80", 0, 101, NULL, "Quality of webp answers; 101 is lossless."),
	C("images", "webp_method", webp_method, UINT, "3", 0, 6, NULL, "From quick (0) to small (6) webp answers."),
	C("images", "tif_compression", tif_compression, CHOICE, "deflate", 0, 0, tif_words,
	  "Compression of tif answers; jpeg has jpeg_quality. Transparent and bitonal ones are deflate."),
	C("images", "jp2_quality", jp2_quality, UINT, "80", 1, 101, NULL, "Quality of jp2 answers; 101 is lossless."),
	C("images", "avif_quality", avif_quality, UINT, "60", 0, 100, NULL, "Quality of avif answers."),
	C("images", "background", background, COLOUR, "ffffff", 0, 0, NULL,
	  "Colour behind transparency and beside turned pictures where the format has no transparency, as rrggbb."),
	C("images", "bitonal", bitonal, CHOICE, "dither", 0, 0, bitonal_words,
	  "How bitonal pictures come about: error diffusion, or a threshold in the middle."),
	R("images", colour, CHOICE, "convert", 0, 0, colour_words,
	  "Originals with a profile: converted to sRGB; kept as they are, with the profile where the format takes one; without it. CMYK and Lab are always converted."),
	R("images", recover, BOOL, "false", 0, 0, NULL,
	  "Show what can be read of damaged originals instead of an error (500)."),
	R("images", metadata, CHOICE, "copyright", 0, 0, metadata_words,
	  "What of EXIF, XMP and IPTC goes into jpg, png, webp and tif: nothing; rights and credit; all but what is no longer true."),
	C("images", "magick_formats", magick_formats, LIST, "gif,bmp,pnm,psd", 0, 0, NULL,
	  "Rare source formats that are read: of gif, bmp, pnm, psd."),
	C("images", "heif_formats", heif_formats, LIST, "heic,avif", 0, 0, NULL,
	  "Source formats that libheif may decode, where it can: of heic, avif."),
	C("images", "jxl", jxl, BOOL, "true", 0, 0, NULL, "Whether libjxl may decode JPEG XL."),
	C("images", "filter", filter, CHOICE, "lanczos", 0, 0, filter_words, "Resampling filter."),
	R("images", linear_light, BOOL, "false", 0, 0, NULL,
	  "Scale in linear light: fine bright detail keeps its brightness. JPEG is then decoded in full size, at up to three times the cost."),
	C("images", "tile_size", tile_size, UINT, "512", 64, 8192, NULL,
	  "Tile side announced for originals without tiles, in pixels."),

	R("access", symlinks, CHOICE, "no", 0, 0, symlink_words,
	  "Symbolic links below a root: not followed; followed while they stay inside it; followed, also into allowed_roots."),
	R("access", allowed_roots, FOLDERS, "", 0, 0, NULL, "Absolute folders that links may lead into."),
	R("access", suffixes, LIST, "", 0, 0, NULL,
	  "Endings tried in order where an identifier alone names no file, as .tif,.jpg."),
	R("access", fallback, LIST, "", 0, 0, NULL,
	  "Other endings that serve where the original is missing, damaged, unsupported, too large or ends workers, as \".tif -> .jpg\"."),
	R("access", verify, CHOICE, "auto", 0, 0, verify_words,
	  "Decode originals once in full before they are served; auto: where there is a fallback."),

	R("origin", connect_timeout_ms, UINT, "5000", 10, 600000, NULL, "Longest time for connecting to an origin."),
	R("origin", stall_timeout_ms, UINT, "15000", 10, 3600000, NULL, "Longest time without a byte from an origin."),
	R("origin", total_timeout_ms, UINT, "600000", 10, INT32_MAX, NULL, "Longest time for an original, tries again too."),
	R("origin", retries, UINT, "2", 0, 20, NULL, "Tries again after broken connections, 5xx and 429."),
	R("origin", max_original_bytes, UINT, "0", 0, MAX_BYTES, NULL,
	  "Largest original that is fetched, in bytes; 0: as much as the cache may hold."),
	R("origin", user, TEXT, "", 0, 0, NULL, "User name for basic authentication."),
	S("origin", password, TEXT, "Its password."),
	S("origin", bearer, TEXT, "Token for bearer authentication."),
	R("origin", secret_file, FOLDER, "", 0, 0, NULL,
	  "File whose only line is the secret: the secret key of S3, else the password if there is a user, else the bearer token."),
	S("origin", headers, LIST,
	  "Further request headers, as \"X-Token: abc\". Where they change, originals are fetched anew; not so where secrets do."),
	R("origin", client_certificate, FOLDER, "", 0, 0, NULL, "PEM file of a client certificate."),
	R("origin", client_key, FOLDER, "", 0, 0, NULL, "PEM file of its key."),
	R("origin", ca_file, FOLDER, "", 0, 0, NULL, "PEM file of the authorities to trust instead of the system's."),
	S("origin", proxy, TEXT, "URL of a proxy; what the environment says is ignored."),
	R("origin", allowed_hosts, LIST, "", 0, 0, NULL,
	  "Hosts (or .domains, with all below them) that identifiers which are URLs may name. They must have public addresses."),
	R("origin", forbidden, CHOICE, "403", 0, 0, forbidden_words,
	  "What an origin's 403 means; 404: the original is missing (S3 without the right to list)."),
	R("origin", validator, CHOICE, "etag", 0, 0, validator_words,
	  "What tells an original's states apart (with its size): for origins whose ETag differs per node."),
	R("origin", etag_is_md5, BOOL, "false", 0, 0, NULL, "The origin's ETag is the MD5 of the body: verify it."),

	R("s3", endpoint, TEXT, "", 0, 0, NULL, "URL of the service, as http://127.0.0.1:9000; \"\" is AWS."),
	R("s3", region, TEXT, "us-east-1", 0, 0, NULL, "Region of the bucket."),
	R("s3", path_style, BOOL, "false", 0, 0, NULL, "The bucket is in the path, not in the host name."),
	R("s3", access_key, TEXT, "", 0, 0, NULL,
	  "Access key; \"\": by environment, shared file, or the role of container or machine."),
	S("s3", secret_key, TEXT, "Its secret key; better a secret_file."),
	S("s3", session_token, TEXT, "Its session token."),
	R("s3", profile, TEXT, "", 0, 0, NULL, "Profile in the shared credentials file."),
	R("s3", anonymous, BOOL, "false", 0, 0, NULL, "Do not sign: the bucket is public."),

	R("caching", cache_images, UINT, "86400", 0, INT32_MAX, NULL,
	  "Seconds that clients may keep an image."),
	R("caching", cache_info, UINT, "300", 0, INT32_MAX, NULL, "Seconds that clients may keep an info.json."),
	R("caching", immutable, BOOL, "false", 0, 0, NULL,
	  "Originals never change under their identifier: images are kept for a year."),
	R("caching", revalidate_after, UINT, "60", 1, INT32_MAX, NULL,
	  "Seconds after which nginx asks whether its copy is still good (X-Accel-Expires), and the origin is asked."),
	R("caching", negative_ttl, UINT, "60", 0, INT32_MAX, NULL,
	  "Seconds for which an original that the origin has not stays missing; an hour where a fallback serves."),
	R("caching", stale_if_error, UINT, "604800", 0, INT32_MAX, NULL,
	  "Seconds for which a cached original serves while the origin cannot be asked, and an answer in caches behind while "
	  "this server cannot be (stale-if-error)."),

	R("info", rights, TEXT, "", 0, 0, NULL, "URI of a licence or rights statement for info.json."),
	R("info", preferred_formats, LIST, "", 0, 0, NULL, "preferredFormats of info.json (3.0), best first."),
	R("info", info_json, TEXT, "", 0, 0, NULL, "A JSON object of further keys for info.json."),
	R("info", sidecars, BOOL, "true", 0, 0, NULL,
	  "Look for IDENTIFIER.json beside the original: further keys and max_width, max_height, max_area."),

	C("cache", "folder", cache_folder, FOLDER, "", 0, 0, NULL,
	  "Local folder for originals that come over the network, made by lorikeet cache init; \"\" for none."),
	C("cache", "max_bytes", cache_max_bytes, UINT, "10737418240", 1048576, MAX_BYTES, NULL, "Bytes of all files in it."),
	C("cache", "min_free_bytes", min_free_bytes, UINT, "1073741824", 0, MAX_BYTES, NULL, "Bytes to be left free on its volume."),
	C("cache", "temporary", temporary, FOLDER, "/var/tmp/lorikeet", 0, 0, NULL,
	  "Folder for originals while the cache cannot be used (full, read-only, not mounted). Made where it is not there."),
	C("cache", "temporary_bytes", temporary_bytes, UINT, "1073741824", 0, MAX_BYTES, NULL, "Bytes of all files in that."),
	C("cache", "max_wait_ms", max_wait_ms, UINT, "10000", 10, 600000, NULL,
	  "Longest time that a request waits for an origin; then it is 503, and the download goes on."),
	C("cache", "max_waiting", max_waiting, UINT, "32", 1, 10000, NULL,
	  "Requests that may wait for origins: the number of fetch processes. At most half of them for one origin; more is 503 at once."),
	C("cache", "nginx_folder", nginx_folder, FOLDER, "/var/cache/lorikeet", 0, 0, NULL,
	  "nginx's cache, out of which lorikeet cache purge takes answers; \"\" for none."),
	C("cache", "tag_header", tag_header, CHOICE, "none", 0, 0, tag_words,
	  "A header that names the identifier in every answer, for purging at the CDN."),

	C("log", "format", log_format, CHOICE, "logfmt", 0, 0, format_words, "Form of the log lines."),
	C("log", "requests", log_requests, CHOICE, "all", 0, 0, request_words,
	  "Which requests are logged: all, errors (from 400), or slow:500 (took as many milliseconds, or from 500)."),
	C("log", "client", log_client, CHOICE, "full", 0, 0, client_words,
	  "Client addresses in the log: full, without their last part, or not at all."),
};

const struct option config_rule_options[] = {
	R("rules", prefix, TEXT, "", 0, 0, NULL,
	  "Identifiers that start with this; it is cut off. The first rule that fits wins."),
	R("rules", pattern, TEXT, "", 0, 0, NULL,
	  "A regular expression (PCRE) that the rest of the identifier must fit; its groups are values for path and url."),
	R("rules", delimiter, TEXT, "", 0, 0, NULL, "Cuts the rest of the identifier into the values {1}, {2} and so on."),
	R("rules", type, CHOICE, "file", 0, 0, type_words, "Where the originals are."),
	R("rules", root, FOLDER, "", 0, 0, NULL, "file: absolute folder of the originals."),
	R("rules", path, TEXT, "{id}", 0, 0, NULL,
	  "file and s3: path below the root, or key in the bucket, of {id} (the rest of the identifier) and other values."),
	R("rules", url, TEXT, "", 0, 0, NULL, "http: address, as https://example.org/articles/{id}; values are escaped for their place."),
	R("rules", bucket, TEXT, "", 0, 0, NULL, "s3: name of the bucket."),
};

const size_t n_config_options = sizeof config_options / sizeof *config_options;
const size_t n_config_rule_options = sizeof config_rule_options / sizeof *config_rule_options;

const struct option *config_find_option(const char *section, const char *key)
{
	for (size_t i = 0; i < n_config_options; i++)
		if (strcmp(config_options[i].section, section) == 0 && strcmp(config_options[i].key, key) == 0)
			return &config_options[i];
	return NULL;
}

const struct option *config_find_rule_option(const char *key)
{
	for (size_t i = 0; i < n_config_rule_options; i++)
		if (strcmp(config_rule_options[i].key, key) == 0)
			return &config_rule_options[i];
	for (size_t i = 0; i < n_config_options; i++)
		if (config_options[i].of_rule && strcmp(config_options[i].key, key) == 0)
			return &config_options[i];
	return NULL;
}

bool config_is_section(const char *name)
{
	for (size_t i = 0; i < n_config_options; i++)
		if (strcmp(config_options[i].section, name) == 0)
			return true;
	return false;
}
