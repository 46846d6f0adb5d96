use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Release;
use Goosebit::Swupdate;
use Goosebit::Test;

# Debian's swupdate with a wrong token changes nothing and learns nothing;
# with the right one it is updated.

my $s = stack(yaml => <<'YAML');
poll_time: 00:00:01
device_auth:
  enable: true
  mode: strict
YAML
my $releases = Goosebit::Release->new($s);
my $device = Goosebit::Swupdate->new($s, 'real-3', key => $releases->key,
    token => 'a-wrong-token');


# Answers to its requests so far, one of each kind.
sub statuses {
    my %seen = map { $_ => 1 } $s->access_log =~ m{HTTP/1\.1" (\d+) }g;
    return join ' ', sort keys %seen;
}


# All the database knows of devices, but the times of its clocks.
sub known {
    return join "\n", map { join '|', map { $_ // '' } @$_ }
        $s->sql('select * from goosebit.device order by id'),
        $s->sql('select * from goosebit.action order by id');
}


my $r = $s->gbctl(qw(device add real-3 --token the-right-token));
is($r->{exit}, 0, 'device add') or diag($r->{err});
my $file = $releases->swu($device, '1.1.0');
my $rollout = $releases->rollout('1.1.0');

subtest 'a wrong token' => sub {
    my $before = known();

    $device->start;
    ok(wait_for(sub { (() = $s->access_log =~ /" 401 /g) > 2 }, 60),
        'it asks, and asks again') or diag($device->story);
    $device->stop;
    is(statuses(), '401', 'and is always refused');
    is(known(), $before, 'nothing has changed');
    is($releases->shown('device', 'real-3')->{last_seen}, undef,
        'it has not been seen');
};


subtest 'an id that is not known' => sub {
    my $stranger = Goosebit::Swupdate->new($s, 'stranger',
        key => $releases->key, token => 'the-right-token');
    my $before = known();

    $stranger->start;
    ok(wait_for(sub { (() = $s->access_log =~ /stranger HTTP[^"]*" 401 /g) > 1
        }, 60), 'asks') or diag($stranger->story);
    $stranger->stop;
    is(statuses(), '401', 'and is refused');
    is(known(), $before, 'no device more');
};


subtest 'the right token' => sub {
    $device->{token} = 'the-right-token';
    $device->start;
    $releases->installed($device, $file);
    $device->{version} = '1.1.0';
    $device->start(2);
    ok($releases->reaches('real-3', 'finished'), 'reported');
    is($releases->shown('rollout', $rollout)->{success}, 1, 'counted');
};


# A token that is changed while the device runs shuts it out, and a start with
# the new one lets it in.
subtest 'another token' => sub {
    my $lines = () = $s->access_log =~ /" 401 /g;

    $r = $s->gbctl({ stdin => "another-token\n" },
        qw(device token real-3 --set -));
    is($r->{exit}, 0, 'device token') or diag($r->{err});
    ok(wait_for(sub { (() = $s->access_log =~ /" 401 /g) > $lines + 1 }, 60),
        'the old one is refused');
    $device->stop;

    my $ok = () = $s->access_log =~ m{real-3 HTTP[^"]*" 200 }g;
    $device->{token} = 'another-token';
    $device->start;
    ok(wait_for(sub {
        (() = $s->access_log =~ m{real-3 HTTP[^"]*" 200 }g) > $ok + 1 }, 60),
        'the new one is let in');
    $device->stop;
};


subtest 'a gateway\'s token' => sub {
    my $gateway = Goosebit::Swupdate->new($s, 'gw-1', key => $releases->key,
        suricatta => 'gatewaytoken = "the-gateways-token";');
    my $answered = sub {
        my ($status) = @_;
        return () = $s->access_log =~ m{gw-1 HTTP[^"]*" $status }g;
    };

    $gateway->start;
    ok(wait_for(sub { $answered->(401) > 0 }, 60), 'nobody knows it yet');
    $gateway->stop;

    $r = $s->gbctl({ stdin => "the-gateways-token\n" }, qw(tenant set DEFAULT
        --gateway-token - --gateway-prefix gw-));
    is($r->{exit}, 0, 'tenant set') or diag($r->{err});
    # the firmware goes where the image says: where the other device's is
    unlink $device->slot . '/firmware';
    $gateway->start;
    ok($gateway->rebooted, 'installed') or diag($gateway->story);
    is($releases->digest($device->slot . '/firmware'),
        $releases->firmware_digest($file), 'the bytes of the image')
        or diag($gateway->story);
    is($releases->shown('device', 'gw-1')->{state}, 'running', 'registered');

    my $other = Goosebit::Swupdate->new($s, 'other-1', key => $releases->key,
        suricatta => 'gatewaytoken = "the-gateways-token";');
    $other->start;
    ok(wait_for(sub { $s->access_log =~ m{other-1 HTTP[^"]*" 401 } }, 60),
        'an id without its prefix is refused');
    $other->stop;
    is($s->value("select count(*) from goosebit.device
        where controller_id = 'other-1'"), 0, 'and not registered');
};


done_testing;
