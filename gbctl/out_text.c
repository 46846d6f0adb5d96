/*
 * Values made readable: sizes, durations, times, safe text, and a bar.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include <sys/ioctl.h>

#include "out.h"


#define OUT_WORDS  78       /* columns */
#define OUT_SECONDS  19     /* "2026-01-31 12:00:00" */
#define OUT_BAR_STEP  0.1       /* seconds between two drawings */


struct out_progress_s {
    cli_t    *cli;              /* whose bar it is */
    char      label[64];
    bool      things;           /* not bytes */
    uint64_t  total;
    double    start;
    double    drawn;
};


static size_t out_unsafe(const unsigned char *p);
static bool out_parse_time(const char *s, struct tm *tm, long *usec);
static bool out_retime(const char *s, char *buf, size_t size);
static double out_now(void);
static void out_progress_amount(const out_progress_t *p, uint64_t n,
    char *buf, size_t size);
static void out_progress_draw(out_progress_t *p, uint64_t done, double now);


char *
out_clean(const char *text)
{
    char    *copy, *p;
    size_t   n;

    copy = strdup(text ? text : "-");

    if (copy == NULL) {
        return NULL;
    }

    for (p = copy; *p != '\0'; p += n) {
        n = out_unsafe((unsigned char *) p);

        if (n == 0) {
            n = 1;

        } else if (*p == '\n' || *p == '\r' || *p == '\t') {
            *p = ' ';

        } else {
            memset(p, '?', n);
        }
    }

    return copy;
}


/*
 * Bytes of a character that a terminal may obey: C0, DEL, C1, or one that turns
 * the direction of all that follows (Unicode's UAX #9); 0 if it shows it.
 */

static size_t
out_unsafe(const unsigned char *p)
{
    if (p[0] < ' ' || p[0] == 127) {
        return 1;
    }

    if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
        return 2;
    }

    if (p[0] == 0xe2
        && ((p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae)
            || (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9)))
    {
        return 3;
    }

    return 0;
}


void
out_words(const char *label, const char *text)
{
    int    room;
    char  *clean;

    clean = out_clean(text ? text : "");

    if (clean == NULL) {
        return;
    }

    room = out_columns();
    room = room > 0 && room < OUT_WORDS ? room : OUT_WORDS;

    printf("  %s", label);
    out_wrap(clean, 2 + (int) strlen(label), 2, room);
    free(clean);
}


void
out_wrap(const char *text, int at, int indent, int room)
{
    size_t       len;
    const char  *p;

    for (p = text; *p != '\0'; p += len + (p[len] == ' ')) {
        len = strcspn(p, " ");

        if (p > text) {
            if (room > 0 && at + 1 + out_width(p, len) > room) {
                printf("\n%*s", indent, "");
                at = indent;

            } else {
                putchar(' ');
                at++;
            }
        }

        printf("%.*s", (int) len, p);
        at += out_width(p, len);
    }

    putchar('\n');
}


int
out_width(const char *text, size_t len)
{
    int          width, w;
    size_t       n;
    wchar_t      wc;
    mbstate_t    state;
    const char  *end;

    memset(&state, 0, sizeof(state));

    end = text + len;

    for (width = 0; text < end; text += n) {
        n = mbrtowc(&wc, text, (size_t) (end - text), &state);

        if (n == 0 || n == (size_t) -1 || n == (size_t) -2) {
            memset(&state, 0, sizeof(state));
            n = 1;
            w = 4;          /* drawn as \xHH */

        } else {
            w = wcwidth(wc);
            w = w < 0 ? 4 * (int) n : w;
        }

        width += w;
    }

    return width;
}


int
out_columns(void)
{
    struct winsize  ws;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 ? ws.ws_col : 0;
}


const char *
out_state_color(const cli_t *cli, const char *state)
{
    size_t  i;

    static const struct {
        const char  *state;
        const char  *color;
    } colors[] = {
        { "aborted", "\033[31m" },
        { "awaiting_confirmation", "\033[35m" },
        { "cancelling", "\033[33m" },
        { "error", "\033[31m" },
        { "finished", "\033[32m" },
        { "open", "\033[33m" },
        { "paused", "\033[35m" },
        { "pending", "\033[33m" },
        { "rejected", "\033[31m" },
        { "running", "\033[36m" },
        { "scheduled", "\033[34m" },
        { "timed_out", "\033[31m" },
        { "damaged", "\033[31m" },
        { NULL, NULL }
    };

    if (!cli->color || state == NULL) {
        return "";
    }

    for (i = 0; colors[i].state != NULL; i++) {
        if (strcmp(colors[i].state, state) == 0) {
            return colors[i].color;
        }
    }

    return "";
}


const char *
out_reset(const cli_t *cli)
{
    return cli->color ? "\033[0m" : "";
}


char *
out_bytes(int64_t bytes, char *buf, size_t size)
{
    double  n;
    size_t  i;

    static const char *const  units[] = {
        "B", "KiB", "MiB", "GiB", "TiB", "PiB"
    };

    if (bytes > -1024 && bytes < 1024) {
        snprintf(buf, size, "%d B", (int) bytes);
        return buf;
    }

    n = (double) bytes;

    for (i = 0; (n >= 1024 || n <= -1024) && i < 5; i++) {
        n /= 1024;
    }

    snprintf(buf, size, "%.1f %s", n, units[i]);

    return buf;
}


char *
out_duration(int64_t s, char *buf, size_t size)
{
    const char  *sign;

    sign = s < 0 ? "-" : "";
    s = s < 0 ? -s : s;

    if (s < 60) {
        snprintf(buf, size, "%s%ds", sign, (int) s);

    } else if (s < 3600) {
        snprintf(buf, size, s % 60 ? "%s%dm %02ds" : "%s%dm", sign,
                 (int) (s / 60), (int) (s % 60));

    } else if (s < 86400) {
        snprintf(buf, size, s % 3600 / 60 ? "%s%dh %02dm" : "%s%dh", sign,
                 (int) (s / 3600), (int) (s % 3600 / 60));

    } else {
        snprintf(buf, size, s % 86400 / 3600 ? "%s%ldd %dh" : "%s%ldd", sign,
                 (long) (s / 86400), (int) (s % 86400 / 3600));
    }

    return buf;
}


/* PostgreSQL's ISO style, with the session's zone at UTC: "... +00" */

static bool
out_parse_time(const char *s, struct tm *tm, long *usec)
{
    int   n;

    memset(tm, 0, sizeof(struct tm));
    *usec = 0;
    n = 0;

    if (sscanf(s, "%d-%d-%d %d:%d:%d%n", &tm->tm_year, &tm->tm_mon,
               &tm->tm_mday, &tm->tm_hour, &tm->tm_min, &tm->tm_sec, &n) != 6)
    {
        return false;
    }

    tm->tm_year -= 1900;
    tm->tm_mon -= 1;
    s += n;

    if (*s == '.') {
        for (n = 0, s++; *s >= '0' && *s <= '9'; s++, n++) {
            *usec = *usec * 10 + (*s - '0');
        }

        for ( /* void */ ; n < 6; n++) {
            *usec *= 10;
        }
    }

    return strcmp(s, "+00") == 0 || *s == '\0';
}


/*
 * Nearly all times are RFC 3339 but for "T", "Z" and the six digits of a
 * fraction.  A list has a million: reading them took longer than all else.
 */

static bool
out_retime(const char *s, char *buf, size_t size)
{
    size_t  len, end;

    len = strcspn(s, "+");
    end = len > OUT_SECONDS ? OUT_SECONDS + 7 : OUT_SECONDS;

    if (strcmp(s + len, "+00") != 0 || len < OUT_SECONDS || len > end
        || size < end + 2 || s[4] != '-' || s[10] != ' '
        || (len > OUT_SECONDS && s[OUT_SECONDS] != '.'))
    {
        return false;
    }

    memcpy(buf, s, len);
    memset(buf + len, '0', end - len);
    memcpy(buf + end, "Z", 2);
    buf[10] = 'T';

    return true;
}


char *
out_rfc3339(const char *s, char *buf, size_t size)
{
    long       usec;
    struct tm  tm;

    if (out_retime(s, buf, size)) {
        return buf;
    }

    if (!out_parse_time(s, &tm, &usec)) {
        snprintf(buf, size, "%s", s);

    } else {
        snprintf(buf, size,
                 usec ? "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ"
                      : "%04d-%02d-%02dT%02d:%02d:%02dZ",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                 tm.tm_min, tm.tm_sec, usec);
    }

    return buf;
}


char *
out_when(const char *s, char *buf, size_t size)
{
    char       age[32];
    long       usec, d;
    time_t     t;
    struct tm  tm;

    if (!out_parse_time(s, &tm, &usec)) {
        snprintf(buf, size, "%s", s);
        return buf;
    }

    t = timegm(&tm);
    d = (long) (time(NULL) - t);

    if (d > 30 * 86400L || d < -30 * 86400L) {
        localtime_r(&t, &tm);
        strftime(buf, size, "%Y-%m-%d", &tm);
        return buf;
    }

    if (d > -2 && d < 2) {
        snprintf(buf, size, "now");
        return buf;
    }

    out_duration(d < 0 ? -d : d, age, sizeof(age));
    age[strcspn(age, " ")] = '\0';

    snprintf(buf, size, d < 0 ? "in %s" : "%s ago", age);

    return buf;
}


out_progress_t *
out_progress_start(cli_t *cli, const char *label, uint64_t total)
{
    char            *clean;
    out_progress_t  *p;

    if (cli->quiet || !isatty(STDERR_FILENO)) {
        return NULL;
    }

    p = calloc(1, sizeof(out_progress_t));
    clean = out_clean(label);

    if (p != NULL && clean != NULL) {
        snprintf(p->label, sizeof(p->label), "%s", clean);
        p->total = total;
        p->start = out_now();
        p->cli = cli;
        cli->bar = p;
    }

    free(clean);

    return p;
}


out_progress_t *
out_progress_count(cli_t *cli, const char *label, uint64_t total)
{
    out_progress_t  *p;

    p = out_progress_start(cli, label, total);

    if (p != NULL) {
        p->things = true;
    }

    return p;
}


void
out_progress_total(out_progress_t *p, uint64_t total)
{
    if (p != NULL) {
        p->total = total;
    }
}


void
out_progress_step(out_progress_t *p, uint64_t done)
{
    double  now;

    if (p == NULL) {
        return;
    }

    now = out_now();

    if (now - p->drawn >= OUT_BAR_STEP) {
        p->drawn = now;
        out_progress_draw(p, done, now);
    }
}


void
out_progress_clear(out_progress_t *p)
{
    if (p != NULL && p->drawn > 0) {
        p->drawn = 0;
        fputs("\r\033[K", stderr);
    }
}


void
out_progress_end(out_progress_t *p)
{
    if (p == NULL) {
        return;
    }

    out_progress_clear(p);

    if (p->cli != NULL) {
        p->cli->bar = NULL;
    }

    free(p);
}


static void
out_progress_amount(const out_progress_t *p, uint64_t n, char *buf,
    size_t size)
{
    if (p->things) {
        snprintf(buf, size, "%" PRIu64, n);

    } else {
        out_bytes((int64_t) n, buf, size);
    }
}


static void
out_progress_draw(out_progress_t *p, uint64_t done, double now)
{
    int             width, room, fill;
    char            amount[32], rate[32], eta[32], tail[128];
    double          speed, part;
    struct winsize  ws;

    static const char  full[] = "################################";
    static const char  blank[] = "                                ";

    width = ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0
            ? ws.ws_col : 80;

    speed = now > p->start ? (double) done / (now - p->start) : 0;
    out_progress_amount(p, done, amount, sizeof(amount));
    out_progress_amount(p, (uint64_t) speed, rate, sizeof(rate));

    if (p->total == 0) {
        snprintf(tail, sizeof(tail), "%s  %s/s", amount, rate);
        fprintf(stderr, "\r%.*s %.*s\033[K", width / 2, p->label,
                width / 2 - 2, tail);
        return;
    }

    part = done >= p->total ? 1 : (double) done / (double) p->total;
    snprintf(eta, sizeof(eta), "-");

    if (speed > 0) {
        out_duration((int64_t) ((1 - part) * (double) p->total / speed + 0.5),
                     eta, sizeof(eta));
    }

    snprintf(tail, sizeof(tail), "%3d%%  %s  %s/s  ETA %s",
             (int) (part * 100), amount, rate, eta);

    /* the bar has what the words leave: [] and two blanks beside it */

    room = width - 5 - (int) strlen(p->label) - (int) strlen(tail);
    room = room < 0 ? 0 : room > 32 ? 32 : room;
    fill = (int) (part * room);

    if (room < 4) {
        fprintf(stderr, "\r%.*s\033[K", width - 1, tail);

    } else {
        fprintf(stderr, "\r%s [%.*s%.*s] %s\033[K", p->label, fill, full,
                room - fill, blank, tail);
    }
}


static double
out_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}
