use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Proxy;
use Goosebit::Release;
use Goosebit::Swupdate;
use Goosebit::Test;

# Debian's swupdate takes a download up again where its line was cut, or where
# the worker that served it died, and installs the bytes of the image.

my $s = stack(workers => 1, server => <<'CONF', yaml => <<'YAML');
location ~ /artifacts/ { goosebit; limit_rate 1m; }
CONF
poll_time: 00:00:01
device_auth:
  enable: true
  mode: setup
YAML
my $releases = Goosebit::Release->new($s);
my $proxy = Goosebit::Proxy->new($s->port, cut => 1_000_000, times => 2);
my $device = Goosebit::Swupdate->new($s, 'real-2', key => $releases->key,
    token => 'a-token-of-its-own', url => $proxy->url,
    suricatta => 'retry = 20; retrywait = 1;');


# How its requests for the artifact began and ended: status and bytes.
sub downloads {
    my ($version) = @_;
    return $s->access_log =~
        m{"GET \S+/artifacts/image-\Q$version\E\.swu [^"]*" (\d+) (\d+)}g;
}


# Starts it, waits for the reboot, starts it again: all as it should be?
sub installs {
    my ($version, $file, $meanwhile) = @_;
    my $id = $releases->rollout($version);

    $device->start;
    $meanwhile->() if $meanwhile;
    $releases->installed($device, $file, "$version: installed");

    $device->{version} = $version;
    $device->start(2);
    ok($releases->reaches('real-2', 'finished'), 'reported at the next start');
    is($releases->shown('device', 'real-2')->{sw_version}, $version,
        'its version');
    is($releases->shown('rollout', $id)->{success}, 1, 'counted once');
    is($s->value("select count(*) from goosebit.action a
        join goosebit.software o on o.id = a.software_id
        where o.version = '$version'"), 1, 'in one attempt');
    $device->stop;
}


subtest 'a line that is cut twice' => sub {
    my $file = $releases->swu($device, '1.1.0', size => 3_000_000);
    installs('1.1.0', $file);

    is(scalar $proxy->seen(qr/^cut /), 2, 'cut twice');
    my @got = downloads('1.1.0');
    my @partial = grep { $got[$_ * 2] == 206 } 0 .. $#got / 2;
    cmp_ok(scalar @partial, '>=', 2, 'went on with Range requests');
    is($got[0], 200, 'after a first one for all of it');
};


subtest 'a worker that is killed' => sub {
    my $file = $releases->swu($device, '1.2.0', size => 3_000_000);
    my $line = Goosebit::Proxy->new($s->port);
    my ($worker) = $s->workers;

    $s->allow_log(qr/worker process \d+ exited on signal 9/);
    $device->{url} = $line->url;
    installs('1.2.0', $file, sub {
        ok(wait_for(sub { $line->seen(qr/^passed \d{6}/) }, 60),
            'in the middle of the download');
        kill KILL => $worker;
        ok(wait_for(sub { grep { $_ != $worker } $s->workers }),
            'another worker');
    });

    my @got = downloads('1.2.0');
    ok((grep { $got[$_ * 2] == 206 } 0 .. $#got / 2), 'a Range request');
};


$proxy->stop;
done_testing;
