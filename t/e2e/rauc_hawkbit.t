use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Release;
use Goosebit::Test;

# PyPI's rauc-hawkbit 0.2.0, its own program: it polls, downloads, lets RAUC
# install and reports. In place of RAUC's service stands a small one of ours
# on a private bus, which verifies bundles with the real rauc.

# What it stands on comes as wheels, which were made for Pythons to 3.11.
plan skip_all => 'Python is newer than this client'
    if system(qw(/usr/bin/python3 -c),
        'import sys; sys.exit(sys.version_info >= (3, 12))') != 0;

my $build = run(['t/e2e/clients/build', 'rauc-hawkbit'], timeout => 600);
plan skip_all => $build->{err} if $build->{exit} == 77;
die $build->{err} if $build->{exit};
chomp(my $program = $build->{out});

my $s = stack(fsync => 'off', yaml => <<'YAML');
poll_time: 00:00:01
device_auth:
  enable: true
  mode: setup
YAML
my $releases = Goosebit::Release->new($s);
my $dir = tempdir();
my %pid;


# Starts a program with its output in DIR/NAME.log.
sub start {
    my ($name, @cmd) = @_;

    $pid{$name} = fork // die "fork: $!\n";
    if ($pid{$name} == 0) {
        $ENV{DBUS_SYSTEM_BUS_ADDRESS} = "unix:path=$dir/bus";
        $ENV{PYTHONUNBUFFERED} = 1;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$dir/$name.log";
        open STDERR, '>&', \*STDOUT;
        exec @cmd;
        die "$cmd[0]: $!\n";
    }
}


sub stop {
    for my $name (@_) {
        my $pid = delete $pid{$name} // next;
        kill TERM => $pid;
        if (!wait_for { waitpid($pid, 1) != 0 } 10) {
            kill KILL => $pid;
            waitpid $pid, 0;
        }
    }
}


END {
    local $?;
    stop(keys %pid);
}


sub said { -e "$dir/$_[0].log" ? slurp("$dir/$_[0].log") : '' }


# client(ID, TOKEN)
sub client {
    my ($id, $token) = @_;
    my $host = $s->url =~ s{^https?://}{}r;

    spew("$dir/client.cfg", <<"CFG");
[client]
hawkbit_server = $host
ssl = false
tenant_id = DEFAULT
target_name = $id
auth_token = $token
mac_address = 02:00:00:00:00:01
bundle_download_location = $dir/bundle.raucb
log_level = debug
CFG
    start('client', $program, '-c', "$dir/client.cfg");
}


sub image_digest {
    my ($file) = @_;
    my $out = "$dir/extracted";
    run(['rm', '-rf', $out]);
    run(['rauc', '--keyring', $releases->key . '/cert.pem', 'extract', $file,
        $out]);
    return $releases->digest("$out/rootfs.img");
}


spew("$dir/bus.conf", <<"CONF");
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=$dir/bus</listen>
  <policy context="default">
    <allow user="*"/> <allow own="*"/>
    <allow send_type="*"/> <allow receive_type="*"/>
  </policy>
</busconfig>
CONF
start('bus', 'dbus-daemon', '--nofork', "--config-file=$dir/bus.conf");
ok(wait_for(sub { -S "$dir/bus" }, 30), 'a bus of its own');
start('rauc', 't/e2e/clients/rauc-hawkbit/rauc-service', $dir,
    $releases->key . '/cert.pem');
ok(wait_for(sub { said('rauc') =~ /^ready/m }, 30), 'an installer')
    or diag(said('rauc'));

# It reports no hardware: that is "default".
my $file = $releases->raucb('1.1.0', compatible => 'default');
my $rollout;

subtest 'registration' => sub {
    client('rauc-1', 'a-token-of-its-own');
    ok($releases->reaches('rauc-1', 'registered'), 'it is registered')
        or diag(said('client'));
    my $d = $releases->shown('device', 'rauc-1');
    is($d->{attributes}{MAC}, '02:00:00:00:00:01', 'with its attribute');
    is("$d->{hw_model} $d->{hw_revision}", 'default default', 'hardware');
    is($d->{auth}, 'token', 'its first token is stored');
};


subtest 'an update' => sub {
    $rollout = $releases->rollout('1.1.0');
    ok($releases->reaches('rauc-1', 'finished'), 'finished')
        or diag(said('client'), said('rauc'));

    is($releases->digest("$dir/slot"), image_digest($file),
        'the image of the bundle is installed');
    my $d = $releases->shown('device', 'rauc-1');
    is("$d->{sw_version} $d->{progress}", '1.1.0 100', 'version, progress');
    is($releases->shown('rollout', $rollout)->{success}, 1, 'counted once');
    is($s->value('select count(*) from goosebit.action'), 1, 'one action');

    my $log = $s->gbctl(qw(device log rauc-1))->{out};
    like($log, qr/Checking bundle.*Copying image.*completed with result: 0/s,
        'the log of RAUC');
    unlike(said('client'), qr/Polling failed|exception/i,
        'nothing went wrong for it');
};


subtest 'an installation that fails' => sub {
    spew("$dir/fail", '');
    $releases->raucb('1.2.0', compatible => 'default');
    my $id = $releases->rollout('1.2.0');

    ok($releases->reaches('rauc-1', 'error'), 'error')
        or diag(said('client'), said('rauc'));
    unlink "$dir/fail";
    is($releases->shown('device', 'rauc-1')->{sw_version}, '1.1.0',
        'the old version');
    is($releases->shown('rollout', $id)->{failure}, 1, 'counted once');
    like($s->gbctl(qw(device log rauc-1))->{out},
        qr/Failed updating slot.*result: 1/s, 'with RAUC\'s words');
};


subtest 'a cancel, which it always refuses' => sub {
    spew("$dir/hold", '');
    $file = $releases->raucb('1.3.0', compatible => 'default');
    $rollout = $releases->rollout('1.3.0');

    ok($releases->reaches('rauc-1', 'running'), 'it begins');
    ok(wait_for(sub { $s->gbctl(qw(device log rauc-1))->{out}
        =~ /Copying image/ }, 60), 'and is in the middle of it');
    is($s->gbctl(qw(device cancel rauc-1))->{exit}, 0, 'device cancel');
    ok(wait_for(sub { said('client') =~ /Rejecting cancelation/ }, 60),
        'it is asked') or diag(said('client'));
    ok(wait_for(sub { $releases->action('rauc-1')->{state} eq 'running' }, 60),
        'and goes on');

    my $asked = () = said('client') =~ /Rejecting cancelation/g;
    my $polls = () = $s->access_log =~ m{rauc-1 HTTP}g;
    ok(wait_for(sub { (() = $s->access_log =~ m{rauc-1 HTTP}g) > $polls + 1 },
        60), 'it polls on');
    is(scalar(() = said('client') =~ /Rejecting cancelation/g), $asked,
        'and is not asked again');

    unlink "$dir/hold";
    ok($releases->reaches('rauc-1', 'finished'), 'to the end')
        or diag(said('client'), said('rauc'));
    is($releases->digest("$dir/slot"), image_digest($file), 'installed');
    is($releases->shown('rollout', $rollout)->{success}, 1, 'counted');
};


subtest 'a wrong token' => sub {
    stop('client');
    my $before = $s->value("select count(*) from goosebit.action_status");
    client('rauc-1', 'a-wrong-token');
    ok(wait_for(sub { said('client') =~
        /Polling failed with a temporary error: 401/ }, 60), 'is refused')
        or diag(said('client'));
    is($s->value("select count(*) from goosebit.action_status"), $before,
        'nothing has changed');
};


stop(qw(client rauc bus));
done_testing;
