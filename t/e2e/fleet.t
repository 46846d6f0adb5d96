use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Fleet;
use Goosebit::Test;

# A fleet of 5,000 devices goes through a rollout over HTTP, with failures,
# broken downloads and a bound on concurrent updates: every count is exact.

my $s = stack(fsync => 'off', yaml => <<'YAML');
poll_time: 00:00:02
max_concurrent_updates: 300
YAML
my $f = Goosebit::Fleet->new($s);
my $n = 5000;

$s->gbctl('rollout', 'create', '--software', $f->software('1.0.0',
    'board:1.0'));

# The most that was open at a time, as the database sees it.
my $most = 0;
my $file = tempdir() . '/most';
my $watch = fork // die "fork: $!\n";
if ($watch == 0) {
    my $psql = $s->psql;
    while (getppid != 1) {
        my $open = $psql->query('SELECT count(*) FROM goosebit.action
            WHERE ended_at IS NULL');
        $most = $open if $open > $most;
        spew($file, $most);
        sleep 0.2;
    }
    POSIX::_exit(0);
}

my $r = $s->gbctl({ timeout => 600 }, 'simulate', '--devices', $n,
    '--until-done', '--duration', '9m', '--fail', '7%', '--interrupt', '20%',
    '--tokens', '-o', 'json');
kill KILL => $watch;
waitpid $watch, 0;

is($r->{exit}, 0, 'the fleet is through') or diag($r->{err});
my $d = $r->{json};
diag("$d->{seconds} s, $d->{requests_per_second} requests/s, polls: p50 "
    . "$d->{poll_p50_us} us, p99 $d->{poll_p99_us} us");

is("$d->{errors} $d->{refused} $d->{damaged}", '0 0 0', 'without an error');
is($d->{registered}, $n, 'every device registered');
is($d->{success} + $d->{failure}, $n, 'and ended one update');
cmp_ok($d->{failure}, '>', $n * 0.04, 'some failed');
cmp_ok($d->{failure}, '<', $n * 0.10, 'not too many');
cmp_ok($d->{resumed}, '>', $n * 0.1, 'downloads broke off and went on');

my ($rollout) = @{$s->gbctl(qw(rollout list -o json))->{json}};
is_deeply([@$rollout{qw(targeted success failure waiting running)}],
    [$n, $d->{success}, $d->{failure}, 0, 0], 'the server counts the same');
is($rollout->{state}, 'finished', 'the rollout is finished');
is($s->value('SELECT count(*) FROM goosebit.action'), $n, 'an action each');
is($s->value("SELECT count(*) FROM goosebit.action_status
    WHERE execution = 'closed'"), $n, 'each ended once');
cmp_ok(slurp($file), '<=', 300, 'never more than the bound');

done_testing;
