use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Proxy;
use Goosebit::Release;
use Goosebit::Swupdate;
use Goosebit::Test;

# Debian's swupdate is told to cancel: before it has fetched its deployment,
# while it downloads and installs, and when it has installed already.

my $s = stack(yaml => <<'YAML');
poll_time: 00:00:01
device_auth:
  enable: true
  mode: setup
YAML
my $releases = Goosebit::Release->new($s);


sub device {
    my ($id, $proxy) = @_;
    return Goosebit::Swupdate->new($s, $id, key => $releases->key,
        token => "token-of-$id", url => $proxy->url,
        suricatta => 'retry = 3; retrywait = 1;');
}


sub cancel {
    my ($id) = @_;
    my $r = $s->gbctl('device', 'cancel', $id);
    is($r->{exit}, 0, 'device cancel') or diag($r->{err});
}


# Cancelled, counted as such, held, and nothing left to do.
sub canceled {
    my ($device, $id, $rollout) = @_;

    ok(wait_for(sub {
        (($releases->action($id) // {})->{state} // '') eq 'canceled' }, 60),
        'the device has cancelled it') or diag($device->story);
    my $d = $releases->shown('device', $id);
    is($d->{state}, 'registered', 'the device is free');
    is($d->{sw_version}, '1.0.0', 'with its old version');
    like($s->gbctl('device', 'explain', $id)->{out}, qr/canceled/,
        'and held: an operator has cancelled');
    is($releases->shown('rollout', $rollout)->{running}, 0,
        'nothing is running');

    my $polls = () = $s->access_log =~ m{$id HTTP}g;
    ok(wait_for(sub { (() = $s->access_log =~ m{$id HTTP}g) > $polls + 1 },
        60), 'it goes on polling');
    is($s->value("select count(*) from goosebit.action a
        join goosebit.device d on d.id = a.device_id
        where d.controller_id = '$id'"), 1, 'and is not offered it again');
    $device->stop;
}


subtest 'before it has fetched the deployment' => sub {
    my $proxy = Goosebit::Proxy->new($s->port,
        hold => qr{^GET \S+/deploymentBase/\d+});
    my $device = device('early', $proxy);
    $releases->swu($device, '1.1.0');
    my $rollout = $releases->rollout('1.1.0');

    $device->start;
    ok(wait_for(sub { $proxy->seen(qr/^held /) }, 60), 'it is about to ask');
    cancel('early');
    $proxy->release;
    canceled($device, 'early', $rollout);
    unlike($s->access_log, qr{GET \S+/early/softwaremodules}, 'no download');
    ok(!-s $device->slot . '/firmware', 'nothing installed');
};


subtest 'while it downloads and installs' => sub {
    my $proxy = Goosebit::Proxy->new($s->port, rate => 500_000);
    my $device = device('amid', $proxy);
    $releases->swu($device, '1.2.0', size => 12_000_000);
    my $rollout = $releases->rollout('1.2.0');

    $device->start;
    ok(wait_for(sub { $proxy->seen(qr/^passed \d{6}/) }, 60),
        'in the middle of it') or diag($device->story);
    ok($releases->reaches('amid', 'running'), 'running');
    cancel('amid');
    canceled($device, 'amid', $rollout);
    is(scalar $proxy->seen(qr/^passed \d{8}/), 0,
        'the download was broken off');
};


# Asked at its next start, SWUpdate says yes to the cancel and no more about
# the update; what it has installed then comes with its attributes.
subtest 'when it has installed already' => sub {
    my $proxy = Goosebit::Proxy->new($s->port);
    my $device = device('late', $proxy);
    my $file = $releases->swu($device, '1.3.0');
    my $rollout = $releases->rollout('1.3.0');

    $device->start;
    $releases->installed($device, $file);
    cancel('late');
    is($releases->action('late')->{state}, 'cancelling', 'too late');

    $device->{version} = '1.3.0';
    $device->start(2);
    ok(wait_for(sub { $releases->shown('device', 'late')->{sw_version}
        eq '1.3.0' }, 60), 'its new version')
        or diag($device->story);
    is($releases->action('late')->{state}, 'canceled', 'it said yes');
    like($s->gbctl('device', 'explain', 'late')->{out}, qr/up_to_date/,
        'nothing is left to do');

    my $r = $releases->shown('rollout', $rollout);
    is($r->{running}, 0, 'nothing runs');
    is($r->{failure}, 0, 'nothing failed');
    $device->stop;
};


done_testing;
