/*
 * ddi_json: row -> hawkBit document.
 */

#ifndef NGX_HTTP_GOOSEBIT_DDI_JSON_H
#define NGX_HTTP_GOOSEBIT_DDI_JSON_H


#include "ngx_http_goosebit.h"

#include "gb_json.h"


#define NGX_HTTP_GOOSEBIT_SLEEP_MAX  (24 * 60 * 60 - 1)     /* seconds */


/* what every link of a device starts with; borrowed */
typedef struct {
    ngx_str_t      base;            /* scheme://host[:port], no slash at end */
    ngx_str_t      prefix;          /* "" or "/prefix", as sent */
    ngx_str_t      tenant;          /* as stored */
    ngx_str_t      device;
} ngx_http_goosebit_link_t;


typedef struct {
    ngx_http_goosebit_link_t  *link;
    ngx_int_t                  seconds;         /* sleep; put within bounds */
    ngx_flag_t                 config_data;
    ngx_str_t                  name;            /* deploymentBase …, "" */
    ngx_int_t                  action_id;
    ngx_int_t                  installed_id;    /* 0: none */
} ngx_http_goosebit_poll_t;


typedef struct {
    ngx_http_goosebit_link_t  *link;
    ngx_int_t                  software_id;
    ngx_str_t                  filename;
    int64_t                    size;            /* bytes */
    ngx_str_t                  sha1;            /* lower-case hex, all three */
    ngx_str_t                  md5;
    ngx_str_t                  sha256;
    ngx_str_t                  uri;             /* where it lies; "": here */
} ngx_http_goosebit_file_t;


typedef struct {
    ngx_http_goosebit_file_t   file;
    const char                *member;          /* deployment, confirmation */
    ngx_int_t                  action_id;
    ngx_str_t                  download;        /* forced, attempt, skip */
    ngx_str_t                  update;
    ngx_str_t                  window;          /* "": no such member */
    ngx_str_t                  version;
    ngx_str_t                  name;
    ngx_str_t                  status;          /* of actionHistory */
    ngx_array_t               *history;         /* ngx_str_t; NULL: left out */
} ngx_http_goosebit_deployment_t;


typedef struct {
    ngx_http_goosebit_link_t  *link;
    ngx_flag_t                 active;
    ngx_str_t                  initiator;       /* "": left out, as remark */
    ngx_str_t                  remark;
    int64_t                    activated_at;    /* Unix milliseconds; 0 */
    ngx_int_t                  action_id;       /* that waits; 0: none */
} ngx_http_goosebit_confirmation_t;


/* one of hawkBit's small answers: a word, a number, or both */
typedef struct {
    ngx_int_t                  id;
    ngx_str_t                  code;
    ngx_str_t                  message;
} ngx_http_goosebit_note_t;


typedef void (*ngx_http_goosebit_json_pt)(gb_json_t *j, void *data);


/*
 * Runs a writer once or, for a long text, again to measure and to fill; text
 * is in pool.  NGX_ERROR:
 * out of memory.
 */
ngx_int_t ngx_http_goosebit_json(ngx_pool_t *pool,
    ngx_http_goosebit_json_pt write, void *data, ngx_str_t *text);

/*
 * Writers: DdiControllerBase, DdiDeploymentBase (DdiConfirmationBaseAction,
 * too), DdiConfirmationBase, DdiCancel, [DdiArtifact].
 */
void ngx_http_goosebit_json_poll(gb_json_t *j, void *poll);
void ngx_http_goosebit_json_deployment(gb_json_t *j, void *deployment);
void ngx_http_goosebit_json_confirmation(gb_json_t *j, void *confirmation);
void ngx_http_goosebit_json_cancel(gb_json_t *j, void *note);
void ngx_http_goosebit_json_files(gb_json_t *j, void *file);

/* {"id"}; {"success":true,"message"}; {"errorCode","message"} */
void ngx_http_goosebit_json_id(gb_json_t *j, void *note);
void ngx_http_goosebit_json_success(gb_json_t *j, void *note);
void ngx_http_goosebit_json_error(gb_json_t *j, void *note);

/* uri without user and password: head and tail are pieces of it */
void ngx_http_goosebit_json_public(ngx_str_t *uri, ngx_str_t *head,
    ngx_str_t *tail);


#endif /* NGX_HTTP_GOOSEBIT_DDI_JSON_H */
