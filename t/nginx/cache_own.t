#!/usr/bin/perl
# What a device writes itself ends what the nginx it spoke to keeps of it, at
# once and for every worker, not only when the journal is read: that is done
# only at the start here. Nobody else's ends, nor where nothing has changed.
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Pair;
use Goosebit::Test;

my $p = Goosebit::Pair->new(database => 'timeout=30s', http => 'goosebit_cache zone=fleet:8m;'
    . ' goosebit_sync 300s; goosebit_stale 600s;');
my $s = $p->first;
my $up = '200 up_to_date []';
my $offer = '200 open [deploymentBase]';
my ($v1, $v2) = map { $p->software($_) } '1.0.0', '2.0.0';
$p->sql("insert into goosebit.rollout (tenant_id, software_id, feed)"
    . " values (1, $v2, 'default')");
my @ids = qw(config same put timed other slow follows);
$p->device($_, sw_version => '2.0.0') for @ids;


# Ways to the first nginx, over as many connections: each worker has some.
sub polls {
    my ($id) = @_;
    my %is;
    for (1 .. 8) {
        my $r = $s->get(ddi($id));
        $is{$r->{headers}{'x-cache'} . " $r->{headers}{'x-reason'}"}++;
    }
    return join ', ', sort keys %is;
}


# SQL has been asked for a poll, and its answer is held back, with what it has
# seen by then; until let_go().
my $holder = $s->psql;

sub held {
    return ok(wait_for(sub { $p->value("select count(*) from pg_stat_activity"
        . " where wait_event = 'advisory'") }), 'SQL is asked');
}


sub let_go { $holder->query('select pg_advisory_unlock(1)') }


sub config {
    my ($id, $version) = @_;
    is($s->put(ddi($id, 'configData'), json => { data => {
        sw_version => $version } })->{status}, 200, "$id: configData");
}


$p->warm(@ids);
is(polls('config'), 'HIT up_to_date', 'a quiet device');

config('same', '2.0.0');                # attributes that were not there
is(polls('same'), 'MISS up_to_date', 'what it says ends its answer');
is(polls('other'), 'HIT up_to_date', 'and nobody else\'s');

config('config', '1.0.0');
is($p->poll(0, 'config')->{text}, $offer, 'the next poll has what that means');

is($s->put(ddi('put', 'installedBase'), json => { name => 'os',
    version => '1.0.0' })->{status}, 200, 'PUT installedBase');
is($p->poll(0, 'put')->{text}, $offer, 'the same');

# The other nginx has not read the journal either.
is($p->poll(1, 'config')->{cache}, 'HIT', 'elsewhere the journal tells');


# ---- answers that are under way

$p->device($_, sw_version => '2.0.0') for qw(late joined);
Goosebit::Pair::before_poll($s, q{if $2 in ('late', 'joined') then
    perform pg_advisory_xact_lock_shared(1); end if});

{
    $holder->query('select pg_advisory_lock(1)');
    my $http = $s->http;
    $http->send_request('GET', ddi('late'));
    held();
    config('late', '1.0.0');
    let_go();
    is($http->response('GET')->{headers}{'x-reason'}, 'up_to_date',
        'SQL has looked before');
    is($p->poll(0, 'late')->{text}, $offer, 'which is not kept');
}

# Whatever workers they come to: the later would follow the first.
{
    $holder->query('select pg_advisory_lock(1)');
    my @http = map { $s->http } 1 .. 6;
    $_->send_request('GET', ddi('joined')) for @http[0 .. 2];
    held();
    config('joined', '1.0.0');
    $_->send_request('GET', ddi('joined')) for @http[3 .. 5];
    sleep 0.3;                          # who comes still later is right as well
    let_go();
    my @is = map { $_->response('GET')->{headers}{'x-reason'} } @http;
    is_deeply([@is[3 .. 5]], [('open') x 3],
        'who asks after it has no answer from before')
        or diag("@is");
}


# ---- an action that the server has ended

{
    $p->sql('drop function goosebit_ddi.poll; alter function'
        . ' goosebit_ddi.poll_now rename to poll');
    $p->device('ends', sw_version => '1.0.0');
    my ($action) = $p->poll(0, 'ends')->{body} =~ m{deploymentBase/(\d+)};
    $s->get(ddi('ends', 'deploymentBase', $action));
    $p->sql("select goosebit.action_end(1, device_id, id, 'timed_out')"
        . " from goosebit.action where id = $action");
    my $path = ddi('ends', 'deploymentBase', $action, 'feedback');
    is($p->poll(0, 'ends')->{links}, '', 'timed out: nothing on offer');
    is($s->post($path, json => { id => $action, status => {
        execution => 'closed', result => { finished => 'success' } } })
        ->{status}, 200, 'and yet it was installed');
    like($p->poll(0, 'ends')->{text}, qr/ up_to_date /, 'seen at once');
}

unlike($s->error_log, qr/is missing/, 'every row has what is looked for');

done_testing;
