use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

# README's first command, as a newcomer runs it.

my $tmp = tempdir();

for my $serve (1, 0) {
    my $dir = "$tmp/demo-$serve";
    my $r = run(['ci/demo', '--dir', $dir, $serve ? '--serve' : ()],
        timeout => 300);
    my $out = $r->{out};

    is($r->{exit}, 0, 'ci/demo' . ($serve ? ' --serve' : ''))
        or diag($out, $r->{err});
    like($out, qr/demo-board/, 'shows the software');
    like($out, qr/rollout watch/, 'watches the rollout');
    like($out, qr/device log/, 'shows the log');
    like($out, qr/Update Installed/, 'with what the device said');

    my ($image) = $out =~ /^in the image +([0-9a-f]{64})$/m;
    my ($device) = $out =~ /^on the device ([0-9a-f]{64})  (\S+)$/m;
    is($device, $image, 'the device has the bytes of the image');
    isnt($image, undef, 'digest shown');
    is(slurp("$dir/device/slot/version"), "1.1.0\n", 'its script ran');

    my %env = map { /^(\w+)=(.*)$/ ? ($1, $2) : () }
        split /\n/, run(['ci/stack', 'env', "$dir/server"])->{out};

    if ($serve) {
        ok(kill(0, $env{NGINX_PID}), 'the server goes on');
        my $http = Goosebit::HTTP->new(port => $env{GB_STACK_PORT});
        is($http->request('GET', '/status')->{status}, 200, 'and answers');
    } else {
        is("$env{NGINX_PID}$env{PG_PID}", '', 'no server is left');
    }

    my $pid = slurp("$dir/device/swupdate.pid") =~ s/\n//r;
    ok(wait_for(sub { !readlink "/proc/$pid/exe" }), 'no device is left');
    is(run(['ci/stack', 'down', "$dir/server"])->{exit}, 0, 'down');
    ok(!-e "$dir/server", 'the server is gone');
}

my $r = run(['ci/demo', '--port']);
isnt($r->{exit}, 0, 'an option without its value');
is(run(['ci/demo', '--nonsense'])->{exit}, 2, 'an unknown option');
$r = run(['ci/demo', '--dir', "$tmp/a demo"]);
is($r->{exit}, 2, 'a directory that SWUpdate can\'t work in');
like($r->{err}, qr/without blanks/, 'is refused');
ok(!-e "$tmp/a demo", 'before anything is done');
$r = run(['ci/demo', '--port', 'x']);
isnt($r->{exit}, 0, 'no port');
my ($made) = $r->{err} =~ m{(/tmp/goosebit-demo\.\w+)/};
ok($made && !-e $made, 'leaves no directory') or diag($r->{err});

done_testing;
