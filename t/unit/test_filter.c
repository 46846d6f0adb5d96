/*
 * Expressions and the programs they become, globs, ages, and what is refused
 * at which column.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gb_duration.h"
#include "gb_filter.h"
#include "gb_filter_glob.h"


typedef struct {
    const char  *expr;
    const char  *want;
} pair_t;


/* "[feed = prod] [id = a] and" */

static void
render(const gb_filter_t *f, char *buf, size_t size)
{
    size_t  i, n;

    n = 0;
    buf[0] = '\0';

    for (i = 0; i < f->n; i++) {
        n += (size_t) snprintf(buf + n, size - n,
                               f->fields[i][0] ? "%s[%s %s %s]" : "%s%s%s%s",
                               i ? " " : "", f->fields[i], f->ops[i],
                               f->values[i]);
    }
}


static void
check(const pair_t *pairs, size_t n, gb_filter_scope_e scope)
{
    int           rc;
    char          got[4096];
    size_t        i;
    gb_error_t    err;
    gb_filter_t  *f;

    for (i = 0; i < n; i++) {
        rc = gb_filter_parse(pairs[i].expr, scope, &f, &err);

        if (rc == GB_OK) {
            render(f, got, sizeof(got));
        } else {
            assert_null(f);
            snprintf(got, sizeof(got), "%s", err.message);
        }

        if (strcmp(got, pairs[i].want) != 0) {
            fail_msg("%s\n got: %s\nwant: %s", pairs[i].expr, got,
                     pairs[i].want);
        }

        gb_filter_free(f);
    }
}


#define CHECK(pairs, scope)                                                  \
    check(pairs, sizeof(pairs) / sizeof(pairs[0]), scope)


static void
test_programs(void **state)
{
    static const pair_t  pairs[] = {
        { "feed=prod", "[feed = prod]" },
        { "  feed = prod ", "[feed = prod]" },
        { "feed=prod and id=a", "[feed = prod] [id = a] and" },
        { "id=a or id=b and id=c",
          "[id = a] [id = b] [id = c] and or" },
        { "(id=a or id=b)and id=c",
          "[id = a] [id = b] or [id = c] and" },
        { "not id=a and id=b", "[id = a] not [id = b] and" },
        { "not (id=a and id=b)", "[id = a] [id = b] and not" },
        { "NOT not id=a", "[id = a] not not" },
        { "id=a AND id=b Or id=c", "[id = a] [id = b] and [id = c] or" },
        { "((id=a))", "[id = a]" },
        { "sw_version<1.4 and sw_version>=v1.0-rc1",
          "[sw_version < 1.4] [sw_version >= v1.0-rc1] and" },
        { "hw_revision!=r1", "[hw_revision != r1]" },
        { "name=\"and\"", "[name = and]" },
        { "name='it''s \"x\"'", "[name = it's \"x\"]" },
        { "name=\"\"", "[name = ]" },
        { "name=\"a (b) = c\" and id=x",
          "[name = a (b) = c] [id = x] and" },
        { "attr.region=eu", "[attr.region = eu]" },
        { "attr.\"a b\"=\"c d\"", "[attr.a b = c d]" },
        { "attr.ram>512", "[attr.ram > 512]" },
        { "tag=lab and tag!=x", "[tag = lab] [tag != x] and" },
        { "last_seen<7d", "[last_seen < 604800]" },
        { "last_seen>=1h30m", "[last_seen >= 5400]" },
        { "last_seen=never or last_seen!=never",
          "[last_seen = ] [last_seen != ] or" },
        { "online=true", "[online = true]" },
        { "progress>=50", "[progress >= 50]" },
        { "mode=pinned and state=error",
          "[mode = pinned] [state = error] and" },
        { "id~dev-*", "[id ~ ^dev\\-.*$]" },
        { "tag~'l?b'", "[tag ~ ^l.b$]" },
        { "id=\xc3\xa4", "[id = \xc3\xa4]" },
    };

    (void) state;

    CHECK(pairs, GB_FILTER_ANY);
}


#define FIELDS                                                               \
    "feed, hw_model, hw_revision, id, last_seen, mode, name, online, "        \
    "progress, state, sw_version, tag, target_version and attr.NAME"

static void
test_refused(void **state)
{
    static const pair_t  pairs[] = {
        { "", "column 1: the expression is empty" },
        { "   ", "column 4: expected a field, as in feed=prod" },
        { "feed=prod\nand hwmodel=x", "column 15: unknown field \"hwmodel\", "
          "did you mean \"hw_model\"?" },
        { "name=\xc3\xa4\xc3\xa4 and zzz=1",
          "column 13: unknown field \"zzz\", there are " FIELDS },
        { "feed", "column 5: expected = != < <= > >= or ~" },
        { "feed!prod", "column 1: unknown field \"feed!prod\", there are "
          FIELDS },
        { "feed==prod", "column 6: expected a value; quotes hold any, \"\" is "
          "none" },
        { "feed=", "column 6: expected a value; quotes hold any, \"\" is "
          "none" },
        { "feed= and id=a", "column 7: expected a value; quotes hold any, "
          "\"\" is none" },
        { "feed=prod id=a", "column 11: expected \"and\" or \"or\"; a value "
          "with blanks or operators needs quotes" },
        { "attr.u=a=b", "column 9: expected \"and\" or \"or\"; a value with "
          "blanks or operators needs quotes" },
        { "(feed=prod", "column 11: the \"(\" is not closed" },
        { "(feed=prod id=a)", "column 12: expected \")\", \"and\" or \"or\""
        },
        { "feed=prod)", "column 10: \")\" closes nothing" },
        { "()", "column 2: expected a field, as in feed=prod" },
        { "feed=prod and", "column 14: expected a field, as in feed=prod" },
        { "name='x", "column 6: the quote is not closed" },
        { "attr.=x", "column 1: \"attr.\" needs an attribute's name" },
        { "state=eror", "column 7: not a value of \"state\", did you mean "
          "\"error\"?" },
        { "state=runnign", "column 7: not a value of \"state\", did you mean "
          "\"running\"?" },
        { "online=maybe", "column 8: not a value of \"online\": true, false"
        },
        { "version=1", "column 1: unknown field \"version\", did you mean "
          "\"sw_version\"?" },
        { "made=1", "column 1: unknown field \"made\", did you mean "
          "\"mode\"?" },
        { "place=1", "column 1: unknown field \"place\", there are "
          FIELDS },
        { "mode=xyzzyx", "column 6: not a value of \"mode\": rollout, latest, "
          "assigned, pinned" },
        { "state<error", "column 6: \"state\" can't be compared by <" },
        { "tag>a", "column 4: \"tag\" can't be compared by >" },
        { "online~t*", "column 7: \"online\" can't be compared by ~" },
        { "last_seen~7d", "column 10: \"last_seen\" can't be compared by ~" },
        { "last_seen<7", "column 11: not an age such as 90s, 30m, 2h or 7d" },
        { "last_seen=7d", "column 11: an age goes with < <= > >= only, "
          "\"never\" with = and !=" },
        { "last_seen<never", "column 11: \"never\" goes with = and != only" },
        { "progress>x", "column 10: \"progress\" needs a number" },
        { "id~[z-a]", "column 4: the glob has a range that ends before it "
          "begins" },
        { "id=\xff", "column 1: the expression is not valid UTF-8" },
    };

    (void) state;

    CHECK(pairs, GB_FILTER_ANY);
}


static void
test_rollout(void **state)
{
    static const pair_t  pairs[] = {
        { "id~a* and name=b and hw_model=c and hw_revision=d and "
          "sw_version<1 and tag=e and attr.f=g",
          "[id ~ ^a.*$] [name = b] and [hw_model = c] and [hw_revision = d] "
          "and [sw_version < 1] and [tag = e] and [attr.f = g] and" },
        { "id=a and state=error", "column 10: a rollout can't look at "
          "\"state\", only at id, name, hw_model, hw_revision, sw_version, "
          "tag and attr.NAME" },
        { "feed=prod", "column 1: a rollout can't look at \"feed\", only at "
          "id, name, hw_model, hw_revision, sw_version, tag and attr.NAME" },
    };

    (void) state;

    CHECK(pairs, GB_FILTER_ROLLOUT);
}


static void
test_limits(void **state)
{
    char          buf[GB_FILTER_BYTES + 2];
    size_t        i, n;
    gb_error_t    err;
    gb_filter_t  *f;

    (void) state;

    memset(buf, '(', GB_FILTER_DEPTH);
    strcpy(buf + GB_FILTER_DEPTH, "id=a");
    n = strlen(buf);
    memset(buf + n, ')', GB_FILTER_DEPTH);
    buf[n + GB_FILTER_DEPTH] = '\0';
    assert_int_equal(gb_filter_parse(buf, 0, &f, &err), GB_OK);
    gb_filter_free(f);

    memmove(buf + 1, buf, strlen(buf) + 1);
    buf[0] = '(';
    assert_int_equal(gb_filter_parse(buf, 0, &f, &err), GB_ERROR);
    assert_string_equal(err.message, "column 33: nested deeper than 32");

    /* 64 comparisons and 63 joints fit, one more does not */

    strcpy(buf, "id=a");

    for (i = 1; i < GB_FILTER_STEPS / 2; i++) {
        strcat(buf, " or id=a");
    }

    assert_int_equal(gb_filter_parse(buf, 0, &f, &err), GB_OK);
    assert_int_equal(f->n, GB_FILTER_STEPS - 1);
    gb_filter_free(f);

    strcat(buf, " or id=a");
    assert_int_equal(gb_filter_parse(buf, 0, &f, &err), GB_ERROR);
    assert_non_null(strstr(err.message, "more than 128"));

    /* as long as may be, of what grows most; then a byte more */

    strcpy(buf, "id~");
    memset(buf + 3, '.', GB_FILTER_BYTES - 3);
    buf[GB_FILTER_BYTES] = '\0';
    assert_int_equal(gb_filter_parse(buf, 0, &f, &err), GB_OK);
    assert_int_equal(strlen(f->values[0]), 2 * (GB_FILTER_BYTES - 3) + 2);
    gb_filter_free(f);

    strcat(buf, ".");
    assert_int_equal(gb_filter_parse(buf, 0, &f, &err), GB_ERROR);
    assert_string_equal(err.message, "column 4097: the expression is longer "
                        "than 4096 bytes");
}


static void
test_globs(void **state)
{
    char    got[64];
    size_t  i;

    static const pair_t  globs[] = {
        { "", "^$" },
        { "a*b**c?", "^a.*b.*c.$" },
        { "1.0+x", "^1\\.0\\+x$" },
        { "a\\*b", "^a\\*b$" },
        { "a\\", "^a\\\\$" },
        { "[a-c]", "^[a-c]$" },
        { "[!a-c]x", "^[^a-c]x$" },
        { "[]a]", "^[\\]a]$" },
        { "[a-]", "^[a\\-]$" },
        { "[-a]", "^[\\-a]$" },
        { "[[:alpha:]]", "^[\\[\\:alpha\\:]\\]$" },
        { "[\\]]", "^[\\]]$" },
        { "[ab", "^\\[ab$" },
        { "[", "^\\[$" },
        { "\xc3\xa4?", "^\xc3\xa4.$" },
        { "[\xc3\xa4-\xc3\xbc]", "^[\xc3\xa4-\xc3\xbc]$" },
    };

    (void) state;

    for (i = 0; i < sizeof(globs) / sizeof(globs[0]); i++) {
        assert_int_equal(gb_filter_glob(globs[i].expr, got),
                         strlen(globs[i].want) + 1);
        assert_string_equal(got, globs[i].want);
    }

    assert_int_equal(gb_filter_glob("[b-a]", got), 0);
    assert_int_equal(gb_filter_glob("[\xc3\xbc-\xc3\xa4]", got), 0);
}


static void
test_durations(void **state)
{
    long    seconds;
    size_t  i;

    static const struct {
        const char  *text;
        long         seconds;
    } good[] = {
        { "0s", 0 }, { "90s", 90 }, { "2h", 7200 }, { "1h30m", 5400 },
        { "7d", 604800 }, { "2w", 1209600 }, { "36500d", GB_DURATION_MAX },
    };

    static const char *const  bad[] = {
        "", "7", "d", "1h30", "-1h", "1.5h", "1H", "36501d",
        "36500d1s", "99999999999999999999s", "1h 2m", "5\xc3\xa4",
    };

    (void) state;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(gb_duration_parse(good[i].text, strlen(good[i].text),
                                      &seconds));
        assert_int_equal(seconds, good[i].seconds);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (gb_duration_parse(bad[i], strlen(bad[i]), &seconds)) {
            fail_msg("\"%s\" is taken", bad[i]);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_rollout),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_globs),
        cmocka_unit_test(test_durations),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
