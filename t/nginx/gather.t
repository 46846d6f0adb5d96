# Devices that are being updated ask again as soon as they are answered: those
# that shared a transaction gather for the next.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Fleet;
use Goosebit::Psql;

use IO::Select;

my $s = stack(fsync => 'off', workers => 1, database => 'gather=5s',
    patient => 1);
my $f = Goosebit::Fleet->new($s);
$s->gbctl('rollout', 'create', '--software', $f->software('2.0.0', 'board:r1'));

my (%action, %http);
for my $id (qw(a b c d)) {
    $f->register($id, sw_version => '1.0.0');
    $action{$id} = $f->fetch($id);
    $http{$id} = $s->http;
}
my $psql = Goosebit::Psql->new($s->env);


sub proceed {
    my ($id) = @_;
    $http{$id}->send_request('POST', ddi($id, 'deploymentBase', $action{$id},
        'feedback'), json => { id => "$action{$id}", status => {
            execution => 'proceeding', result => { finished => 'none' } } });
}

sub heard { $http{$_[0]}->response('POST')->{status} }

sub waits { !IO::Select->new($http{$_[0]}{sock})->can_read(0.5) }

# The transactions of their last words.
sub transactions {
    my $ids = join ',', map { "'$_'" } @_;
    return $s->value('SELECT count(DISTINCT x.xmin::text)
        FROM goosebit.action x JOIN goosebit.device d ON d.id = x.device_id
        WHERE d.controller_id IN (' . $ids . ')');
}

# Has them share a transaction: they wait behind another.
sub together {
    my ($first, @ids) = @_;
    $psql->query('BEGIN');
    $psql->query("SELECT id FROM goosebit.device WHERE controller_id = '$first'
        FOR UPDATE");
    proceed($first);
    ok((wait_for { $s->value("SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND usename = 'goosebit_ddi'") }),
        "$first waits");
    proceed($_) for @ids;
    ok((wait_for { $s->get('/status')->{json}{db}{queued} == @ids }),
        "so do @ids");
    $psql->query('COMMIT');
    is(heard($_), 200, "$_ is heard") for $first, @ids;
    is(transactions(@ids), 1, "@ids at once");
}


subtest 'as many as were together are waited for' => sub {
    together(qw(d a b));
    proceed('a');
    ok(waits('a'), 'one alone waits');
    proceed('c');
    is(heard($_), 200, "with another $_ is heard") for qw(a c);
    is(transactions(qw(a c)), 1, 'in one transaction');
};


# The last transaction was of two.
subtest 'but not for long' => sub {
    my $began = time;
    proceed('a');
    is(heard('a'), 200, 'one alone is heard all the same');
    cmp_ok(time - $began, '>', 1, 'when its time was over');
    $began = time;
    proceed('a');
    is(heard('a'), 200, 'and then again');
    cmp_ok(time - $began, '<', 4, 'at once: nobody else is expected');
};


$psql->quit;
done_testing;
