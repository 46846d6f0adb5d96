/*
 * config_file: what the tests of gb_config share.
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


char         conf_folder[] = "/tmp/gb_config.XXXXXX";
char         conf_path[64];
char *const  conf_env[] = { NULL };


void
config_file_write(const char *text, size_t len)
{
    FILE  *fp;

    fp = fopen(conf_path, "w");
    assert_non_null(fp);
    assert_int_equal(fwrite(text, 1, len, fp), len);
    assert_int_equal(fclose(fp), 0);
}


gb_config_t *
config_file_load(const char *text, char *const *env)
{
    gb_error_t    err;
    gb_config_t  *cf;

    gb_error_clear(&err);
    config_file_write(text, strlen(text));

    cf = gb_config_load_env(conf_path, 0, env, &err);
    if (cf == NULL) {
        fail_msg("%s", err.message);
    }

    return cf;
}


void
config_file_refused(const char *text, size_t len, char *const *env,
    const char *want)
{
    const char   *got;
    gb_error_t    err;
    gb_config_t  *cf;

    gb_error_clear(&err);
    config_file_write(text, len);

    cf = gb_config_load_env(conf_path, 0, env, &err);
    if (cf != NULL) {
        fail_msg("taken: %s", text);
    }

    got = err.message;
    if (strncmp(got, conf_folder, strlen(conf_folder)) == 0) {
        got += strlen(conf_folder) + 1;
        assert_string_equal(err.file, conf_path);
    }

    assert_string_equal(got, want);
}


int
config_file_setup(void **state)
{
    (void) state;

    if (mkdtemp(conf_folder) == NULL) {
        return -1;
    }

    snprintf(conf_path, sizeof(conf_path), "%s/t.yaml", conf_folder);

    return 0;
}


int
config_file_teardown(void **state)
{
    (void) state;

    unlink(conf_path);

    return rmdir(conf_folder);
}
