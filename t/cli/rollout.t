#!/usr/bin/perl
# gbctl rollout, with devices that poll and report over HTTP.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Pty;
use Goosebit::Test;

use JSON::PP;

my $s = stack(fsync => 'off');
my $dir = tempdir;

# with no row to ask, nothing said that it is not found, and watch crashed

for my $verb (qw(show devices explain watch pause resume retry abort delete)) {
    is($s->gbctl('rollout', $verb, '7')->{err},
        qq{gbctl: rollout "7": not found\n}, "none at all: $verb");
}

is($s->gbctl(qw(software show 7))->{err},
    qq{gbctl: software "7": not found\n}, 'none at all: software show');

for my $v ('1.0.0', '2.0.0', '3.0.0') {
    system('t/lib/fixtures/make-swu', '-o', "$dir/$v.swu", '-V', $v) == 0
        or die 'make-swu';
    $s->gbctl('software', 'add', "$dir/$v.swu");
}

sub gbctl { $s->gbctl('rollout', @_) }
sub json { gbctl(@_, '-o', 'json')->{json} }
sub error { decode_json(gbctl(@_, '-o', 'json')->{err})->{error} }

# counts of a rollout, those that are not 0
sub counts {
    my $c = json('show', shift);
    return { map { $c->{$_} ? ($_ => $c->{$_}) : () }
        qw(targeted waiting running success failure rejected canceled) };
}

sub register {
    my ($id, $version) = @_;
    $s->get(ddi($id));
    $s->put(ddi($id, 'configData'), json => { data => { hw_model => 'board',
        hw_revision => '1.0', sw_version => $version // '1.0.0' } });
}

# the action that a poll offers, or undef; and the kind of link
sub action {
    my $links = $s->get(ddi(shift))->{json}{_links};
    my ($kind) = grep { $links->{$_} } qw(deploymentBase cancelAction);
    return unless $kind && $links->{$kind}{href} =~ m{/$kind/(\d+)};
    return wantarray ? ($1, $kind) : $1;
}

sub report {
    my ($id, $action, $execution, $finished) = @_;
    return $s->post(ddi($id, 'deploymentBase', $action, 'feedback'),
        json => { id => $action, status => { execution => $execution,
            result => { finished => $finished // 'none' } } })->{status};
}


# create

register('a');
my $r = gbctl('create', '--software', '2', '--name', 'spring', '--dry-run',
    '-o', 'name');
is($r->{exit}, 0, 'dry run: exit 0');
is($r->{out}, "a\n", 'dry run: the devices it would reach');
is_deeply(json('list'), [], 'dry run: creates nothing');

$r = gbctl('create', '--software', '2.0.0', '--name', 'spring',
    '--max-concurrent', '2', '--deadline', '1h30m');
is($r->{exit}, 0, 'create: exit 0');
is($r->{out}, "2\n", 'create: prints the id');
my $id = 2;
is(json('create', '--software', '3', '--feed', 'x')->{id}, 3,
    'create: as JSON');
like($s->gbctl({ pty => 80 }, 'rollout', 'list')->{out}, qr/ FAILED\b/,
    '80 columns have room for what failed');

my $show = json('show', $id);
is($show->{name}, 'spring', 'show: name');
is($show->{deadline}, 5400, 'show: deadline in seconds');
is($show->{max_concurrent}, 2, 'show: max_concurrent');
is($show->{feed}, 'default', 'show: default feed');
is($show->{state}, 'running', 'show: state');

for (['--stages', '1%,100%'], ['--advance-at', '95%'], ['--soak', '1h'],
    ['--abort-at', '5%'], ['--start', '2030-01-01'], ['--retries', '3'],
    ['--window', 'Mon-Fri 22:00-04:00'])
{
    $r = gbctl('create', '--software', '2', @$_);
    is($r->{exit}, 2, "$_->[0]: exit 2");
    like($r->{err}, qr/not yet supported/, "$_->[0]: says why");
}
is(gbctl('create', '--software', '2', '--deadline', $_)->{exit}, 2,
    "a deadline of \"$_\"") for '', '0s', '5', 'h', '1h 2m', '400d';
is(gbctl('create', '--software', '77')->{exit}, 1, 'no such software');
is(gbctl('create')->{exit}, 2, 'no --software');
for (['--name', "a\nb"], ['--name', 'x' x 256], ['--feed', ''],
    ['--feed', "a\e[2J"])
{
    is(error('create', '--software', '2', @$_)->{code}, 'invalid',
        "$_->[0] is text as others");
}
is(scalar @{json('list')}, 2, 'none of these created one');


# devices come, one after the other

is_deeply(counts($id), { targeted => 1, waiting => 1 }, 'one device waits');
register($_) for qw(b c d);
register('same', '2.0.0');
my %at = map { $_ => scalar action($_) } qw(a b);
ok($at{a} && $at{b}, 'two start');
is(scalar action('c'), undef, 'the third has to wait for a slot');
is_deeply(counts($id), { targeted => 5, waiting => 2, running => 2,
    success => 1 }, 'counts: who has the version is a success');
is_deeply([map { "$_->{reason} $_->{devices}" } @{json('explain', $id)}],
    ['concurrency 2', 'open 2'], 'explain: why it is stuck');
my ($stuck) = @{json('explain', $id)};
is_deeply({ %$stuck, offline => 0 }, { reason => 'concurrency', devices => 2,
    offline => 0, example => 'c', guard_rail => 'concurrency',
    value => '2 of 2 updates of the rollout are open',
    explanation => '2.0.0 is due, but 2 of 2 updates of the rollout are open.',
    release => 'the end of one of the open updates' },
    'explain: with the guard rail, its value and what releases it');
like($s->gbctl({ pty => 80 }, 'rollout', 'explain', $id, '--no-color')->{out},
    qr/\Arollout 2 to \S+:2\.0\.0: running, 4 of 5 devices are not done\n
concurrency: 2 devices(?:, \d offline)?, as c
  2\.0\.0 is due, but 2 of 2 updates of the rollout are open\.
  Guard rail, concurrency: 2 of 2 updates of the rollout are open
  Released by: the end of one of the open updates\n
open: 2 devices/, 'explain: for a human');
is_deeply([map { $_->{id} } @{json('devices', $id, '--state', 'waiting')}],
    ['c', 'd'], 'devices: those who wait');

is(report('a', $at{a}, 'closed', 'success'), 200, 'a succeeds');
is(report('b', $at{b}, 'closed', 'failure'), 200, 'b fails');
is(report('b', $at{b}, 'closed', 'failure'), 200, 'b repeats itself');
$at{$_} = action($_) for qw(c d);
is(report('c', $at{c}, 'rejected'), 200, 'c rejects');
is_deeply(counts($id), { targeted => 5, running => 1, success => 2,
    failure => 1, rejected => 1 }, 'every one is counted once');


# pause, resume

register('e');
is(gbctl('pause', $id, '--dry-run', '-o', 'name')->{out}, "e\n",
    'pause: dry run lists who would have to wait');
is(gbctl('resume', $id, '--dry-run', '-o', 'name')->{out}, '',
    'resume: it is not paused, nobody');
is(json('show', $id)->{state}, 'running', 'pause: dry run pauses nothing');
is(gbctl('pause', $id)->{exit}, 0, 'pause: exit 0');
is(gbctl('pause', $id, '--dry-run', '-o', 'name')->{out}, '',
    'pause again: nobody');
is_deeply([map { "$_->{id} $_->{state}" }
    @{json('resume', $id, '--dry-run')}], ['e waiting'],
    'resume: dry run lists who may start');
is(json('show', $id)->{state}, 'paused', 'pause: state');
is(json('show', $id)->{why}, 'paused by postgres', 'pause: why');
is(scalar action('e'), undef, 'paused: nothing starts');
is(scalar action('d'), $at{d}, 'paused: what is open goes on');
is(gbctl('watch', $id)->{exit}, 1, 'watch: a paused one has not finished');
is(gbctl('resume', $id)->{exit}, 0, 'resume: exit 0');
is(json('show', $id)->{why}, undef, 'resume: no reason any more');
ok($at{e} = action('e'), 'resumed: it starts');


# retry

is_deeply([map { $_->{id} } @{json('retry', $id, '--dry-run')}], ['b', 'c'],
    'retry: dry run lists who would get it again');
is(scalar action('b'), undef, 'held after its error');
is(gbctl('retry', $id)->{exit}, 0, 'retry: exit 0');
is(report($_, $at{$_}, 'closed', 'success'), 200, "$_ succeeds") for 'd', 'e';
for (qw(b c)) {
    ok(my $new = action($_), "$_ is offered it again");
    isnt($new, $at{$_}, "$_: as a new action");
    report($_, $new, 'closed', 'success');
}
is_deeply(counts($id), { targeted => 6, success => 6 }, 'all done');
is(json('show', $id)->{state}, 'finished', 'finished');
$r = gbctl('watch', $id);
is($r->{exit}, 0, 'watch: exit 0');
like($r->{out}, qr/rollout $id finished: 6 of 6 done/, 'watch: last line');


# one that comes late

register('late');
is(json('show', $id)->{state}, 'running', 'running again for a late device');
ok($at{late} = action('late'), 'which is served');
report('late', $at{late}, 'closed', 'success');
is(json('show', $id)->{state}, 'finished', 'and finished once more');


# abort

my $next = gbctl('create', '--software', '3.0.0')->{out} + 0;
$at{$_} = action($_) for qw(a b);
$s->get(ddi('b', 'deploymentBase', $at{b}));
is(gbctl('delete', $next)->{exit}, 1, 'delete: refused with open actions');
is(error('delete', $next, '--dry-run')->{code}, 'in_use',
    'delete: refused in a dry run as well');
is_deeply([map { "$_->{id} $_->{result}" }
    @{json('abort', $next, '--dry-run')}], ['a ended', 'b asked'],
    'abort: dry run says who would be cancelled, and how');
is(json('show', $next)->{state}, 'running', 'abort: dry run aborts nothing');
is(gbctl('abort', $next)->{exit}, 0, 'abort: exit 0');
is(json('show', $next)->{state}, 'aborted', 'abort: state');
is(scalar action('a'), undef, 'not fetched: gone without a word');
is_deeply([action('b')], [$at{b}, 'cancelAction'], 'fetched: asked to cancel');
is(scalar action('c'), undef, 'no older rollout steps in');
is(error('resume', $next)->{code}, 'conflict', 'aborted is for good');
is(gbctl('abort', $next)->{exit}, 0, 'abort again: fine');
is($s->post(ddi('b', 'cancelAction', $at{b}, 'feedback'), json => { status =>
    { execution => 'closed', result => { finished => 'success' } } })
    ->{status}, 200, 'b confirms its cancel');
is_deeply(counts($next)->{canceled}, 2, 'both are counted as canceled');

is(gbctl('delete', $next, '--dry-run', '-o', 'name')->{out}, '',
    'delete: dry run, an aborted one has nobody');
is(gbctl('delete', $next)->{exit}, 0, 'delete: exit 0');
is(gbctl('delete', $id, '--dry-run', '-o', 'name')->{out},
    "a\nb\nc\nd\ne\nlate\nsame\n",
    'delete: dry run lists its devices');
is(gbctl('show', $id)->{exit}, 0, 'delete: dry run deletes nothing');
is(error($_, 'nobody', '--dry-run')->{code}, 'not_found',
    "$_: dry run of none") for qw(pause resume delete);
is(error('show', $next)->{code}, 'not_found', 'deleted');
is(error($_, '999')->{code}, 'not_found', "$_: not found")
    for qw(pause resume abort delete retry devices explain);
is(gbctl('show', "x\e[31m")->{exit}, 1, 'an id with an escape');
unlike(gbctl('show', "x\e[31m")->{err}, qr/\e/, 'is not sent to the terminal');


# watch follows, on a terminal in place

$next = gbctl('create', '--software', '3.0.0')->{out} + 0;
$at{a} = action('a');
my $t = Goosebit::Pty->new($s, 'rollout', 'watch', $next);
ok($t->wait(qr/ 0 of 7$/m), 'watch: nothing done');
report($_, scalar action($_), 'closed', 'success')
    for qw(a b c d e same late);
is($t->end, 0, 'watch: ends when it is finished');
like($t->raw, qr/\e\[\?1049h.*\e\[\?1049l/s, 'watch: a second screen');
like($t->screen, qr/7 of 7/, 'watch: all done');


# and does not ask all the time where an answer takes long

my $slow = gbctl('create', '--software', '2', '--feed', 'slow')->{out} + 0;
$s->sql(<<'SQL');
CREATE SEQUENCE public.looks;
GRANT ALL ON SEQUENCE public.looks TO PUBLIC;
ALTER FUNCTION goosebit_admin.rollout_show(text, text) RENAME TO show_fast;
CREATE FUNCTION goosebit_admin.rollout_show(text, text)
RETURNS TABLE (id int, name text, feed text, software text, state text,
    targeted bigint, waiting bigint, running bigint, success bigint,
    failure bigint, why text)
LANGUAGE sql VOLATILE AS $$
    SELECT pg_catalog.nextval('public.looks'), pg_catalog.pg_sleep(0.5);
    SELECT f.id, f.name, f.feed, f.software, f.state, f.targeted, f.waiting,
           f.running, f.success, f.failure, f.why
    FROM goosebit_admin.show_fast($1, $2) f
$$;
SQL
{
    local %ENV = (%ENV, %{$s->env});
    run(['sh', '-c', qq{timeout 5 "\$GBCTL" rollout watch $slow}]);
}
is($s->value('SELECT last_value FROM public.looks'), 1,
    'watch: waits ten times as long as the answer took');
$s->sql('DROP FUNCTION goosebit_admin.rollout_show(text, text)');
$s->sql('ALTER FUNCTION goosebit_admin.show_fast(text, text)'
    . ' RENAME TO rollout_show');
gbctl('delete', $slow);


# who may do what

is($s->gbctl({ env => { PGUSER => 'see' } }, 'rollout', 'list')->{exit}, 3,
    'no such login: exit 3');
$s->sql('CREATE ROLE see LOGIN IN ROLE goosebit_viewer');
my $viewer = { env => { PGUSER => 'see' } };
is($s->gbctl($viewer, 'rollout', 'list')->{exit}, 0, 'a viewer looks');
is($s->gbctl($viewer, 'rollout', 'pause', $next)->{exit}, 4,
    'a viewer may not pause: exit 4');
is($s->value(q{SELECT count(*) FROM goosebit.audit
    WHERE verb = 'rollout.create' AND who = 'postgres'}), 5,
    'the audit log has who created them');

my $quiet = json('create', '--software', '3', '--feed', 'nobody')->{id};
is(gbctl('abort', $quiet)->{err}, "aborted, no action was open\n",
    'abort: says what is done where no device is listed');
is(error('retry', $quiet)->{hint},
    'create a new one: an aborted rollout does not come back',
    'an aborted one: what to do instead');

done_testing;
