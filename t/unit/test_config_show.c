/*
 * How settings are shown and handed on: origins, secrets, libpq's string;
 * and the sample file.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config_file.h"


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
             strncmp(entry->origin, conf_folder, strlen(conf_folder)) == 0
             ? entry->origin + strlen(conf_folder) + 1 : entry->origin,
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

    cf = config_file_load("poll_time: 01:02:03\n"
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

    cf = config_file_load(text, conf_env);
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

    cf = gb_config_load_env(*state, 0, conf_env, &err);
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

    config_file_write(text, out);
    free(text);

    cf = gb_config_load_env(conf_path, GB_CONFIG_KEEP, conf_env, &err);
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


int
main(void)
{
    int    rc;
    char  *sample;

    /* a test may change the folder */

    sample = realpath("conf/goosebit.yaml", NULL);

    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_mask),
        cmocka_unit_test(test_conninfo),
        cmocka_unit_test(test_time),
        cmocka_unit_test_prestate(test_sample, sample),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    rc = cmocka_run_group_tests(tests, config_file_setup,
                                config_file_teardown);

    free(sample);

    return rc;
}
