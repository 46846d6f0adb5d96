#!/usr/bin/perl
# PostgreSQL goes and comes back; backends and workers are killed.
use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $config = { mode => 'merge', data => { hw_model => 'm', sw_version => '1' } };
my $s = stack(workers => 2, patient => 1,
    yaml => "poll_time: 00:00:30\n");

my $sessions = q{from pg_stat_activity where usename = 'goosebit_ddi'};
my $kill = "select pid, pg_terminate_backend(pid) $sessions";

sub db { $s->get('/status')->{json}{db} }
sub sessions { map { $_->[0] } $s->sql("select pid $sessions") }


# PostgreSQL has four sessions of nginx's, and nginx has them ready.
sub ready {
    return wait_for(sub {
        sessions() == 4 && (db()->{connections} // 0) == 4;
    });
}


# Ends those sessions of nginx's for which more holds, and waits until they have
# gone.
sub end_sessions {
    my ($more) = @_;
    my %ended = map { $_->[0] => 1 } $s->sql("$kill $more");
    wait_for { !grep { $ended{$_} } sessions() } or die "sessions stay\n";
}


# How many polls were answered so.
sub polls { $s->get('/status')->{json}{requests}{poll}{$_[0]} // 0 }


# Children that ask until told to end; returns a reference to a sub that ends
# them and gives {STATUS => COUNT}.
sub load {
    my ($n) = @_;
    my $before = polls(200);
    my $dir = tempdir;
    my @pids;

    for my $i (1 .. $n) {
        my $pid = fork // die;
        if (!$pid) {
            my (%n, $http);
            my $until = time + 120;
            while (time < $until && !-e "$dir/end") {
                my $k = int rand 8;
                my $path = ddi("d$i$k");
                $http //= $s->http;
                my $r = eval {
                    $k == 0
                        ? $http->request('PUT', "$path/configData",
                            json => $config)
                        : $http->request('GET', $path)
                };
                $n{$r ? $r->{status} : "none $@"}++;
                undef $http if !$r || $r->{headers}{connection} eq 'close';
            }
            spew("$dir/$i", join "\n", map { "$_=$n{$_}" } keys %n);
            POSIX::_exit(0);
        }
        push @pids, $pid;
    }

    wait_for { polls(200) > $before + $n } or die "no load\n";
    return sub {
        my %n;
        spew("$dir/end", '');
        waitpid $_, 0 for @pids;
        for my $i (1 .. $n) {
            for (split /\n/, slurp("$dir/$i")) {
                /^(.*)=(\d+)$/ and $n{$1} += $2;
            }
        }
        return \%n;
    };
}


ok(ready(), 'four connections of two workers');
for my $i (1 .. 4) {
    $s->get(ddi("d$i$_")) for 0 .. 7;
}

# ---- a restart under load

{
    my $end = load(4);
    my $refused = polls(503);
    $s->pg('stop');
    my $start = time;
    my $r = $s->get(ddi('d11'));
    is($r->{status}, 503, 'PostgreSQL is gone: 503');
    like($r->{headers}{'retry-after'}, qr/^[1-9]\d*$/, 'with Retry-After');
    ok(time - $start < 20, 'at once');  # timeout=60s
    $r = $s->get('/status');
    is($r->{status}, 200, 'the status page is there');
    ok(wait_for(sub { db()->{connections} == 0 }), 'and shows no connection');
    ok(wait_for(sub { polls(503) > $refused + 10 }), 'others get 503, too');
    $s->pg('start');
    ok(wait_for(sub { $s->get(ddi('d11'))->{status} == 200 }),
        'PostgreSQL is back: 200');
    ok(ready(), 'all connections are back');
    my $n = $end->();
    ok($n->{200} && $n->{503}, 'there was load')
        or diag explain $n;
    delete @$n{200, 503};
    is_deeply($n, {}, 'each request had its answer, 200 or 503');
}

# ---- a crash of PostgreSQL

{
    my $end = load(2);
    $s->pg('kill');
    is($s->get(ddi('d11'))->{status}, 503, 'PostgreSQL is killed: 503');
    $s->pg('start');
    ok(wait_for(sub { $s->get(ddi('d11'))->{status} == 200 }),
        'it is back: 200');
    ok(ready(), 'all connections are back');
    my $n = $end->();
    delete @$n{200, 503};
    is_deeply($n, {}, 'each request had its answer, 200 or 503');
}

# ---- backends terminated under load

{
    my $lost = db()->{reconnects};
    my $end = load(4);
    my $until = time + 60;
    for (my $i = 0; time < $until && ($i < ($ENV{GB_ASAN} ? 60 : 15)
        || db()->{reconnects} < $lost + 20); $i++)
    {
        my $answered = polls(200);
        $s->sql($kill);
        wait_for { polls(200) >= $answered + 20 };
    }
    end_sessions('');
    my $n = $end->();
    ok($n->{200}, 'there was load');
    my $rate = ($n->{503} // 0) / $n->{200};
    ok($rate < 0.5, "few are refused, reads are repeated ($rate)");
    delete @$n{200, 503};
    is_deeply($n, {}, 'each request had its answer, 200 or 503');
    cmp_ok(db()->{reconnects}, '>=', $lost + 20, 'connections were lost');
    ok(ready(), 'all connections are back');
    ok(wait_for(sub { db()->{busy} <= 1 }),
        'at most the page\'s own call is left');
    ok(wait_for(sub { db()->{queued} == 0 }), 'nor does one wait');
}

# ---- a batch of writes whose backend goes

{
    my $psql = $s->psql;
    $psql->send(q{begin; select from goosebit.device
        where controller_id in ('d11', 'd21') for update})->result;

    # two workers: whichever takes it, both rows keep its batch waiting
    my @c = map {
        my $http = $s->http;
        $http->send_request('PUT', ddi($_, 'configData'), json => $config);
        $http
    } map { ("d1$_", "d2$_") } 1 .. 7;

    ok(wait_for(sub { $s->value(q{select count(*) from pg_stat_activity
        where wait_event_type = 'Lock' and query like '%config_data(%'}) }),
        'writes wait for rows');
    end_sessions(q{and wait_event_type = 'Lock'});
    $psql->send('rollback')->result;

    my %n = (200 => 0);
    $n{$_->response->{status}}++ for @c;
    is($n{200} + ($n{503} // 0), 14, 'each has one answer');
    ok($n{503}, 'those in flight are refused');
    ok($n{200}, 'those not yet sent are not');
    ok(ready(), 'all connections are back');
}

# ---- reads in flight are repeated

{
    my $psql = $s->psql;
    $psql->send('begin; lock table goosebit.tenant in access exclusive mode')
        ->result;
    my @c = map { my $h = $s->http; $h->send_request('GET', ddi("d1$_")); $h }
        1 .. 7;
    # not by the status page, which asks SQL as well, now and then
    ok(wait_for(sub { $s->value(q{select count(*) from pg_stat_activity
        where wait_event_type = 'Lock' and query like '%poll(%'}) }),
        'reads are in flight');
    # not the writing connections that may wait as well: the reads go there
    end_sessions(q{and wait_event_type = 'Lock' and query like '%poll(%'});
    $psql->send('rollback')->result;
    is_deeply([map { $_->response->{status} } @c], [(200) x 7],
        'backends gone: all are answered 200');
    ok(ready(), 'all connections are back');
}

# ---- a worker killed

{
    my ($worker) = $s->workers;
    my %before = map { $_ => 1 } sessions();
    $s->allow_log(qr/worker process $worker exited on signal 9/);
    kill KILL => $worker;
    ok(wait_for(sub {
        my @w = $s->workers;
        @w == 2 && !grep { $_ == $worker } @w
    }), 'a worker is killed, another started');
    is($s->get(ddi('d11'))->{status}, 200, 'it serves');
    ok(wait_for(sub { 2 == grep { $before{$_} } sessions() }),
        'the dead one\'s sessions go');
    ok(ready(), 'and count no more');
}

done_testing;
