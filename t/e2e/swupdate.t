use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Release;
use Goosebit::Swupdate;
use Goosebit::Test;

# Debian's own swupdate daemon takes updates from rollouts made with gbctl: one
# that installs, one that fails.

my $s = stack(yaml => <<'YAML');
poll_time: 00:00:01
device_auth:
  enable: true
  mode: setup
YAML
my $releases = Goosebit::Release->new($s);
my $device = Goosebit::Swupdate->new($s, 'real-1', key => $releases->key,
    token => 'a-token-of-its-own');


sub shown { $releases->shown(@_) }


my $good = $releases->swu($device, '1.1.0', size => 1_500_000);
my $id = $releases->rollout('1.1.0');

$device->start;
$releases->installed($device, $good);

my $d = shown('device', 'real-1');
is($d->{state}, 'running', 'not closed before the new start');
is($d->{sw_version}, '1.0.0', 'and no other version yet');
is($d->{hw_model}, 'test-board', 'hardware model');
is($d->{hw_revision}, 'rev1', 'hardware revision');
is($d->{auth}, 'token', 'its first token is stored');
is(shown('rollout', $id)->{running}, 1, 'the rollout counts it as running');
is(scalar(my @finished = $s->sql("select 1 from goosebit.action
    where state = 'finished'")), 0, 'no action finished');

$device->{version} = '1.1.0';
$device->start(2);
ok(wait_for(sub { shown('device', 'real-1')->{state} eq 'finished' }, 60),
    'the next start reports success') or diag($device->story);
$d = shown('device', 'real-1');
is($d->{sw_version}, '1.1.0', 'the new version');
is($d->{progress}, 100, 'progress');

my $r = shown('rollout', $id);
is($r->{success}, 1, 'success counted once');
is($r->{running}, 0, 'nothing running');
is($r->{failure}, 0, 'no failure');

my $log = $s->gbctl('device', 'log', 'real-1');
like($log->{out}, qr/Installing Update Chunk Artifacts/, 'log of the start');
like($log->{out}, qr/Update Installed/, 'log of the end');

# The daemon goes on polling and takes the next one, whose script fails.
$releases->swu($device, '1.2.0', size => 1_500_000, exit => 1);
$id = $releases->rollout('1.2.0');
ok(wait_for(sub { shown('device', 'real-1')->{state} eq 'error' }, 60),
    'a failing script is reported') or diag($device->story);
is(shown('device', 'real-1')->{sw_version}, '1.1.0', 'the version stays');
is(shown('rollout', $id)->{failure}, 1, 'failure counted once');
like($s->gbctl('device', 'explain', 'real-1')->{out}, qr/held_after_error/,
    'it is held');

my $attempts = sub {
    $s->value('select count(*) from goosebit.action');
};
my $before = $attempts->();
my $polls = () = $s->access_log =~ m{real-1 HTTP}g;
ok(wait_for(sub { (() = $s->access_log =~ m{real-1 HTTP}g) > $polls + 2 }, 60),
    'it goes on polling');
is($attempts->(), $before, 'and is not offered the same again');

$device->stop;
done_testing;
