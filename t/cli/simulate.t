#!/usr/bin/perl
# gbctl simulate: a fleet over HTTP. What it says of itself is what the
# database has counted.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Fleet;
use Goosebit::Test;

my $s = stack(fsync => 'off', yaml => <<'YAML');
poll_time: 00:00:01
device_auth:
  enable: true
  mode: setup
YAML
my $f = Goosebit::Fleet->new($s);

sub simulate { $s->gbctl('simulate', '-o', 'json', @_) }


# what is no option: 2, and nothing is asked

for (
    [['--devices', '0'], qr/"0" is not a number from 1/],
    [['--fail', '101%'], qr/"101%" is not a number from 0 to 100%/],
    [['--rate', 'x'], qr/"x" is not a number/],
    [['--duration', '5d'], qr/"5d" is not 90s/],
    [['--prefix', 'a/b'], qr/"a\/b" may have letters/],
    [['--url', 'ftp://x'], qr/no http/],
    [['--gateway-token', 'secret'], qr/takes only -/],
    [['--tokens', '--gateway-token', '-'], qr/either/],
) {
    my ($args, $like) = @$_;
    my $r = $s->gbctl('simulate', @$args);
    is($r->{exit}, 2, "@$args: exit 2");
    like($r->{err}, $like, "@$args: says why");
}

my $r;
for my $url ('http://127.0.0.1:1', 'HTTP://127.0.0.1:1') {
    $r = simulate('--url', $url, '--duration', '1');
    is($r->{exit}, 1, "$url: nobody there: exit 1");
    like($r->{err}, qr/"code":"unreachable"/, "$url: and says so");
}


# no tenant: as soon as each device has been told so, not at the end

for my $tenant ('Nope', 'no such', 'a/b?c', 'x' x 300) {
    $r = $s->gbctl('simulate', '-t', $tenant, '--devices', 3, '--duration', 50);
    my $what = substr $tenant, 0, 10;
    is($r->{exit}, 1, "$what: exit 1");
    is($r->{err} =~ s/ at http:\S+\nhint: .*\n//r,
        qq{gbctl: tenant "$tenant": not found}, "$what: said in one line");
}
is($r->{out} =~ /^errors +3$/m ? 1 : 0, 1, 'none of them asked again')
    or diag($r->{out});
like(simulate('-t', 'Nope', '--duration', 50)->{err},
    qr/^\{"error":\{"code":"not_found","message":"tenant \\"Nope\\": /,
    'as JSON');


# a rollout: downloads that break off, updates that fail

my $one = $f->software('1.0.0', 'board:1.0');
$s->gbctl('rollout', 'create', '--software', $one);
$r = simulate('--devices', 40, '--until-done', '--duration', '60', '--tokens',
    '--fail', '25%', '--interrupt', '50%', '--rate', 200);
is($r->{exit}, 0, 'a rollout: exit 0') or diag($r->{err});
my $d = $r->{json};
is($d->{success} + $d->{failure}, 40, 'every device ended its update');
cmp_ok($d->{failure}, '>', 0, 'some failed');
cmp_ok($d->{resumed}, '>', 0, 'some downloads broke off');
is("$d->{damaged} $d->{errors} $d->{refused}", '0 0 0', 'no byte was wrong');
is($d->{bytes}, 40 * $s->value('SELECT size FROM goosebit.software'),
    'and none came twice');
cmp_ok($d->{poll_p50_us}, '<=', $d->{poll_p99_us}, 'latencies');
is($s->access_log =~ /" 206 / ? 1 : 0, 1, 'the server saw ranges');

my ($rollout) = @{$s->gbctl(qw(rollout list -o json))->{json}};
is("$rollout->{success} $rollout->{failure}", "$d->{success} $d->{failure}",
    'the server has counted the same');
is($s->value('SELECT count(*) FROM goosebit.device WHERE token IS NULL'), 0,
    'each has a token of its own');


# the same fleet comes again; others have other tokens

is(simulate('--devices', 40, '--tokens', '--duration', 1, '--rate', 100)
    ->{json}{refused}, 0, 'the same seed: known again');
$r = simulate('--devices', 4, '--tokens', '--duration', 3, '--rate', 100,
    '--seed', 7);
cmp_ok($r->{json}{refused}, '>=', 4, 'another: refused');
is("$r->{exit} $r->{err}", "0 every device was refused: --tokens and "
    . "--gateway-token are how they may ask\n", 'which is no error');


# confirmation and cancel

my $two = $f->software('2.0.0', 'board:1.0');
my $id = $s->gbctl('rollout', 'create', '--software', $two, '--confirm', '-o',
    'name')->{out};
$d = simulate('--devices', 40, '--tokens', '--until-done', '--duration', 60,
    '--rate', 200)->{json};
is("$d->{confirmed} $d->{success}", '40 40', 'they confirm, and update');

my $three = $f->software('3.0.0', 'board:1.0');
$s->gbctl('rollout', 'create', '--software', $three);
is($f->fetch('sim-000001') // '', '', 'without its token nothing is offered');
$s->sql(q{UPDATE goosebit.device SET token = NULL});
ok($f->fetch('sim-000001'), 'a device has fetched');
$s->gbctl('device', 'cancel', 'sim-000001');
$d = simulate('--devices', 1, '--until-done', '--duration', 60, '--rate', 10)
    ->{json};
is($d->{canceled}, 1, 'a cancel is answered');


# gateways

is($r = $s->gbctl({ stdin => "gw-token\n" }, 'tenant', 'set', 'DEFAULT',
    '--gateway-token', '-')->{exit}, 0, 'a gateway token');
$s->gbctl('tenant', 'set', 'DEFAULT', '--auth', 'strict');
$d = $s->gbctl({ stdin => "gw-token\n" }, 'simulate', '-o', 'json',
    '--gateway-token', '-', '--devices', 5, '--prefix', 'gw-', '--until-done',
    '--duration', 60, '--rate', 50)->{json};
is("$d->{registered} $d->{refused}", '5 0', 'speaks for its devices');
$s->gbctl('tenant', 'set', 'DEFAULT', '--auth', 'off');


# ^C ends it in good order; on a terminal it shows what it does

{
    local %ENV = (%ENV, %{$s->env});
    my $out = tempdir() . '/out';
    my $polls = sub { scalar(() = $s->access_log =~ /\n/g) };
    my $before = $polls->();
    my $pid = fork // die;
    if ($pid == 0) {
        open STDOUT, '>', $out;
        $SIG{INT} = 'DEFAULT';
        exec $ENV{GBCTL}, qw(simulate --devices 5 --rate 50 -o json) or die;
    }
    ok(wait_for(sub { $polls->() > $before + 5 }, 30), 'devices poll');
    kill INT => $pid;
    waitpid $pid, 0;
    is($?, 0, '^C: exit 0');
    like(slurp($out), qr/"polls":/, '^C: with the summary');
}

$r = $s->gbctl({ pty => 60 }, 'simulate', '--devices', 5, '--rate', 50,
    '--duration', 2);
like($r->{out}, qr/\r\d+s  \d+ polls\/s  p50 /, 'a terminal: live');
my ($widest) = sort { $b <=> $a } map { length }
    map { s/\e\[K//gr } split /[\r\n]/, $r->{out};
cmp_ok($widest, '<=', 60, 'within its width');


# answers that no device can use: a server that is another, or has no database

$s->pg('stop');
$r = simulate('--devices', 3, '--duration', 3, '--rate', 10);
is($r->{exit}, 1, 'no database behind it: exit 1');
like($r->{err}, qr/"code":"failed","message":"http\S+: poll: answered with 503/,
    'and what was answered');
$s->pg('start');

is($s->value('SELECT count(*) FROM goosebit.device'), 45,
    'nothing else came in');

done_testing;
