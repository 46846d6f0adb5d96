/*
 * gb_store_path: where an artifact lies.  Apart from the rest of the store
 * because the nginx module links it, and with it nothing but libc.
 */

#include <limits.h>
#include <string.h>
#include <strings.h>

#include "gb_store.h"
#include "gb_text.h"


int
gb_store_path(const char *dir, const char *sha256, const char *filename,
    char *buf, size_t size)
{
    char    *p;
    size_t   dir_len, name_len;

    if (strlen(sha256) != 64
        || strspn(sha256, "0123456789abcdef") != 64
        || gb_store_filename_check(filename) != NULL)
    {
        return -1;
    }

    dir_len = strlen(dir);
    name_len = strlen(filename);

    /* three slashes, and a zero byte */

    if (dir_len >= INT_MAX / 2 || size < dir_len + 64 + name_len + 4) {
        return -1;
    }

    p = (char *) memcpy(buf, dir, dir_len) + dir_len;
    *p++ = '/';
    p = (char *) memcpy(p, sha256, 2) + 2;
    *p++ = '/';
    p = (char *) memcpy(p, sha256 + 2, 62) + 62;
    *p++ = '/';
    p = (char *) memcpy(p, filename, name_len) + name_len;
    *p = '\0';

    return (int) (p - buf);
}


const char *
gb_store_filename_check(const char *filename)
{
    size_t             len;
    static const char  md5sum[] = ".MD5SUM";

    len = strlen(filename);

    if (len == 0) {
        return "is empty";
    }

    if (len > GB_STORE_FILENAME_MAX) {
        return "is longer than 255 bytes";
    }

    if (strcmp(filename, ".") == 0 || strcmp(filename, "..") == 0) {
        return "is a directory's";
    }

    if (strchr(filename, '/') != NULL) {
        return "holds a slash";
    }

    if (gb_text_has_control(filename, len)) {
        return "holds a control character";
    }

    if (!gb_text_utf8_valid(filename, len)) {
        return "is not UTF-8";
    }

    if (len >= sizeof(md5sum) - 1
        && strcasecmp(filename + len - (sizeof(md5sum) - 1), md5sum) == 0)
    {
        return "ends in .MD5SUM, which devices ask for as a check sum";
    }

    return NULL;
}
