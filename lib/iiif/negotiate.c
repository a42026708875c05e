/* SPDX-License-Identifier: BSD-2-Clause */
#include "negotiate.h"

/* The quality of one media range, in thousandths; 1000 where none, or a malformed one, is given. */
static int range_quality(struct str parameters)
{
	struct str piece;
	while (take_until(&parameters, ';', &piece)) {
		uint64_t q;
		piece = str_trim(piece);
		if (!take_word(&piece, STR("q=")) && !take_word(&piece, STR("Q=")))
			continue;
		if (take_decimal(&piece, &q) && piece.n == 0 && q <= DECIMAL_ONE)
			return (int)(q / (DECIMAL_ONE / 1000));
	}
	return 1000;
}

/* What an Accept header says of one type: the quality of its most specific range. */
struct preference {
	int specificity;               /* 0 not named, 1 by *, 2 by its main type, 3 by its name */
	int quality;
};

static void consider(struct preference *p, int specificity, int quality)
{
	if (specificity < p->specificity || (specificity == p->specificity && quality < p->quality))
		return;
	*p = (struct preference){specificity, quality};
}

enum info_type negotiate_info(int version, struct str accept)
{
	struct preference json = {0}, ld = {0};
	struct str range;
	while (take_until(&accept, ',', &range)) {
		struct str name, parameters = range;
		take_until(&parameters, ';', &name);
		name = str_trim(name);
		int q = range_quality(parameters);
		if (str_equal_nocase(name, STR("application/json"))) {
			consider(&json, 3, q);
		} else if (str_equal_nocase(name, STR("application/ld+json"))) {
			consider(&ld, 3, q);
		} else if (str_equal_nocase(name, STR("application/*"))) {
			consider(&json, 2, q);
			consider(&ld, 2, q);
		} else if (str_equal(name, STR("*/*"))) {
			consider(&json, 1, q);
			consider(&ld, 1, q);
		}
	}
	if (version == 2)
		return ld.specificity == 3 && ld.quality > 0 && ld.quality >= json.quality ? INFO_LD_JSON
											  : INFO_JSON;
	return json.quality > ld.quality ? INFO_JSON : INFO_LD_JSON_3;
}

const char *info_type_name(enum info_type type)
{
	static const char *const names[] = {
		[INFO_JSON] = "application/json",
		[INFO_LD_JSON] = "application/ld+json",
		[INFO_LD_JSON_3] =
			"application/ld+json;profile=\"http://iiif.io/api/image/3/context.json\"",
	};
	return names[type];
}
