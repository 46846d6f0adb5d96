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
is($s->gbctl(@list, '-o', 'name')->{out}, "a\nb\nc\n", 'name: ids');

my $csv = $s->gbctl(@list, '-o', 'csv')->{out};
like($csv, qr/^a,"r\xc3\xa4tselhaft, ""quoted""\n\e\[31m",/m, 'csv: quoted');
like($csv, qr/^c,,/m, 'csv: NULL is empty');

for my $bare ({}, { LC_ALL => 'C', LANG => 'C' }) {
    $r = $s->gbctl({ env => $bare }, @list, '-o', 'wide');
    like($r->{out}, qr/ r\xc3\xa4tselhaft, "quoted" \?\[31m /,
        'wide: readable, no control characters');
    like($r->{out}, qr/ (?:\xe7\x94\xb0){60} /, 'wide: nothing is cut');
}

for my $columns (80, 40) {
    my $out = decode_utf8($s->gbctl({ pty => $columns }, @list,
        '--no-color')->{out});
    my @lines = grep { !/^no room/ } split /\n/, $out;
    is(scalar @lines, 4, "$columns columns: a line a device");
    is(scalar(grep { length > $columns } @lines), 0,
        "$columns columns: fits");
    like($out, qr/^a .*\berror\b/m, "$columns columns: id and state stay");
}


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

    for my $format (-c '/dev/full' ? qw(jsonl json csv name table) : ()) {
        $x = $many->($format, '> /dev/full');
        is($x->{exit}, 1, "full disk: $format: exit 1");
        is(scalar(() = $x->{err} =~ /\n/g), 1, "full disk: $format: one line");
        like($x->{err}, qr/can't write to standard output: No space left/,
            "full disk: $format: says why");
    }
}

ok(wait_for(sub {
    $s->value("SELECT count(*) FROM pg_stat_activity"
        . " WHERE application_name = 'gbctl'") == 0;
}), 'no connection is left behind');

done_testing;
