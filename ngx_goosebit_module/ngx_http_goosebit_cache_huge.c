/*
 * cache: huge pages for the table.
 *
 * A look-up goes to four places of a table of a hundred megabytes; with pages
 * of 4 KB the processor does not know the addresses of so many and waits for
 * those, too.  Linux gives huge pages to shared memory where it starts at their
 * boundary, which NGINX's zones do not.
 */

#include "ngx_http_goosebit_cache.h"

#include <sys/mman.h>


/* what a page table of the lowest level covers: x86-64, ARM with 4 KB pages */
#define NGX_HTTP_GOOSEBIT_CACHE_HUGE  (2 * 1024 * 1024)

/* of Linux 5.14 and 6.1, whatever NGINX is built on */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE  23
#endif

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE  25
#endif


ngx_int_t
ngx_http_goosebit_cache_huge(ngx_shm_zone_t *shm_zone, u_char *block,
    size_t size)
{
    size_t   len;
    u_char  *start, *end;

    start = ngx_align_ptr(block, NGX_HTTP_GOOSEBIT_CACHE_HUGE);
    end = block + size;

    if (end < start + NGX_HTTP_GOOSEBIT_CACHE_HUGE) {
        return NGX_OK;
    }

    len = (end - start) & ~((size_t) NGX_HTTP_GOOSEBIT_CACHE_HUGE - 1);

    /* in the zone's place, and unmapped with it */

    if (mmap(start, len, PROT_READ|PROT_WRITE,
             MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
        == MAP_FAILED)
    {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, ngx_errno,
                      "mmap(%uz) in zone \"%V\" failed", len,
                      &shm_zone->shm.name);
        return NGX_ERROR;
    }

    /* only pages that are there are put together */

    if (madvise(start, len, MADV_POPULATE_WRITE) == -1
        || madvise(start, len, MADV_COLLAPSE) == -1)
    {
        ngx_log_error(NGX_LOG_WARN, shm_zone->shm.log, ngx_errno,
                      "zone \"%V\" gets no huge pages", &shm_zone->shm.name);
    }

    return NGX_OK;
}
