use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

# ci/shake: what it runs stands still now and then, and is reported.

my $stood = slurp('/proc/self/cgroup') =~ m{/shake[.]};
my ($groups) = grep { -w "$_/cgroup.procs" } qw(/sys/fs/cgroup/pids
    /sys/fs/cgroup);
plan(skip_all => 'no control groups that may be written')
    if !defined $groups;
plan(skip_all => 'shaken itself') if $stood;

my $dir = tempdir;

# A test of one assertion, which is said to fail by its name.
sub shaken {
    my ($name, $code, @options) = @_;
    spew("$dir/$name.t", $code);
    my $r = run(['ci/shake', @options, "$dir/$name.t"]);
    ($r->{log}) = $r->{out} =~ /^# (\S+)$/m;
    return $r;
}

my $r = shaken(well => <<'PERL', qw(--rounds 2 --jobs 1 --every 5 --longest 200));
# A child that does nothing but be there; it is seen to be stopped.
my $pid = fork // die;
if (!$pid) { sleep 1 while 1 }
my $until = time + 20;
my $seen;
until ($seen || time > $until) {
    open my $stat, '<', "/proc/$pid/stat" or die;
    $seen = <$stat> =~ /\) T /;
    select undef, undef, undef, 0.005;
}
kill KILL => $pid;
print "1..1\n", $seen ? '' : 'not ', "ok 1\n";
PERL
is($r->{exit}, 0, 'a test that passes');
is($r->{out} =~ s{\Q$dir/\E}{}gr,
    "1..2\nok 1 - well.t, seed 1\nok 2 - well.t, seed 2\n",
    'its processes were stopped and went on, in each round');

$r = shaken(stood => <<'PERL', qw(--rounds 1 --every 5 --longest 20));
# A child that the test has stopped itself stays so.
my $pid = fork // die;
if (!$pid) { kill STOP => $$; exit }
my $stat = sub { open my $f, '<', "/proc/$pid/stat" or die; <$f> };
select undef, undef, undef, 0.01 until $stat->() =~ /\) T /;
select undef, undef, undef, 1;
print "1..1\n", $stat->() =~ /\) T / ? '' : 'not ', "ok 1\n";
kill KILL => $pid;
PERL
is($r->{exit}, 0, 'what stands still already is left alone')
    or diag(slurp($r->{log}));

$r = shaken(terminal => <<'PERL', qw(--rounds 1 --every 5 --longest 20));
# script(1) stops itself when what it runs is stopped, for good.
my $rc = system q{timeout -s KILL 10 script -qec 'sleep 1' /dev/null} .
    ' </dev/null >/dev/null';
print "1..1\n", $rc == 0 ? '' : 'not ', "ok 1\n";
PERL
is($r->{exit}, 0, 'nor is what runs on a terminal stopped')
    or diag(slurp($r->{log}));

$r = shaken(ill => q{print "1..1\nnot ok 1 - a thing\n"; exit 1},
    qw(--rounds 1 --seed 7));
is($r->{exit}, 1, 'a test that fails: exit 1');
like($r->{out}, qr{^not ok 1 - \Q$dir\E/ill[.]t, seed 7$}m, 'says which');
like(slurp($r->{log}), qr/a thing|Failed test/, 'and keeps what it printed');

$r = shaken(over => <<'PERL', qw(--rounds 1));
my $pid = fork // die;
if (!$pid) { close STDOUT; close STDERR; sleep 15; exit }
print "1..1\nok 1\n";
PERL
is($r->{exit}, 1, 'a test that leaves a process behind fails');
like(slurp($r->{log}), qr/^# it left processes behind: \d+$/m,
    'and its pid is told');

$r = run(['ci/shake']);
is($r->{exit}, 2, 'no test: exit 2');
like($r->{err}, qr/^usage: ci\/shake/, 'with its usage');

unlink glob 'build/shake/*_{well,ill,over}.t.*';

done_testing;
