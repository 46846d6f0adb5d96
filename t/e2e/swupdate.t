use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA;
use Goosebit::Test;
use Goosebit::Swupdate;

# Debian's own swupdate daemon takes updates from rollouts made with gbctl: one
# that installs, one that fails.

my $s = stack(yaml => <<'YAML');
poll_time: 00:00:01
device_auth:
  enable: true
  mode: setup
YAML
my $images = tempdir();
my $device = Goosebit::Swupdate->new($s, 'real-1', key => $images,
    token => 'a-token-of-its-own');

is(run(['t/lib/fixtures/make-key', $images])->{exit}, 0, 'signing key');


sub image {
    my ($version, $exit) = @_;
    my $file = "$images/image-$version.swu";
    spew("$images/script", "#!/bin/sh\nexit $exit\n");
    my $r = run(['t/lib/fixtures/make-swu', '-o', $file, '-V', $version,
        '-H', 'test-board:rev1', '-s', 1_500_000, '-p',
        $device->slot . '/firmware', '-S', "$images/script", '-k', $images]);
    is($r->{exit}, 0, "image $version") or diag($r->{err});
    return $file;
}


# Adds the image and makes it the rollout of the feed.
sub rollout {
    my ($version, $file) = @_;
    my $r = $s->gbctl('software', 'add', $file);
    is($r->{exit}, 0, "software add $version") or diag($r->{err});
    $r = $s->gbctl('rollout', 'create', '--software', $version);
    is($r->{exit}, 0, "rollout create $version") or diag($r->{err});
    my ($newest) = sort { $b->{id} <=> $a->{id} }
        @{$s->gbctl(qw(rollout list -o json))->{json}};
    return $newest->{id};
}


sub shown {
    my ($noun, $id) = @_;
    return $s->gbctl($noun, 'show', $id, '-o', 'json')->{json} // {};
}


sub digest { Digest::SHA->new(256)->addfile($_[0])->hexdigest }


my $good = image('1.1.0', 0);
my $id = rollout('1.1.0', $good);

$device->start;
ok($device->rebooted, 'swupdate installed and asked for a reboot')
    or diag(substr $device->log, -3000);

my $image = run(['cpio', '-i', '--quiet', '--to-stdout', 'firmware.img'],
    stdin => slurp($good))->{out};
is(digest($device->slot . '/firmware'), Digest::SHA::sha256_hex($image),
    'the device has the bytes of the image');

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
    'the next start reports success') or diag(substr $device->log, -3000);
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
$id = rollout('1.2.0', image('1.2.0', 1));
ok(wait_for(sub { shown('device', 'real-1')->{state} eq 'error' }, 60),
    'a failing script is reported') or diag(substr $device->log, -3000);
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
