# SPDX-License-Identifier: BSD-2-Clause
"""README.md says what is true: its configurations are valid, its options exist, its migration tables leave nothing out."""
import re
import subprocess
from fnmatch import fnmatchcase

import pytest
from stack import REPO

LORIS = """
tmp_dp www_dp run_as_user run_as_group enable_caching redirect_canonical_image_request redirect_id_slash_to_info
max_size_above_full proxy_path cors_regex default_format log_to log_level log_dir max_size max_backups format impl
auth_rules_ext src_img_root src_img_roots extension_map source_prefix source_suffix cache_root head_resolvable uri_resolvable
user pw cert key ssl_check ident_regex templates url delimiter source_root cache_dp cache_links bucket_name bucket_map bucket
key_prefix region_name aws_access_key_id aws_secret_access_key cache_dir dither_bitonal_images target_formats
pil_max_image_pixels src_format mkfifo kdu_expand kdu_libs num_threads opj_decompress opj_libs map_profile_to_srgb
srgb_profile_fp cookie_name cookie_secret cookie_service token_secret token_service salt redirect_target authorized_url
protected_url services_url processes threads max-requests
"""

# {a,b} stands for each; keys that 5 no longer has are among them.
CANTALOUPE = """
temp_pathname http.{enabled,host,port,min_threads,max_threads,accept_queue_limit,http2.enabled}
https.{enabled,host,port,http2.enabled,key_store_type,key_store_password,key_store_path,key_password} base_uri slash_substitute
max_pixels max_scale meta_identifier.transformer meta_identifier.transformer.StandardMetaIdentifierTransformer.delimiter
log_error_responses print_stack_trace_on_error_pages delegate_script.{enabled,pathname} endpoint.iiif.{1,2,3}.enabled
endpoint.iiif.{min_size,min_tile_size,restrict_to_sizes,content_disposition} endpoint.admin.{enabled,username,secret}
endpoint.api.{enabled,username,secret} endpoint.public.auth.{enabled,username,secret} source.{static,delegate}
FilesystemSource.{lookup_strategy,BasicLookupStrategy.path_prefix,BasicLookupStrategy.path_suffix}
HttpSource.{allow_insecure,request_timeout,lookup_strategy} HttpSource.BasicLookupStrategy.{url_prefix,url_suffix}
HttpSource.BasicLookupStrategy.auth.basic.{username,secret} S3Source.{endpoint,region,access_key_id,secret_key,lookup_strategy}
S3Source.BasicLookupStrategy.{bucket.name,path_prefix,path_suffix}
AzureStorageSource.{account_name,account_key,container_name,lookup_strategy} HttpSource.chunking.{enabled,chunk_size}
HttpSource.chunking.cache.{enabled,max_size} S3Source.chunking.{enabled,chunk_size} S3Source.chunking.cache.{enabled,max_size}
AzureStorageSource.chunking.{enabled,chunk_size} AzureStorageSource.chunking.cache.{enabled,max_size}
JdbcSource.{url,user,password,connection_timeout} processor.selection_strategy
processor.ManualSelectionStrategy.{avi,bmp,flv,gif,jp2,jpg,mov,mp4,mpg,pdf,png,tif,webm,xpm,fallback}
processor.{stream_retrieval_strategy,fallback_retrieval_strategy,dpi,background_color,downscale_filter,upscale_filter,sharpen}
processor.pdf.{scratch_file_enabled,max_memory_bytes} processor.normalize processor.jpg.{progressive,quality}
processor.tif.compression processor.metadata.{preserve,respect_orientation} processor.imageio.{bmp,gif,jpg,png,tif,xpm}.reader
processor.imageio.{gif,jpg,png,tif}.writer {Ffmpeg,OpenJpeg,Grok,GraphicsMagick,ImageMagick,KakaduDemo}Processor.path_to_binaries
cache.client.{enabled,max_age,shared_max_age,public,private,no_cache,no_store,must_revalidate,proxy_revalidate,no_transform}
cache.server.source cache.server.source.ttl_seconds cache.server.derivative cache.server.derivative.{enabled,ttl_seconds}
cache.server.info.enabled cache.server.{purge_missing,resolve_first} cache.server.worker.{enabled,interval}
FilesystemCache.{pathname,dir.depth,dir.name_length} HeapCache.{target_size,persist,persist.filesystem.pathname}
JdbcCache.{url,user,password,connection_timeout,derivative_image_table,info_table}
S3Cache.{endpoint,region,access_key_id,secret_key,bucket.name,object_key_prefix}
AzureStorageCache.{account_name,account_key,container_name,object_key_prefix} RedisCache.{host,port,ssl,password,database}
overlays.strategy overlays.BasicStrategy.{enabled,type,image,string,position,inset,output_width_threshold,output_height_threshold}
overlays.BasicStrategy.string.{font,font.size,font.min_size,font.weight,glyph_spacing,color,background.color}
overlays.BasicStrategy.string.stroke.{color,width} redaction.enabled log.application.level
log.{application,access}.ConsoleAppender.enabled log.{application,error,access}.FileAppender.{enabled,pathname}
log.{application,error}.FileAppender.logstash.enabled log.{application,error,access}.RollingFileAppender.{enabled,pathname,policy}
log.{application,error,access}.RollingFileAppender.TimeBasedRollingPolicy.{filename_pattern,max_history}
log.{application,access}.SyslogAppender.{enabled,host,port,facility}
"""

THEIRS = {"Coming from Loris": LORIS, "Coming from Cantaloupe": CANTALOUPE}


def chapter(title):
    text = (REPO / "README.md").read_text()
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(title):
    """The cells of a chapter's table, without its head."""
    lines = [line for line in chapter(title).splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def quoted(text):
    return re.findall(r"`([^`]+)`", text)


def spelled_out(words):
    """a{b,c}d is abd and acd."""
    for word in words.split():
        parts = re.match(r"(.*?)\{([^}]*)\}(.*)", word)
        if parts:
            head, choices, tail = parts.groups()
            yield from spelled_out(" ".join(head + choice + tail for choice in choices.split(",")))
        else:
            yield word


def named(title):
    """The patterns of a table's left column. ".x" is the name before it with another end."""
    last = ""
    for cells in rows(title):
        for name in quoted(cells[0]):
            if name.startswith("."):
                parts = last.split(".")
                yield from (".".join(parts[:n]) + name for n in range(1, len(parts)))
            else:
                last = name
                yield name


@pytest.fixture(scope="module")
def options(binary):
    """section.key of all options, those that only rules have as rules.key."""
    shown = subprocess.run([binary, "--print-config"], capture_output=True, text=True, check=True).stdout
    found, section = set(), ""
    for line in shown.splitlines():
        opened = re.match(r"(\w+)[: ]", line)
        section = opened[1] if opened else section
        key = re.match(r"\t+(\w+) = ", line)
        if key:
            found.add(f"{section}.{key[1]}")
    return found


@pytest.mark.parametrize("title", THEIRS)
def test_each_option_of_theirs_has_its_row(title):
    patterns = list(named(title))
    assert not [k for k in spelled_out(THEIRS[title]) if not any(fnmatchcase(k, p) for p in patterns)]


@pytest.mark.parametrize("title", THEIRS)
def test_the_tables_name_what_there_is(title, options):
    shipped = "".join((REPO / name).read_text() for name in ("nginx-sample.conf", "scripts/supervisor.conf"))
    ours = [name for _, right in rows(title) for name in quoted(right)]
    sections = {o.split(".")[0] for o in options}
    assert len(options) > 90 and len(ours) > 80
    assert not [n for n in ours if n.split(".")[0] in sections and n not in options]
    words = [n for n in ours if re.fullmatch(r"\$?[a-z]+(_[a-z]+)+", n)]
    assert words and not [w for w in words if not re.search(r"(?<!\w)" + re.escape(w) + r"(?!\w)", shipped)]


def test_its_configurations_are_valid(binary, tmp_path):
    blocks = re.findall(r"(?:^    .*\n)+", (REPO / "README.md").read_text(), re.M)
    blocks = [b for b in blocks if re.match(r"\s*(server|limits|cache|rules)\b", b)]
    assert len(blocks) >= 4
    for block in blocks:
        for folder in re.findall(r'\broot = "([^"]+)"', block):
            block = block.replace(f'"{folder}"', f'"{tmp_path}"')
        config = tmp_path / "lorikeet.conf"
        config.write_text(block)
        done = subprocess.run([binary, "--config", config, "check"], capture_output=True, text=True, timeout=20)
        assert "the configuration is valid" in done.stdout, block + done.stderr


def text_of(*patterns):
    return "".join(path.read_text() for pattern in patterns for path in sorted(REPO.glob(pattern)))


OPERATION = ["How large a machine", "The caches", "Several servers", "Behind a CDN", "When something is wrong"]


@pytest.mark.parametrize("title", OPERATION)
def test_the_chapters_for_operators_name_what_there_is(title, options):
    """Options, metrics, names of the shipped files; reasons in the log; the texts of answers and log lines."""
    shipped = text_of("nginx-sample.conf", "scripts/*.conf")
    metrics = set(re.findall(r'"([a-z_]+)"', text_of("lib/server/meters_text.c")))
    known = {o.split(".")[1] for o in options} | metrics | {m + "_total" for m in metrics}
    code = text_of("lib/**/*.[ch]", "fcgi/*.[ch]")
    reasons = set(re.findall(r'\[REASON_\w+\] = "([a-z-]+)"', code))
    text = chapter(title)
    words = [w for w in quoted(text) if re.fullmatch(r"\$?[a-z]+(_[a-z]+)+", w)]
    assert words
    assert not [w for w in words if w not in known and not re.search(r"(?<!\w)" + re.escape(w) + r"(?!\w)", shipped)]
    assert not set(re.findall(r"`reason=([^`]+)`", text)) - reasons
    assert not [said for said in re.findall("“([^”]+)”", text) if said not in code + shipped]
