#!/usr/bin/perl
# Start, reload and stop; configuration that stops them.
use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $s = stack(workers => 2, yaml => "poll_time: 00:00:30\n",
    patient => 1,
    http => 'log_format gb "$goosebit_tenant|$goosebit_device|'
        . '$goosebit_endpoint|$goosebit_cache_status|$goosebit_reason|'
        . '$goosebit_db_time|$goosebit_action|$status";',
    server => 'access_log logs/gb.log gb; location = /stub { stub_status; }');
my $lock = 'begin; lock table goosebit.tenant in access exclusive mode';

sub poll { my $h = $s->http; $h->send_request('GET', ddi($_[0])); $h }


# Ten polls have come to workers, beside the page's own, and wait in SQL.
sub held {
    return wait_for(sub { ($s->get('/stub')->{body}
        =~ /Writing: (\d+)/)[0] == 11 }) && wait_for(sub {
        $s->value(q{select count(*) from pg_stat_activity
            where wait_event_type = 'Lock' and query like '%poll(%'}) });
}

is($s->get(ddi("d$_"))->{status}, 200, "device d$_") for 1 .. 10;

# ---- reload with requests in flight

{
    my $psql = $s->psql;
    my %old = map { $_ => 1 } $s->workers;
    $psql->send($lock)->result;
    my @c = map { poll("d$_") } 1 .. 10;
    ok(held(), 'polls are in flight');
    kill HUP => $s->pid;
    ok(wait_for(sub { grep { !$old{$_} } $s->workers }),
        'new workers are there');
    ok((grep { $old{$_} } $s->workers), 'an old one stays for its requests');
    $psql->send('rollback')->result;
    is_deeply([map { $_->response->{status} } @c], [(200) x 10],
        'all are answered');
    ok(wait_for(sub { !grep { $old{$_} } $s->workers }),
        'then the old workers go');
    ok(wait_for(sub { $s->value(q{select count(*) from pg_stat_activity
        where usename = 'goosebit_ddi'}) == 4 }),
        'and their connections');
    is($s->get(ddi('d1'))->{status}, 200, 'the new ones serve');
}

# ---- idle workers go at once

ok($s->reload, 'a reload without requests waits for nothing');

# ---- stop with requests in flight; what was seen is written

{
    my $psql = $s->psql;
    $psql->send($lock)->result;
    my @c = map { poll("d$_") } 1 .. 10;
    ok(held(), 'polls are in flight');
    my $pid = $s->pid;
    my $before = $s->value('select now()');
    kill QUIT => $pid;
    sleep 0.3;                          # in which it must not end
    ok(!ended($pid), 'nginx waits for them');
    $psql->send('rollback')->result;
    is_deeply([map { $_->response->{status} } @c], [(200) x 10],
        'all are answered');
    ok(wait_for(sub { ended($pid) }), 'then nginx ends');
    is($s->value(qq{select count(*) from goosebit.device_seen
        where seen_at >= '$before'}), 10,
        'and all are marked as seen after that');
    ok(wait_for(sub { $s->value(q{select count(*) from pg_stat_activity
        where usename = 'goosebit_ddi'}) == 0 }), 'no connection is left');
    $s->nginx('start');
    is($s->get(ddi('d1'))->{status}, 200, 'started again');
}

# ---- what was seen just before, without any request in flight

{
    my $before = $s->value('select now()');
    my $pid = $s->pid;
    $s->get(ddi("d$_")) for 1 .. 10;
    kill QUIT => $pid;
    ok(wait_for(sub { ended($pid) }), 'nginx ends');
    is($s->value(qq{select count(*) from goosebit.device_seen
        where seen_at >= '$before'}), 10, 'idle workers write it, too');
    $s->nginx('start');
}

# ---- last seen: once a second, and each device once

{
    my $before = $s->value('select now()');
    $s->get(ddi('d1')) for 1 .. 5;
    ok(wait_for(sub { $s->value(qq{select count(*) from goosebit.device_seen s
        join goosebit.device d on (d.tenant_id, d.id)
            = (s.tenant_id, s.device_id)
        where d.controller_id = 'd1' and address = '127.0.0.1'
            and seen_at >= '$before'}) }),
        'a device is seen, with its address');
    ok($s->seen, 'then nothing is pending');
}

# ---- variables

{
    my $log = $s->dir . '/logs/gb.log';
    $s->get(ddi('d1'));
    ok(wait_for(sub { slurp($log) =~
        m{^DEFAULT\|d1\|poll\|BYPASS\|[a-z_]*\|\d+\.\d{6}\|-\|200$}m }),
        'variables of a poll') or diag slurp($log);
    $s->get('/nothing/here');
    ok(wait_for(sub { slurp($log) =~ m{^-\|-\|other\|-\|[^|]*\|-\|-\|404$}m }),
        'and of what is no such path') or diag slurp($log);
}

# ---- configuration

{
    my $asan = join ' ', map {
        run(['gcc', "-print-file-name=lib$_.so"])->{out} =~ s/\n//r
    } qw(asan ubsan);
    my $yaml = $s->config;
    my $good = slurp($yaml);
    my $conf = $s->dir . '/nginx.conf';
    my $nginx = slurp($conf);
    my @test = ($ENV{GB_ASAN} ? ('env', "LD_PRELOAD=$asan") : (), 'nginx', '-p', $s->dir . '/', '-e', '/dev/null', '-t', '-c',
        $conf);

    my ($pid, @workers) = ($s->pid, sort $s->workers);
    spew($yaml, "$good\npoll_tme: 00:01:00\n");
    kill HUP => $pid;
    ok($s->wait_log(qr/\[emerg\].*goosebit\.yaml:\d+: .*poll_tme/),
        'a wrong goosebit.yaml stops the reload, with file and line');
    $s->allow_log(qr/goosebit\.yaml:\d+: .*poll_tme/);
    is_deeply([sort $s->workers], \@workers, 'the old workers go on');
    is($s->get(ddi('d1'))->{status}, 200, 'and serve');
    spew($yaml, $good);

    $s->allow_log(qr/(?:invalid|duplicate) parameter|is duplicate|in the database host|gather/);
    for (
        ['connections=0', qr/invalid parameter "connections=0"/],
        ['connections=x', qr/invalid parameter "connections=x"/],
        ['queue=0', qr/invalid parameter "queue=0"/],
        ['timeout=', qr/invalid parameter "timeout="/],
        ['timeout=1x', qr/invalid parameter "timeout=1x"/],
        ['gather=-1', qr/invalid parameter "gather=-1"/],
        ['gather=3s timeout=2s', qr/gather that is longer than timeout/],
        ['prepare=maybe', qr/invalid parameter "prepare=maybe"/],
        ['what=1', qr/invalid parameter "what=1"/],
        ['nothing', qr/invalid parameter "nothing"/],
        ['queue=9 connections=2 queue=9', qr/duplicate parameter "queue=9"/],
        [';goosebit_database x', qr/"goosebit_database" directive is dup/],
    ) {
        my ($option, $re) = @$_;
        $option =~ s/^;/; /;
        spew($conf, $nginx =~ s/(goosebit_database [^;]*);/$1 $option;/r);
        my $r = run([@test]);
        isnt($r->{exit}, 0, "goosebit_database … $option");
        like($r->{err}, $re, 'says why');
        like($r->{err}, qr/nginx\.conf:\d+/, 'and where');
    }

    for (
        ['"host=a,b port=1,2,3"', qr/numbers of hosts and ports differ/],
        ['"service=x"', qr/"service" is not supported/],
        ['"nonsense=1 password=secret"', qr/invalid connection string/],
        ['"host=nowhere.invalid"', qr/database host "nowhere\.invalid"/],
        ['"sslmode=bogus password=secret"', qr/invalid sslmode value: "bogus"/],
        ['"host=/tmp,/run port=1,99999"', qr/invalid port number: "99999"/],
        ['"target_session_attrs=x"', qr/invalid target_session_attrs value/],
        ['"hostaddr=1.2.3"', qr/invalid hostaddr "1\.2\.3"/],
    ) {
        my ($info, $re) = @$_;
        spew($conf, $nginx =~ s/goosebit_database [^;]*;/goosebit_database $info;/r);
        my $r = run([@test]);
        isnt($r->{exit}, 0, "goosebit_database $info");
        like($r->{err}, $re, 'says why');
        like($r->{err}, qr/nginx\.conf:\d+/, 'and where');
        unlike($r->{err}, qr/secret/, 'but no password');
    }

    spew($conf, $nginx =~ s/(goosebit_database )[^;]*;/$1"hostaddr=fe80::1%lo";/r);
    is(run([@test])->{exit}, 0, 'an address that an interface is named by');

    # the master's variables are not the string's, nor the workers'
    spew($conf, $nginx =~ s/(goosebit_database )[^;]*;/$1"sslmode=bogus";/r);
    like(run(['env', 'PGSERVICE=none', @test])->{err},
        qr/invalid sslmode value: "bogus"/, 'PGSERVICE hides nothing');
    spew($conf, $nginx);
    is(run(['env', 'PGSSLMODE=bogus', @test])->{exit}, 0,
        'PGSSLMODE is no reason to refuse');

    spew($conf, $nginx =~ s/goosebit_database [^;]*;//r);
    is(run([@test])->{exit}, 0, 'db_uri of goosebit.yaml will do');
    spew($yaml, "# one\n# two\n"
        . $good =~ s/^db_uri:.*\n//mr . "db_uri: host=nowhere.invalid\n");
    my $line = () = slurp($yaml) =~ /\n/g;
    my $r = run([@test]);
    isnt($r->{exit}, 0, 'a wrong one');
    like($r->{err}, qr/host "nowhere\.invalid" in \Q$yaml\E:$line$/m,
        'is blamed on its line');
    like(run(['env', 'GOOSEBIT_DB_URI=port=abc', @test])->{err},
        qr/value "abc".* in GOOSEBIT_DB_URI$/m, 'or on its variable');
    spew($yaml, $good =~ s/^db_uri:.*$//mr);
    $r = run([@test]);
    isnt($r->{exit}, 0, 'without any');
    like($r->{err}, qr/no database: neither "goosebit_database" nor db_uri/,
        'says so');
    spew($yaml, $good);
    spew($conf, $nginx);
    is(run([@test])->{exit}, 0, 'the stack\'s own is right');
}

done_testing;
