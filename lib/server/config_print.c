/* SPDX-License-Identifier: BSD-2-Clause */
#include "config_print.h"

#include "config_options.h"

static char *variable_name(struct arena *a, const char *section, const char *key)
{
	char *name = arena_printf(a, CONFIG_ENV_PREFIX "%s_%s", section, key);
	for (char *c = name; *c; c++)
		*c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
	return name;
}

static void print_value(const struct option *o, struct buf *out)
{
	struct str rest = str_of(o->otherwise), piece;
	switch (o->type) {
	case BOOL:
		buf_text(out, o->otherwise);
		break;
	case UINT:
		buf_printf(out, "%s%s", o->otherwise, o->max > INT32_MAX ? "L" : "");
		break;
	case TEXT:
	case URI:
	case FOLDER:
	case COLOUR:
	case CHOICE:
		buf_printf(out, "\"%s\"", o->otherwise);
		break;
	case LIST:
	case PREFIXES:
	case FOLDERS:
		buf_text(out, "[");
		for (int n = 0; *o->otherwise && take_until(&rest, ',', &piece); n++)
			buf_printf(out, "%s\"%.*s\"", n ? ", " : "", (int)piece.n, piece.at);
		buf_text(out, "]");
		break;
	}
}

static void print_option(struct arena *a, const struct option *o, struct buf *out)
{
	buf_printf(out, "\n\t# %s\n", o->help);
	if (o->type == UINT && o->max == UINT64_MAX)
		buf_printf(out, "\t# From %llu.", (unsigned long long)o->min);
	else if (o->type == UINT)
		buf_printf(out, "\t# From %llu to %llu.", (unsigned long long)o->min, (unsigned long long)o->max);
	else
		buf_text(out, "\t#");
	for (int i = 0; o->choices && o->choices[i]; i++)
		buf_printf(out, "%s%s", i ? " | " : " ", o->choices[i]);
	buf_printf(out, " %s%s\n\t%s = ", variable_name(a, o->section, o->key),
		   o->of_rule ? "; a rule may override it" : "", o->key);
	print_value(o, out);
	buf_text(out, ";\n");
}

void config_print_default(struct buf *out)
{
	struct arena *a = arena_open();
	const char *section = "";
	buf_text(out, "# Lorikeet's configuration. Every option has its default here, and may be left out.\n"
		      "# The variable named beside an option wins over this file.\n");
	for (size_t i = 0; i < n_config_options; i++) {
		if (strcmp(section, config_options[i].section) != 0) {
			buf_printf(out, "%s\n%s: {", *section ? "};\n" : "", config_options[i].section);
			section = config_options[i].section;
		}
		print_option(a, &config_options[i], out);
	}
	buf_text(out, "};\n\n# Where originals are, by identifier. Besides its own options a rule may have any\n"
		      "# option above that says so. Variables: LORIKEET_RULES_0_ROOT and so on.\n"
		      "rules = (\n\t{\n");
	for (size_t i = 0; i < n_config_rule_options; i++) {
		buf_printf(out, "\t\t# %s\n\t\t%s = ", config_rule_options[i].help, config_rule_options[i].key);
		if (strcmp(config_rule_options[i].key, "root") == 0)
			buf_text(out, "\"/var/lib/lorikeet/images\"");
		else
			print_value(&config_rule_options[i], out);
		buf_text(out, ";\n");
	}
	buf_text(out, "\t}\n);\n");
	arena_close(a);
}
