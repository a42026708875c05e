/* SPDX-License-Identifier: BSD-2-Clause */
#include "magick.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#if __has_include(<MagickWand/MagickWand.h>)
#include <MagickWand/MagickWand.h>
#else
#include <wand/MagickWand.h>
#endif

#include "../base/log.h"
#include "../iiif/facts.h"
#include "palette.h"

/* ImageMagick's own: 8 bytes a pixel and 2 of palette indexes, and what its coder holds beside them. */
#define PIXEL_BYTES 16
#define FIXED_BYTES (UINT64_C(8) << 20)

static uint64_t most_bytes = UINT64_C(1) << 30;

void magick_configure(uint64_t memory_bytes)
{
	most_bytes = memory_bytes;
}

/* Start */

/*
 * Debian's policy.xml caps sides and memory so that no call can raise them. Of several files the first to name a
 * resource wins, so one of ours comes before it; the real limits are set by calls. The first line is what makes
 * SetMagickSecurityPolicy possible afterwards.
 */
static const char resources[] =
	"<policymap>\n"
	"<policy domain=\"Undefined\" rights=\"none\"/>\n"
	"<policy domain=\"resource\" name=\"memory\" value=\"1EiB\"/>\n"
	"<policy domain=\"resource\" name=\"area\" value=\"1EP\"/>\n"
	"<policy domain=\"resource\" name=\"width\" value=\"2GP\"/>\n"
	"<policy domain=\"resource\" name=\"height\" value=\"2GP\"/>\n"
	"<policy domain=\"resource\" name=\"map\" value=\"0\"/>\n"
	"<policy domain=\"resource\" name=\"disk\" value=\"0\"/>\n"
	"<policy domain=\"resource\" name=\"thread\" value=\"1\"/>\n"
	"<policy domain=\"coder\" rights=\"none\" pattern=\"*\"/>\n"
	"</policymap>\n";

struct policy_file {
	char folder[64], file[80];
};

static void remove_policy(const struct policy_file *p)
{
	unlink(p->file);
	rmdir(p->folder);
}

/* Places that are writable even where the root is not. */
static bool write_policy(struct policy_file *p)
{
	static const char *const places[] = {"/dev/shm", "/tmp", "/run", "/var/tmp"};
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		snprintf(p->folder, sizeof p->folder, "%s/lorikeet-XXXXXX", places[i]);
		if (!mkdtemp(p->folder))
			continue;
		snprintf(p->file, sizeof p->file, "%s/policy.xml", p->folder);
		int fd = open(p->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		bool written = fd >= 0 && write(fd, resources, sizeof resources - 1) == sizeof resources - 1;
		if (fd >= 0)
			close(fd);
		if (written)
			return true;
		remove_policy(p);
	}
	return false;
}

static void forget(const ExceptionType severity, const char *reason, const char *description)
{
	(void)severity;
	(void)reason;
	(void)description;
}

/* The library ends the process after this. */
__attribute__((noreturn)) static void on_fatal(const ExceptionType severity, const char *reason, const char *description)
{
	log_event("error", "ImageMagick gave up (%d): %s %s", (int)severity, reason ? reason : "",
		  description ? description : "");
	_exit(1);
}

static void genesis(void)
{
	struct policy_file p;
	const char *before = getenv("MAGICK_CONFIGURE_PATH");
	struct arena *kept = arena_open();
	before = before ? arena_strndup(kept, before, strlen(before)) : NULL;
	/* Without a place for it, the system's caps hold: larger images fail. */
	bool written = write_policy(&p);
	if (written)
		setenv("MAGICK_CONFIGURE_PATH", p.folder, 1);
	else
		log_event("warn", "no folder is writable: ImageMagick keeps the limits of the system's policy.xml");
	MagickCoreGenesis(NULL, MagickFalse);
	if (written)
		remove_policy(&p);
	if (before)
		setenv("MAGICK_CONFIGURE_PATH", before, 1);
	else
		unsetenv("MAGICK_CONFIGURE_PATH");
	arena_close(kept);
}

static void write_rights(struct buf *b)
{
	static const char *const domains[] = {"delegate", "filter", "path", "cache", "coder", "module"};
	buf_text(b, "<policymap>");
	for (size_t i = 0; i < sizeof domains / sizeof *domains; i++)
		buf_printf(b, "<policy domain=\"%s\" rights=\"none\" pattern=\"*\"/>", domains[i]);
	buf_text(b, "<policy domain=\"module\" rights=\"read|write\" pattern=\"GIF\"/>");
	buf_text(b, "<policy domain=\"coder\" rights=\"write\" pattern=\"GIF\"/>");
	buf_text(b, "</policymap>");
}

static bool set_rights(void)
{
	struct arena *a = arena_open();
	struct buf *b = buf_open(a, 16384);
	ExceptionInfo *e = AcquireExceptionInfo();
	write_rights(b);
	bool ok = SetMagickSecurityPolicy(str_dup(a, buf_view(b)), e) != MagickFalse;
	DestroyExceptionInfo(e);
	arena_close(a);
	static const char *const never[] = {"MVG", "MSL", "SVG", "PS", "PDF", "EPS", "TEXT", "LABEL", "URL", "HTTPS", "GIF"};
	for (size_t i = 0; i < sizeof never / sizeof *never; i++)
		ok = ok && !IsRightsAuthorized(CoderPolicyDomain, ReadPolicyRights, never[i]);
	return ok && IsRightsAuthorized(CoderPolicyDomain, WritePolicyRights, "GIF") &&
	       !IsRightsAuthorized(DelegatePolicyDomain, ExecutePolicyRights, "gs") &&
	       !IsRightsAuthorized(PathPolicyDomain, ReadPolicyRights, "@/etc/passwd");
}

/* A module, and a list of aliases. */
static void load_coder(void)
{
	ExceptionInfo *e = AcquireExceptionInfo();
	GetMagickInfo("GIF", e);
	DestroyExceptionInfo(e);
}

bool magick_start(struct error *err)
{
	static enum { NOT_YET, RUNS, REFUSED } state;
	if (state == NOT_YET) {
		genesis();
		SetWarningHandler(forget);
		SetErrorHandler(forget);
		SetFatalErrorHandler(on_fatal);
		state = set_rights() ? RUNS : REFUSED;
		SetMagickResourceLimit(ThreadResource, 1);
		SetMagickResourceLimit(DiskResource, 0);
		SetMagickResourceLimit(MapResource, 0);
		SetMagickResourceLimit(AreaResource, INT64_MAX);
		SetMagickResourceLimit(WidthResource, FACTS_MAX_SIDE);
		SetMagickResourceLimit(HeightResource, FACTS_MAX_SIDE);
		load_coder();
	}
	/* Anew each time: the configuration may come after the start. */
	SetMagickResourceLimit(MemoryResource, most_bytes);
	return state == RUNS || fail(err, 500, REASON_INTERNAL, "This kind of image cannot be handled now.",
				     "ImageMagick does not take our security policy");
}

/* Errors */

static bool out_of_memory(struct error *err)
{
	return fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.", "ImageMagick is short of memory");
}

/* Warnings from "corrupt image" on mean that pixels may be missing. */
static bool blame(const ExceptionInfo *e, struct error *err)
{
	if (e->severity < CorruptImageWarning)
		return true;
	const char *reason = e->reason ? e->reason : "", *more = e->description ? e->description : "";
	if (e->severity == ResourceLimitError || e->severity == CacheError)
		return fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.", "ImageMagick: %s %s",
			    reason, more);
	if (e->severity == PolicyError || e->severity == MissingDelegateError)
		return fail(err, 500, REASON_INTERNAL, "This kind of image cannot be handled now.", "ImageMagick: %s %s", reason,
			    more);
	return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "ImageMagick: %s %s", reason, more);
}

/* Writing */

/* ImageMagick 7 has as many samples a pixel as the image has channels; 6 has structs, and indexes beside them. */
#if MagickLibVersion >= 0x700
static Image *new_image(const ImageInfo *info, ExceptionInfo *e)
{
	return AcquireImage(info, e);
}

static const ExceptionInfo *exception_of(const Image *image, const ExceptionInfo *e)
{
	(void)image;
	return e;
}

static bool shape(Image *image, uint32_t w, uint32_t h, const struct palette *p, ExceptionInfo *e)
{
	image->alpha_trait = p->clear >= 0 ? BlendPixelTrait : UndefinedPixelTrait;
	return SetImageExtent(image, w, h, e) && AcquireImageColormap(image, (size_t)p->n, e);
}

static void set_colour(Image *image, int i, const uint8_t *rgb, bool clear)
{
	PixelInfo *to = &image->colormap[i];
	to->red = rgb[0] * 257;
	to->green = rgb[1] * 257;
	to->blue = rgb[2] * 257;
	to->alpha = clear ? TransparentAlpha : OpaqueAlpha;
}

static bool fill_row(Image *image, size_t y, const uint8_t *index, ExceptionInfo *e)
{
	Quantum *to = QueueAuthenticPixels(image, 0, (ssize_t)y, image->columns, 1, e);
	for (size_t x = 0; to && x < image->columns; x++, to += GetPixelChannels(image)) {
		SetPixelViaPixelInfo(image, &image->colormap[index[x]], to);
		SetPixelIndex(image, index[x], to);
	}
	return to && SyncAuthenticPixels(image, e);
}
#else
static Image *new_image(const ImageInfo *info, ExceptionInfo *e)
{
	(void)e;
	return AcquireImage(info);
}

static const ExceptionInfo *exception_of(const Image *image, const ExceptionInfo *e)
{
	(void)e;
	return &image->exception;
}

static bool shape(Image *image, uint32_t w, uint32_t h, const struct palette *p, ExceptionInfo *e)
{
	(void)e;
	image->matte = p->clear >= 0 ? MagickTrue : MagickFalse;
	return SetImageExtent(image, w, h) && AcquireImageColormap(image, (size_t)p->n);
}

static void set_colour(Image *image, int i, const uint8_t *rgb, bool clear)
{
	PixelPacket *to = &image->colormap[i];
	SetPixelRed(to, rgb[0] * 257);
	SetPixelGreen(to, rgb[1] * 257);
	SetPixelBlue(to, rgb[2] * 257);
	SetPixelOpacity(to, clear ? TransparentOpacity : OpaqueOpacity);
}

static bool fill_row(Image *image, size_t y, const uint8_t *index, ExceptionInfo *e)
{
	PixelPacket *to = QueueAuthenticPixels(image, 0, (ssize_t)y, image->columns, 1, e);
	IndexPacket *indexes = to ? GetAuthenticIndexQueue(image) : NULL;
	for (size_t x = 0; indexes && x < image->columns; x++) {
		to[x] = image->colormap[index[x]];
		indexes[x] = index[x];
	}
	return indexes && SyncAuthenticPixels(image, e);
}
#endif

static bool fill(Image *image, const uint8_t *index, const struct palette *p, ExceptionInfo *e)
{
	for (int i = 0; i < p->n; i++)
		set_colour(image, i, p->rgb[i], i == p->clear);
	for (size_t y = 0; y < image->rows; y++)
		if (!fill_row(image, y, index + y * image->columns, e))
			return false;
	return true;
}

static bool write_blob(Image *image, ImageInfo *info, struct buf *out, ExceptionInfo *e, struct error *err)
{
	size_t n = 0;
	CopyMagickString(image->magick, "GIF", sizeof image->magick);
	CopyMagickString(info->magick, "GIF", sizeof info->magick);
	unsigned char *blob = ImageToBlob(info, image, &n, e);
	bool ok = blame(e, err) && blame(exception_of(image, e), err) && (blob || out_of_memory(err));
	if (ok)
		buf_write(out, blob, n);
	RelinquishMagickMemory(blob);
	return ok && (!out->failed || body_too_large(err));
}

static bool gif_write(struct image *picture, const struct encode_options *options, struct buf *out, struct error *err)
{
	uint32_t w = picture->plane[0].w, h = picture->plane[0].h;
	struct palette palette;
	if (w > UINT16_MAX || h > UINT16_MAX)
		return fail(err, 400, REASON_UNSUPPORTED, "A gif cannot be that large.", "%s", "");
	if (!magick_start(err))
		return false;
	struct arena *scratch = arena_open();
	uint8_t *index = palette_make(scratch, picture, options->bitonal, &palette, err);
	ExceptionInfo *e = AcquireExceptionInfo();
	ImageInfo *info = AcquireImageInfo();
	Image *image = new_image(info, e);
	bool filled = index && shape(image, w, h, &palette, e) && fill(image, index, &palette, e);
	bool ok = filled ? write_blob(image, info, out, e, err) : index && out_of_memory(err);
	DestroyImage(image);
	DestroyImageInfo(info);
	DestroyExceptionInfo(e);
	arena_close(scratch);
	return ok;
}

static uint64_t gif_memory(uint32_t w, uint32_t h)
{
	/* The body is there twice until it is ours. */
	return (uint64_t)w * h * (PIXEL_BYTES + 2) + palette_memory(w, h) + FIXED_BYTES;
}

const struct encoder gif_encoder = {
	.by_wand = true,
	.format = FORMAT_GIF,
	.model = MODEL_RGB,
	.alpha = true,
	.memory = gif_memory,
	.write = gif_write,
};
