# Starts and writes that wait for the same commit: the starts' transaction does
# not wait for the disk, so whoever started is answered only when the writes
# behind it have.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Fleet;
use IO::Select;

# Locks are held as long as it takes.
my $s = stack(workers => 1, patient => 1);
my $f = Goosebit::Fleet->new($s);
$f->register('gate', hw_model => 'other');
$f->register($_, hw_model => 'other') for qw(w1 w2 bad);
$f->register("d$_", sw_version => '1.0.0') for 1 .. 12;
my $software = $f->software('2.0.0', 'board:r1');
is($s->gbctl('rollout', 'create', '--software', $software)->{exit}, 0,
    'a rollout');

my $gate = $s->psql;
my $other = $s->psql;
my $n = 0;

sub locked {
    my ($psql, $id) = @_;
    $psql->query('BEGIN');
    $psql->query('SELECT FROM goosebit.device '
        . "WHERE controller_id = '$id' FOR UPDATE");
}

sub put {
    my ($id) = @_;
    my $http = $s->http;
    $http->send_request('PUT', ddi($id, 'configData'),
        json => { data => { hw_model => 'm' . ++$n } });
    return $http;
}

sub get {
    my ($id) = @_;
    my $http = $s->http;
    $http->send_request('GET', ddi($id));
    return $http;
}

sub db {
    my ($what, $n) = @_;
    return wait_for(sub { $s->get('/status')->{json}{db}{$what} == $n });
}

sub waiting {
    return wait_for(sub { $s->value(q{SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND query LIKE '%config_data(%'}) });
}

# Polls of these devices and writes of those, all in the next batch.
sub together {
    my ($polls, $writes) = @_;
    ok(db(connections => 2), 'one connection writes, one reads');
    locked($gate, 'gate');
    my $first = put('gate');
    ok(waiting(), 'the gate is taken');
    my @polls = map { get($_) } @$polls;
    my @writes = map { put($_) } @$writes;
    ok(db(queued => @polls + @writes), 'all others wait');
    $gate->query('COMMIT');
    is($first->response->{status}, 200, 'the gate opens');
    return (\@polls, \@writes);
}

sub offered {
    my ($r) = @_;
    return $r->{status} == 200 && $r->{json}{_links}{deploymentBase} ? 1 : 0;
}


subtest 'who started is answered with the commit behind it' => sub {
    locked($other, 'w1');
    my ($polls, $writes) = together([qw(d1 d2 d3)], [qw(w1 w2)]);

    ok(wait_for(sub { $s->value('SELECT count(*) FROM goosebit.action') == 3 }),
        'all have started, and others see it');
    my @early = grep { IO::Select->new($_->{sock})->can_read(0.2) } @$polls;
    is(scalar @early, 0, 'none is told before the disk has it');

    $other->query('COMMIT');
    is(offered($_->response), 1, 'offered') for @$polls;
    is($_->response->{status}, 200, 'written') for @$writes;
};


subtest 'and survives a crash from then on' => sub {
    my ($polls, $writes) = together([qw(d4 d5 d6)], ['w1']);
    my @links = map { $_->response->{json}{_links} } @$polls;
    $s->pg('kill');
    $s->pg('start');
    ok(wait_for(sub { $s->get(ddi('d4'))->{status} == 200 }), 'back');
    for my $i (4 .. 6) {
        is_deeply($s->get(ddi("d$i"))->{json}{_links}, shift @links,
            "d$i has its action");
    }
    $_ = $s->psql for $gate, $other;
};


subtest 'where the writes fail, the disk is waited for all the same' => sub {
    $s->sql(<<'SQL');
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE 'refused'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON goosebit.device FOR EACH ROW
    WHEN (new.controller_id = 'bad') EXECUTE FUNCTION public.refuse();
SQL
    my ($polls, $writes) = together([qw(d7 d8)], ['bad']);
    is(offered($_->response), 1, 'offered') for @$polls;
    is($writes->[0]->response->{status}, 503, 'not written');
    $s->sql('DROP TRIGGER refuse ON goosebit.device');
};


subtest 'a connection that goes: 503, and the next poll finds it' => sub {
    locked($other, 'w1');
    my ($polls, $writes) = together([qw(d9 d10)], ['w1']);
    ok(wait_for(sub { $s->value('SELECT count(*) FROM goosebit.action')
        == 10 }), 'they have started');
    $s->value(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE usename = 'goosebit_ddi' AND wait_event_type = 'Lock'});
    is($_->response->{status}, 503, 'not told') for @$polls, @$writes;
    $other->query('COMMIT');
    ok(wait_for(sub { offered($s->get(ddi("d$_"))) }), "d$_ finds it")
        for 9, 10;
    is($s->value('SELECT count(*) FROM goosebit.action'), 10, 'once each');
};


$_->quit for $gate, $other;
done_testing;
