#!/usr/bin/perl
# gbctl device log, history and explain.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;
use Goosebit::Fleet;

use IPC::Open3;
use JSON::PP;

my $s = stack(fsync => 'off');
my $f = Goosebit::Fleet->new($s);

sub gbctl { $s->gbctl(map({ ref ? $_ : () } @_), 'device',
    grep { !ref } @_) }
sub json { gbctl(@_, '-o', 'json')->{json} }
sub error { decode_json(gbctl(@_, '-o', 'json')->{err})->{error} }

my $two = $f->software('2.0', 'board:r1');
my $three = $f->software('3.0', 'board:r1');
my $rollout = $s->gbctl('rollout', 'create', '--software', $two, '-o',
    'name')->{out} =~ s/\n//r;
$f->register($_, sw_version => '1.0') for qw(a b);


# log: lines with time, execution, text

is(gbctl('log', 'a')->{err}, "the log is empty\n", 'nothing yet');
is_deeply(json('log', 'a'), [], 'nothing yet, as JSON');
is_deeply(json('history', 'a'), [], 'no history');
is(gbctl('history', 'a')->{err}, "no actions\n", 'says so');

my $x = $f->fetch('a');
$f->report('a', $x, 'proceeding', 'none', 'Downloading', 'Downloaded 40%');
$f->report('a', $x, 'download', 'none');
$f->report('a', $x, 'closed', 'failure', "bad\e[31m signature\nline two");
my $time = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/;
my $r = gbctl('log', 'a');
is($r->{exit}, 0, 'log: exit 0');
is($r->{out} =~ s/^$time  //mgr, <<'LOG', 'log: lines, safe to show');
proceeding       Downloading
proceeding       Downloaded 40%
download
closed failure   bad?[31m signature line two
LOG
is(scalar(() = $r->{out} =~ /^$time  /mg), 4, 'log: each with its time');
my $log = json('log', 'a');
is_deeply([map { [@{$_}{qw(action_id execution finished text)}] } @$log],
    [[$x, 'proceeding', 'none', 'Downloading'],
        [$x, 'proceeding', 'none', 'Downloaded 40%'],
        [$x, 'download', 'none', undef],
        [$x, 'closed', 'failure', "bad\e[31m signature\nline two"]],
    'log: as JSON');
like($log->[0]{time}, qr/^\d{4}-\d\d-\d\dT.*Z$/, 'log: time');
is(scalar(my @lines = split /\n/, gbctl('log', 'a', '-o', 'jsonl')->{out}),
    4, 'log: jsonl');
like(gbctl({ pty => 80 }, 'log', 'a')->{out}, qr/\e\[31mclosed failure/,
    'log: a failure is coloured on a terminal');

# a new start clears what the log shows; older actions keep theirs

gbctl('force', 'a');
my $y = $f->fetch('a');
$f->report('a', $y, 'proceeding', 'none', 'again');
is_deeply([map { $_->{text} } @{json('log', 'a')}], ['again'],
    'log: of the last start');
is(scalar @{json('log', 'a', '--action', $x)}, 4, 'log --action: of an older');
is_deeply(error('log', 'a', '--action', '99999'), { code => 'not_found',
    message => 'device "a": has no action 99999' }, 'log --action: not there');
is(gbctl('log', 'b', '--action', $x)->{exit}, 1, 'nor of another device');


# -f follows until the action ends, and loses no line

my ($pid, $lines);
{
    local %ENV = ($s->_clean_env, %{$s->env});
    $pid = open3(my $in, $lines, undef, 'sh', '-c', 'exec "$@" 2>&1', 'sh',
        $ENV{GBCTL}, qw(device log a -f));
}
my $all = '';

# It has looked when a line is there, and looks again for those after it.
sub line {
    local $SIG{ALRM} = sub { die "no line within 60 s\n" };
    alarm 60;
    my $line = <$lines>;
    alarm 0;
    $all .= $line // '';
    return $line;
}

like(line(), qr/ again$/, 'log -f: what is there');
for my $steps ([1], [2 .. 4], [5 .. 8]) {
    $f->report('a', $y, 'proceeding', 'none', "step $_") for @$steps;
    line() for @$steps;
}
is(waitpid($pid, 1), 0, 'log -f: is still there while the action is open');
$f->report('a', $y, 'closed', 'success', 'last words');
1 while defined line();
waitpid $pid, 0;
is($? >> 8, 0, 'log -f: ends with the action: exit 0');
is_deeply([$all =~ /(again|step \d|last words)$/mg],
    ['again', map({ "step $_" } 1 .. 8), 'last words'],
    'log -f: every line once, in order');
like($all, qr/^action $y to 2\.0: finished\n\z/m, 'log -f: says how it ended');
is(gbctl('log', 'a', '-f')->{err}, "no action is open\n",
    'log -f: nothing to wait for');
is(scalar(() = gbctl('log', 'a', '-f', '--action', $x, '-o',
    'jsonl')->{out} =~ /^\{/mg), 4, 'log -f of what has ended, as jsonl');
is(gbctl('log', 'a', '-f', '-o', 'json')->{exit}, 2,
    'log -f: an array would never end');


# history

my $h = json('history', 'a');
is_deeply([map { [@{$_}{qw(action_id software version cause rollout state
    attempts forced)}] } @$h],
    [[$y, $two, '2.0', 'rollout', $rollout, 'finished', 2, JSON::PP::true],
        [$x, $two, '2.0', 'rollout', $rollout, 'error', 1,
            JSON::PP::false]], 'history: newest first');
is_deeply([sort keys %{$h->[0]}], [sort qw(action_id software version cause
    rollout state progress started ended attempts type forced)],
    'history: fields');
ok($h->[0]{started} lt $h->[0]{ended}, 'history: times');
is(scalar @{json('history', 'a', '--limit', '1')}, 1, 'history --limit');
like(gbctl('history', 'a')->{out}, qr/^ACTION +VERSION +CAUSE .*\n +$y  2\.0/,
    'history: as a table');
is(gbctl('history', 'a', '-o', 'name')->{out}, "$y\n$x\n", 'history: names');


# explain: each reason, its sentence, what releases it

sub explains {
    my ($id, $reason, $says, $release) = @_;
    my $e = json('explain', $id);
    is($e->{reason}, $reason, "explain: $reason");
    like($e->{explanation}, $says, "explain: $reason: says why");
    like($e->{release} // '', $release // qr/\A\z/,
        "explain: $reason: what releases it");
    return $e;
}

sub rails {
    return { map { $_->{rail} => $_->{passed} ? 1 : 0 }
        @{$_[0]{guard_rails}} };
}

my $e = explains('a', 'up_to_date', qr/\AIt runs 2\.0, which is what it /,
    qr/device force/);
is_deeply([sort keys %$e], [sort qw(id reason explanation release mode feed
    sw_version target_version target_software cause rollout due action_id
    state last_seen online guard_rails)], 'explain: fields');
ok($s->seen, 'all polls are written down');
$e = explains('b', 'due', qr/runs 1\.0 and gets 2\.0 at its next poll/);
is_deeply(rails($e), { map { $_ => 1 } 'seen lately', 'target', 'registered',
    'not blocked', 'other version', 'not done or held', 'not paused',
    'least version', 'no downgrade', 'window', 'concurrency' },
    'explain: every guard rail answers');
is($e->{due}, JSON::PP::true, 'explain: due');
my $z = ($f->poll('b'))[1];
explains('b', 'open', qr/Action $z to 2\.0 .* has not fetched it/);
$f->fetch('b');
explains('b', 'open', qr/fetched it and not begun/);
$f->report('b', $z, 'proceeding', 'none', 'Downloaded 47%');
explains('b', 'running', qr/at 47%, last heard of/, qr/next report/);
gbctl('cancel', 'b');
explains('b', 'cancelling', qr/asked to cancel action $z/, qr/--now/);
$f->report('b', $z, 'closed', 'failure', 'no space left');
explains('b', 'canceled', qr/Action $z .*ended as canceled/, qr/force/);
gbctl('force', 'b');
$z = $f->fetch('b');
$f->report('b', $z, 'closed', 'failure', 'first', 'no space left');
$e = explains('b', 'held_after_error',
    qr/ended as error \d+ seconds ago, saying "no space left"\. It is not/,
    qr/rollout retry $rollout"/);
is(rails($e)->{'not done or held'}, 0, 'explain: the rail that stops it');
gbctl('pin', 'b');
explains('b', 'pinned', qr/left alone; it runs 1\.0/, qr/unpin/);
gbctl('unpin', 'b');
gbctl('set', 'b', '--feed', 'none');
explains('b', 'no_rollout', qr/feed "none"/, qr/a rollout/);
gbctl('set', 'b', '--feed', 'default', '--mode', 'assigned');
explains('b', 'no_assignment', qr/no software is assigned/, qr/assign/);
gbctl('set', 'b', '--mode', 'rollout');
$s->gbctl('rollout', 'pause', $rollout);
gbctl('assign', 'b', $three);
gbctl('set', 'b', '--mode', 'rollout');
$f->register('p', sw_version => '1.0');
explains('p', 'paused', qr/Rollout $rollout to 2\.0 is paused: paused by/,
    qr/rollout resume $rollout/);
$s->gbctl('rollout', 'resume', $rollout);
$f->register('up', sw_version => '2.5');
explains('up', 'downgrade_refused', qr/runs 2\.5, which is newer than 2\.0/,
    qr/assign/);
$f->register('hw', hw_model => 'toaster');
explains('hw', 'no_compatible_software', qr/hardware, toaster r1/,
    qr/software for that/);
gbctl('set', 'hw', '--mode', 'latest');
explains('hw', 'no_compatible_software', qr/No software is for its/,
    qr/software for that/);
$f->poll('new');
explains('new', 'not_registered', qr/not yet said what hardware/,
    qr/configData/);
gbctl('add', 'never');
explains('never', 'not_registered', qr/It has never been seen\.\z/,
    qr/configData/);
$f->register('static', sw_version => '1.0');
$f->report('static', $f->fetch('static'), 'closed', 'success');
$s->put(ddi('static', 'configData'), json => { data =>
    { sw_version => '1.0' } });
explains('static', 'done_reports_other_version',
    qr/ended as finished .* The device runs 1\.0 all the same/, qr/force/);
$f->register('down', sw_version => '1.0');
gbctl('assign', 'down', $three, '--type', 'downloadonly');
$f->report('down', $f->fetch('down'), 'downloaded', 'none');
explains('down', 'downloaded', qr/It was to be downloaded only, and is/,
    qr/force/);
gbctl('set', 'static', '--feed', 'narrow');
$s->gbctl('rollout', 'create', '--feed', 'narrow', '--software', $three,
    '--max-concurrent', '1');
$f->fetch('static');
$f->register('late', sw_version => '1.0');
gbctl('set', 'late', '--feed', 'narrow');
explains('late', 'concurrency', qr/3\.0 is due, but 1 of 1 updates of the r/,
    qr/end of one/);
my $day = (qw(Sun Mon Tue Wed Thu Fri Sat))[((gmtime)[6] + 3) % 7];
$s->sql("UPDATE goosebit.rollout SET maintenance_window = '$day 01:00-02:00', "
    . 'max_concurrent = NULL WHERE id = 2');
explains('late', 'outside_window', qr/3\.0 waits for its .*, $day 01:00-02:/,
    qr/next opening/);
$s->sql('UPDATE goosebit.rollout SET maintenance_window = NULL');
$f->register('other', sw_version => '1.0');
my $o = ($f->poll('other'))[1];
$s->sql("UPDATE goosebit.action SET state = 'awaiting_confirmation' "
    . "WHERE id = $o");
explains('other', 'awaiting_confirmation',
    qr/Action $o to 2\.0 waits for a confirmation/, qr/a confirmation/);
$s->sql("UPDATE goosebit.device SET feed = 'narrow' "
    . "WHERE controller_id = 'other'");
explains('other', 'superseded', qr/Action $o to 2\.0 .* \(that is 3\.0\)/);
$s->sql("UPDATE goosebit.software SET min_version = '1.5' WHERE id = $three");
$s->sql("UPDATE goosebit.rollout SET software_min_version = '1.5' "
    . "WHERE software_id = $three");
explains('late', 'version_too_old', qr/runs 1\.0, and 3\.0 needs at least 1/,
    qr/at least 1\.5/);
$s->gbctl('rollout', 'abort', '-y', '2');
explains('late', 'aborted', qr/feed "narrow" were aborted/, qr/new rollout/);

gbctl('block', 'b');
explains('b', 'blocked', qr/\AIt is blocked: .*401\.\z/, qr/unblock/);
ok($s->seen, 'all polls are written down');
$s->sql("UPDATE goosebit.device_seen SET seen_at = now() - interval '3 days'");
$e = explains('up', 'downgrade_refused', qr/It is offline: last seen 3 days /,
    qr/assign/);
is(rails($e)->{'seen lately'}, 0, 'explain: an offline device');
$s->sql("UPDATE goosebit.tenant SET auth = 'strict'");
like(json('explain', 'up')->{explanation}, qr/\ADevices need a token here/,
    'explain: without a token it is not let in');

my $text = gbctl('explain', 'up')->{out};
like($text, qr/\Aup: downgrade_refused\n  Devices need /, 'explain: in words');
like($text, qr/^  Released by: "gbctl device assign"/m, 'explain: release');
like($text, qr/^stops +no downgrade/m, 'explain: guard rails as a table');
unlike($text, qr/^.{81}/m, 'explain: fits 80 columns');
is(gbctl('explain', 'nobody')->{exit}, 1, 'explain: nobody');

done_testing;
