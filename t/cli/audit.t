#!/usr/bin/perl
# gbctl audit list: its conditions, formats, and following it.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Fleet;
use Goosebit::Pty;
use Goosebit::Test;

use IPC::Open3;

my $s = stack(fsync => 'off');
my $f = Goosebit::Fleet->new($s);

sub audit { $s->gbctl('audit', 'list', @_) }
sub json { audit(@_, '-o', 'json')->{json} }
sub words { join ', ', map { "$_->{verb} $_->{object}" } @{json(@_)} }

is(audit()->{err}, "no changes\n", 'nothing at first');
is_deeply(json(), [], 'as JSON');

$f->register('a');
$f->register('b');
$s->sql('CREATE ROLE op LOGIN IN ROLE goosebit_operator');
$s->gbctl('device', 'set', 'a', 'b', '--feed', 'prod', '--tag', '+lab');
$s->gbctl({ env => { PGUSER => 'op' } }, 'device', 'block', 'a');
$s->gbctl('tenant', 'add', 'Other');
$s->gbctl('user', 'add', 'u');
$s->gbctl('device', 'set', 'a', '--feed', 'x', '--dry-run');
$s->gbctl('device', 'set', 'nobody', 'a', '--feed', 'x');

is(words(), 'user.add u, device.block a, device.set b, device.set a',
    'newest first; neither dry runs, nor what failed, nor other tenants');
is(words('--all'), 'user.add u, tenant.add Other, device.block a, '
    . 'device.set b, device.set a', '--all');
is(words('-t', 'Other'), 'user.add u, tenant.add Other', 'of a tenant');
is(words('--who', 'op'), 'device.block a', '--who');
is(words('--verb', 'device.set'), 'device.set b, device.set a', '--verb');
is(words('--verb', 'device'), 'device.block a, device.set b, device.set a',
    '--verb of a noun');
is(words('--verb', 'dev'), '', 'whole words');
is(words('--object', 'a'), 'device.block a, device.set a', '--object');
is(words('--limit', 1), 'user.add u', '--limit');
is(words('--since', '1h', '--limit', 1), 'user.add u', '--since an age');
is(words('--since', '2999-01-01'), '', '--since a day');
is(words('--since', $_, '--limit', 1), 'user.add u', "--since $_")
    for '2020-01-01', '2020-01-01 12:00', '2020-01-01T12:00:01Z';
is(audit(@$_)->{exit}, 2, "@$_: usage") for ['--since', 'soon'],
    ['--since', '2020-13-01'], ['--since', ''], ['--limit', '-1'],
    ['--limit', 'x'], ['-f', '-o', 'json'], ['x'];
is(audit('-t', 'nobody')->{exit}, 1, 'no such tenant');

my $row = json('--verb', 'device.block')->[0];
like($row->{time}, qr/^\d{4}-\d\d-\d\dT[\d:.]+Z$/, 'time');
is_deeply([@$row{qw(tenant who before after)}], ['DEFAULT', 'op',
    { blocked => JSON::PP::false() }, { blocked => JSON::PP::true() }],
    'tenant, who, before, after');
like(audit('--verb', 'device')->{out}, qr/^TIME +WHO +VERB +OBJECT +CHANGE
\d{4}-\d\d-\d\dT[\d:]{8}Z  op +device\.block  a +blocked no -> yes
.*  postgres  device\.set +b +feed default -> prod, tags - -> lab\n/,
    'a table');
is(scalar(() = audit('-o', 'jsonl')->{out} =~ /^\{.*\}$/mg), 4, 'jsonl');
for my $columns (80, 120) {
    my $out = $s->gbctl({ pty => $columns }, 'audit', 'list')->{out};
    utf8::decode($out);
    unlike($out, qr/^.{@{[$columns + 1]}}/m, "fits $columns columns");
}


# -f: each change once, also one that took longer than the next

sub follow {
    my $pid = open3(my $in, my $out, undef, 'sh', '-c', 'exec "$@" 2>&1',
        'sh', ($ENV{GB_ASAN} ? 'build/asan' : 'build') . '/gbctl', @_);
    return ($pid, $out);
}

{
    local %ENV = ($s->_clean_env, %{$s->env});
    my ($pid, $out) = follow(qw(audit list -f -o jsonl --limit 1));
    like(scalar <$out>, qr/"verb":"user.add","object":"u"/, 'what was');

    require Goosebit::Psql;
    my $slow = Goosebit::Psql->new($s->env);
    $slow->query('BEGIN');
    $slow->query("SELECT * FROM goosebit_admin.tenant_set('default',
        '{\"max_updates\": 5}')");
    $s->gbctl('device', 'unblock', 'a');
    like(scalar <$out>, qr/"verb":"device.unblock","object":"a"/,
        'what comes');
    $slow->query('COMMIT');
    like(scalar <$out>, qr/"verb":"tenant.set".*"max_updates":5/,
        'and what was written before it, when it is there');
    kill TERM => $pid;
    is_deeply([<$out>], [], 'and no more');
    waitpid $pid, 0;
}

my $t = Goosebit::Pty->new($s, 'audit', 'list', '-f');
ok($t->wait(qr/user\.add u  rights viewer/), 'on a terminal: lines');
$s->gbctl('device', 'block', 'b');
ok($t->wait(qr/Z  postgres  device\.block b  blocked no -> yes/), 'as well');
$t->send("\cC");
is($t->end, 130, '^C ends it');

$s->pg('stop');
my $r = audit('-o', 'json');
is($r->{exit}, 3, 'no database: exit 3');
is(JSON::PP::decode_json($r->{err})->{error}{code}, 'unreachable', 'code');
$s->pg('start');

done_testing;
