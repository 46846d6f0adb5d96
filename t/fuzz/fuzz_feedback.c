/*
 * Whatever a device sends: no crash, and what is taken is UTF-8.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gb_feedback.h"
#include "gb_text.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
check(const char *s)
{
    if (s != NULL && !gb_text_utf8_valid(s, strlen(s))) {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t             i;
    gb_error_t         err;
    gb_feedback_t     *fb;
    gb_config_data_t  *cd;

    if (gb_feedback_parse((const char *) data, size, NULL, &fb, &err)
        == GB_OK)
    {
        for (i = 0; i < fb->ndetails; i++) {
            check(fb->details[i]);
        }

        if (fb->progress < -1 || fb->progress > 100 || fb->ndetails > 100) {
            abort();
        }

        gb_feedback_free(fb);
    }

    if (gb_config_data_parse((const char *) data, size, NULL, &cd, &err)
        == GB_OK)
    {
        for (i = 0; i < cd->n; i++) {
            check(cd->keys[i]);
            check(cd->values[i]);
        }

        gb_config_data_free(cd);
    }

    return 0;
}
