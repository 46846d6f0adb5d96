/*
 * ddi: hawkBit's Direct Device Integration (ddi.md), one handler an endpoint:
 * inputs -> call -> answer.
 */

#ifndef NGX_HTTP_GOOSEBIT_DDI_H
#define NGX_HTTP_GOOSEBIT_DDI_H


#include "ngx_http_goosebit.h"


/* the content handler of locations that say "goosebit;" */
ngx_int_t ngx_http_goosebit_ddi_handler(ngx_http_request_t *r);


#endif /* NGX_HTTP_GOOSEBIT_DDI_H */
