/*
 * Live pictures on a terminal.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "live.h"
#include "out.h"


/* second screen, no cursor, no wrapping; and back */
#define LIVE_ENTER  "\033[?1049h\033[?25l\033[?7l"
#define LIVE_LEAVE  "\033[?7h\033[?25h\033[?1049l"

/* the terminal shows all between these at once, where it knows them */
#define LIVE_FRAME  "\033[?2026h\033[H"
#define LIVE_SHOWN  "\033[J\033[?2026l"


typedef struct {
    volatile sig_atomic_t   on;         /* the second screen is */
    volatile sig_atomic_t   muted;
    bool                    keys;       /* stdin is the terminal, too */
    bool                    deaf;       /* and has nothing more to say */
    struct termios          before;
    struct termios          mute;       /* no echo, no lines */
    sigset_t                mask;       /* while waiting */
    FILE                   *out;        /* stdout, while a picture is drawn */
} live_t;


static void live_enter(void);
static void live_mute(void);
static void live_stop(int signo);
static void live_resized(int signo);
static bool live_paint(const char *text, size_t len);
static bool live_write(const char *buf, size_t len);


static live_t  live;


bool
live_begin(cli_t *cli)
{
    sigset_t           winch;
    const char        *term;
    struct sigaction   sa;

    term = getenv("TERM");

    if ((cli->format != CLI_TABLE && cli->format != CLI_WIDE)
        || !isatty(STDOUT_FILENO) || term == NULL
        || strcmp(term, "dumb") == 0)
    {
        return false;
    }

    live.keys = isatty(STDIN_FILENO)
                && tcgetpgrp(STDIN_FILENO) == getpgrp()
                && tcgetattr(STDIN_FILENO, &live.before) == 0;

    if (live.keys) {
        live.mute = live.before;
        live.mute.c_lflag &= ~(tcflag_t) (ECHO | ICANON);
    }

    /* a size that changes while drawing is seen when waiting begins */

    sigemptyset(&winch);
    sigaddset(&winch, SIGWINCH);
    sigprocmask(SIG_BLOCK, &winch, &live.mask);
    sigdelset(&live.mask, SIGWINCH);

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = live_resized;
    sigaction(SIGWINCH, &sa, NULL);

    sa.sa_handler = live_stop;
    sa.sa_flags = SA_RESTART;
    sigaction(SIGTSTP, &sa, NULL);

    out_sync();
    live_enter();

    return true;
}


static void
live_enter(void)
{
    live.on = 1;

    if (live.keys) {
        live_mute();
    }

    (void) live_write(LIVE_ENTER, sizeof(LIVE_ENTER) - 1);
}


static void
live_mute(void)
{
    live.muted = 1;
    tcsetattr(STDIN_FILENO, TCSANOW, &live.mute);
}


bool
live_restore(void)
{
    bool  was;

    was = live.on;
    live.on = 0;

    if (was) {
        (void) live_write(LIVE_LEAVE, sizeof(LIVE_LEAVE) - 1);
    }

    if (live.muted) {
        live.muted = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &live.before);
    }

    return was;
}


bool
live_secret(cli_t *cli, const char *prompt, char *buf, size_t size)
{
    bool  got;

    if (tcgetattr(STDIN_FILENO, &live.before) != 0) {
        return cli_fail(cli, CLI_FAILED, "failed", NULL, "can't ask: %s",
                        strerror(errno));
    }

    live.mute = live.before;
    live.mute.c_lflag &= ~(tcflag_t) ECHO;

    /* first, so that who is quick is not shown either */

    live_mute();
    fputs(prompt, stderr);

    got = fgets(buf, (int) size, stdin) != NULL;

    (void) live_restore();
    fputc('\n', stderr);

    if (!got) {
        return cli_fail(cli, CLI_FAILED, "refused", NULL,
                        "nothing was done");
    }

    buf[strcspn(buf, "\r\n")] = '\0';

    return true;
}


void
live_end(void)
{
    if (live.out != NULL) {
        stdout = live.out;
        live.out = NULL;
    }

    (void) live_restore();
}


/* ^Z: the shell gets its terminal back, and we take it again after fg */

static void
live_stop(int signo)
{
    int   err;
    bool  was;

    (void) signo;

    err = errno;
    was = live_restore();

    raise(SIGSTOP);

    if (was) {
        live_enter();
    }

    errno = err;
}


static void
live_resized(int signo)
{
    (void) signo;       /* waiting ends by it */
}


bool
live_draw(cli_t *cli, live_draw_pt draw, void *data)
{
    bool     ok, quiet;
    char    *text;
    FILE    *fp;
    size_t   len;

    if (!live.on) {
        return draw(cli, data);
    }

    text = NULL;
    fp = open_memstream(&text, &len);

    if (fp == NULL) {
        return cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
    }

    /* notes would be written across the picture */

    quiet = cli->quiet;
    cli->quiet = true;
    live.out = stdout;
    stdout = fp;

    ok = draw(cli, data);

    cli->quiet = quiet;

    if (live.out != NULL) {
        stdout = live.out;
        live.out = NULL;
    }

    if (fclose(fp) != 0) {
        ok = ok && cli_fail(cli, CLI_FAILED, "failed", NULL,
                            "out of memory");
    }

    if (ok && !live_paint(text, len)) {
        ok = cli_fail(cli, CLI_FAILED, "failed", NULL,
                      "can't write to the terminal: %s", strerror(errno));
    }

    free(text);

    return ok;
}


/* each line is cleared behind its end, so that none is ever empty between */

static bool
live_paint(const char *text, size_t len)
{
    int              row, rows;
    bool             ok;
    char            *frame;
    FILE            *fp;
    size_t           size;
    const char      *p, *end, *eol;
    struct winsize   ws;

    rows = ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_row > 0
           ? ws.ws_row : 24;

    frame = NULL;
    fp = open_memstream(&frame, &size);

    if (fp == NULL) {
        return false;
    }

    fputs(LIVE_FRAME, fp);
    end = text + len;

    for (p = text, row = 0; p < end && row < rows; p = eol + 1, row++) {
        eol = memchr(p, '\n', (size_t) (end - p));
        eol = eol ? eol : end;

        fputs(row ? "\n" : "", fp);

        if (row == rows - 1 && eol + 1 < end) {
            fputs("...", fp);

        } else {
            fwrite(p, 1, (size_t) (eol - p), fp);
        }

        fputs("\033[K", fp);
    }

    fputs(LIVE_SHOWN, fp);

    ok = fclose(fp) == 0 && live_write(frame, size);

    free(frame);

    return ok;
}


/* write() and nothing else: handlers come here, too */

static bool
live_write(const char *buf, size_t len)
{
    ssize_t  n;

    while (len > 0) {
        n = write(STDOUT_FILENO, buf, len);

        if (n < 0 && errno == EINTR) {
            continue;
        }

        if (n < 0) {
            return false;
        }

        buf += n;
        len -= (size_t) n;
    }

    return true;
}


bool
live_wait(int seconds)
{
    int              n;
    char             keys[64];
    ssize_t          i, got;
    struct pollfd    fd;
    struct timespec  left, now, until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;

    for ( ;; ) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        left.tv_sec = until.tv_sec - now.tv_sec;
        left.tv_nsec = until.tv_nsec - now.tv_nsec;

        if (left.tv_nsec < 0) {
            left.tv_nsec += 1000000000;
            left.tv_sec--;
        }

        if (left.tv_sec < 0) {
            return true;
        }

        fd.fd = live.on && live.keys && !live.deaf ? STDIN_FILENO : -1;
        fd.events = POLLIN;

        n = ppoll(&fd, 1, &left, live.on ? &live.mask : NULL);

        if (n <= 0) {
            return true;
        }

        got = read(STDIN_FILENO, keys, sizeof(keys));

        if (got <= 0) {
            live.deaf = true;
            continue;
        }

        for (i = 0; i < got; i++) {
            if (keys[i] == 'q' || keys[i] == 'Q') {
                return false;
            }
        }
    }
}
