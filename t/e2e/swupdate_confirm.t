use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Release;
use Goosebit::Swupdate;
use Goosebit::Test;

# Debian's swupdate knows nothing of confirmation: it waits while an action
# does, and begins when an operator says so. Its installer is late here, as on a
# busy machine: it is waited for, though it says at first that it is idle.

my $s = stack(yaml => <<'YAML');
poll_time: 00:00:01
device_auth:
  enable: true
  mode: setup
YAML
my $releases = Goosebit::Release->new($s);
my $device = Goosebit::Swupdate->new($s, 'real-4', key => $releases->key,
    token => 'a-token-of-its-own', late => 1500);


sub state { ($releases->action('real-4') // {})->{state} // '' }


# Waits for more polls of the device, all answered with 200.
sub polls {
    my $answers = sub { () = $s->access_log =~ m{real-4 HTTP[^"]*" 200 }g };
    my $before = $answers->();
    return wait_for { $answers->() > $before + 2 } 60;
}


my $file = $releases->swu($device, '1.1.0');
my $rollout = $releases->rollout('1.1.0', '--confirm');

$device->start;
ok(wait_for(sub { state() eq 'awaiting_confirmation' }, 60), 'it waits')
    or diag($device->story);
ok(polls(), 'and polls on');
is(state(), 'awaiting_confirmation', 'and waits');
unlike($s->access_log, qr/artifacts/, 'nothing was downloaded');

my $r = $s->gbctl(qw(device confirm real-4));
is($r->{exit}, 0, 'device confirm') or diag($r->{err});
$releases->installed($device, $file);
like($device->log, qr/^late by 1500 ms$/m, 'though its installer was late');
$device->{version} = '1.1.0';
$device->start(2);
ok($releases->reaches('real-4', 'finished'), 'reported');
is($releases->shown('rollout', $rollout)->{success}, 1, 'counted');

# The next one is denied, and not offered again.
$releases->swu($device, '1.2.0');
$rollout = $releases->rollout('1.2.0', '--confirm');
ok(wait_for(sub { state() eq 'awaiting_confirmation' }, 60), 'it waits');
$r = $s->gbctl(qw(device deny real-4));
is($r->{exit}, 0, 'device deny') or diag($r->{err});
ok(polls(), 'it polls on');
isnt(state(), 'awaiting_confirmation', 'the action is over');
is($releases->shown('rollout', $rollout)->{running}, 0, 'nothing runs');
is($releases->shown('device', 'real-4')->{sw_version}, '1.1.0',
    'the version stays');
$device->stop;

done_testing;
