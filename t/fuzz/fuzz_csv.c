/*
 * Whatever stands in a CSV file: no crash, and rows are as wide as the first
 * and of UTF-8.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gb_csv.h"
#include "gb_text.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FILE        *fp;
    size_t       i, n;
    gb_csv_t     csv;
    gb_error_t   err;

    fp = size ? fmemopen((void *) (uintptr_t) data, size, "r") : NULL;

    if (fp == NULL) {
        return 0;
    }

    gb_csv_init(&csv, fp, "fuzz");

    for (n = 0; gb_csv_row(&csv, &err) == GB_OK; n = csv.n) {

        if (csv.n == 0 || (n != 0 && csv.n != n)) {
            abort();
        }

        for (i = 0; i < csv.n; i++) {
            if (!gb_text_utf8_valid(csv.fields[i], strlen(csv.fields[i]))) {
                abort();
            }
        }
    }

    gb_csv_done(&csv);
    fclose(fp);

    return 0;
}
