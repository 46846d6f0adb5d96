#!/usr/bin/perl
# Lists in every format: none, a few, and more than fits into memory.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

use Encode qw(decode_utf8);
use JSON::PP;

my $s = stack(nginx => 0, fsync => 'off');
my @list = qw(device list);
my $columns;


# none

my $r = $s->gbctl(@list);
is_deeply([@$r{qw(exit out err)}], [0, '', "no devices\n"], 'none: table');
is($s->gbctl(@list, '-q')->{err}, '', 'none: -q says nothing');
is_deeply($s->gbctl(@list, '-o', 'json')->{json}, [], 'none: json');
for my $format ('jsonl', 'name') {
    is_deeply([@{$s->gbctl(@list, '-o', $format)}{qw(exit out err)}],
        [0, '', ''], "none: $format");
}
$r = $s->gbctl(@list, '-o', 'csv');
like($r->{out}, qr/\Aid,name,[a-z_,]+\r\n\z/, 'none: csv has its header');
$columns = ($r->{out} =~ tr/,//) + 1;


# a few, with text that breaks things

$s->sql(<<'SQL');
INSERT INTO goosebit.device (tenant_id, controller_id, name, feed, state)
VALUES (1, 'a', U&'r\00e4tselhaft, "quoted"' || chr(10) || chr(27) || '[31m',
        'default', 'error'),
       (1, 'b', repeat(U&'\7530', 60), 'default', 'finished'),
       (1, 'c', NULL, 'default', 'registered')
SQL

$r = $s->gbctl(@list, '-o', 'json');
is_deeply([map { $_->{name} } @{$r->{json}}],
    ["r\x{e4}tselhaft, \"quoted\"\n\e[31m", "\x{7530}" x 60, undef],
    'json: text as it is');
is_deeply([map { decode_json($_) }
        split /\n/, $s->gbctl(@list, '-o', 'jsonl')->{out}], $r->{json},
    'jsonl: the same');
my $line = $s->gbctl(@list, '-o', 'jsonl')->{out};
like($line, qr/"name":"r\xc3\xa4tselhaft, \\"quoted\\"\\u000A\\u001B\[31m",/,
    'jsonl: what is escaped');
is($s->gbctl(@list, '-o', 'name')->{out}, "a\nb\nc\n", 'name: ids');

my $csv = $s->gbctl(@list, '-o', 'csv')->{out};
like($csv, qr/^a,"r\xc3\xa4tselhaft, ""quoted""\n\e\[31m",/m, 'csv: quoted');
like($csv, qr/^c,,/m, 'csv: NULL is empty');

# times: of a fraction six digits or none, and years as long as they are

my @times = (
    '2026-01-31 12:00:00'         => '2026-01-31T12:00:00Z',
    '2026-01-31 12:00:00.5'       => '2026-01-31T12:00:00.500000Z',
    '2026-01-31 12:00:00.000001'  => '2026-01-31T12:00:00.000001Z',
    '2026-01-31 12:00:00.123456'  => '2026-01-31T12:00:00.123456Z',
    '12026-01-31 12:00:00.25'     => '12026-01-31T12:00:00.250000Z',
    '0044-03-15 12:00:00 BC'      => '0044-03-15 12:00:00+00 BC',
    'infinity'                    => undef,
);

while (my ($at, $said) = splice @times, 0, 2) {
    $s->sql("INSERT INTO goosebit.device_seen (tenant_id, device_id, seen_at)"
        . " SELECT 1, d.id, timestamp '$at' AT TIME ZONE 'UTC'"
        . " FROM goosebit.device d WHERE d.controller_id = 'a'"
        . " ON CONFLICT (tenant_id, device_id)"
        . " DO UPDATE SET seen_at = excluded.seen_at");
    is(decode_json($s->gbctl(@list, qw(--filter id=a -o jsonl))->{out})
        ->{last_seen}, $said, "jsonl: $at");
    like($s->gbctl(@list, qw(--filter id=a -o csv))->{out},
        qr/^a,.*,\Q${\($said \/\/ '')}\E,(?:true|false)\r$/ms, "csv: $at");
}
$s->sql('DELETE FROM goosebit.device_seen');


for my $bare ({}, { LC_ALL => 'C', LANG => 'C' }) {
    $r = $s->gbctl({ env => $bare }, @list, '-o', 'wide');
    like($r->{out}, qr/ r\xc3\xa4tselhaft, "quoted" \?\[31m /,
        'wide: readable, no control characters');
    like($r->{out}, qr/ (?:\xe7\x94\xb0){60} /, 'wide: nothing is cut');
}

# A right-to-left override would show an id as another.
$s->sql(q{UPDATE goosebit.device SET name = U&'x\202Ey\2066z\200C'
    WHERE controller_id = 'c'});
like($s->gbctl(@list, '-o', 'wide')->{out},
    qr/ x\?\?\?y\?\?\?z\xe2\x80\x8c /, 'wide: nothing turns the direction');

for my $columns (80, 40) {
    my $out = decode_utf8($s->gbctl({ pty => $columns }, @list,
        '--no-color')->{out});
    my @lines = grep { !/^no room/ } split /\n/, $out;
    is(scalar @lines, 4, "$columns columns: a line a device");
    is(scalar(grep { length > $columns } @lines), 0,
        "$columns columns: fits");
    like($out, qr/^a .*\berror\b/m, "$columns columns: id and state stay");
}


# 80 columns: what matters at night stays, and no room is left unused

$s->sql(<<'SQL');
INSERT INTO goosebit.device (tenant_id, controller_id, hw_model, hw_revision,
    sw_version, feed, mode)
SELECT 1, 'night-' || repeat(chr(96 + i), 12), 'model' || i, 'rev' || i,
    '1.0.0-rc' || i, 'feed' || i, (ARRAY['rollout', 'latest', 'pinned'])[i]
FROM generate_series(1, 3) i
SQL

$r = $s->gbctl({ pty => 80 }, @list, '--filter', 'id~night-*', '--no-color');
like($r->{out},
    qr/^ID +MODEL +VERSION +TARGET +FEED +STATE +DONE +SEEN\r?$/m,
    '80 columns: mode and revision go first, and what is no in every row');
like($r->{out}, qr/^no room for hw_revision, mode, online: try -o wide/m,
    'and how to see it');
$r = $s->gbctl({ pty => 60 }, @list, '--filter', 'id~night-*', '--no-color');
like($r->{out}, qr/^ID +VERSION +FEED +STATE +DONE +SEEN\r?$/m,
    '60 columns: what has room comes back');
like($s->gbctl({ pty => 20 }, @list, '--filter', 'name~r*', '--no-color')
    ->{out}, qr/^a .*\berror\b/m, '20 columns: still id and state');
$s->sql("DELETE FROM goosebit.device WHERE controller_id ~ '^night'");


# many: what is streamed takes no memory

$s->sql(<<'SQL');
INSERT INTO goosebit.device (tenant_id, controller_id, name)
SELECT 1, 'd-' || i, repeat('x', 3000) FROM generate_series(1, 6000) i
SQL

{
    local %ENV = (%ENV, %{$s->env});

    # gbctl in a shell: run(FORMAT, what follows, what comes before)
    my $many = sub {
        my ($format, $after, $before) = @_;
        return run(['sh', '-c', ($before // '')
            . "\"\$GBCTL\" device list -o $format $after"]);
    };

    SKIP: {
        skip 'a sanitizer needs all the address space', 4 if $ENV{GB_ASAN};

        my $small = 'ulimit -d 12000; ';
        my %lines = (jsonl => 6003, name => 6003, csv => 6005);

        for my $format (sort keys %lines) {
            my $x = $many->($format, '| wc -l', $small);
            is($x->{out} + 0, $lines{$format}, "many: $format in 12 MB")
                or diag $x->{err};
        }

        my $x = $many->('json', '', $small);
        is($x->{exit}, 1, 'many: json does not fit, and fails');
    }

    my $x = $many->('json', '');
    is(scalar(() = $x->{out} =~ /^  \{"id": "/mg), 6003, 'many: json has all');
    like($x->{out}, qr/\A\[\n.*\}\n\]\n\z/s, 'many: json is one array');

    $x = $many->('jsonl', '| head -n 1');
    is($x->{err}, '', 'many: a closed pipe is no error');
    is(scalar(() = $x->{out} =~ /\n/g), 1, 'many: and head has its line');

    $x = $many->('jsonl', '| true; sleep 0.2');
    is($x->{err}, '', 'many: nor one that is closed at once');

    # The database's connection was opened in its place, and written to.
    for my $format (qw(jsonl json csv name table)) {
        $x = $many->($format, '>&-');
        is($x->{exit}, 1, "closed: $format: exit 1");
        like($x->{err}, qr/\A.*can't write to standard output: Bad file/,
            "closed: $format: says why");
    }

    for my $format (-c '/dev/full' ? qw(jsonl json csv name table) : ()) {
        $x = $many->($format, '> /dev/full');
        is($x->{exit}, 1, "full disk: $format: exit 1");
        is(scalar(() = $x->{err} =~ /\n/g), 1, "full disk: $format: one line");
        like($x->{err}, qr/can't write to standard output: No space left/,
            "full disk: $format: says why");
    }

    # What was printed before a note is written before it.
    SKIP: {
        skip 'no /dev/full', 1 if !-c '/dev/full';
        $x = run(['sh', '-c', '"$GBCTL" device block c > /dev/full']);
        like($x->{err}, qr/blocked\ngbctl: .*No space left/,
            'full disk: said also where a note comes between');
    }
}

ok(wait_for(sub {
    $s->value("SELECT count(*) FROM pg_stat_activity"
        . " WHERE application_name = 'gbctl'") == 0;
}), 'no connection is left behind');

done_testing;
