#!/usr/bin/perl
# What an operator does is seen at each nginx of a database at a device's next
# poll, goosebit_sync and a second later at most; and nobody else's polls go to
# SQL for it.
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Pair;
use Goosebit::Test;

# Connections enough for the journal not to wait behind a poll that takes long.
my $p = Goosebit::Pair->new(database => 'connections=4', patient => 1,
    yaml => "device_auth:\n  enable: true\n  mode: lax\n");
my ($v1, $v2) = map { $p->software($_) } '1.0.0', '2.0.0';

sub feed { [map { $_->{text} } map { $p->poll($_, $_[0]) } 0, 1] }


# ---- every verb, at both

$p->rollout($v1, 'default');
$p->rollout($v2, 'due');
$p->rollout($v2, 'held', '--name', 'held');
my %rollout = map { $_ => $p->rollout($v2, $_, '--paused') }
    qw(resumes aborts deletes);
my $fails = $p->rollout($v2, 'retries');

my $up = '200 up_to_date []';
my $offer = '200 open [deploymentBase]';
my @case = (
    # device, its columns, how it is answered before, verb, and after
    [moves => {}, $up, [qw(device set moves --feed due)], $offer],
    [newest => {}, $up, [qw(device set newest --mode latest)], $offer],
    [slower => {}, $up, [qw(device set slower --poll-time 01:00:00)], $up,
        qr/01:00:00/],
    [given => {}, $up, [qw(device assign given 2.0.0)], $offer],
    [pins => {}, $up, [qw(device pin pins)], '200 pinned []'],
    [unpins => { mode => 'pinned', feed => 'due' }, '200 pinned []',
        [qw(device unpin unpins)], $offer],
    [forced => {}, $up, [qw(device force forced)], $offer],
    [token => {}, $up, [qw(device token token --new)],
        '401 unauthorized []'],
    [blocked => {}, $up, [qw(device block blocked)], '401 unauthorized []'],
    [gone => {}, $up, [qw(device delete gone --yes)],
        '200 not_registered [configData]'],
    [created => { feed => 'none' }, '200 no_rollout []',
        [qw(rollout create --feed none --software 2.0.0)], $offer],
    [pauses => { feed => 'more', sw_version => '2.0.0' }, '200 no_rollout []',
        [qw(rollout create --feed more --software 1.0.0 --paused
            --allow-downgrade)], '200 paused []'],
    [resumes => { feed => 'resumes' }, '200 paused []',
        [qw(rollout resume), $rollout{resumes}], $offer],
    [aborts => { feed => 'aborts' }, '200 paused []',
        [qw(rollout abort --yes), $rollout{aborts}], '200 aborted []'],
    [deletes => { feed => 'deletes' }, '200 paused []',
        [qw(rollout delete --yes), $rollout{deletes}], '200 no_rollout []'],
    [retries => { feed => 'retries' }, '200 held_after_error []',
        [qw(rollout retry), $fails], $offer],
    [latest => { mode => 'latest', sw_version => '2.0.0' }, $up,
        undef, $offer],
);

for (@case) {
    my ($id, $columns) = @$_;
    $p->device($id, %$columns);
}

{
    my ($action) = $p->poll(0, 'retries')->{body} =~ m{deploymentBase/(\d+)};
    is($p->first->post(ddi('retries', 'deploymentBase', $action, 'feedback'),
        json => { id => $action, status => { execution => 'closed',
            result => { finished => 'failure' } } })->{status}, 200,
        'one update fails');
}

# An image's arrival is what the one in mode latest waits for.
my $image = tempdir() . '/os-3.0.0.swu';
system('t/lib/fixtures/make-swu', '-o', $image, '-V', '3.0.0', '-n', 'os',
    '-H', 'default:default') == 0 or die "make-swu failed\n";
$case[-1][3] = ['software', 'add', $image];

$p->warm(map { $_->[0] } @case);
for (@case) {
    my ($id, undef, $before) = @$_;
    is_deeply(feed($id), [$before, $before], "$id: before");
}
$p->gbctl(@{$_->[3]}) for @case;
ok($_->synced, 'the journal is read') for $p->stacks;

for (@case) {
    my ($id, undef, undef, $verb, $after, $body) = @$_;
    is_deeply(feed($id), [$after, $after], "$verb->[0] $verb->[1]: $id");
    like($p->poll($_, $id)->{body}, $body, 'as told') for $body ? (0, 1) : ();
}


# a setting of the tenant, and how soon it is seen: where the machine had other
# things to do, by another try

sub tenant_set {
    my ($time) = @_;
    $p->gbctl(qw(tenant set DEFAULT --poll-time), $time);
    my $since = time;
    ok(wait_for(sub { !grep { $_->{body} !~ /$time/ }
        map { $p->poll($_, 'pins') } 0, 1 }), "tenant set $time, at both");
    return time - $since;
}

my $took;
for (1 .. 5) {
    tenant_set('00:08:00');
    $took = tenant_set('00:07:00');
    last if $took < 2;
}
cmp_ok($took, '<', 2, 'within two seconds');


# ---- transactions that end in another order than they began

{
    my ($one, $two) = map { $p->first->psql } 1, 2;
    $p->device($_) for qw(early late);
    $p->warm(qw(early late));
    my $pin = "select goosebit_admin.device_pin('default', '{%s}', true)";

    $one->query('begin');
    $one->query(sprintf $pin, 'early');
    $two->query(sprintf $pin, 'late');
    ok(wait_for(sub { $p->poll(0, 'late')->{reason} eq 'pinned' }),
        'the second commits first');
    is($p->poll(0, 'early')->{text}, $up, 'and is alone');
    $one->query('commit');
    ok(wait_for(sub { $p->poll(0, 'early')->{reason} eq 'pinned' }),
        'the first commits later, and is not missed');
}


# ---- a rollout in one of a hundred feeds

$p->sql(<<'SQL');
insert into goosebit.device (tenant_id, controller_id, state, config_data_at,
    sw_version, feed)
select 1, 'f' || f || '-' || i, 'registered', now(), '1.0.0', 'feed-' || f
from generate_series(1, 100) f, generate_series(1, 10) i
SQL
{
    my @all = map { my $f = $_; map { "f$f-$_" } 1 .. 10 } 1 .. 100;
    my @of = map { "f37-$_" } 1 .. 10;
    $_->synced for $p->stacks;
    $p->poll($_ % 2, $all[$_ / 2]) for 0 .. 2 * $#all + 1;
    my @before = map { $p->misses($_) } 0, 1;
    $p->poll($_ % 2, $all[$_ / 2]) for 0 .. 2 * $#all + 1;
    is_deeply([map { $p->misses($_) } 0, 1], \@before, 'all are quiet');

    $p->rollout($v2, 'feed-37');
    for my $n (0, 1) {
        ok(wait_for(sub { $p->poll($n, $of[0])->{links} =~ /deploymentBase/ }),
            "the feed's rollout is seen at $n");
    }
    my %offered;
    for my $n (0, 1) {
        for (@all) {
            $offered{$_}++
                if $p->poll($n, $_)->{links} =~ /deploymentBase/;
        }
    }
    is_deeply(\%offered, { map { $_ => 2 } @of },
        'each device of the feed is offered the update, nobody else');

    # 10, twice where one has started it: and a feed may share its slot
    my @asked = map { $p->misses($_) - $before[$_] } 0, 1;
    ok(!(grep { $_ < 10 || $_ > 40 } @asked), 'and only they went to SQL')
        or diag("@asked polls of 1000");
}


# ---- slots: who waits is answered from the zone, and let through as they free

{
    my @ids = map { $p->device("slot$_", feed => 'slots') } 1 .. 7;
    my (%open, %over);
    $p->rollout($v2, 'slots', '--max-concurrent', 2);

    my $round = sub {
        for my $id (grep { !$over{$_} } @ids) {
            my $is = $p->poll(rand 2, $id);
            $open{$id} = $1 if $is->{body} =~ m{deploymentBase/(\d+)};
        }
        return scalar keys %open;
    };
    is($round->(), 2, 'two of seven start');
    my ($waits) = grep { !$open{$_} } @ids;
    $p->warm($waits);
    is($p->poll(0, $waits)->{reason}, 'concurrency', 'who waits is quiet');

    my $most = 2;
    my $until = time + 40;
    while (%over < 7 && time < $until) {
        my ($id) = sort keys %open;
        if (defined $id) {
            $p->first->post(ddi($id, 'deploymentBase', $open{$id},
                'feedback'), json => { id => $open{$id}, status => {
                    execution => 'closed',
                    result => { finished => 'success' } } });
            $over{$id} = delete $open{$id};
        }
        wait_for { $round->() >= (7 - %over < 2 ? 7 - %over : 2) } 5;
        $most = %open if %open > $most;
    }
    is(scalar keys %over, 7, 'all seven get their turn');
    is($most, 2, 'never more than two at a time');
}


# ---- more devices at once than are told one by one

{
    $p->first->synced;
    $p->sql("insert into goosebit.change (scope, tenant_id, device_id)"
        . " select 'device', 1, i from generate_series(1000000, 1012000) i");
    my $miss = wait_for { $p->poll(0, 'pins')->{cache} eq 'MISS' };
    ok($miss, 'twelve thousand devices are their tenant');
    is($p->poll(0, 'pins')->{cache}, 'HIT', 'which is right again at once');
}


# ---- reload: neither answers nor changes are lost

{
    my $s = $p->first;
    $p->device($_) for qw(stays turns);
    $p->warm(qw(stays turns));
    my $before = $p->misses(0);
    $p->gbctl(qw(device pin turns));
    ok($s->reload, 'reloaded');
    ok(wait_for(sub { $p->poll(0, 'turns')->{reason} eq 'pinned' }),
        'a change beside it is seen');
    is($p->poll(0, 'stays')->{cache}, 'HIT', 'and the rest stays');
    cmp_ok($p->misses(0) - $before, '<=', 1, 'without SQL');

    my ($worker) = sort { $a <=> $b } $s->workers;
    kill KILL => $worker;
    ok(wait_for(sub { (grep { $_ != $worker } $s->workers) >= 2 }),
        'a worker is killed');
    $p->gbctl(qw(device pin stays));
    ok(wait_for(sub { $p->poll(0, 'stays')->{reason} eq 'pinned' }),
        'who takes its place reads on');
    $s->allow_log(qr/exited on signal 9/);
}


# ---- an answer from before a change that arrives after it is not kept

{
    my $holder = $p->first->psql;
    $p->device('slow');
    $p->slow_poll(q{case $2 when 'slow' then (select count(*) - 1
        from pg_advisory_xact_lock(77)) else 0 end});
    $holder->query('select pg_advisory_lock(77)');
    my $http = ($p->stacks)[1]->http;
    $http->send_request('GET', ddi('slow'));
    ok(wait_for(sub { $p->value("select count(*) from pg_stat_activity where"
        . " wait_event = 'advisory'") }), 'SQL is asked');
    $p->gbctl(qw(device set slow --poll-time 00:03:00));
    ok(($p->stacks)[1]->synced, 'nginx has been told');
    $holder->query('select pg_advisory_unlock(77)');
    like($http->response('GET')->{body}, qr/00:07:00/,
        'SQL has looked before the change');
    my $is = $p->poll(1, 'slow');
    like("$is->{cache} $is->{body}", qr/^MISS .*00:03:00/,
        'and nobody is told so again');
    $p->sql('drop function goosebit_ddi.poll; alter function'
        . ' goosebit_ddi.poll_now rename to poll');
}


# ---- last seen

{
    my $seen = sub { $p->value("select coalesce(extract(epoch from"
        . " max(seen_at)), 0) from goosebit.device_seen s join"
        . " goosebit.device d on d.id = s.device_id"
        . " where d.controller_id = '$_[0]'") };
    $p->warm('pins');
    my $since = time;
    is($p->poll(1, 'pins')->{cache}, 'HIT', 'an answer from the zone');
    ok(wait_for(sub { $seen->('pins') >= $since - 0.01 }),
        'is written down as a poll');
    is($p->value("select address from goosebit.device_seen s"
        . " join goosebit.device d on d.id = s.device_id"
        . " where d.controller_id = 'pins'"), '127.0.0.1', 'with its address');

    my $s = ($p->stacks)[1];
    my $pid = $s->pid;
    $since = time;
    $p->poll(1, 'pins');
    kill QUIT => $pid;
    ok(wait_for(sub { ended($pid) }), 'nginx stops gracefully');
    cmp_ok($seen->('pins'), '>=', $since - 0.01, 'and has written the last');
}

done_testing;
