/*
 * goosebit.yaml and GOOSEBIT_*: what gooseBit takes is taken.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config_file.h"


static void
test_defaults(void **state)
{
    gb_config_t  *cf;

    (void) state;

    cf = config_file_load("# nothing\n", conf_env);

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
    assert_string_equal(cf->file, conf_path);
    assert_int_equal(cf->nnotes, 0);
    assert_string_equal(gb_config_auth(cf), "off");

    gb_config_free(cf);
    gb_config_free(NULL);

    gb_config_free(config_file_load("", conf_env));
    gb_config_free(config_file_load("---\n", conf_env));
    gb_config_free(config_file_load("{}\n", conf_env));
}


static void
test_complete(void **state)
{
    size_t        i;
    gb_config_t  *cf;

    (void) state;

    cf = config_file_load("port: 1_024\n"
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
                          "  s3: {bucket: b, region: r,\n"
                          "       endpoint_url: http://s3, access_key_id: id,\n"
                          "       secret_access_key: s3cret}\n"
                          "metrics: {prometheus: {enable: On}}\n"
                          "rauc_compatible_pattern:\n"
                          "  (?P<hw_boardname>.)(?P<hw_revision>.)\n"
                          "secret_key: {kty: oct}\n"
                          "plugins: [a]\n"
                          "logging:\n"
                          "  version: 1\n",
                          conf_env);

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
    assert_memory_equal(cf->db_ssl_crt, conf_folder, strlen(conf_folder));
    assert_string_equal(cf->db_ssl_crt + strlen(conf_folder), "/ca.pem");
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

    assert_non_null(strstr(cf->notes[2].text, ".yaml:25: logging:"));

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
        cf = config_file_load(text, conf_env);
        assert_int_equal(cf->track_device_ip, i % 2 == 0);
        gb_config_free(cf);
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

    assert_null(gb_config_load_env("/nowhere/x.yaml", 0, conf_env, &err));
    assert_string_equal(err.message,
                        "/nowhere/x.yaml: No such file or directory");

    assert_null(gb_config_load_env(conf_folder, 0, conf_env, &err));
    assert_non_null(strstr(err.message, "Is a directory"));

    big = calloc(1, 1024 * 1024 + 1);
    assert_non_null(big);
    memset(big, '#', 1024 * 1024 + 1);
    config_file_refused(big, 1024 * 1024 + 1, conf_env,
                        "t.yaml: is over 1048576 bytes long");
    free(big);

    /* GOOSEBIT_CONFIG must be there, GOOSEBIT_SETTINGS may be missing */

    config_file_write("port: 5\n", 8);
    snprintf(text, sizeof(text), "GOOSEBIT_CONFIG=%s", conf_path);
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

    assert_int_equal(chdir(conf_folder), 0);
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

    cf = gb_config_load_env(NULL, GB_CONFIG_KEEP, conf_env, &err);
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
        "GOOSEBIT_URL=http://h",
        "GOOSEBIT_LOGGING__VERSION=1",
        NULL
    };

    (void) state;

    cf = config_file_load("port: no number\n"
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


/* one run of config check names everything */

static void
test_keep(void **state)
{
    gb_error_t    err;
    gb_config_t  *cf;

    static const char  text[] = "port: x\nport: y\nfoo: 1\n"
                                "poll_time: 00:00:00\ntenant: z\n";

    (void) state;

    config_file_write(text, sizeof(text) - 1);

    cf = gb_config_load_env(conf_path, GB_CONFIG_KEEP, conf_env, &err);
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


/* an operator without the store's key may still look at devices */

static void
test_store_without_key(void **state)
{
    gb_error_t    err;
    gb_config_t  *cf;

    static const char  text[] = "storage:\n  backend: s3\n"
                                "  s3: {bucket: b}\n";

    (void) state;

    config_file_write(text, sizeof(text) - 1);

    cf = gb_config_load_env(conf_path, 0, conf_env, &err);
    assert_non_null(cf);

    assert_int_equal(cf->nnotes, 1);
    assert_int_equal(cf->notes[0].kind, GB_CONFIG_NOTE_WARNING);
    assert_non_null(strstr(cf->notes[0].text, "t.yaml:2: storage.backend s3 "
                           "cannot be used: storage.s3.access_key_id is not "
                           "set"));

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

    config_file_write(text, n);
    free(text);

    cf = gb_config_load_env(conf_path, GB_CONFIG_KEEP, conf_env, &err);
    assert_non_null(cf);
    assert_int_equal(cf->nnotes, 100);
    gb_config_free(cf);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_bool_words),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_keep),
        cmocka_unit_test(test_store_without_key),
        cmocka_unit_test(test_too_many_errors),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, config_file_setup,
                                  config_file_teardown);
}
