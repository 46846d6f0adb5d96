# The first read of a deployment writes: it must keep no poll waiting, and a
# cancel must not slip through between.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Fleet;
use Goosebit::Psql;

my $s = stack(fsync => 'off', workers => 1);
my $f = Goosebit::Fleet->new($s);
my $software = $f->software('2.0.0', 'board:r1');
my $r = $s->gbctl('rollout', 'create', '--software', $software);
is($r->{exit}, 0, 'a rollout');

$f->register('other', hw_model => 'another', sw_version => '1.0.0');

my $psql = Goosebit::Psql->new($s->env);


# A device whose action another session holds, in an open transaction.
sub held {
    my ($id) = @_;
    $f->register($id, sw_version => '1.0.0');
    my (undef, $action) = $f->poll($id);
    $psql->query('BEGIN');
    # The device first, as everybody does.
    $psql->query('SELECT id FROM goosebit.device '
        . "WHERE controller_id = '$id' FOR UPDATE");
    $psql->query("SELECT id FROM goosebit.action WHERE id = $action "
        . 'FOR UPDATE');
    my $http = $s->http;
    $http->send_request('GET', ddi($id, 'deploymentBase', $action));
    ok((wait_for { $s->value('SELECT count(*) FROM pg_stat_activity '
        . "WHERE wait_event_type = 'Lock' AND usename = 'goosebit_ddi'") }),
        'who asks for it waits');
    return ($http, $action);
}


subtest 'it waits for who holds the action, and polls do not' => sub {
    my ($http, $action) = held('one');

    for my $i (1 .. 20) {
        is($s->get(ddi('other'))->{status}, 200, "poll $i");
    }
    is($s->value("SELECT fetched_at IS NULL FROM goosebit.action "
        . "WHERE id = $action"), 't', 'not fetched yet');

    $psql->query('COMMIT');
    is($http->response->{status}, 200, 'answered when it is free');
    is($s->value("SELECT fetched_at IS NULL FROM goosebit.action "
        . "WHERE id = $action"), 'f', 'and fetched');
};


subtest 'ended meanwhile: 404, and never fetched' => sub {
    my ($http, $action) = held('two');

    $psql->query('UPDATE goosebit.action SET '
        . "state = 'canceled', ended_at = now() WHERE id = $action");
    $psql->query('UPDATE goosebit.device SET open_action_id = NULL '
        . "WHERE open_action_id = $action");
    $psql->query('COMMIT');
    is($http->response->{status}, 404, 'nothing to fetch any more');
    is($s->value("SELECT fetched_at IS NULL FROM goosebit.action "
        . "WHERE id = $action"), 't', 'nothing written down');
};


subtest 'a cancel waits for a fetch under way, and then asks' => sub {
    $f->register('three', sw_version => '1.0.0');
    my (undef, $action) = $f->poll('three');
    my $other = Goosebit::Psql->new($s->env);

    $psql->query('BEGIN');
    is($psql->query('SELECT status FROM goosebit_ddi.deployment_base('
        . "'DEFAULT', 'three', NULL, NULL, 'off', $action, 0)"), '200',
        'fetched, not committed');

    $other->send('SELECT goosebit.action_cancel(d.tenant_id, d.id, '
        . "'superseded', false) FROM goosebit.device_lock(1, '{three}') d");
    ok($other->blocked($s), 'the cancel waits');

    $psql->query('COMMIT');
    is($other->result, 'asked', 'the device is asked');
    is($s->value("SELECT state FROM goosebit.action WHERE id = $action"),
        'cancelling', 'its action is being cancelled');
    $other->quit;
};


$psql->quit;
done_testing;
