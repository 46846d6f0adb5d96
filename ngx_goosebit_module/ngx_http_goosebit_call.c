/*
 * The table of SQL calls, and SQLSTATE to HTTP.
 */

#include "ngx_http_goosebit_call.h"

#include <ngx_http.h>


#define t  NGX_HTTP_GOOSEBIT_OID_TEXT
#define i  NGX_HTTP_GOOSEBIT_OID_INT
#define b  NGX_HTTP_GOOSEBIT_OID_BIGINT
#define y  NGX_HTTP_GOOSEBIT_OID_BYTEA
#define T  NGX_HTTP_GOOSEBIT_OID_TEXTS
#define I  NGX_HTTP_GOOSEBIT_OID_INTS
#define B  NGX_HTTP_GOOSEBIT_OID_BIGINTS
#define Y  NGX_HTTP_GOOSEBIT_OID_BYTEAS

#define device  t, t, t, y, t       /* what every device's call begins with */

#define call(name, args)  "goosebit_" name,                                   \
    "SELECT * FROM goosebit_ddi." name "(" args ")"


typedef struct {
    const char  *state;     /* five characters, or two for the whole class */
    ngx_uint_t   status;
} ngx_http_goosebit_call_status_t;


/* in the order of the enum */
static const ngx_http_goosebit_call_t  ngx_http_goosebit_calls[] = {

    { call("poll", "$1, $2, $3, $4, $5, $6, $7"),
      NGX_HTTP_GOOSEBIT_CLASS_READ, 1, 0, 7, { device, i, i } },

    { call("register", "$1, $2, $3, $4, $5, $6, $7"),
      NGX_HTTP_GOOSEBIT_CLASS_WRITE, 0, 0, 7, { device, i, i } },

    { call("start", "$1, $2, $3, $4, $5, $6, $7"),
      NGX_HTTP_GOOSEBIT_CLASS_START, 0, 0, 7, { device, i, i } },

    { "goosebit_start_held",
      "SELECT * FROM goosebit_ddi.start($1, $2, $3, $4, $5, $6, $7, true)",
      NGX_HTTP_GOOSEBIT_CLASS_START, 0, 0, 7, { device, i, i } },

    { call("starts", "$1, $2, $3, $4, $5, $6, $7, $8 <> 0"),
      NGX_HTTP_GOOSEBIT_CLASS_START, 0, 0, 8, { T, T, T, Y, T, i, i, i } },

    { call("config_data", "$1, $2, $3, $4, $5, $6, $7, $8, $9"),
      NGX_HTTP_GOOSEBIT_CLASS_WRITE, 0, 1, 9, { device, t, T, T, i } },

    { call("deployment_base", "$1, $2, $3, $4, $5, $6, $7"),
      NGX_HTTP_GOOSEBIT_CLASS_WRITE, 0, 1, 7, { device, i, i } },

    { call("installed_base", "$1, $2, $3, $4, $5, $6, $7"),
      NGX_HTTP_GOOSEBIT_CLASS_READ, 1, 0, 7, { device, i, i } },

    { call("cancel_action", "$1, $2, $3, $4, $5, $6"),
      NGX_HTTP_GOOSEBIT_CLASS_READ, 1, 0, 6, { device, i } },

    { call("feedback",
           "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13"),
      NGX_HTTP_GOOSEBIT_CLASS_WRITE, 0, 1, 13,
      { device, t, i, t, t, i, i, T, i } },

    { call("batch",
           "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14"),
      NGX_HTTP_GOOSEBIT_CLASS_WRITE, 0, 0, 14,
      { T, T, T, Y, T, T, I, T, T, I, I, T, I, I } },

    { call("confirmation_base", "$1, $2, $3, $4, $5"),
      NGX_HTTP_GOOSEBIT_CLASS_READ, 1, 0, 5, { device } },

    { call("confirmation_action", "$1, $2, $3, $4, $5, $6, $7"),
      NGX_HTTP_GOOSEBIT_CLASS_READ, 1, 0, 7, { device, i, i } },

    { call("confirmation_feedback",
           "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10"),
      NGX_HTTP_GOOSEBIT_CLASS_WRITE, 0, 1, 10, { device, i, t, i, T, i } },

    { call("auto_confirm", "$1, $2, $3, $4, $5, $6 <> 0, $7, $8"),
      NGX_HTTP_GOOSEBIT_CLASS_WRITE, 0, 1, 8, { device, i, t, t } },

    { call("installed_version", "$1, $2, $3, $4, $5, $6, $7"),
      NGX_HTTP_GOOSEBIT_CLASS_WRITE, 0, 0, 7, { device, t, t } },

    { call("artifact", "$1, $2, $3, $4, $5, $6, $7"),
      NGX_HTTP_GOOSEBIT_CLASS_READ, 1, 0, 7, { device, i, t } },

    { call("seen", "$1, $2, $3, $4"),
      NGX_HTTP_GOOSEBIT_CLASS_SOLO, 0, 0, 4, { I, B, B, T } },

    { call("tenants", "$1"),
      NGX_HTTP_GOOSEBIT_CLASS_SOLO, 0, 0, 1, { T } },

    { call("tick", "$1"),
      NGX_HTTP_GOOSEBIT_CLASS_SOLO, 0, 0, 1, { i } },

    { call("status", ""),
      NGX_HTTP_GOOSEBIT_CLASS_READ, 0, 0, 0, { 0 } },

    { call("changes", "$1, $2, $3, $4"),
      NGX_HTTP_GOOSEBIT_CLASS_READ, 0, 0, 4, { t, I, T, i } },

    { call("flush", ""),
      NGX_HTTP_GOOSEBIT_CLASS_SOLO, 0, 0, 0, { 0 } }
};


#undef t
#undef i
#undef b
#undef y
#undef T
#undef I
#undef B
#undef Y
#undef device
#undef call


/* PostgreSQL's appendix "Error Codes"; a state stands before its class */
static const ngx_http_goosebit_call_status_t
    ngx_http_goosebit_call_statuses[] =
{
    { "08", 503 },          /* connection exception */
    { "22021", 400 },       /* character not in repertoire: NUL, bad UTF-8 */
    { "22P05", 400 },       /* untranslatable character */
    { "22003", 400 },       /* numeric value out of range */
    { "25006", 503 },       /* read only: a standby */
    { "28", 503 },          /* invalid authorization */
    { "3D", 503 },          /* no such database */
    { "3F000", 503 },       /* no such schema: not migrated */
    { "40", 503 },          /* rolled back: serialization, deadlock */
    { "42501", 503 },       /* not granted: not migrated */
    { "42883", 503 },       /* no such function: not migrated */
    { "42P01", 503 },       /* no such table: not migrated */
    { "53", 503 },          /* insufficient resources */
    { "54000", 400 },       /* program limit exceeded */
    { "55P03", 503 },       /* lock not available */
    { "57", 503 },          /* operator intervention, statement time-out */
    { "58", 503 },          /* system error outside of PostgreSQL */
    { "GB001", 404 },
    { "GB002", 409 },
    { "GB003", 400 },
    { "GB004", 409 },
    { "GB005", 409 },
    { "GB006", 409 }
};


const ngx_http_goosebit_call_t *
ngx_http_goosebit_call(ngx_http_goosebit_call_e index)
{
    return &ngx_http_goosebit_calls[index];
}


ngx_uint_t
ngx_http_goosebit_call_status(const char *sqlstate)
{
    size_t      len;
    ngx_uint_t  n;

    if (sqlstate == NULL) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    for (n = 0; n < sizeof(ngx_http_goosebit_call_statuses)
                    / sizeof(ngx_http_goosebit_call_status_t); n++)
    {
        len = ngx_strlen(ngx_http_goosebit_call_statuses[n].state);

        if (ngx_strncmp(sqlstate, ngx_http_goosebit_call_statuses[n].state,
                        len)
            == 0)
        {
            return ngx_http_goosebit_call_statuses[n].status;
        }
    }

    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}
