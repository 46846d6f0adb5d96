/*
 * What is wrong in goosebit.yaml or GOOSEBIT_* is named, with its line.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "config_file.h"


static void
refused(const char *text, const char *want)
{
    config_file_refused(text, strlen(text), conf_env, want);
}


static void
refused_env(const char *variable, const char *want)
{
    char  *env[2];

    env[0] = (char *) variable;
    env[1] = NULL;

    config_file_refused("", 0, env, want);
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
        { "frobnicate: 1\n", "t.yaml:1: unknown key \"frobnicate\"" },
        { "zzz:\n  port: 1\n", "t.yaml:1: unknown key \"zzz\"" },
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


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_environment_refused),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, config_file_setup,
                                  config_file_teardown);
}
