#!/usr/bin/perl
# Where PostgreSQL is: several hosts, silent ones, names, TLS.
use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;

my $dir = tempdir;
my $net = '127.' . join '.', map { 1 + int rand 250 } 1 .. 2;
my @children;

END { kill KILL => @children if @children }

# ---- a certificate

run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2',
    '-subj', '/CN=db.gb.test', '-addext', 'subjectAltName=DNS:db.gb.test',
    '-keyout', "$dir/key", '-out', "$dir/crt"]);
chmod 0600, "$dir/key";
chown +(getpwnam 'postgres')[2, 3], "$dir/key" if $> == 0;

my $s = stack(workers => 1, pg => "listen_addresses = '$net.9'\nssl = on\n"
    . "ssl_cert_file = '$dir/crt'\nssl_key_file = '$dir/key'\n",
    main => 'env "PGOPTIONS=-c statement_timeout=60s";');
my $socket = $s->socket . '/.s.PGSQL.5432';
my $conf = $s->dir . '/nginx.conf';
my $nginx = slurp($conf);

my $poll = ddi('d1');


# Runs a sub in a process of its own; returns its pid.
sub child (&) {
    my ($code) = @_;
    my $pid = fork // die;
    if (!$pid) {
        @children = ();
        $code->();
        POSIX::_exit(0);
    }
    push @children, $pid;
    return $pid;
}


sub listener {
    my ($address) = @_;
    return IO::Socket::INET->new(LocalAddr => $address, Listen => 64,
        ReuseAddr => 1) || die "$address: $!";
}


# A server at ADDRESS that passes everything on to PostgreSQL.
sub relay {
    my ($address) = @_;
    my $listen = listener($address);

    return child {
        # one side may be gone before the other's last words
        local $SIG{PIPE} = 'IGNORE';
        my $select = IO::Select->new($listen);
        my %peer;
        for (;;) {
            for my $from ($select->can_read) {
                if ($from == $listen) {
                    my $c = $listen->accept or next;
                    my $u = IO::Socket::UNIX->new(Peer => $socket);
                    if (!$u) {
                        close $c;
                        next;
                    }
                    @peer{$c, $u} = ($u, $c);
                    $select->add($c, $u);
                    next;
                }
                my $to = $peer{$from} or next;
                my $n = sysread $from, my $bytes, 65536;
                if ($n) {
                    syswrite $to, $bytes;
                    next;
                }
                delete @peer{$from, $to};
                $select->remove($from, $to);
                close $_ for $from, $to;
            }
        }
    };
}


# A server at ADDRESS that accepts and says nothing.
sub silent {
    my ($address) = @_;
    my $listen = listener($address);
    return child { my @c; push @c, $listen->accept for 1 .. 10000; };
}


# A name server: FILE has "NAME ADDRESS …" lines.
sub names {
    my ($address, $file) = @_;
    my $sock = IO::Socket::INET->new(LocalAddr => $address, Proto => 'udp')
        or die "$address: $!";

    return child {
        while (my $from = $sock->recv(my $q, 512)) {
            my ($name, $i) = ('', 12);
            while (my $n = ord substr $q, $i, 1) {
                $name .= substr($q, $i + 1, $n) . '.';
                $i += $n + 1;
            }
            $name =~ s/\.$//;
            my $type = unpack 'n', substr $q, $i + 1, 2;
            my ($line) = grep { /^\Q$name\E / } split /\n/, slurp($file);
            my (undef, @ip) = split / /, $line // '';
            @ip = () if $type != 1;
            my $code = defined $line ? 0 : 3;
            $sock->send(substr($q, 0, 2) . pack('n5', 0x8180 | $code, 1,
                scalar @ip, 0, 0) . substr($q, 12, $i + 5 - 12)
                . join '', map { pack('n3Nn', 0xc00c, 1, 1, 1, 4)
                    . pack 'C4', split /\./ } @ip);
        }
    };
}


# nginx with another database directive (and lines for http).
sub use_database {
    my ($database, $http) = @_;
    $http //= '';
    spew($conf, $nginx =~ s/goosebit_database [^;]*;/$http
        goosebit_database $database;/r);
    my $r = run(['env', "LD_PRELOAD=" . preload(), 'nginx', '-p',
        $s->dir . '/', '-e', '/dev/null', '-t', '-c', $conf]);
    is($r->{exit}, 0, 'configuration') or diag $r->{err};
    ok($s->reload, 'reload');
}


sub preload {
    return '' if !$ENV{GB_ASAN};
    return join ' ', map {
        run(['gcc', "-print-file-name=lib$_.so"])->{out} =~ s/\n//r
    } qw(asan ubsan);
}


sub works {
    my ($what) = @_;
    ok(wait_for(sub { $s->get($poll)->{status} == 200 }), $what)
        or diag substr $s->error_log, -1500;
}


# A sub that tells whether the log has come to say so since.
sub says {
    my ($re) = @_;
    my $before = length $s->error_log;
    return sub { wait_for { substr($s->error_log, $before) =~ $re } };
}


sub sessions { map { $_->[0] } $s->sql(q{select pid from pg_stat_activity
    where usename = 'goosebit_ddi'}) }


my $user = 'dbname=goosebit user=goosebit_ddi';
works('the stack as it is');

# ---- one that refuses, then one that works

my $relay = relay("$net.1:5432");
use_database(qq{"host=$net.2,$net.1 $user"});
works('the second host');

# ---- one that accepts and is silent must not use up all the time

my $silent = silent("$net.3:5432");
use_database(qq{"host=$net.3,$net.1 $user" connect_timeout=500ms});
works('the host after a silent one');
like($s->error_log, qr/connection \d: timed out \(\Q$net.3\E\)$/m,
    'its time-out is its own');

# ---- alone, it means 503 at once after the first time

{
    my $gone = says(qr/PostgreSQL is gone\n/);
    use_database(qq{"host=$net.3 $user" connect_timeout=300ms timeout=60s});
    ok($gone->(), 'silent: gone');
    my $start = time;
    is($s->get($poll)->{status}, 503, 'silent: 503');
    ok(time - $start < 20, 'at once');
}

# ---- a connection that goes silent later

use_database(qq{"host=$net.1 $user" connect_timeout=2s timeout=2s
    connections=1});
works('through the relay');
my $given_up = says(qr/no answer in time/);
kill STOP => $relay;
is($s->get($poll)->{status}, 503, 'the server hangs: 503');
ok($given_up->(), 'the connection is given up');
kill CONT => $relay;
works('then it works again');

# ---- target_session_attrs

{
    my $other = stack(nginx => 0, pg => "listen_addresses = '$net.8'\n");
    $other->sql('alter role goosebit_ddi
        set default_transaction_read_only = on');
    my $hba = $other->value('show hba_file');
    spew($hba, slurp($hba) . "host all all 127.0.0.0/8 trust\n");
    $other->value('select pg_reload_conf()');

    use_database(qq{"host=$net.8 $user"});
    ok($s->wait_log(qr/is read-only: name the primary, .*\(\Q$net.8\E\)$/m),
        'a standby alone: the log says what to do, and of which');

    use_database(qq{"host=$net.8,$net.1 $user
        target_session_attrs=read-write"});
    works('the one that can be written to');
    like($s->error_log, qr/connection \d: .*session is read-only/,
        'the other was tried');
}

# ---- names

{
    my $file = "$dir/names";
    spew($file, "db.gb.test $net.1\n");
    my $dns = names("$net.5:5353", $file);
    my $resolver = "resolver $net.5:5353 valid=1s ipv6=off;
        resolver_timeout 1s;";

    # the master can't know it
    use_database(qq{"host=db.gb.test $user" connect_timeout=500ms}, $resolver);
    works('a name that the resolver knows');

    # it moves
    kill KILL => $relay;
    waitpid $relay, 0;
    ok(wait_for(sub { $s->get($poll)->{status} == 503 }), 'gone');
    $relay = relay("$net.4:5432");
    spew($file, "db.gb.test $net.2 $net.4\n");
    works('its new address is found');

    # it is forgotten: the last address stays
    spew($file, "other.gb.test 127.0.0.1\n");
    my %old = map { $_ => 1 } sessions();
    $s->sql(q{select pg_terminate_backend(pid) from pg_stat_activity
        where usename = 'goosebit_ddi'});
    ok(wait_for(sub { my @now = sessions(); @now && !grep { $old{$_} } @now }),
        'a name that is gone: the last address will do');
    works('and does');

    kill KILL => $dns;
}

# ---- TLS

{
    my $hba = $s->value('show hba_file');
    spew($hba, "hostssl all all 127.0.0.0/8 trust\n" . slurp($hba));
    $s->value('select pg_reload_conf()');

    use_database(qq{"host=db.gb.test hostaddr=$net.9 $user sslmode=verify-full
        sslrootcert=$dir/crt" connections=2 timeout=60s});
    works('TLS');
    ok(wait_for(sub { $s->value(q{select count(*) from pg_stat_ssl
        join pg_stat_activity using (pid)
        where usename = 'goosebit_ddi' and ssl}) == 2 }),
        'both connections use it');

    my $psql = $s->psql;
    $psql->send('begin; lock table goosebit.tenant in access exclusive mode')
        ->result;
    my @c = map { my $h = $s->http; $h->send_request('GET', $poll); $h }
        1 .. 150;
    ok(wait_for(sub { $s->get('/status')->{json}{db}{busy} >= 150 }),
        'many are asked');
    $psql->send('rollback')->result;
    my %n;
    $n{$_->response->{status}}++ for @c;
    is_deeply(\%n, { 200 => 150 }, 'many answers in one go are all read');

    use_database(qq{"host=wrong.gb.test hostaddr=$net.9 $user
        sslmode=verify-full sslrootcert=$dir/crt" connect_timeout=500ms});
    ok($s->wait_log(qr/does not match host name "wrong\.gb\.test"/),
        'a wrong name in the certificate');
    ok(wait_for(sub { $s->get($poll)->{status} == 503 }), 'is refused');
}

# ---- files that are of no use to the workers: libpq says of a password file
# that there is no password, and of a key something that can't be read

{
    my $client = "$dir/client";
    my $hba = $s->value('show hba_file');

    $s->sql(q{alter role goosebit_ddi password 'secret'});
    spew($hba, "host all all 127.0.0.0/8 scram-sha-256\n" . slurp($hba));
    $s->value('select pg_reload_conf()');
    spew("$dir/pass", "*:*:*:*:secret\n");
    run(['cp', "$dir/crt", "$client.crt"]);
    run(['cp', "$dir/key", "$client.key"]);
    chown +(getpwnam 'www-data')[2, 3], "$dir/pass" if $> == 0;

    for my $wrong (
        ["passfile=$dir/pass", qr/passfile "\Q$dir\E\/pass" is ignored: /],
        ["passfile=$dir/none", qr/passfile "\Q$dir\E\/none" can't be read by \QNGINX's workers (2: /],
        ["sslcert=$client.crt sslkey=$client.none",
            qr/sslkey "\Q$client\E.none" can't be read by /],
    ) {
        my ($options, $says) = @$wrong;
        my $before = length $s->error_log;
        use_database(qq{"host=$net.9 $user $options" connect_timeout=500ms});
        ok(wait_for(sub { substr($s->error_log, $before) =~ $says }),
            "$options: is told") or diag substr $s->error_log, $before;
    }

    SKIP: {
        skip 'root alone has files others may not read; and libpq\'s words on '
            . 'them are a sanitizer\'s error', 4 if $> != 0 || $ENV{GB_ASAN};
        chown 0, 0, "$client.key";
        chmod 0600, "$client.key";
        my $before = length $s->error_log;
        use_database(qq{"host=$net.9 $user sslcert=$client.crt
            sslkey=$client.key" connect_timeout=500ms});
        ok(wait_for(sub { substr($s->error_log, $before)
            =~ /sslkey "\Q$client\E.key" can't be read by .*\(13: / }),
            "root's own key: is told");
        my $log = substr $s->error_log, $before;
        ok(utf8::decode($log) && $log !~ /[^\x20-\x7e\n\x80-\x{10ffff}]/,
            'and the log is text');
    }

    chmod 0600, "$dir/pass";
    use_database(qq{"host=$net.9 $user passfile=$dir/pass"});
    works('a password file');
}

kill KILL => @children;
waitpid $_, 0 for @children;
@children = ();

done_testing;
