#!/usr/bin/perl
# The loads of the benchmarks say what happened: as many requests as were
# wanted, each latency from the moment the request was due, and what failed.
use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

use JSON::PP;

my $s = stack(workers => 1,
    http => "goosebit_cache zone=fleet:1m;\n"
        . "limit_req_zone \$server_port zone=slow:32k rate=50r/s;\n",
    server => q{
    location /slow/ { goosebit; limit_req zone=slow burst=1000; }
});
my @at = $s->url =~ m{^http://([^:/]+):(\d+)};
my $ddi = '/DEFAULT/controller/v1/f';


# Of gbpoll.
sub load {
    my (@args) = @_;
    my @range = $args[0] eq '-r' ? splice(@args, 0, 2) : ();
    my $r = run(['build/tools/gbpoll', @range, @at, @args]);
    is($r->{exit}, 0, "gbpoll @args") or diag($r->{err});
    return decode_json($r->{out});
}


sub polls {
    my $polls = $s->get('/status')->{json}{polls};
    my $n = 0;
    $n += $_ for values %$polls;
    return $n;
}


my $before = polls();
my $r = load(20, 2, 200, $ddi, 50);
cmp_ok(abs($r->{requests} - 400), '<', 120, '200 a second') or diag(explain($r));
is($r->{failed}, 0, 'all were answered');
is(polls() - $before, $r->{requests}, 'NGINX has counted as many');
cmp_ok($r->{distinct}, '>', 40, 'of nearly all devices');

$r = load(1, 2, 100, "/slow$ddi", 50);
cmp_ok($r->{p99_ms}, '>', 300,
    'what waits for a connection is late by that, too') or diag(explain($r));

$before = polls();
$r = load(2, 1, 0, $ddi, 30, 10);
cmp_ok($r->{requests}, '>', 100, 'as fast as it can');
is($r->{distinct}, 30, 'in order, all of them');
is(polls() - $before, $r->{requests}, 'and NGINX has counted them');

$r = load(2, 0.2, 0, '/nowhere', 10);
is($r->{failed}, $r->{requests}, 'what is not 200 has failed');

# being stopped for a moment is no failure
is(run(['sh', '-c', '"$@" & for i in 1 2 3 4 5; do sleep 0.1; kill -STOP $!;'
    . ' kill -CONT $!; done; wait $!', 'sh', 'build/tools/gbpoll', @at, 2, 1,
    10, $ddi, 50])->{exit}, 0, 'stopped for moments: goes on');

# gbload takes devices through an update, and says where there is none
my $image = tempdir() . '/a.swu';
is(run(['build/tools/gbload', 'register', @at, 3, 2, 'u', 'm'])->{exit}, 0,
    'devices register');
system('t/lib/fixtures/make-swu', '-o', $image, '-V', '2.0.0', '-H', 'm:1.0');
$s->gbctl('software', 'add', $image);
$s->gbctl(qw(rollout create --software 2.0.0));
for ([0, 3, 12], [1, 0, 3]) {
    my ($exit, $done, $requests) = @$_;
    $r = run(['build/tools/gbload', 'cycle', @at, 3, 2, 'u']);
    is($r->{exit}, $exit, 'a cycle') or diag($r->{err});
    $r = decode_json($r->{out});
    is_deeply([@$r{qw(done requests)}], [$done, $requests],
        "takes $done of them to a new version");
}
is($s->value("select count(*) from goosebit.device where hw_model = 'm' and"
    . " sw_version = '2.0.0'"), 3, 'which all have');

done_testing;
