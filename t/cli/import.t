#!/usr/bin/perl
# gbctl import: what it refuses. What it takes over is proven with gooseBit
# itself, in t/e2e/import_goosebit.t.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

use Digest::SHA;

my $s = stack(nginx => 0, fsync => 'off');
my $dir = tempdir;

sub import_from { $s->gbctl('import', 'goosebit', @_) }


# what is no such database: one line, a hint, nothing changed

spew("$dir/empty.sqlite3", '');
spew("$dir/text", 'hello, world' x 100);

for (
    ["$dir/none.sqlite3", 1, qr{^gbctl: $dir/none\.sqlite3: No such file}],
    [$dir, 1, qr/^gbctl: \Q$dir\E: is not a file/],
    ["sqlite://$dir/empty.sqlite3", 1,
        qr/^gbctl: can't read the gooseBit database: no such table/],
    ["$dir/text", 1,
        qr/^gbctl: can't read the gooseBit database: file is not a database/],
    ['mysql://u@h/d', 2, qr/^gbctl: a gooseBit database is sqlite:/],
    ['postgres://u:s3cret@127.0.0.1:1/d', 1,
        qr/^gbctl: can't read the gooseBit database: .*refused/],
    ['postgres://u:s3cret@[::1/d', 2, qr/^gbctl: .*URI/],
    ['postgres:///postgres?user=postgres&host=' . $s->socket, 1,
        qr/^gbctl: can't read the gooseBit database: .*does not exist/],
) {
    my ($uri, $exit, $like) = @$_;
    my $r = import_from($uri);
    is($r->{exit}, $exit, "$uri: exit $exit") or diag($r->{err});
    like($r->{err}, $like, "$uri: says why");
    like($r->{err}, qr/\Agbctl: .+\n(?:hint: .+\n)?\z/, "$uri: one line");
    unlike($r->{err}, qr/s3cret/, "$uri: no password");
}

is(import_from("$dir/text", '-o', 'json')->{err} =~ /"code":"source"/, 1,
    'the code of -o json');


# a gooseBit's database of the tables that are asked for, with ROWS in it

sub upstream {
    my ($name, $rows) = @_;
    $s->sql("CREATE DATABASE $name");
    $s->sql(<<"SQL", database => $name);
        CREATE TABLE "user" (username text);
        CREATE TABLE tag (id int, name text);
        CREATE TABLE device_tags (device_id text, tag_id int);
        CREATE TABLE hardware (id int, model text, revision text);
        CREATE TABLE software (id int, uri text, size bigint, hash text,
            version text, image_format int);
        CREATE TABLE software_compatibility (software_id int, hardware_id int);
        CREATE TABLE rollout (id int, created_at timestamptz, name text,
            feed text, software_id int, paused bool, success_count int,
            failure_count int);
        CREATE TABLE device (id text, name text, hardware_id int,
            sw_version text, feed text, update_mode int, last_state int,
            progress int, last_log text, last_seen bigint, last_ip text,
            last_ipv6 text, auth_token text, assigned_software_id int,
            force_update bool);
        INSERT INTO hardware VALUES (1, 'board', 'r1');
        INSERT INTO software_compatibility VALUES (1, 1);
        $rows
SQL
    return "postgres:///$name?user=postgres&host=" . $s->socket;
}

for my $uri ('http://127.0.0.1:1/a.swu', 'HTTP://127.0.0.1:1/a.swu') {
    like(import_from(upstream('remote_' . ($uri =~ /HTTP/ || 0),
        "INSERT INTO software VALUES (1, '$uri', 5, repeat('a', 40), '1.0',
            1)"))->{err}, qr/^software 1: .*(?:connect|refused)/i,
        "$uri: is fetched");
}


# what gooseBit takes for two, and is one or a conflict here, costs itself alone

{
    my $file = tempdir() . '/image.swu';
    my $other = "$file.other";
    is(system('t/lib/fixtures/make-swu', '-o', $file, '-s', 5000), 0, 'made');
    is(system('t/lib/fixtures/make-swu', '-o', $other, '-s', 6000), 0, 'made');
    my @sha1 = map { Digest::SHA->new(1)->addfile($_)->hexdigest } $file,
        $other;
    my @size = map { -s } $file, $other;
    my $r = import_from(upstream('double', <<"SQL"));
        INSERT INTO hardware VALUES (2, 'board', '#RE:r[0-9]');
        INSERT INTO software_compatibility VALUES (2, 1), (3, 2);
        INSERT INTO software VALUES
            (1, 'file://$file', $size[0], '$sha1[0]', '1.0.0', 1),
            (2, 'file://$file', $size[0], '$sha1[0]', '1.0.0', 1),
            (3, 'file://$other', $size[1], '$sha1[1]', '1.0.0', 1);
        INSERT INTO rollout VALUES (1, now(), 'a', 'f', 2, false, 0, 0);
        INSERT INTO "user" VALUES (E'a\\x1b[31mb');
SQL
    is($r->{exit}, 0, 'double: exit 0') or diag $r->{err};
    like($r->{out}, qr/^software +1 +0 +1 +1$/m, 'double: one of them');
    like($r->{out}, qr/^rollout +1 /m, 'double: with its rollout');
    is($s->value('SELECT count(*) FROM goosebit.rollout
        WHERE software_version IS NULL OR software_patterns'), 0,
        'double: which knows its software');
    like($r->{err}, qr/^user a\?\[31mb: /m, 'and a terminal obeys no name');
    like($r->{err}, qr/^software 3: software \d+ here has version 1\.0\.0/m,
        'double: and why not the other');
}


# Rows read grow as the fleet does: tables that are thought to be empty were
# looked into by any index, by tenant alone, and 50000 devices took five minutes.

sub entries_read {
    $s->value("SELECT sum(idx_tup_read) FROM pg_stat_user_indexes
        WHERE relname IN ('device', 'action', 'device_seen')");
}

$s->sql("ALTER TABLE goosebit.$_ SET (autovacuum_enabled = off)")
    for 'device', 'action';
my $many = upstream('many', "INSERT INTO device (id, hardware_id, feed,
        update_mode, last_state, last_seen, force_update)
    SELECT 'm' || n, 1, 'prod', 3, 2, 1750000000, false
    FROM generate_series(1, 3000) n");
my $before = entries_read() // 0;
like(import_from($many)->{out}, qr/^device +3000 /m, 'many: all are taken');
# It has told of its reading when it has gone.
wait_for(sub { $s->value("SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'gbctl'") == 0 });
my $read = entries_read() - $before;
cmp_ok($read, '>', 0, 'many: reads');
cmp_ok($read, '<', 600_000, 'many: but not each with each');


# its URI is masked where everybody can read it

{
    require IO::Socket::INET;
    my $mute = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
        or die $!;
    my $port = $mute->sockport;
    local %ENV = (%ENV, %{$s->env});
    my $pid = fork // die;
    if ($pid == 0) {
        open STDERR, '>', '/dev/null';
        exec $ENV{GBCTL}, 'import', 'goosebit',
            "postgres://u:s3cret\@127.0.0.1:$port/d" or die;
    }
    my $client = $mute->accept;
    my $line = slurp("/proc/$pid/cmdline") =~ tr/\0/ /r;
    like($line, qr{postgres://u:\*\*\*@127}, 'process list: masked');
    unlike($line, qr/s3cret/, 'process list: no password');
    kill TERM => $pid;
    waitpid $pid, 0;
}

done_testing;
