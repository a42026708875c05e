/* SPDX-License-Identifier: BSD-2-Clause */
#include "s3_profile.h"

/* Also without the CR of a file from Windows. */
static struct str trim_line(struct str line)
{
	if (str_ends(line, STR("\r")))
		line.n--;
	return str_trim(line);
}

static struct str cut_comment(struct str value)
{
	for (size_t i = 1; i < value.n; i++)
		if ((value.at[i] == '#' || value.at[i] == ';') && (value.at[i - 1] == ' ' || value.at[i - 1] == '\t'))
			value.n = i;
	return str_trim(value);
}

static bool is_section(struct str line, struct str profile)
{
	struct str name, rest;
	take_char(&line, '[');
	take_until(&line, ']', &name);
	name = str_trim(name);
	rest = name;
	if (take_word(&rest, STR("profile ")) || take_word(&rest, STR("profile\t")))
		name = str_trim(rest);
	return str_equal(name, profile);
}

static void read_setting(struct arena *a, struct str line, struct s3_keys *keys)
{
	const struct {
		struct str name;
		const char **to;
	} settings[] = {
		{STR("aws_access_key_id"), &keys->access_key},
		{STR("aws_secret_access_key"), &keys->secret_key},
		{STR("aws_session_token"), &keys->token},
	};
	struct str name;
	take_until(&line, '=', &name);
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
		if (str_equal_nocase(str_trim(name), settings[i].name))
			*settings[i].to = str_dup(a, cut_comment(line));
}

bool s3_profile_find(struct arena *a, struct str text, struct str profile, struct s3_keys *keys)
{
	struct str line;
	bool inside = false;
	*keys = (struct s3_keys){"", "", ""};
	take_word(&text, STR("\xef\xbb\xbf"));
	while (take_until(&text, '\n', &line)) {
		line = trim_line(line);
		if (!line.n || line.at[0] == '#' || line.at[0] == ';')
			continue;
		if (line.at[0] == '[')
			inside = is_section(line, profile);
		else if (inside)
			read_setting(a, line, keys);
	}
	return *keys->access_key && *keys->secret_key;
}
