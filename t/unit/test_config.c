/*
 * goosebit.yaml and GOOSEBIT_*: what gooseBit takes is taken, what is wrong
 * is named with its line.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gb_config.h"


static char  folder[] = "/tmp/gb_config.XXXXXX";
static char  path[64];


static char *const  no_env[] = { NULL };


static void
write_file(const char *text, size_t len)
{
    FILE  *fp;

    fp = fopen(path, "w");
    assert_non_null(fp);
    assert_int_equal(fwrite(text, 1, len, fp), len);
    assert_int_equal(fclose(fp), 0);
}


static gb_config_t *
load(const char *text, char *const *env)
{
    gb_error_t    err;
    gb_config_t  *cf;

    gb_error_clear(&err);
    write_file(text, strlen(text));

    cf = gb_config_load_env(path, 0, env, &err);
    if (cf == NULL) {
        fail_msg("%s", err.message);
    }

    return cf;
}


/* want is without the folder's name, which changes */

static void
refused_bytes(const char *text, size_t len, char *const *env,
    const char *want)
{
    const char   *got;
    gb_error_t    err;
    gb_config_t  *cf;

    gb_error_clear(&err);
    write_file(text, len);

    cf = gb_config_load_env(path, 0, env, &err);
    if (cf != NULL) {
        fail_msg("taken: %s", text);
    }

    got = err.message;
    if (strncmp(got, folder, strlen(folder)) == 0) {
        got += strlen(folder) + 1;
        assert_string_equal(err.file, path);
    }

    assert_string_equal(got, want);
}


static void
refused(const char *text, const char *want)
{
    refused_bytes(text, strlen(text), no_env, want);
}


static void
refused_env(const char *variable, const char *want)
{
    char  *env[2];

    env[0] = (char *) variable;
    env[1] = NULL;

    refused_bytes("", 0, env, want);
}


static void
test_defaults(void **state)
{
    gb_config_t  *cf;

    (void) state;

    cf = load("# nothing\n", no_env);

    assert_int_equal(cf->port, 60053);
    assert_int_equal(cf->ntenant, 1);
    assert_string_equal(cf->tenant[0], "DEFAULT");
    assert_int_equal(cf->poll_time, 60);
    assert_int_equal(cf->max_concurrent_updates, 1000);
    assert_true(cf->track_device_ip);
    assert_false(cf->device_auth.enable);
    assert_int_equal(cf->device_auth.mode, GB_CONFIG_AUTH_STRICT);
    assert_null(cf->device_auth.external_url);
    assert_int_equal(cf->device_auth.external_mode,
                     GB_CONFIG_EXTERNAL_JSON);
    assert_string_equal(cf->device_auth.external_json_key, "token");
    assert_null(cf->db_uri);
    assert_null(cf->db_ssl_crt);
    assert_string_equal(cf->conninfo, "");
    assert_string_equal(cf->artifacts_dir, "/var/lib/goosebit/artifacts");
    assert_int_equal(cf->storage.backend, GB_CONFIG_FILESYSTEM);
    assert_null(cf->storage.s3.bucket);
    assert_string_equal(cf->storage.s3.region, "us-east-1");
    assert_false(cf->metrics.prometheus.enable);
    assert_null(cf->rauc_compatible_pattern);
    assert_string_equal(cf->file, path);
    assert_int_equal(cf->nnotes, 0);
    assert_string_equal(gb_config_auth(cf), "off");

    gb_config_free(cf);
    gb_config_free(NULL);

    gb_config_free(load("", no_env));
    gb_config_free(load("---\n", no_env));
    gb_config_free(load("{}\n", no_env));
}


static void
test_complete(void **state)
{
    size_t        i;
    gb_config_t  *cf;

    (void) state;

    cf = load("port: 1_024\n"
              "tenant: [A, 'b c', 7]\n"
              "poll_time: 12:00:00\n"
              "max_concurrent_updates: '0'\n"
              "track_device_ip: no\n"
              "device_auth:\n"
              "  enable: yes\n"
              "  mode: external\n"
              "  external_url: HTTPS://u:p@auth/x\n"
              "  external_mode: bearer\n"
              "  external_json_key: ''\n"
              "db_uri: postgres://u:p@h/db\n"
              "db_ssl_crt: ca.pem\n"
              "artifacts_dir: /data\n"
              "storage:\n"
              "  backend: s3\n"
              "  s3: {bucket: b, region: r, endpoint_url: http://s3,\n"
              "       access_key_id: id,\n"
              "       secret_access_key: s3cret}\n"
              "metrics: {prometheus: {enable: On}}\n"
              "rauc_compatible_pattern: (?P<hw_boardname>.)(?P<hw_revision>.)\n"
              "secret_key: {kty: oct}\n"
              "plugins: [a]\n"
              "logging:\n"
              "  version: 1\n",
              no_env);

    assert_int_equal(cf->port, 1024);
    assert_int_equal(cf->ntenant, 3);
    assert_string_equal(cf->tenant[1], "b c");
    assert_string_equal(cf->tenant[2], "7");
    assert_int_equal(cf->poll_time, 43200);
    assert_int_equal(cf->max_concurrent_updates, 0);
    assert_false(cf->track_device_ip);
    assert_string_equal(gb_config_auth(cf), "external");
    assert_string_equal(cf->device_auth.external_url, "HTTPS://u:p@auth/x");
    assert_int_equal(cf->device_auth.external_mode,
                     GB_CONFIG_EXTERNAL_BEARER);
    assert_string_equal(cf->device_auth.external_json_key, "");
    assert_string_equal(cf->db_uri, "postgres://u:p@h/db");
    assert_int_equal(strncmp(cf->db_ssl_crt, folder, strlen(folder)), 0);
    assert_string_equal(cf->db_ssl_crt + strlen(folder), "/ca.pem");
    assert_string_equal(cf->artifacts_dir, "/data");
    assert_int_equal(cf->storage.backend, GB_CONFIG_S3);
    assert_string_equal(cf->storage.s3.bucket, "b");
    assert_string_equal(cf->storage.s3.secret_access_key, "s3cret");
    assert_true(cf->metrics.prometheus.enable);
    assert_non_null(cf->rauc_compatible_pattern);

    /* secret_key, plugins, logging: said to be without effect */

    assert_int_equal(cf->nnotes, 3);

    for (i = 0; i < cf->nnotes; i++) {
        assert_int_equal(cf->notes[i].kind, GB_CONFIG_NOTE_WARNING);
        assert_non_null(strstr(cf->notes[i].text, "without effect"));
    }

    assert_non_null(strstr(cf->notes[2].text, ".yaml:24: logging:"));

    gb_config_free(cf);
}


static void
test_bool_words(void **state)
{
    char          text[64];
    size_t        i;
    gb_config_t  *cf;

    static const char *const  words[] = {
        "true", "false", "True", "FALSE", "yes", "no", "on", "off", "y", "n",
        "t", "f", "1", "0", "'yes'", "\"no\""
    };

    (void) state;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        snprintf(text, sizeof(text), "track_device_ip: %s\n", words[i]);
        cf = load(text, no_env);
        assert_int_equal(cf->track_device_ip, i % 2 == 0);
        gb_config_free(cf);
    }
}


static void
test_refused(void **state)
{
    size_t  i;

    static const struct {
        const char  *text;
        const char  *want;
    } cases[] = {
        { "a: b: c\n", "t.yaml:1: mapping values are not allowed in this "
          "context" },
        { "port: 1\nx: [\n", "t.yaml:3: while parsing a flow node: did not "
          "find expected node content" },
        { "port: 1\n\xff\n", "t.yaml:2: invalid leading UTF-8 octet" },
        { "- a\n", "t.yaml:1: the file: must hold \"key: value\" pairs" },
        { "port: 1\n---\nport: 2\n", "t.yaml:3: a second document in the "
          "file" },
        { "\npol_time: 1\n", "t.yaml:2: unknown key \"pol_time\", the "
          "nearest is \"poll_time\"" },
        { "enable: 1\n", "t.yaml:1: unknown key \"enable\", the nearest is "
          "\"device_auth.enable\"" },
        { "device_auth:\n  enabled: 1\n", "t.yaml:2: unknown key "
          "\"enabled\" in device_auth, the nearest is "
          "\"device_auth.enable\"" },
        { "device_auth:\n  port: 1\n", "t.yaml:2: unknown key \"port\" in "
          "device_auth, the nearest is \"port\"" },
        { "storage: {bucket: b}\n", "t.yaml:1: unknown key \"bucket\" in "
          "storage, the nearest is \"storage.s3.bucket\"" },
        { "metrcs: 1\n", "t.yaml:1: unknown key \"metrcs\", the nearest is "
          "\"metrics\"" },
        { "? [a]\n: b\n", "t.yaml:1: a key must be a word" },
        { "<<: {port: 1}\n", "t.yaml:1: merge keys (\"<<\") are not taken "
          "here" },
        { "device_auth:\n", "t.yaml:1: device_auth: must hold "
          "\"key: value\" pairs, or be left out" },
        { "device_auth: strict\n", "t.yaml:1: device_auth: must hold "
          "\"key: value\" pairs" },
        { "port: [1]\n", "t.yaml:1: port: must be a single value" },
        { "port: !env X\n", "t.yaml:1: port: unknown tag \"!env\"" },
        { "port:\n", "t.yaml:1: port: has no value (leave the key out for "
          "the default, 60053)" },
        { "port: 0\n", "t.yaml:1: port \"0\": must be from 1 to 65535" },
        { "port: 65536\n", "t.yaml:1: port \"65536\": must be from 1 to "
          "65535" },
        { "port: 99999999999999999999\n", "t.yaml:1: port "
          "\"99999999999999999999\": must be from 1 to 65535" },
        { "port: 1.5\n", "t.yaml:1: port \"1.5\": must be a whole number" },
        { "port: 0777\n", "t.yaml:1: port \"0777\": must not begin with "
          "0" },
        { "port: 1_\n", "t.yaml:1: port \"1_\": must be a whole number" },
        { "max_concurrent_updates: -1\n", "t.yaml:1: max_concurrent_updates "
          "\"-1\": must be from 0 to 2147483647" },
        { "track_device_ip: maybe\n", "t.yaml:1: track_device_ip \"maybe\": "
          "must be true or false" },
        { "poll_time: 24:00:00\n", "t.yaml:1: poll_time \"24:00:00\": must "
          "be HH:MM:SS between 00:00:01 and 23:59:59" },
        { "device_auth: {mode: Strict}\n", "t.yaml:1: device_auth.mode "
          "\"Strict\": must be setup, strict, external or lax" },
        { "device_auth:\n  mode: external\n", "t.yaml:2: device_auth.mode "
          "external needs device_auth.external_url" },
        { "device_auth:\n  mode: external\n  external_url: http://a\n"
          "  external_json_key: ''\n", "t.yaml:4: "
          "device_auth.external_json_key: must not be empty with "
          "device_auth.external_mode json" },
        { "device_auth: {external_url: ftp://x}\n", "t.yaml:1: "
          "device_auth.external_url: must be an http:// or https:// URL" },
        { "device_auth: {external_url: 'http://'}\n", "t.yaml:1: "
          "device_auth.external_url: must be an http:// or https:// URL" },
        { "storage:\n  backend: s3\n", "t.yaml:2: storage.backend s3 needs "
          "storage.s3.bucket" },
        { "tenant: []\n", "t.yaml:1: tenant: 0 names, must be from 1 to "
          "1000" },
        { "tenant: [a, A]\n", "t.yaml:1: tenant \"A\": listed twice" },
        { "tenant: a/b\n", "t.yaml:1: tenant \"a/b\": must be at most 255 "
          "bytes without slashes and control characters" },
        { "tenant: ''\n", "t.yaml:1: tenant: must not be empty" },
        { "tenant: [{}]\n", "t.yaml:1: tenant: must be a single value" },
        { "artifacts_dir: ''\n", "t.yaml:1: artifacts_dir: must not be "
          "empty" },
        { "artifacts_dir: \"a\\nb\"\n", "t.yaml:1: artifacts_dir: control "
          "characters or bad UTF-8" },
        { "artifacts_dir: \"a\\0b\"\n", "t.yaml:1: artifacts_dir: a NUL in "
          "the value" },
        { "db_uri: sqlite:///x/db.sqlite3\n", "t.yaml:1: db_uri: SQLite is "
          "not served here: name a PostgreSQL database, and take the old "
          "data over with \"gbctl import goosebit URI\"" },
        { "db_uri: mysql://u:p@h/db\n", "t.yaml:1: db_uri: \"mysql\" is not "
          "PostgreSQL: must be like "
          "postgres://user:password@host:5432/db" },
        { "db_uri: goosebit\n", "t.yaml:1: db_uri: must be like "
          "postgres://user:password@host:5432/db" },
        { "rauc_compatible_pattern: (.*)\n", "t.yaml:1: "
          "rauc_compatible_pattern: needs a group (?P<hw_model>...)" },
        { "rauc_compatible_pattern: (?P<hw_model>.*)\n", "t.yaml:1: "
          "rauc_compatible_pattern: needs a group (?P<hw_revision>...)" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        refused(cases[i].text, cases[i].want);
    }
}


static void
test_files(void **state)
{
    char         *big, *env[3], text[128];
    FILE         *fp;
    gb_error_t    err;
    gb_config_t  *cf;

    (void) state;

    assert_null(gb_config_load_env("/nowhere/x.yaml", 0, no_env, &err));
    assert_string_equal(err.message,
                        "/nowhere/x.yaml: No such file or directory");

    assert_null(gb_config_load_env(folder, 0, no_env, &err));
    assert_non_null(strstr(err.message, "Is a directory"));

    big = calloc(1, 1024 * 1024 + 1);
    assert_non_null(big);
    memset(big, '#', 1024 * 1024 + 1);
    refused_bytes(big, 1024 * 1024 + 1, no_env,
                  "t.yaml: is over 1048576 bytes long");
    free(big);

    /* GOOSEBIT_CONFIG must be there, GOOSEBIT_SETTINGS may be missing */

    write_file("port: 5\n", 8);
    snprintf(text, sizeof(text), "GOOSEBIT_CONFIG=%s", path);
    env[0] = "GOOSEBIT_SETTINGS=/nowhere";
    env[1] = text;
    env[2] = NULL;

    cf = gb_config_load_env(NULL, 0, env, &err);
    assert_non_null(cf);
    assert_int_equal(cf->port, 5);
    assert_int_equal(cf->nnotes, 0);
    gb_config_free(cf);

    env[1] = "GOOSEBIT_CONFIG=/nowhere";
    assert_null(gb_config_load_env(NULL, 0, env, &err));
    assert_string_equal(err.message, "/nowhere: No such file or directory");

    /* the folder one stands in: for gbctl only */

    assert_int_equal(chdir(folder), 0);
    fp = fopen("goosebit.yaml", "w");
    assert_non_null(fp);
    fputs("port: 6\nartifacts_dir: here\n", fp);
    fclose(fp);

    env[1] = NULL;
    cf = gb_config_load_env(NULL, GB_CONFIG_CWD, env, &err);
    assert_non_null(cf);
    assert_int_equal(cf->port, 6);
    assert_string_equal(cf->file, "goosebit.yaml");
    assert_string_equal(cf->artifacts_dir, "here");
    assert_int_equal(cf->nnotes, 1);
    assert_string_equal(cf->notes[0].text,
                        "GOOSEBIT_SETTINGS: /nowhere: no such file");
    gb_config_free(cf);

    cf = gb_config_load_env(NULL, GB_CONFIG_KEEP, no_env, &err);
    assert_non_null(cf);
    assert_true(cf->file == NULL || strcmp(cf->file, "goosebit.yaml") != 0);
    gb_config_free(cf);

    assert_int_equal(unlink("goosebit.yaml"), 0);
    assert_int_equal(chdir("/"), 0);
}


static void
test_environment(void **state)
{
    gb_config_t  *cf;

    static char *const  env[] = {
        "PATH=/bin",
        "GOOSEBIT_PORT= 7 ",
        "goosebit_Track_Device_IP=off",
        "GOOSEBIT_DEVICE_AUTH={\"enable\": true, \"mode\": \"lax\","
            " \"external_json_key\": 5.0}",
        "GOOSEBIT_DEVICE_AUTH__MODE=setup",
        "GOOSEBIT_STORAGE={\"s3\": {\"bucket\": \"b\", \"region\": \"q\"}}",
        "GOOSEBIT_STORAGE__S3={\"region\": \"r\", \"x\": 1}",
        "GOOSEBIT_STORAGE__S3__ENDPOINT_URL=",
        "GOOSEBIT_TENANT=[\"a\", 2]",
        "GOOSEBIT_POL_TIME=1",
        "GOOSEBIT_CONFIG=",
        "GOOSEBIT_LOGGING__VERSION=1",
        NULL
    };

    (void) state;

    cf = load("port: no number\n"
              "device_auth:\n"
              "  enable: false\n"
              "  external_url: http://file\n"
              "storage:\n"
              "  s3:\n"
              "    endpoint_url: http://file\n"
              "tenant: file\n",
              env);

    assert_int_equal(cf->port, 7);
    assert_false(cf->track_device_ip);
    assert_true(cf->device_auth.enable);
    assert_string_equal(gb_config_auth(cf), "setup");
    assert_string_equal(cf->device_auth.external_json_key, "5.0");
    assert_string_equal(cf->device_auth.external_url, "http://file");
    assert_string_equal(cf->storage.s3.bucket, "b");
    assert_string_equal(cf->storage.s3.region, "r");
    assert_null(cf->storage.s3.endpoint_url);
    assert_int_equal(cf->ntenant, 2);
    assert_string_equal(cf->tenant[1], "2");

    assert_int_equal(cf->nnotes, 3);
    assert_string_equal(cf->notes[0].text, "GOOSEBIT_STORAGE__S3: ignored: "
                        "no key \"storage.s3.x\", the nearest is "
                        "\"storage.s3.bucket\"");
    assert_int_equal(cf->notes[0].kind, GB_CONFIG_NOTE_IGNORED);
    assert_int_equal(cf->notes[1].kind, GB_CONFIG_NOTE_WARNING);
    assert_string_equal(cf->notes[2].text, "GOOSEBIT_POL_TIME: ignored: no "
                        "such key, the nearest is \"poll_time\"");
    assert_int_equal(cf->notes[2].kind, GB_CONFIG_NOTE_IGNORED);

    gb_config_free(cf);
}


static void
test_environment_refused(void **state)
{
    (void) state;

    refused_env("GOOSEBIT_PORT=", "GOOSEBIT_PORT: port \"\": must be a whole "
                "number");
    refused_env("GOOSEBIT_DEVICE_AUTH=strict", "GOOSEBIT_DEVICE_AUTH: "
                "device_auth: must be a JSON object: column 6: invalid "
                "token near 'strict'");
    refused_env("GOOSEBIT_DEVICE_AUTH=5", "GOOSEBIT_DEVICE_AUTH: "
                "device_auth: must be a JSON object");
    refused_env("GOOSEBIT_DEVICE_AUTH={\"enable\":null}",
                "GOOSEBIT_DEVICE_AUTH: device_auth.enable: has no value "
                "(leave the key out for the default, false)");
    refused_env("GOOSEBIT_METRICS={\"prometheus\":true}", "GOOSEBIT_METRICS: "
                "metrics.prometheus: must be a JSON object");
    refused_env("GOOSEBIT_DEVICE_AUTH={\"mode\":[]}", "GOOSEBIT_DEVICE_AUTH: "
                "device_auth.mode: must be a single value");
    refused_env("GOOSEBIT_TENANT=[\"a\"", "GOOSEBIT_TENANT: tenant: must be "
                "a name, or a list like [\"A\", \"B\"]");
    refused_env("GOOSEBIT_TENANT=[[]]", "GOOSEBIT_TENANT: tenant: must be a "
                "list of names");
    refused_env("GOOSEBIT_DEVICE_AUTH__MODE=external",
                "GOOSEBIT_DEVICE_AUTH__MODE: device_auth.mode external needs "
                "device_auth.external_url");
}


/* one run of config check names everything */

static void
test_keep(void **state)
{
    gb_error_t    err;
    gb_config_t  *cf;

    static const char  text[] = "port: x\nport: y\nfoo: 1\n"
                                "poll_time: 00:00:00\ntenant: z\n";

    (void) state;

    write_file(text, sizeof(text) - 1);

    cf = gb_config_load_env(path, GB_CONFIG_KEEP, no_env, &err);
    assert_non_null(cf);

    assert_int_equal(cf->nerrors, 3);
    assert_int_equal(cf->nnotes, 4);
    assert_int_equal(cf->notes[0].kind, GB_CONFIG_NOTE_WARNING);
    assert_non_null(strstr(cf->notes[0].text, "t.yaml:1: port: stands here "
                           "twice, the last one counts"));
    assert_non_null(strstr(cf->notes[1].text, "t.yaml:2: port \"y\""));
    assert_string_equal(cf->notes[1].text, err.message);
    assert_int_equal(err.line, 2);

    assert_int_equal(cf->port, 60053);
    assert_int_equal(cf->poll_time, 60);
    assert_string_equal(cf->tenant[0], "z");

    gb_config_free(cf);
}


static void
test_too_many_errors(void **state)
{
    int           i;
    char         *text;
    size_t        n;
    gb_error_t    err;
    gb_config_t  *cf;

    (void) state;

    text = malloc(50000 * 10);
    assert_non_null(text);

    for (i = 0, n = 0; i < 50000; i++) {
        n += (size_t) sprintf(text + n, "k%d: 1\n", i);
    }

    write_file(text, n);
    free(text);

    cf = gb_config_load_env(path, GB_CONFIG_KEEP, no_env, &err);
    assert_non_null(cf);
    assert_int_equal(cf->nnotes, 100);
    gb_config_free(cf);
}


static int
collect(void *data, const gb_config_entry_t *entry)
{
    char    *out;
    size_t   len;

    out = data;
    len = strlen(out);

    if (entry->from == GB_CONFIG_DEFAULT) {
        assert_string_equal(entry->origin, "default");
        return 0;
    }

    snprintf(out + len, 2048 - len, "%s=%s %s%s%s\n", entry->key,
             entry->value != NULL ? entry->value : "-",
             strncmp(entry->origin, folder, strlen(folder)) == 0
             ? entry->origin + strlen(folder) + 1 : entry->origin,
             entry->secret ? " secret" : "", entry->unused ? " unused" : "");

    return strcmp(entry->key, "rauc_compatible_pattern") == 0 ? 42 : 0;
}


static void
test_each(void **state)
{
    char          out[2048];
    gb_config_t  *cf;

    static char *const  env[] = { "GOOSEBIT_TENANT=[\"a\",\"b\"]", NULL };

    (void) state;

    cf = load("poll_time: 01:02:03\n"
              "db_uri: postgres://u:p4ss@h/db?password=p4ss&a=1\n"
              "device_auth:\n"
              "  external_url: https://u:p4ss@x/\n"
              "  mode:\n"
              "    lax\n"
              "storage: {s3: {secret_access_key: p4ss}}\n"
              "secret_key: p4ss\n"
              "db_ssl_crt: ~\n"
              "rauc_compatible_pattern: ''\n",
              env);

    out[0] = '\0';
    assert_int_equal(gb_config_each(cf, false, collect, out), 42);
    assert_string_equal(out,
        "tenant=a, b GOOSEBIT_TENANT\n"
        "poll_time=01:02:03 t.yaml:1\n"
        "device_auth.mode=lax t.yaml:6\n"
        "device_auth.external_url=https://u:***@x/ t.yaml:4 secret\n"
        "secret_key=*** t.yaml:8 secret unused\n"
        "db_uri=postgres://u:***@h/db?password=***&a=1 t.yaml:2 secret\n"
        "db_ssl_crt=- t.yaml:9\n"
        "storage.s3.secret_access_key=*** t.yaml:7 secret\n"
        "rauc_compatible_pattern=- t.yaml:10\n");

    out[0] = '\0';
    assert_int_equal(gb_config_each(cf, true, collect, out), 42);
    assert_non_null(strstr(out, "external_url=https://u:p4ss@x/ "));
    assert_non_null(strstr(out, "secret_access_key=p4ss "));

    gb_config_free(cf);
}


static void
test_mask(void **state)
{
    char    out[256];
    size_t  i, n;

    static const struct {
        const char  *uri;
        const char  *want;
    } cases[] = {
        { "postgres://h/db", "postgres://h/db" },
        { "postgres://u@h/db", "postgres://u@h/db" },
        { "postgres://u:x@h:5432/db", "postgres://u:***@h:5432/db" },
        { "postgres://u:@h", "postgres://u:***@h" },
        { "postgres://u:a?b:c@h", "postgres://u:***@h" },
        { "postgres:///db?user=a@b&password=x&sslpassword=y#z",
          "postgres:///db?user=a@b&password=***&sslpassword=***#z" },
        { "host=h password=x user=u", "host=h password=*** user=u" },
        { "password = 'a\\' b' user=u", "password = *** user=u" },
        { "PASSWORD=a\\ b user=u", "PASSWORD=*** user=u" },
        { "password='open", "password=***" },
        { "password=a://b:c@d user=u", "password=*** user=u" },
        { "", "" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        n = gb_config_mask_uri(cases[i].uri, NULL);
        assert_int_equal(n, strlen(cases[i].want));
        assert_int_equal(gb_config_mask_uri(cases[i].uri, out), n);
        assert_memory_equal(out, cases[i].want, n);
    }
}


static void
conninfo(const char *text, const char *want, size_t warnings)
{
    gb_config_t  *cf;

    cf = load(text, no_env);
    assert_string_equal(cf->conninfo, want);
    assert_int_equal(cf->nnotes, warnings);
    gb_config_free(cf);
}


static void
test_conninfo(void **state)
{
    (void) state;

    conninfo("db_uri: postgres://u:p@h:5432/db\n",
             "postgresql://u:p@h:5432/db", 0);
    conninfo("db_uri: asyncpg://u:p@h/db?x=1&y\n",
             "postgresql://u:p@h/db?x=1&y", 0);
    conninfo("db_uri: psycopg://a?b@h/db?maxsize=3&minsize=1&x=1\n",
             "postgresql://a?b@h/db?x=1", 2);
    conninfo("db_uri: postgres:///g?host=/run/x&target_session_attrs="
             "read-write\n",
             "postgresql:///g?host=/run/x&target_session_attrs=read-write",
             0);
    conninfo("db_uri: host=h dbname=d\n", "host=h dbname=d", 0);

    conninfo("db_uri: postgres://h/d\ndb_ssl_crt: /a b\n",
             "postgresql://h/d?sslrootcert=/a%20b&sslmode=verify-full", 0);
    conninfo("db_uri: postgres://h/d?sslmode=require\ndb_ssl_crt: /c\n",
             "postgresql://h/d?sslmode=verify-full&sslrootcert=/c", 0);
    conninfo("db_uri: postgres://h/d?sslmode=none&verifyflags=default\n"
             "db_ssl_crt: /c\n",
             "postgresql://h/d?sslmode=require", 1);
    conninfo("db_uri: postgres://h/d?sslmode=require\n",
             "postgresql://h/d?sslmode=require", 0);
    conninfo("db_uri: dbname=d\ndb_ssl_crt: /it's\n",
             "dbname=d sslmode=verify-full sslrootcert='/it\\'s'", 0);
    conninfo("db_ssl_crt: /c\n",
             "sslmode=verify-full sslrootcert='/c'", 0);
}


static void
test_time(void **state)
{
    int     n;
    size_t  i;

    static const char *const  bad[] = {
        "", "00:00:00", "24:00:00", "00:60:00", "00:00:60", "1:00:00",
        "00:01", "00:01:00 ", "00:01:0x", "-0:01:00", "00-01-00"
    };

    (void) state;

    assert_int_equal(gb_config_time("00:00:01", &n), GB_OK);
    assert_int_equal(n, 1);
    assert_int_equal(gb_config_time("23:59:59", &n), GB_OK);
    assert_int_equal(n, 86399);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(gb_config_time(bad[i], &n), GB_ERROR);
    }

    assert_int_equal(n, 86399);
}


static int
is_from_file(void *data, const gb_config_entry_t *entry)
{
    (void) data;

    if (entry->from != GB_CONFIG_FROM_FILE) {
        fail_msg("%s is missing", entry->key);
    }

    return 0;
}


/* the sample as it is, and with every key made active */

static void
test_sample(void **state)
{
    char         *text, *p, *line;
    FILE         *fp;
    size_t        n, out;
    gb_error_t    err;
    gb_config_t  *cf;

    fp = fopen(*state, "r");
    assert_non_null(fp);
    text = calloc(1, 65536);
    assert_non_null(text);
    n = fread(text, 1, 65535, fp);
    assert_true(n > 0);
    fclose(fp);

    cf = gb_config_load_env(*state, 0, no_env, &err);
    assert_non_null(cf);
    assert_int_equal(cf->nnotes, 0);
    gb_config_free(cf);

    /* a key is "#key:" or "#  key:", words are "# words" */

    out = 0;

    for (line = text; *line != '\0'; line = p) {
        p = strchr(line, '\n');
        assert_non_null(p);
        p++;

        if (line[0] == '#' && line[1] != '#' && line[1] != '\n'
            && (line[1] != ' ' || line[2] == ' '))
        {
            line++;
        }

        memmove(text + out, line, p - line);
        out += p - line;
    }

    write_file(text, out);
    free(text);

    cf = gb_config_load_env(path, GB_CONFIG_KEEP, no_env, &err);
    assert_non_null(cf);

    for (n = 0; n < cf->nnotes; n++) {
        if (cf->notes[n].kind == GB_CONFIG_NOTE_ERROR) {
            fail_msg("%s", cf->notes[n].text);
        }
    }

    assert_int_equal(cf->ntenant, 2);

    /* every key of the table stands in the sample */

    assert_int_equal(gb_config_each(cf, false, is_from_file, NULL), 0);

    gb_config_free(cf);
}


static int
setup(void **state)
{
    (void) state;

    if (mkdtemp(folder) == NULL) {
        return -1;
    }

    snprintf(path, sizeof(path), "%s/t.yaml", folder);

    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    unlink(path);

    return rmdir(folder);
}


int
main(void)
{
    int    rc;
    char  *sample;

    /* a test changes the folder */

    sample = realpath("conf/goosebit.yaml", NULL);

    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_bool_words),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_environment_refused),
        cmocka_unit_test(test_keep),
        cmocka_unit_test(test_too_many_errors),
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_mask),
        cmocka_unit_test(test_conninfo),
        cmocka_unit_test(test_time),
        cmocka_unit_test_prestate(test_sample, sample),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    rc = cmocka_run_group_tests(tests, setup, teardown);

    free(sample);

    return rc;
}
