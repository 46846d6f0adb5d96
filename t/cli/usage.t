#!/usr/bin/perl
# The command line itself: help, hints, options, exit codes. No database.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

use JSON::PP;

my $gbctl = ($ENV{GB_ASAN} ? 'build/asan' : 'build') . '/gbctl';

delete @ENV{grep { /^(?:PG|GOOSEBIT_)/ } keys %ENV};

# Nothing may be reached by chance.
my $nowhere = tempdir();
$ENV{GOOSEBIT_DB_URI} = "postgresql:///none?host=$nowhere";

sub gbctl { run([$gbctl, @_]) }


# --help at every level, on stdout, exit 0

my $help = gbctl('--help');
is($help->{exit}, 0, '--help: exit 0');
is($help->{err}, '', '--help: nothing on stderr');
is(gbctl($_)->{out}, $help->{out}, "$_ is --help") for 'help', '-h';

my ($list) = $help->{out} =~ /^Nouns:\n(.*?)\n\n/ms;
my @nouns = map { /^  (\S+)/ } split /\n/, $list;
is_deeply(\@nouns, [sort @nouns], 'nouns are alphabetical');
cmp_ok(scalar @nouns, '>=', 3, 'there are nouns');

for my $noun (@nouns) {
    my $r = gbctl($noun, '--help');
    is($r->{exit}, 0, "$noun --help: exit 0");
    is(gbctl('help', $noun)->{out}, $r->{out}, "help $noun is the same");
    unlike($r->{out}, qr/^.{81}/m, "$noun --help fits 80 columns");

    my ($verbs) = $r->{out} =~ /^Verbs:\n(.*?)\n\n/ms or next;
    my @verbs = map { /^  (\S+)/ } split /\n/, $verbs;
    is_deeply(\@verbs, [sort @verbs], "$noun: verbs are alphabetical");

    for my $verb (@verbs) {
        my $v = gbctl($noun, $verb, '--help');
        is($v->{exit}, 0, "$noun $verb --help: exit 0");
        unlike($v->{out}, qr/^.{81}/m, "$noun $verb --help fits");
        like($v->{out}, qr/^gbctl \Q$noun $verb\E: .+\n\nUsage: gbctl /,
            "$noun $verb --help: head");
        is(gbctl('help', $noun, $verb)->{out}, $v->{out},
            "help $noun $verb is the same");

        my $w = gbctl($noun, $verb, '--no-such-option');
        is($w->{exit}, 2, "$noun $verb: unknown option: exit 2");
    }
}

like(gbctl('--version')->{out}, qr/^gbctl \d+\.\d+\.\d+\S*\n\z/, '--version');
is(gbctl('-V')->{exit}, 0, '-V');


# usage errors: one line, a hint, exit 2, nothing on stdout

for (
    [[], 'a noun and a verb are missing', ''],
    [['db'], 'a verb is missing after "db"', ' db'],
    [['statu'], 'unknown noun "statu", did you mean "status"?', ''],
    [['xyzzy'], 'unknown noun "xyzzy"', ''],
    [['rollout', 'remove'], 'unknown verb "rollout remove"', ' rollout'],
    [['rollout', 'stop'], 'unknown verb "rollout stop"', ' rollout'],
    [['rollout', 'LSIT'],
        'unknown verb "rollout LSIT", did you mean "list"?', ' rollout'],
    [['db', 'status', '-o', 'yaml'], 'unknown output format "yaml", not '
        . 'table, wide, json, jsonl, csv or name', ' db status'],
    [['db', 'stauts'],
        'unknown verb "db stauts", did you mean "status"?', ' db'],
    [['db', 'xyzzy'], 'unknown verb "db xyzzy"', ' db'],
    [['db', 'status', '--tenat', 'x'],
        'unknown option "--tenat", did you mean "--tenant"?', ' db status'],
    [['db', 'status', '-z'], 'unknown option "-z"', ' db status'],
    [['db', 'status', 'x'], 'unexpected argument "x"', ' db status'],
    [['db', 'status', '--tenant'],
        'option "--tenant" needs a value (NAME)', ' db status'],
    [['db', 'status', '-t'], 'option "-t" needs a value (NAME)',
        ' db status'],
    [['db', 'status', '--quiet=1'], 'option "--quiet" takes no value',
        ' db status'],
    [['-t', 'a', 'db', 'status', '-t', 'b'],
        'option "--tenant" is given twice', ' db status'],
    [['--db', '', 'db', 'status'],
        'option "--db" needs a value (URI), not ""', ''],
    [['db', 'status', '--config='],
        'option "--config" needs a value (FILE), not ""', ' db status'],
    [['db', 'status', '-o', 'jsn'],
        'unknown output format "jsn", did you mean "json"?', ' db status'],
    [['db', 'status', '-o', 'xyzzy'], 'unknown output format "xyzzy", not '
        . 'table, wide, json, jsonl, csv or name', ' db status'],
    [['db', 'status', '--dry-run'], '"db status" has no dry run',
        ' db status'],
    [['db', 'status', '--', '--help'], 'unexpected argument "--help"',
        ' db status'],
) {
    my ($args, $message, $path) = @$_;
    my $r = gbctl(@$args);
    my $name = join ' ', @$args;
    is($r->{exit}, 2, "$name: exit 2");
    is($r->{out}, '', "$name: nothing on stdout");
    is($r->{err}, "gbctl: $message\nhint: try \"gbctl$path --help\"\n",
        "$name: says why");
}


# with -o json, wherever it stands, an error is JSON

for my $args (
    ['db', 'xyzzy', '-o', 'json'], ['-ojson', 'db', 'xyzzy'],
    ['--output=json', 'db', 'xyzzy'], ['db', '--output', 'json', 'xyzzy'],
) {
    my $r = gbctl(@$args);
    my $doc = eval { decode_json($r->{err}) };
    is($doc->{error}{code}, 'usage', "@$args: code");
    is($doc->{error}{message}, 'unknown verb "db xyzzy"', "@$args: message");
    is($r->{exit}, 2, "@$args: exit 2");
}


# no database: 3, wherever the options stand and however they are written

for my $args (
    ['db', 'status'], ['-q', 'db', 'status'], ['db', '-q', 'status'],
    ['db', 'status', '-qy'], ['db', 'status', '-tx', '-o=csv'],
    ['db', 'status', "--db=postgresql:///none?host=$nowhere"],
) {
    my $r = gbctl(@$args);
    is($r->{exit}, 3, "@$args: exit 3");
    like($r->{err}, qr/\Agbctl: can't reach the database: .*\S\nhint: .*\n\z/,
        "@$args: one line and a hint");
}

{
    my $r = gbctl('status', '-o', 'json');
    is($r->{exit}, 3, 'status without a database: exit 3');
    is(decode_json($r->{err})->{error}{code}, 'unreachable', 'and its code');
}


# passwords are never shown

for my $uri ('postgresql://u:s3cret@127.0.0.1:1/d',
    'postgresql://u:s3cret@127.0.0.1:x/d', 'postgresql://u:s3cret@[::1/d',
    'host=127.0.0.1 port=1 password=s3cret', 'mysql://u:s3cret@h/d',
    'postgres://u:s3cret@127.0.0.1:1/d?nosuch=1')
{
    for my $r (gbctl('--db', $uri, 'db', 'status'),
        gbctl('--db', $uri, 'config', 'show'),
        gbctl('--db', $uri, 'config', 'show', '-o', 'json'))
    {
        unlike($r->{out} . $r->{err}, qr/s3cret/, "$uri: no password");
    }
}

{
    require IO::Socket::UNIX;
    my $mute = IO::Socket::UNIX->new(Local => "$nowhere/.s.PGSQL.5432",
        Listen => 1) or die $!;
    my $pid = fork // die;
    if ($pid == 0) {
        open STDERR, '>', '/dev/null';
        exec $gbctl, '--db', "postgresql://u:s3cret\@/d?host=$nowhere",
            'db', 'status' or die;
    }
    my $client = $mute->accept;
    my $line = slurp("/proc/$pid/cmdline") =~ tr/\0/ /r;
    like($line, qr{postgresql://u:\*\*\*@/d\?}, 'process list: masked');
    unlike($line, qr/s3cret/, 'process list: no password');
    kill TERM => $pid;
    waitpid $pid, 0;
}


# a full disk is an error, a closed pipe is not

SKIP: {
    skip 'no /dev/full', 2 if !-c '/dev/full';
    my $r = run(['sh', '-c', "$gbctl --help >/dev/full"]);
    is($r->{exit}, 1, 'full disk: exit 1');
    is($r->{err}, "gbctl: can't write to standard output: "
        . "No space left on device\n", 'full disk: says so');
}

is(run(['sh', '-c', "$gbctl --help | true"])->{err}, '', 'closed pipe');

done_testing;
