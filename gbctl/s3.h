/*
 * A bucket, spoken to by libcurl: one request and its answer, tried again
 * where that may help.
 *
 * libcurl's own CURLOPT_AWS_SIGV4 is not used: Debian's 7.88 neither sends
 * x-amz-content-sha256 with every request nor sorts a query, and the module
 * needs gb_s3 anyway.
 */

#ifndef GBCTL_S3_H
#define GBCTL_S3_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gb_config.h>
#include <gb_error.h>
#include <gb_s3.h>


typedef struct s3_s  s3_t;

/* takes bytes of a body; false ends the transfer */
typedef bool (*s3_sink_pt)(void *data, const char *bytes, size_t len);

/* bytes of this request's body that have been sent */
typedef void (*s3_sent_pt)(void *data, uint64_t sent);

typedef struct {
    const char    *method;
    const char    *uri;         /* NULL: the bucket's own */
    const char    *query;       /* as gb_s3_request_t has it, or NULL */

    /* a body: either text, or SIZE bytes of FD from OFFSET on */
    const char    *text;        /* NULL: none */
    int            fd;          /* looked at only with size > 0 */
    uint64_t       offset;
    uint64_t       size;
    const char    *sha256;      /* of these; NULL: not signed */
    s3_sent_pt     sent;        /* NULL: nobody asks */
    void          *sent_data;

    /* who takes the body of a good answer; NULL: s3_answer_t.body */
    s3_sink_pt     sink;
    void          *sink_data;
} s3_request_t;

typedef struct {
    long     status;            /* of HTTP; 0: there was no answer */
    char     code[64];          /* "NoSuchKey"; "" with a good answer */
    char     etag[128];         /* without its quotes, or "" */
    char    *body;              /* NUL behind its end; see s3_answer_free() */
    size_t   len;
} s3_answer_t;


/* the bucket of the configuration; s3_close(), or NULL with ERR set */
s3_t *s3_open(const gb_config_t *config, gb_error_t *err) GB_MUST_CHECK;
void s3_close(s3_t *s3);

/* for gb_s3_object(); borrowed */
const gb_s3_t *s3_place(const s3_t *s3);

/*
 * Sends a request, again after a while where the connection or the server
 * fails.  GB_OK for 2xx; GB_DECLINED where what is asked for is not there
 * (NoSuchKey, NoSuchUpload); else GB_ERROR.  ERR is one line that names the
 * bucket and the reason, and no secret.  s3_answer_free() in every case.
 */
int s3_call(s3_t *s3, const s3_request_t *r, s3_answer_t *a, gb_error_t *err)
    GB_MUST_CHECK;

void s3_answer_free(s3_answer_t *a);


/*
 * One element of an XML text has ended: NAME, and its TEXT if no elements
 * were in it, else NULL.  False ends the reading.
 */
typedef bool (*s3_xml_pt)(void *data, const char *name, const char *text);

/* GB_OK, or GB_ERROR where it is no XML or CB said so */
int s3_xml(const char *xml, size_t len, s3_xml_pt cb, void *data)
    GB_MUST_CHECK;


#endif /* GBCTL_S3_H */
