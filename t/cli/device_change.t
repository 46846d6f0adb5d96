#!/usr/bin/perl
# gbctl device: set, assign, pin, force, cancel, block, over many devices.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;
use Goosebit::Fleet;

use JSON::PP;

my $s = stack(fsync => 'off');
my $f = Goosebit::Fleet->new($s);
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

sub gbctl { $s->gbctl(map({ ref ? $_ : () } @_), 'device',
    grep { !ref } @_) }
sub json { gbctl(@_, '-o', 'json')->{json} }
sub error { decode_json(gbctl(@_, '-o', 'json')->{err})->{error} }
sub show { json('show', @_) }
sub audit { scalar $s->value('SELECT count(*) FROM goosebit.audit') }
sub last_audit {
    my ($verb, $object, $before, $after) = @{($s->sql('SELECT verb, object, '
        . 'before, after FROM goosebit.audit ORDER BY id DESC LIMIT 1'))[0]};
    return [$verb, $object, map { $_ && decode_json($_) } $before, $after];
}
sub state_of { $s->value('SELECT state FROM goosebit.action WHERE id = '
    . shift) }

my $one = $f->software('1.0', 'board:r1');
my $two = $f->software('2.0', 'board:r1');
my $both = $f->software('2.0', 'other:r1');
my $three = $f->software('3.0', 'board:r1');
$s->gbctl('rollout', 'create', '--software', $two);
$f->register($_, sw_version => '1.0') for qw(a b c);
$f->register('o', hw_model => 'other', sw_version => '1.0');


# set: a row for each device that changes, before and after, audited

my $r = gbctl('set', 'b', 'a', '--feed', 'prod', '-o', 'json');
is($r->{exit}, 0, 'set: exit 0');
is_deeply($r->{json}, [map { { id => $_, before => { feed => 'default' },
    after => { feed => 'prod' }, action_id => undef, action => undef } }
    'a', 'b'], 'set: rows');
is($r->{err}, "2 devices changed\n", 'set: says how many');
is_deeply(last_audit(), ['device.set', 'b', { feed => 'default' },
    { feed => 'prod' }], 'set: audited');
is(audit() - 2, $s->value('SELECT count(*) FROM goosebit.audit '
    . "WHERE verb <> 'device.set'"), 'set: a row a device');
is(show('a')->{feed}, 'prod', 'set: is stored');
is(show('c')->{feed}, 'default', 'set: nobody else');

my $n = audit();
$r = gbctl('set', 'a', 'c', '--feed', 'prod', '-o', 'name');
is($r->{out}, "c\n", 'set again: only whom it changes');
is($r->{err}, "1 device changed\n1 device so already\n", 'and says so');
is(audit(), $n + 1, 'and in the audit');
is(gbctl('set', 'a', 'c', '--feed', 'prod')->{out}, '', 'none: no table');
is_deeply(json('set', 'a', 'c', '--feed', 'prod'), [], 'none: no row');

gbctl('set', 'a', '--name', 'Zoe', '--tag', '+x', '--tag', '+lab',
    '--poll-time', '00:02:05');
is_deeply([@{show('a')}{qw(name tags poll_time)}], ['Zoe', ['lab', 'x'],
    '00:02:05'], 'set: name, tags, poll time');
like(gbctl('set', 'a', '--name', '', '--tag', '-x', '--tag', '+y',
    '--poll-time', '')->{out}, qr/^a +name Zoe -> -, tags lab x -> lab y, /m,
    'set: taken away, as a table');
is_deeply([@{show('a')}{qw(name tags poll_time)}], [undef, ['lab', 'y'],
    '00:01:00'], 'set: and so it is');
gbctl('set', 'a', 'b', 'c', '--feed', 'default');


# IDS: words, @FILE, stdin, and none of them if one is wrong

my $dir = tempdir;
spew("$dir/ids", "a\n\n  b  \r\na\n");
is(gbctl('set', "\@$dir/ids", 'c', '--feed', 'f1', '-o', 'name')->{out},
    "a\nb\nc\n", '@FILE and words');
is(gbctl({ stdin => "c\nb\n" }, 'set', '-', '--feed', 'f2', '-o',
    'name')->{out}, "b\nc\n", 'stdin');
$n = audit();
is_deeply(error('set', 'a', 'nobody', 'b', '--feed', 'f3'), {
    code => 'not_found', message => 'device "nobody": not found' },
    'an unknown id is named');
is_deeply([map { show($_)->{feed} } qw(a b c)], ['f1', 'f2', 'f2'],
    'and nothing was changed');
is(audit(), $n, 'nor audited');
is(gbctl('set', "\@$dir/none", '--feed', 'x')->{exit}, 1, 'no such file');
is(gbctl({ stdin => "a\n\e[2J\xc2\x85\n" }, 'pin', '-')->{err},
    qq{gbctl: device "?[2J??": not found\n}, 'control characters are shown '
    . 'safely');
is(gbctl('pin', "a\xff")->{err}, "gbctl: what is given is not valid UTF-8\n",
    'an id that is not UTF-8');
spew("$dir/bom", "\xef\xbb\xbfa\r\nb\r\n");
is(gbctl('set', "\@$dir/bom", '--feed', 'bom', '-o', 'name')->{out}, "a\nb\n",
    'a byte order mark is no part of the first id');
for ("a\nb\xff\n", "a\0b\n", "a\n\0") {
    spew("$dir/bytes", $_);
    is(gbctl('pin', "\@$dir/bytes")->{err},
        "gbctl: $dir/bytes: not a text file in UTF-8\n", 'not a text file');
}
is(gbctl('pin', '@')->{exit}, 2, 'an @ alone: exit 2');
is(gbctl({ stdin => '' }, 'pin', '-')->{exit}, 2, 'no ids: exit 2');
gbctl('set', 'a', 'b', 'c', '--feed', 'default');


# a dry run is the same, rolled back

$n = audit();
for (['set', 'a', 'c', '--mode', 'latest'], ['assign', 'a', 'c', $one],
    ['pin', 'a', 'c'], ['force', 'a', 'c'], ['block', 'a', 'c'])
{
    my $dry = gbctl(@$_, '--dry-run', '-o', 'json');
    is($dry->{exit}, 0, "$_->[0] --dry-run: exit 0");
    is_deeply([map { $_->{id} } @{$dry->{json}}], ['a', 'c'],
        "$_->[0] --dry-run: whom it would touch");
    like($dry->{err}, qr/\Adry run: 2 devices /, "$_->[0] --dry-run: says so");
}
is(audit(), $n, 'dry runs: no audit');
is_deeply([@{show('a')}{qw(mode force_update blocked assigned_software)}],
    ['rollout', $false, $false, undef], 'dry runs: no change');


# modes: pin remembers, an assignment ends with its mode

gbctl('set', 'a', '--mode', 'latest');
is_deeply(json('pin', 'a')->[0]{after}, { mode => 'pinned' }, 'pin');
is(gbctl('pin', 'a')->{err}, "1 device pinned already\n", 'pin twice');
is(show('a')->{reason}, 'pinned', 'pinned: reason');
is(json('unpin', 'a')->[0]{after}{mode}, 'latest', 'unpin: the mode before');
is(gbctl('unpin', 'a')->{err}, "1 device not pinned\n", 'unpin twice');
gbctl('set', 'a', '--mode', 'pinned');
gbctl('unpin', 'a');
is(show('a')->{mode}, 'latest', 'set --mode pinned and unpin');
gbctl('assign', 'a', $one);
gbctl('pin', 'a');
gbctl('unpin', 'a');
is_deeply([@{show('a')}{qw(mode assigned_software)}], ['assigned', $one],
    'an assignment outlives a pin');
gbctl('set', 'a', '--mode', 'rollout');
is(show('a')->{assigned_software}, undef, 'but not another mode');
is($s->gbctl('software', 'delete', '-y', $one)->{exit}, 0,
    'so its software is free');


# assign: what fits, by id, version, name:version

is_deeply(error('assign', 'a', '2.0'), { code => 'ambiguous',
    message => 'software "2.0": matches several',
    hint => "name one by its id: $two (os:2.0), $both (os:2.0)" },
    'a version that several have: the list');
is(error('assign', 'a', '9.9')->{code}, 'not_found', 'no such software');
$r = error('assign', 'a', 'o', $two);
is($r->{code}, 'refused', 'not for that hardware');
is($r->{message}, 'device "o": os:2.0 does not fit its hardware other r1',
    'names the device');
is_deeply([map { show($_)->{mode} } qw(a o)], ['rollout', 'rollout'],
    'and none is assigned');
is(gbctl('assign', 'o', $both, '-o', 'name')->{out}, "o\n", 'by id');
is(gbctl('assign', 'a', '3.0', '-o', 'name')->{out}, "a\n", 'by version');
is(gbctl('assign', 'b', 'os:3.0')->{exit}, 0, 'by name:version');
is_deeply([@{show('a')}{qw(mode assigned_version target_version reason)}],
    ['assigned', '3.0', '3.0', 'due'], 'assigned');
is(json('assign', 'a', '3.0')->[0]{after}{assignment}, 3,
    'again: a target of its own');
my $digits = $f->software('00002', 'board:r1');
gbctl('assign', 'a', '2');
is(show('a')->{assigned_software}, $two, 'an id wins over a version');
is(gbctl('assign', 'a', $two, '--type', 'soft')->{exit}, 0, '--type soft');
is($s->value("SELECT assigned_type FROM goosebit.device "
    . "WHERE controller_id = 'a'"), 'soft', 'is stored');


# a window of its own: shut for half a week, then open all week

$f->register('win', sw_version => '1.0');
my $day = (qw(Sun Mon Tue Wed Thu Fri Sat))[((gmtime)[6] + 3) % 7];
my $shut = "$day 01:00-02:00 Europe/Berlin";
$r = json('assign', 'win', $three, '--window', $shut);
is($r->[0]{after}{window}, $shut, '--window: part of the change');
is(last_audit()->[3]{window}, $shut, 'audited');
is_deeply([@{show('win')}{qw(assigned_window reason poll_links)}],
    [$shut, 'outside_window', []], 'shown');
my ($rail) = grep { $_->{rail} eq 'window' }
    @{json('explain', 'win')->{guard_rails}};
is_deeply([@$rail{qw(passed detail)}], [$false, $shut],
    'and in explain');
is(($f->poll('win'))[0], undef, 'outside: nothing on offer');
gbctl('assign', 'win', $three, '--window', 'Mon-Sun 00:00-00:00');
my ($link, $offer) = $f->poll('win');
is($link, 'deploymentBase', 'inside: on offer');
is($s->get(ddi('win', $link, $offer))->{json}{deployment}{maintenanceWindow},
    'available', 'and says so');
gbctl('assign', 'win', $three);
is(show('win')->{assigned_window}, undef, 'assigned again without');

$n = audit();
for (['now and then', 'no window such as'], ['25:00-26:00', 'no window such as'],
    ['Mon-Freitag 22:00-04:00', '"mon-freitag" is no day'],
    ['22:00-04:00 Europe/Berlinn', 'there is no time zone "Europe/Berlinn"'],
    ['22:00-04:00 UTC+2', 'there is no time zone'],
    ["22:00-04:00\n", 'must not have control characters'],
    ['', 'must have 1 to 255 bytes'])
{
    my ($window, $why) = @$_;
    $r = gbctl('assign', 'win', $three, '--window', $window);
    is($r->{exit}, 2, "--window \"$window\": exit 2");
    like($r->{err}, qr/\Agbctl: window.*\Q$why\E[^\n]*\n(?:.+\n)?\z/,
        'says why');
}
is(audit(), $n, 'nothing is stored');


# superseding: at once if not fetched, by cancelAction if it was

gbctl('set', 'a', 'b', '--mode', 'rollout');
gbctl('set', 'a', 'b', 'c', '--feed', 'default');
my ($kind, $x) = $f->poll('a');
my $y = $f->fetch('b');
ok($x && $y, 'two actions are open');
$r = json('assign', 'a', 'b', '3.0');
is_deeply([map { [@{$_}{qw(id action_id action)}] } @$r],
    [['a', $x, 'ended'], ['b', $y, 'asked']], 'assign: what became of them');
is(state_of($x), 'superseded', 'not fetched: superseded');
is(state_of($y), 'cancelling', 'fetched: cancelling');
is(show('a')->{open_action}, undef, 'no action is open');
is_deeply([$f->poll('b')], ['cancelAction', $y], 'the device is asked');
is($f->feedback('cancelAction', 'b', $y, 'canceled'), 200, 'it gives in');
is(state_of($y), 'superseded', 'superseded');
is(show('b')->{state}, 'registered', 'and the device is as before');
ok($y = $f->fetch('b'), 'and gets the other');
is($s->value("SELECT version FROM goosebit.action WHERE id = $y"), '3.0',
    'the assigned one');

for (['pin', 'c'], ['set', 'c', '--feed', 'x'], ['set', 'c', '--mode',
    'latest'])
{
    my $z = $f->fetch('c');
    is(json(@$_)->[0]{action}, 'asked', "@$_ supersedes");
    gbctl('cancel', '--now', 'c');
    gbctl('unpin', 'c');
    gbctl('set', 'c', '--feed', 'default', '--mode', 'rollout');
    gbctl('force', 'c');
}
my $z = $f->fetch('c');
is(json('set', 'c', '--name', 'C')->[0]{action}, undef,
    'another name supersedes nothing');
is(state_of($z), 'open', 'and it goes on');


# cancel

is(gbctl('cancel', 'a')->{err}, "1 device without an open action\n",
    'cancel: nothing is open');
is(gbctl('cancel', 'a')->{exit}, 0, 'exit 0');
$r = json('cancel', 'a', 'c');
is_deeply($r, [{ id => 'c', before => { state => 'open' }, after => {
    state => 'cancelling' }, action_id => $z, action => 'asked' }], 'cancel');
is_deeply(last_audit(), ['device.cancel', 'c', { action => $z,
    state => 'open' }, { action => $z, state => 'cancelling' }], 'audited');
is_deeply([$f->poll('c')], ['cancelAction', $z], 'the device is asked');
is($f->feedback('cancelAction', 'c', $z, 'rejected'), 200, 'it refuses');
is_deeply([@{error('cancel', 'c')}{qw(code message)}], ['refused',
    qq{device "c": refused to cancel action $z and goes on}],
    'it is not asked again: exit 1');
$r = gbctl('cancel', 'b', 'c');
is($r->{exit}, 0, 'where another could be cancelled: exit 0');
like($r->{err}, qr/^1 device refused before/m, 'says who was not');
is(gbctl('cancel', '--now', '--dry-run', 'c', '-o', 'name')->{out}, "c\n",
    'cancel --now --dry-run');
isnt(state_of($z), 'canceled', 'changes nothing');
is(json('cancel', '--now', 'c')->[0]{action}, 'ended', 'cancel --now');
is(state_of($z), 'canceled', 'ends it');
is(show('c')->{reason}, 'canceled', 'and holds the target');
is(scalar(my @none = $f->poll('c')), 0, 'nothing is offered');


# force: one attempt, released by any end

is_deeply(json('force', 'c')->[0]{after}, { force_update => $true },
    'force');
is(gbctl('force', 'c')->{err}, "1 device forced already\n", 'force twice');
ok($z = $f->fetch('c'), 'forced: it is offered again');
$f->report('c', $z, 'closed', 'failure');
is(show('c')->{force_update}, $false, 'a failure clears it');
is(show('c')->{reason}, 'held_after_error', 'held');
gbctl('force', 'c');
$z = $f->fetch('c');
$f->report('c', $z, 'closed', 'success');
is_deeply([@{show('c')}{qw(sw_version reason force_update)}],
    ['2.0', 'up_to_date', $false], 'done');
gbctl('force', 'c');
ok($f->fetch('c'), 'force installs an equal version, too');
is(gbctl('unforce', 'c', '-o', 'name')->{out}, "c\n", 'unforce');
is(gbctl('unforce', 'c')->{err}, "1 device not forced\n", 'unforce twice');


# block

gbctl('block', 'c');
is($s->get(ddi('c'))->{status}, 401, 'blocked: 401');
is(show('c')->{blocked}, $true, 'blocked: still known');
gbctl('unblock', 'c');
is($s->get(ddi('c'))->{status}, 200, 'unblocked: 200');


# a thousand at once, in one transaction

$s->sql('INSERT INTO goosebit.device (tenant_id, controller_id) SELECT t.id, '
    . "'bulk' || i FROM goosebit.tenant t, generate_series(1, 1000) i");
my @ids = map { "bulk$_" } 1 .. 1000;
$n = audit();
$r = gbctl({ stdin => join("\n", @ids, 'nobody') }, 'set', '-', '--feed',
    'bulk');
is($r->{exit}, 1, 'one of 1001 is wrong: exit 1');
is($s->value("SELECT count(*) FROM goosebit.device WHERE feed = 'bulk'"), 0,
    'none is changed');
$r = gbctl({ stdin => join "\n", @ids }, 'set', '-', '--feed', 'bulk', '-o',
    'name');
is($r->{out}, join('', map { "$_\n" } sort @ids), '1000 are changed');
is(audit() - $n, 1000, '1000 rows of audit');
is($s->value("SELECT count(DISTINCT at) FROM goosebit.audit WHERE after = "
    . '\'{"feed": "bulk"}\''), 1, 'of one transaction');


# two operators at once: in one order of locks, so that none waits for ever

my ($holder, @psql) = map { $s->psql } 1 .. 3;
my @some = map { "bulk$_" } 1 .. 20;
my $call = sub { my ($feed, @d) = @_;
    "SELECT count(*) FROM goosebit_admin.device_set('DEFAULT', '{"
    . join(',', @d) . "}', '$feed', NULL, NULL, '{}', '{}', NULL)" };
for my $round (1 .. 5) {
    $holder->query('BEGIN');
    $holder->query('SELECT FROM goosebit.device '
        . "WHERE controller_id = 'bulk15' FOR UPDATE");
    $psql[0]->send($call->("p$round", @some));
    ok($psql[0]->blocked($s), 'the first waits in the middle');
    $psql[1]->send($call->("q$round", reverse @some));
    ok($psql[1]->blocked($s), 'the second waits for it');
    $holder->query('COMMIT');
    is($_->result, '20', 'both are done') for @psql;
}
is_deeply([map { show($_)->{feed} } qw(bulk1 bulk15 bulk20)], ['q5', 'q5',
    'q5'], 'and the last one stands');


# how far it is, on a terminal; nothing of it is there before all is

$s->sql("INSERT INTO goosebit.device (tenant_id, controller_id)
    SELECT 1, 'crowd' || i FROM generate_series(1, 15001) i");
my @crowd = ('--filter', 'id~crowd*');
my $bar = qr{devices \[#+ *\]  66%  10000  \d+/s  ETA \d+s\e\[K\r\e\[K};
$r = $s->gbctl({ pty => 80 }, 'device', 'set', @crowd, '--feed', 'c');
like($r->{out}, qr/\A\r*$bar.*\n15001 devices changed\n\z/s,
    'set: a bar, which goes');
$r = gbctl('set', @crowd, '--feed', 'd', '-o', 'name');
is($r->{err}, "15001 devices changed\n", 'none off a terminal');
$r = $s->gbctl({ pty => 80 }, '-q', 'device', 'set', @crowd, '--feed', 'e',
    '--dry-run', '-o', 'name');
unlike($r->{out}, qr/ETA/, 'none with -q');

# An error, once the bar is there, has a line of its own.
$s->sql(<<'SQL');
CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'no';
END
$$;
CREATE TRIGGER no BEFORE UPDATE ON goosebit.device FOR EACH ROW
WHEN (new.controller_id = 'crowd9999') EXECUTE FUNCTION public.no()
SQL
$r = $s->gbctl({ pty => 80 }, 'device', 'set', @crowd, '--feed', 'f');
like($r->{out}, qr/\A\r*$bar\Qgbctl: the database says: no\E/,
    'an error after it');
is($s->value("SELECT count(*) FROM goosebit.device WHERE feed = 'f'"), 0,
    'and nothing is done');
$s->sql('DROP FUNCTION public.no() CASCADE');

for my $verb (qw(confirm cancel delete)) {
    $r = $s->gbctl({ pty => 80 }, '-y', 'device', $verb, @crowd);
    like($r->{out}, qr{\d+%  \d+000  \d+/s  ETA}, "$verb: a bar");
}
is($s->value("SELECT count(*) FROM goosebit.device
    WHERE controller_id ~ 'crowd'"), 0, 'delete: all of them');


# usage

for (['set', 'a'], ['set', '--feed', 'x'], ['set', 'a', '--mode', 'x'],
    ['set', 'a', '--tag', 'x'], ['set', 'a', '--tag', '+'],
    (map { ['set', 'a', '--poll-time', $_] } '1', '24:00:00', '00:00:00',
        '00:60:00', '-1:00:00', '1:2:3x'),
    ['assign', 'a'], ['assign', 'a', $two, '--type', 'x'],
    ['assign', 'a', $two, '--window', 'x'], ['pin'],
    ['pin', 'a', '--filter', 'feed=x'], ['pin', '--filter', ''],
    ['assign', '--filter', 'feed=x'], ['cancel', ''])
{
    my $bad = gbctl(@$_);
    is($bad->{exit}, 2, "@$_: exit 2");
    is($bad->{out}, '', "@$_: nothing on stdout");
}
for (['--feed', ''], ['--feed', "a\tb"], ['--tag', "+a\nb"],
    ['--name', 'x' x 256])
{
    is(error('set', 'a', @$_)->{code}, 'invalid', "set $_->[0]: invalid");
}

done_testing;
