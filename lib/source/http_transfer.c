/* SPDX-License-Identifier: BSD-2-Clause */
#include "http_transfer.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "address.h"

#define CONNECTION_LIFE_S 300L
#define NAME_LIFE_S 60L
#define CONNECTIONS 16L
#define RECEIVE_BYTES 131072L
#define NAP_MS 1000
#define MAX_RETRY_AFTER_S 86400

static struct {
	CURL *easy;
	CURLM *multi;
	pid_t pid;
	bool spoilt;                    /* a connection has bytes left, with which the next answer would begin */
} curl;

/* A forked process gets handles of its own: its parent's connections are in use. */
static bool open_curl(void)
{
	struct sigaction pipe;
	if (curl.easy && curl.pid == getpid()) {
		if (!curl.spoilt)
			return true;
		curl_easy_cleanup(curl.easy);
		curl_multi_cleanup(curl.multi);
	}
	curl.spoilt = false;
	/* With CURLOPT_NOSIGNAL libcurl leaves this to the program. */
	if (sigaction(SIGPIPE, NULL, &pipe) == 0 && pipe.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	curl.pid = getpid();
	curl.multi = curl_multi_init();
	curl.easy = curl.multi ? curl_easy_init() : NULL;
	if (curl.easy)
		curl_multi_setopt(curl.multi, CURLMOPT_MAXCONNECTS, CONNECTIONS);
	return curl.easy;
}

static const char *or_null(const char *text)
{
	return text && *text ? text : NULL;
}

static curl_socket_t open_socket(void *transfer, curlsocktype purpose, struct curl_sockaddr *at)
{
	struct http_transfer *t = transfer;
	(void)purpose;
	/* A proxy's address is the configuration's own. */
	if (t->only_public && !or_null(t->proxy) && !address_is_public(&at->addr)) {
		t->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(at->family, at->socktype | SOCK_CLOEXEC, at->protocol);
}

/* Also for a connection that an earlier, less careful transfer has left. */
static int before_request(void *transfer, char *ip, char *local_ip, int port, int local_port)
{
	struct http_transfer *t = transfer;
	(void)local_ip, (void)port, (void)local_port;
	if (t->only_public && !or_null(t->proxy) && !address_text_is_public(ip)) {
		t->refused = true;
		return CURL_PREREQFUNC_ABORT;
	}
	t->moved_us = clock_us();
	return CURL_PREREQFUNC_OK;
}

static size_t take_header(char *line, size_t size, size_t n, void *transfer)
{
	struct http_transfer *t = transfer;
	long status;
	curl_off_t length, retry_after;
	t->moved_us = clock_us();
	curl_easy_getinfo(curl.easy, CURLINFO_RESPONSE_CODE, &status);
	/* Neither before the end of the headers, nor for interim answers, nor for trailers. */
	if ((line[0] != '\r' && line[0] != '\n') || status < 200 || t->status)
		return n * size;
	curl_easy_getinfo(curl.easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	curl_easy_getinfo(curl.easy, CURLINFO_RETRY_AFTER, &retry_after);
	t->status = (int)status;
	t->length = length;
	t->retry_after_s = retry_after < 0 ? 0 : retry_after > MAX_RETRY_AFTER_S ? MAX_RETRY_AFTER_S : (int)retry_after;
	return t->head(t->with) ? n * size : 0;
}

static size_t take_data(char *bytes, size_t size, size_t n, void *transfer)
{
	struct http_transfer *t = transfer;
	bool go_on = t->data(t->with, bytes, n * size);
	t->moved_us = clock_us();
	return go_on ? n * size : 0;
}

static int count_raw(CURL *easy, curl_infotype type, char *bytes, size_t n, void *transfer)
{
	(void)easy, (void)bytes;
	if (type == CURLINFO_DATA_IN)
		((struct http_transfer *)transfer)->raw_bytes += (int64_t)n;
	return 0;
}

#define SET(option, value) curl_easy_setopt(curl.easy, (option), (value))

static void set_request(const struct http_transfer *t, struct curl_slist *headers)
{
	SET(CURLOPT_URL, t->url);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_CUSTOMREQUEST, or_null(t->method));
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_USERAGENT, "lorikeet/" LORIKEET_VERSION);
	/* Unpacking is gunzip's. */
	SET(CURLOPT_ACCEPT_ENCODING, "identity");
	SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
	if (or_null(t->user)) {
		SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		SET(CURLOPT_USERNAME, t->user);
		SET(CURLOPT_PASSWORD, t->password);
	}
}

static void set_connection(const struct http_transfer *t)
{
	SET(CURLOPT_NOSIGNAL, 1L);
	/* Otherwise a name server that does not answer holds the end of a transfer up, whatever its time. */
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)t->connect_ms);
	SET(CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFE_S);
	SET(CURLOPT_DNS_CACHE_TIMEOUT, NAME_LIFE_S);
	SET(CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
	/* Empty, not absent: then the environment's do not count. */
	SET(CURLOPT_PROXY, t->proxy ? t->proxy : "");
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (or_null(t->ca_file)) {
		SET(CURLOPT_CAINFO, t->ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	SET(CURLOPT_SSLCERT, or_null(t->certificate));
	SET(CURLOPT_SSLKEY, or_null(t->key));
}

static void set_callbacks(struct http_transfer *t)
{
	SET(CURLOPT_ERRORBUFFER, t->why);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, t);
	SET(CURLOPT_PREREQFUNCTION, before_request);
	SET(CURLOPT_PREREQDATA, t);
	SET(CURLOPT_HEADERFUNCTION, take_header);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_WRITEFUNCTION, take_data);
	SET(CURLOPT_WRITEDATA, t);
	/* libcurl drops what comes behind an announced length; only its debugging output tells. */
	SET(CURLOPT_VERBOSE, 1L);
	SET(CURLOPT_DEBUGFUNCTION, count_raw);
	SET(CURLOPT_DEBUGDATA, t);
}

/* What came with the last bytes that libcurl read, or waits behind them. Over TLS the latter cannot be seen. */
static bool is_too_long(const struct http_transfer *t)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	char byte;
	if (t->length >= 0 && t->raw_bytes > t->length)
		return true;
	if (strncmp(t->url, "https:", 6) == 0 || curl_easy_getinfo(curl.easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK)
		return false;
	return fd != CURL_SOCKET_BAD && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static enum http_end end_of(struct http_transfer *t, CURLcode code)
{
	if (code != CURLE_OK && !t->why[0])
		snprintf(t->why, sizeof t->why, "%s", curl_easy_strerror(code));
	if (t->refused && (code == CURLE_COULDNT_CONNECT || code == CURLE_ABORTED_BY_CALLBACK))
		return HTTP_REFUSED;
	switch (code) {
	case CURLE_OK:
		curl.spoilt = is_too_long(t);
		return curl.spoilt ? HTTP_TOO_LONG : HTTP_DONE;
	case CURLE_WRITE_ERROR:
		return HTTP_STOPPED;
	case CURLE_OPERATION_TIMEDOUT:
		return HTTP_STALLED;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
		return HTTP_UNREACHED;
	case CURLE_URL_MALFORMAT:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
		return HTTP_UNWANTED;
	default:
		return HTTP_BROKEN;
	}
}

/* Until when nothing needs to be looked at, unless something comes. */
static int nap_ms(const struct http_transfer *t, int64_t now)
{
	int64_t next = now + NAP_MS * 1000;
	if (t->until_us < next)
		next = t->until_us;
	if (t->patience && !t->patience->is_late && t->patience->until_us < next)
		next = t->patience->until_us;
	if (t->stall_ms && t->moved_us && t->moved_us + t->stall_ms * 1000 < next)
		next = t->moved_us + t->stall_ms * 1000;
	return next <= now ? 0 : (int)((next - now) / 1000) + 1;
}

static enum http_end drive(struct http_transfer *t)
{
	for (;;) {
		int n;
		CURLMcode failed = curl_multi_perform(curl.multi, &n);
		CURLMsg *message = curl_multi_info_read(curl.multi, &n);
		patience_check(t->patience);
		if (message && message->msg == CURLMSG_DONE)
			return end_of(t, message->data.result);
		if (failed)
			return HTTP_BROKEN;
		int64_t now = clock_us();
		if (now >= t->until_us)
			return HTTP_LATE;
		if (t->stall_ms && t->moved_us && now >= t->moved_us + t->stall_ms * 1000)
			return HTTP_STALLED;
		curl_multi_poll(curl.multi, NULL, 0, nap_ms(t, now), NULL);
	}
}

static struct curl_slist *list_of(const struct http_headers *headers)
{
	struct curl_slist *list = NULL, *longer;
	for (size_t i = 0; i < headers->n; i++, list = longer)
		if (!(longer = curl_slist_append(list, headers->line[i]))) {
			curl_slist_free_all(list);
			return NULL;
		}
	return list;
}

void http_transfer(struct http_transfer *t)
{
	struct curl_slist *headers = list_of(t->headers);
	t->status = 0;
	t->length = -1;
	t->end = HTTP_BROKEN;
	if (!open_curl() || (t->headers->n && !headers)) {
		snprintf(t->why, sizeof t->why, "no memory for libcurl");
		curl_slist_free_all(headers);
		return;
	}
	curl_easy_reset(curl.easy);
	set_request(t, headers);
	set_connection(t);
	set_callbacks(t);
	if (t->only_public && or_null(t->proxy) && !address_host_is_public(t->host)) {
		t->end = HTTP_REFUSED;
	} else {
		curl_multi_add_handle(curl.multi, curl.easy);
		t->end = drive(t);
		curl_multi_remove_handle(curl.multi, curl.easy);
	}
	SET(CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
}

const char *http_transfer_header(const char *name)
{
	struct curl_header *h;
	bool found = curl_easy_header(curl.easy, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK;
	/* What libcurl makes of an empty value. */
	return found && h->value[0] != '\r' ? h->value : "";
}

static const char *url_part(struct arena *a, CURLU *u, CURLUPart part, unsigned flags)
{
	char *text = NULL;
	const char *copy = curl_url_get(u, part, &text, flags) == CURLUE_OK ? arena_printf(a, "%s", text) : "";
	curl_free(text);
	return copy;
}

bool http_place_of(struct arena *a, const char *base, const char *url, struct http_place *place)
{
	CURLU *u = curl_url();
	unsigned flags = CURLU_PATH_AS_IS | (base ? CURLU_URLENCODE : 0);
	bool good = u && (!base || curl_url_set(u, CURLUPART_URL, base, CURLU_PATH_AS_IS) == CURLUE_OK) &&
		    curl_url_set(u, CURLUPART_URL, url, flags) == CURLUE_OK;
	if (good) {
		place->scheme = url_part(a, u, CURLUPART_SCHEME, 0);
		place->host = url_part(a, u, CURLUPART_HOST, 0);
		place->port = url_part(a, u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
		place->user = url_part(a, u, CURLUPART_USER, CURLU_URLDECODE);
		place->password = url_part(a, u, CURLUPART_PASSWORD, CURLU_URLDECODE);
		curl_url_set(u, CURLUPART_USER, NULL, 0);
		curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
		curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
		place->url = url_part(a, u, CURLUPART_URL, 0);
		good = strcmp(place->scheme, "http") == 0 || strcmp(place->scheme, "https") == 0;
	}
	curl_url_cleanup(u);
	return good && *place->url;
}

int64_t http_time(const char *date)
{
	time_t t = curl_getdate(date, NULL);
	return t < 0 ? 0 : t;
}
