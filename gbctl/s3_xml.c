/*
 * What an object store answers in XML, element by element.
 */

#include <string.h>

#include <expat.h>

#include "s3.h"


#define S3_XML_TEXT  4096       /* bytes; a key has up to 1024 */


typedef struct {
    XML_Parser   parser;
    s3_xml_pt    cb;
    void        *data;
    char         text[S3_XML_TEXT];
    size_t       len;
    bool         leaf;          /* no element has ended in this one */
    bool         failed;
} s3_xml_t;


static void s3_xml_start(void *data, const char *name, const char **atts);
static void s3_xml_end(void *data, const char *name);
static void s3_xml_text(void *data, const char *text, int len);
static void s3_xml_doctype(void *data, const char *name, const char *system,
    const char *public, int internal);
static void s3_xml_fail(s3_xml_t *x);


int
s3_xml(const char *xml, size_t len, s3_xml_pt cb, void *data)
{
    s3_xml_t         x;
    enum XML_Status  status;

    memset(&x, 0, sizeof(s3_xml_t));
    x.cb = cb;
    x.data = data;
    x.parser = XML_ParserCreate(NULL);

    if (x.parser == NULL || len > INT32_MAX) {
        XML_ParserFree(x.parser);
        return GB_ERROR;
    }

    XML_SetUserData(x.parser, &x);
    XML_SetElementHandler(x.parser, s3_xml_start, s3_xml_end);
    XML_SetCharacterDataHandler(x.parser, s3_xml_text);
    XML_SetStartDoctypeDeclHandler(x.parser, s3_xml_doctype);

    status = XML_Parse(x.parser, xml, (int) len, 1);

    XML_ParserFree(x.parser);

    return (status == XML_STATUS_OK && !x.failed) ? GB_OK : GB_ERROR;
}


static void
s3_xml_start(void *data, const char *name, const char **atts)
{
    s3_xml_t  *x = data;

    (void) name;
    (void) atts;

    x->len = 0;
    x->leaf = true;
}


static void
s3_xml_end(void *data, const char *name)
{
    s3_xml_t  *x = data;

    x->text[x->len] = '\0';

    if (!x->failed && !x->cb(x->data, name, x->leaf ? x->text : NULL)) {
        s3_xml_fail(x);
    }

    x->len = 0;
    x->leaf = false;
}


static void
s3_xml_text(void *data, const char *text, int len)
{
    s3_xml_t  *x = data;

    if ((size_t) len >= sizeof(x->text) - x->len) {
        s3_xml_fail(x);
        return;
    }

    memcpy(x->text + x->len, text, (size_t) len);
    x->len += (size_t) len;
}


/* No answer has one; entities could make much of little. */

static void
s3_xml_doctype(void *data, const char *name, const char *system,
    const char *public, int internal)
{
    (void) name;
    (void) system;
    (void) public;
    (void) internal;

    s3_xml_fail(data);
}


static void
s3_xml_fail(s3_xml_t *x)
{
    x->failed = true;
    XML_StopParser(x->parser, XML_FALSE);
}
