#!/usr/bin/perl
# Every wrong option or argument of every verb: one clear line, exit 2, before
# anything is asked of a database. And a database that goes away.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Psql;
use Goosebit::Test;

use JSON::PP;

my $gbctl = ($ENV{GB_ASAN} ? 'build/asan' : 'build') . '/gbctl';

delete @ENV{grep { /^(?:PG|GOOSEBIT_)/ } keys %ENV};
my $nowhere = tempdir();
$ENV{GOOSEBIT_DB_URI} = "postgresql:///none?host=$nowhere";

sub gbctl { run([$gbctl, @_]) }

sub wrong {
    my ($args, $message) = @_;
    my $r = gbctl(@$args);
    my $name = join ' ', @$args;
    is($r->{exit}, 2, "$name: exit 2") or diag $r->{err};
    like($r->{err}, qr/\Agbctl: $message\n(?:hint: .+\n)?\z/,
        "$name: one line");
    is($r->{out}, '', "$name: nothing on stdout");
}

my %verb;
my ($nouns) = gbctl('--help')->{out} =~ /^Nouns:\n(.*?)\n\n/ms;
for my $noun (map { /^  (\S+)/ } split /\n/, $nouns) {
    my ($verbs) = gbctl($noun, '--help')->{out} =~ /^Verbs:\n(.*?)\n\n/ms;
    for ($verbs ? map { /^  (\S+)/ } split /\n/, $verbs : '') {
        my @path = ($noun, length ? $_ : ());
        $verb{"@path"} = gbctl(@path, '--help')->{out};
    }
}
cmp_ok(scalar keys %verb, '>=', 40, 'the verbs of --help');


# what holds of every verb and option

for my $name (sort keys %verb) {
    my @path = split / /, $name;
    my $help = $verb{$name};
    next if $help =~ /: not yet supported$/m;
    my ($synopsis) = $help =~ /^Usage: gbctl \[OPTIONS\] \Q$name\E ?(.*)$/m;
    my ($mine) = $help =~ /^Options:\n(.*?)\n\n/ms;

    wrong([@path, '--nosuchthing'], 'unknown option "--nosuchthing".*');
    wrong([@path, '-Z'], 'unknown option "-Z"');
    wrong([@path, '--tenant'], 'option "--tenant" needs a value \(NAME\)');

    for (split /\n/, $mine // '') {
        my ($option, $value) = /^  (?:-\w, |    )--(\S+) ?(\S*)/ or next;
        if (length $value) {
            wrong([@path, "--$option"],
                qr/option "--$option" needs a value \(.+\)/);
        }
        else {
            wrong([@path, "--$option=x"],
                "option \"--$option\" takes no value");
        }
    }

    if ($help !~ /--dry-run/) {
        wrong([@path, '--dry-run'], "\"$name\" has no dry run");
    }
    if ($synopsis eq '') {
        wrong([@path, 'x'], 'unexpected argument "x"')
            if $name ne 'rollout create';
    }
    elsif ($synopsis !~ /^(?:\[|-)/) {
        wrong(\@path, '(?:arguments are missing: gbctl .*|no ids are given|.* missing.*|give .*)');
    }
}


# values that are none

wrong($_->[0], $_->[1]) for map {
    my ($line, $message) = @$_;
    [[map { s/^''$//r } split / /, $line], $message]
} (
    ['status -o xml', 'unknown output format "xml".*'],
    ['device list --sort colour', '.*"colour".*'],
    ['device list --limit x', 'option "--limit": "x" is not a number .*'],
    ['device list --limit -1', 'option "--limit": "-1" is not a number .*'],
    ['device list --filter feed=', '.+'],
    ['device list --filter', 'option "--filter" needs a value .*'],
    ['device set a', 'nothing is to be set.*'],
    ['device set a --mode fast', 'option "--mode": "fast" is none of .*'],
    ['device set a --poll-time 99', 'option "--poll-time": "99" is .*'],
    ['device set a --poll-time 24:00:00', 'option "--poll-time": .*'],
    ['device set a --tag x', 'option "--tag": "x" is neither .*'],
    ['device set a --tag +', 'option "--tag": "\+" is neither .*'],
    ['device set --feed x', '.*(?:missing|no ids).*'],
    ['device add a --mode x', 'option "--mode": "x" is none of .*'],
    ['device add a --token x --new-token', '--token and --new-token .*'],
    ['device assign a 1 --type hard', 'option "--type": "hard" is none .*'],
    ['device autoconfirm a maybe', '"maybe" is neither "on" nor "off"'],
    ['device token a', 'give one of .*'],
    ['device token a --new --clear', 'give one of .*'],
    ['device token a --set x', 'option "--set" takes only -.*'],
    ['device log a --action x', 'option "--action": "x" is not a .*'],
    ['device log a --action 0', 'option "--action": "0" is not a .*'],
    ['device log a -f -o csv', '--follow goes with .*'],
    ['device history a --limit x', 'option "--limit": "x" is not a .*'],
    ['rollout create', '--software is missing'],
    ['rollout create --software 1 --type x', 'option "--type": "x" is .*'],
    ['rollout create --software 1 --max-concurrent 0',
        'option "--max-concurrent": "0" is not .*'],
    ['rollout create --software 1 --deadline 5', '.*--deadline.*"5" is no duration.*'],
    (map { ["rollout create --software 1 $_",
        'option "--[a-z-]+" is not yet supported'] }
        '--stages 1%', '--advance-at 9%', '--soak 1h', '--abort-at 5%',
        '--abort-min 2', '--start now', '--retries 3', '--window x'),
    ['rollout devices 1 --state x', 'option "--state": "x" is none of .*'],
    ['software add', 'arguments are missing.*|.*'],
    ['software add x --sha256 12', 'option "--sha256": "12" is not 64 .*'],
    ['software add --url ftp://u:secret@h/x',
        'option "--url": neither http:// nor https://'],
    ['software verify', '.+'],
    ['tenant set x', 'nothing to set'],
    ['tenant set x --auth none', 'option "--auth": "none" is none of .*'],
    ['tenant set x --poll-time 0', 'option "--poll-time": "0" is not .*'],
    ['tenant set x --max-updates -1', 'option "--max-updates": .*'],
    ['tenant set x --gateway-token secret',
        'option "--gateway-token" takes only -.*'],
    ['tenant set x --new --no-gateway-token', 'give one of .*'],
    ['user add x --rights root', 'option "--rights": "root" is none of .*'],
    ['user add x --password s', 'option "--password" takes only -.*'],
    ['user set x', 'nothing is to be set.*'],
    ['audit list --since soon', 'option "--since": "soon" is neither .*'],
    ['audit list -f -o csv', '--follow goes with .*'],
);


# with -o json the same as a document

my $doc = decode_json(gbctl('device', 'set', 'a', '--mode', 'x', '-o',
    'json')->{err})->{error};
is($doc->{code}, 'usage', '-o json: code');
like($doc->{message}, qr/^option "--mode"/, '-o json: message');


# a database that goes away while a verb waits for it

my $s = stack(nginx => 0, fsync => 'off');
$s->sql("INSERT INTO goosebit.device (tenant_id, controller_id)
    VALUES (1, 'a')");

for (['-o', 'table'], ['-o', 'json']) {
    my $hold = Goosebit::Psql->new($s->env);
    $hold->query('BEGIN; SELECT FROM goosebit.device FOR UPDATE');
    my $killer = fork // die;
    if ($killer == 0) {
        $ENV{PGAPPNAME} = 'killer';
        my $sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'gbctl' AND wait_event_type = 'Lock'";
        wait_for { eval { defined $s->value($sql) } };
        POSIX::_exit(0);
    }
    my $r = $s->gbctl('device', 'set', 'a', '--feed', 'x', @$_);
    waitpid $killer, 0;
    is($r->{exit}, 3, "@$_: terminated: exit 3");
    like($r->{err}, $_->[1] eq 'json'
        ? qr/\A\{"error":\{"code":"unreachable","message":"[^"]+"\}\}\n\z/
        : qr/\Agbctl: lost the connection to the database(?:: .+)?\n\z/,
        "@$_: one line") or diag $r->{err};
    $hold->query('ROLLBACK');
}
is($s->value('SELECT feed FROM goosebit.device'), 'default',
    'nothing is half done');

done_testing;
