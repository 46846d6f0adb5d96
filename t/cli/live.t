#!/usr/bin/perl
# What goes on, on a terminal: pictures drawn in place, at its size, and lines
# that follow. It is as it was afterwards, however they end, and while they are
# stopped by ^Z.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Fleet;
use Goosebit::Pty;
use Goosebit::Test;

my $s = stack(fsync => 'off', workers => 1);
my $f = Goosebit::Fleet->new($s);
my $long = 'long-' x 20;

$f->software('1.0', 'board:r1');
$f->register($_, sw_version => '0.9') for 'a' .. 'c';
$s->gbctl('rollout', 'create', '--software', '1', '--name', $long);

sub watch { Goosebit::Pty->new($s, @_) }

# What must hold when it has ended
sub left {
    my ($t, $name, $screen) = @_;
    ok(!$t->second, "$name: the first screen is back");
    ok($t->cursor, "$name: with its cursor");
    is($t->screen, $screen, "$name: as it was");
    like($t->modes, qr/(?<!-)\bicanon\b.*(?<!-)\becho\b/s,
        "$name: and with echo");
}


subtest 'status --watch' => sub {
    my $t = watch('status', '--watch');
    ok($t->wait(qr/^DEFAULT: 3 devices/), 'the picture');
    ok($t->second, 'on the second screen');
    ok(!$t->cursor, 'without a cursor');
    unlike($t->raw, qr/\e\[2J/, 'never cleared');
    is(scalar(grep { length > 80 } split /\n/, $t->screen), 0, '80 columns');
    unlike($t->screen, qr/try -o wide/, 'no notes across it');

    $f->poll('d');
    ok($t->wait(qr/^DEFAULT: 4 devices/), 'what changes is drawn');

    # A picture is drawn each two seconds by itself: once at least this must be
    # sooner, where the machine has time for it.
    my $took;
    for (1 .. 5) {
        $t->resize(120, 12);
        ok($t->wait(qr/^ID  NAME.{75,}/m), 'at the new width');
        my $began = time;
        $t->resize(40, 4);
        ok($t->wait(qr/\A(?:.*\n){3}\.\.\.\z/),
            'no longer than the terminal');
        $took = time - $began;
        last if $took < 1.5;
    }
    cmp_ok($took, '<', 1.5, 'at once');
    is(scalar(grep { length > 40 } split /\n/, $t->screen), 0, '40 columns');

    $t->send("x\cC");
    is($t->end, 130, '^C ends it');
    left($t, '^C', '');

    $t = watch('status', '--watch');
    $t->wait(qr/devices/);
    $t->send('q');
    is($t->end, 0, 'q ends it, too');
    left($t, 'q', '');

    $t = watch('status', '--watch');
    $t->wait(qr/devices/);
    $s->pg('stop');
    is($t->end, 3, 'a database that goes away: exit 3');
    left($t, 'error', $t->screen);
    like($t->screen, qr/\Agbctl: lost the connection .*\n\z/,
        'and one line says so, on the first screen');
    $s->pg('start');
    ok(wait_for { $s->get(ddi('a'))->{status} == 200 }, 'it is back');
};


subtest 'rollout watch' => sub {
    my $t = watch('rollout', 'watch', '1');
    ok($t->wait(qr/^rollout 1 long-.*\n\[[#-]{40}\] 0 of 3\n/), 'a bar');
    my $action = $f->fetch('b');
    ok($t->wait(qr/^  +0%  b  open$/m), 'devices that are at it');
    is($f->report('b', $action, 'proceeding', 'none'), 200, 'reported');
    ok($t->wait(qr/^  +0%  b  running$/m), 'and how far');
    $t->send("\cC");
    is($t->end, 130, '^C ends it');
    left($t, '^C', '');

    $t = watch('rollout', 'watch', '1');
    $t->wait(qr/0 of 3/);
    for (qw(a b c)) {
        $f->report($_, $f->fetch($_), 'closed', 'success');
    }
    is($t->end, 0, 'it ends when it is finished');
    like($t->screen, qr/\Arollout 1 .*finished.*\n\[#{40}\] 3 of 3\n/,
        'and the last picture stays') or diag $t->raw;
    ok(!$t->second && $t->cursor, 'on the first screen');
    like($t->raw, qr/\e\[\?2026h\e\[H.*?\e\[J\e\[\?2026l/s,
        'each picture was one frame');
};


subtest '^Z and fg' => sub {
    my $wait = qr/^DEFAULT: \d+ devices/;
    my $t = watch('status', '--watch');
    ok($t->wait($wait), 'status --watch');
    for my $n (1, 2) {
        $t->send("\cZ");
        like($t->stopped, qr/(?<!-)\bicanon\b.*(?<!-)\becho\b/s,
            "$n: stopped, with echo");
        ok(!$t->second && $t->cursor, "$n: on the first screen");
        $t->resize(50 + $n, 12);
        $f->poll("new$n");
        $t->fg;
        ok($t->wait(qr/^DEFAULT: @{[4 + $n]} devices/), "$n: and on");
        ok($t->second && !$t->cursor, "$n: on the second");
        is(scalar(grep { length > 50 + $n } split /\n/, $t->screen), 0,
            "$n: at the width it has by now");
    }
    $t->send("\cC");
    is($t->end, 130, '^C ends it');
    left($t, '^C', '');

    $t = watch('status', '--watch');
    $t->wait($wait);
    $t->send("\cZ");
    $t->stopped;
    $t->signal('TERM');
    $t->fg;
    is($t->end, 143, 'ended while it was stopped');
    ok(!$t->second && $t->cursor, 'on the first screen');
};


subtest 'where it can\'t be drawn' => sub {
    my $r = $s->gbctl({ pty => 80, env => { TERM => 'dumb' } }, 'rollout',
        'watch', '1');
    like($r->{out}, qr/\A\S+Z rollout 1 finished: 3 of 3 done.*\n\z/,
        'a dumb terminal gets lines');
    $r = $s->gbctl('rollout', 'watch', '1');
    like($r->{out}, qr/\A\S+Z rollout 1 finished: 3 of 3 done.*\n\z/,
        'so does a file');

    local %ENV = ($s->_clean_env, %{$s->env});
    for ([qr/^\{"tenant":"DEFAULT".*\}$/, '-o', 'jsonl'], [qr/^DEFAULT: /]) {
        my ($re, @args) = @$_;
        my $began = time;
        my ($text, $looks) = ('', 0);
        my $pid = open my $lines, '-|', 'sh', '-c', 'exec "$@" 2>/dev/null',
            'sh', $ENV{GBCTL}, 'status', '--watch', @args or die "sh: $!\n";
        while ($looks < 2 && defined(my $line = <$lines>)) {
            $looks++ if $line =~ $re;
            $text .= $line;
        }
        is($looks, 2, "status --watch @args: again and again");
        cmp_ok(time - $began, '>=', 2, 'each two seconds');
        unlike($text, qr/\e/, 'without a word for a terminal');
        kill INT => $pid;
        close $lines;
    }
};


subtest 'lines that follow' => sub {
    my $next = $f->software('1.1', 'board:r1');
    $s->gbctl('device', 'assign', 'a', $next);
    my $action = $f->fetch('a');
    $f->report('a', $action, 'proceeding', 'none', 'begun');

    for (
        [qr/ begun$/m, qr/ later$/m, sub { $f->report('a', $action,
            'proceeding', 'none', 'later') }, 'device', 'log', 'a', '-f'],
        [qr/ device\.assign a/, qr/ device\.set b/, sub { $s->gbctl('device',
            'set', 'b', '--name', 'x') }, 'audit', 'list', '-f'],
    ) {
        my ($is, $will, $do, @verb) = @$_;
        my $t = watch(@verb);
        ok($t->wait($is), "@verb: what is there");
        $t->send("\cZ");
        like($t->stopped, qr/(?<!-)\becho\b/, '^Z stops it');
        $do->();
        $t->fg;
        ok($t->wait($will), 'fg: what came meanwhile');
        unlike($t->raw, qr/\e\[\?/, 'on the first screen all the time');
        $t->send("\cC");
        is($t->end, 130, '^C ends it');
        like($t->modes, qr/(?<!-)\bicanon\b.*(?<!-)\becho\b/s,
            'the terminal is as it was');
        like($t->raw, qr/\^C\s*\z/, 'and nothing more on it');
    }
};

subtest 'questions' => sub {
    for (["n\n", 'no'], ["\cD", 'the end of input']) {
        my ($answer, $name) = @$_;
        my $t = watch('device', 'delete', 'a');
        ok($t->wait(qr/history\? \[y\/N\]/), "$name: asked");
        $t->send($answer);
        is($t->end, 1, "$name: exit 1");
        like($t->raw, qr/\[y\/N\] n?\r?\ngbctl: nothing was done\r?\n\z/,
            "$name: and told on a line of its own");
    }
};

done_testing;
