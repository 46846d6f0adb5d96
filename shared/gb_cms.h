/*
 * CMS messages (RFC 5652): the little that images need, read and not verified.
 */

#ifndef GB_CMS_H
#define GB_CMS_H


#include <stddef.h>

#include "gb_error.h"


#define GB_CMS_SUBJECT_MAX  256         /* bytes with the closing NUL */


typedef enum {
    GB_CMS_SIGNED = 0,                  /* with its content inside */
    GB_CMS_DETACHED,                    /* signed, content elsewhere */
    GB_CMS_ENVELOPED                    /* encrypted to recipients */
} gb_cms_type_e;


typedef struct {
    gb_cms_type_e   type;
    unsigned char  *content;            /* of GB_CMS_SIGNED, else NULL */
    size_t          len;
    char            subject[GB_CMS_SUBJECT_MAX];    /* RFC 2253, "" unknown */
} gb_cms_t;


/*
 * Reads "der" of exactly "len" bytes, nothing may follow it.  GB_OK with "cms"
 * filled, its content for gb_cms_clear() to free; else the failure status.
 */
int gb_cms_parse(gb_cms_t *cms, const void *der, size_t len, gb_error_t *err)
    GB_MUST_CHECK;

void gb_cms_clear(gb_cms_t *cms);


#endif /* GB_CMS_H */
