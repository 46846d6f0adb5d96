/*
 * What ends quiet answers in the zone: read from the database's journal by
 * worker 0, each goosebit_sync.
 */

#ifndef NGX_HTTP_GOOSEBIT_SYNC_JOURNAL_H
#define NGX_HTTP_GOOSEBIT_SYNC_JOURNAL_H


#include "ngx_http_goosebit.h"


typedef struct ngx_http_goosebit_journal_s  ngx_http_goosebit_journal_t;


/*
 * Of a worker's start, where there is a zone, and of its end, when nothing is
 * on its way any more.  NULL: out of memory.
 */
ngx_http_goosebit_journal_t *ngx_http_goosebit_journal_init(
    ngx_cycle_t *cycle, ngx_http_goosebit_main_conf_t *mcf);
void ngx_http_goosebit_journal_exit(ngx_http_goosebit_journal_t *journal);


#endif /* NGX_HTTP_GOOSEBIT_SYNC_JOURNAL_H */
