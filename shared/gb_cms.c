/*
 * gb_cms: OpenSSL's CMS, behind the few questions asked of a signature.
 */

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include "gb_cms.h"
#include "gb_image.h"
#include "gb_text.h"


static int gb_cms_read(gb_cms_t *cms, CMS_ContentInfo *ci, gb_error_t *err);
static void gb_cms_subject(gb_cms_t *cms, CMS_ContentInfo *ci);
static void gb_cms_name(gb_cms_t *cms, X509_NAME *name);


int
gb_cms_parse(gb_cms_t *cms, const void *der, size_t len, gb_error_t *err)
{
    int                   rc;
    CMS_ContentInfo      *ci;
    const unsigned char  *p;

    memset(cms, 0, sizeof(gb_cms_t));

    if (len == 0 || len > LONG_MAX) {
        return gb_error_set(err, "signature is empty");
    }

    ERR_clear_error();

    p = der;
    ci = d2i_CMS_ContentInfo(NULL, &p, (long) len);

    if (ci == NULL) {
        rc = gb_error_set(err, "signature is not CMS");

    } else if (p != (const unsigned char *) der + len) {
        rc = gb_error_set(err, "signature has garbage after its end");

    } else {
        rc = gb_cms_read(cms, ci, err);
    }

    CMS_ContentInfo_free(ci);
    ERR_clear_error();

    return rc;
}


void
gb_cms_clear(gb_cms_t *cms)
{
    free(cms->content);
    memset(cms, 0, sizeof(gb_cms_t));
}


static int
gb_cms_read(gb_cms_t *cms, CMS_ContentInfo *ci, gb_error_t *err)
{
    ASN1_OCTET_STRING  **content;

    switch (OBJ_obj2nid(CMS_get0_type(ci))) {

    case NID_pkcs7_signed:
        break;

    case NID_pkcs7_enveloped:
        cms->type = GB_CMS_ENVELOPED;
        return GB_OK;

    default:
        return gb_error_set(err, "CMS is neither signed nor enveloped data");
    }

    gb_cms_subject(cms, ci);

    content = CMS_get0_content(ci);

    if (content == NULL || *content == NULL) {
        cms->type = GB_CMS_DETACHED;
        return GB_OK;
    }

    cms->len = (size_t) ASN1_STRING_length(*content);

    cms->content = malloc(cms->len + 1);
    if (cms->content == NULL) {
        return gb_error_nomem(err);
    }

    memcpy(cms->content, ASN1_STRING_get0_data(*content), cms->len);
    cms->content[cms->len] = '\0';

    return GB_OK;
}


static void
gb_cms_subject(gb_cms_t *cms, CMS_ContentInfo *ci)
{
    int                           i;
    X509                         *cert;
    CMS_SignerInfo               *si;
    STACK_OF(X509)               *certs;
    STACK_OF(CMS_SignerInfo)     *infos;

    infos = CMS_get0_SignerInfos(ci);
    if (infos == NULL || sk_CMS_SignerInfo_num(infos) < 1) {
        return;
    }

    si = sk_CMS_SignerInfo_value(infos, 0);

    certs = CMS_get1_certs(ci);
    if (certs == NULL) {
        return;
    }

    for (i = 0; i < sk_X509_num(certs); i++) {
        cert = sk_X509_value(certs, i);

        if (CMS_SignerInfo_cert_cmp(si, cert) == 0) {
            gb_cms_name(cms, X509_get_subject_name(cert));
            break;
        }
    }

    sk_X509_pop_free(certs, X509_free);
}


static void
gb_cms_name(gb_cms_t *cms, X509_NAME *name)
{
    BIO   *bio;
    char  *text;
    long   len;

    bio = BIO_new(BIO_s_mem());
    if (bio == NULL) {
        return;
    }

    /* control characters escaped, everything else as UTF-8 */

    if (X509_NAME_print_ex(bio, name, 0,
                           XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB)
        >= 0)
    {
        len = BIO_get_mem_data(bio, &text);

        if (len > 0 && gb_text_utf8_valid(text, (size_t) len)) {
            len = len < GB_CMS_SUBJECT_MAX ? len : GB_CMS_SUBJECT_MAX - 1;

            /* never half a character at the end */

            while (len > 0 && !gb_text_utf8_valid(text, (size_t) len)) {
                len--;
            }

            memcpy(cms->subject, text, (size_t) len);
            cms->subject[len] = '\0';
        }
    }

    BIO_free(bio);
}


/* Declared in gb_image.h; here, so that only this file knows OpenSSL's CMS. */

void
gb_image_set_signature(gb_image_t *image, const void *der, size_t len)
{
    json_t      *subject;
    gb_cms_t     cms;
    gb_error_t   err;

    subject = NULL;

    if (gb_cms_parse(&cms, der, len, &err) == GB_OK
        && cms.subject[0] != '\0')
    {
        subject = json_string(cms.subject);
    }

    gb_cms_clear(&cms);

    gb_image_set_fact(image, "signature",
                      json_pack("{s:b,s:o?}", "present", 1, "subject",
                                subject));
}
