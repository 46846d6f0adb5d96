/*
 * Any file, and after a NUL any variables: no crash, and every note is one
 * line.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gb_config.h"
#include "gb_text.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static int
show(void *data, const gb_config_entry_t *entry)
{
    (void) data;

    return entry->value != NULL && strstr(entry->value, "\n") != NULL;
}


static void
check(const gb_config_t *cf)
{
    size_t  i, n;

    for (i = 0; i < cf->nnotes; i++) {
        n = strlen(cf->notes[i].text);

        if (n == 0 || gb_text_has_control(cf->notes[i].text, n)) {
            abort();
        }
    }

    if (gb_config_each(cf, false, show, NULL) != 0) {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int           fd;
    char          path[64], *text, *p, *env[8];
    size_t        n;
    gb_error_t    err;
    gb_config_t  *cf;

    text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';

    p = text + strlen(text);
    fd = memfd_create("goosebit.yaml", 0);

    if (fd == -1 || write(fd, text, p - text) != p - text) {
        abort();
    }

    for (n = 0; n < 7 && p < text + size; p += strlen(p)) {
        env[n++] = ++p;
    }

    env[n] = NULL;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    cf = gb_config_load_env(path, GB_CONFIG_KEEP, env, &err);

    if (cf != NULL) {
        check(cf);
    }

    gb_config_free(cf);
    close(fd);
    free(text);

    return 0;
}
