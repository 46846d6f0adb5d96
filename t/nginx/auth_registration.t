# How many strangers may register, and two first tokens at a time.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;

use Time::HiRes qw(sleep time);

my $s = stack(fsync => 'off', workers => 2,
    yaml => "device_auth:\n  enable: true\n  mode: lax\n",
    server => '
        location /off/ { goosebit; goosebit_registration off; }
        location /rate/ { goosebit; goosebit_registration rate=2/s;
            location /rate/same/ { goosebit; } }
        location /proven/ { goosebit; goosebit_registration off;
            goosebit_client_id $arg_id; }
    ');
my $v1 = 'DEFAULT/controller/v1';

sub poll {
    my ($path, $token, $scheme) = @_;
    $scheme //= 'TargetToken';
    return $s->get($path, defined $token
        ? (headers => [Authorization => "$scheme $token"]) : ());
}

sub mode { $s->value("update goosebit.tenant set auth = '$_[0]' returning 1") }
sub devices { $s->value('select count(*) from goosebit.device') }


subtest 'off' => sub {
    is($s->gbctl('device', 'add', 'known')->{exit}, 0, 'a known device');
    is($s->gbctl('device', 'add', 'token', '--token', 'T')->{exit}, 0,
        'and one with a token');
    my $n = devices();
    for my $mode (qw(off lax setup)) {
        mode($mode);
        my $r = poll("/off/$v1/new");
        is($r->{status}, 401, "$mode: unknown");
        is($r->{json}{errorCode}, 'unauthorized', 'as everybody refused');
        is(poll("/off/$v1/new", 'T')->{status}, 401, 'with a token');
        is(poll("/off/$v1/new", 'T', 'GatewayToken')->{status}, 401,
            'or a gateway\'s');
        is(poll("/off/$v1/known")->{status}, 200, 'known');
    }
    is(poll("/off/$v1/known", 'first')->{status}, 200,
        'setup: a known device\'s first token');
    is(poll("/off/$v1/known", 'second')->{status}, 401, 'is stored');
    is(devices(), $n, 'nobody was registered');
    is(poll("/proven/$v1/cert?id=cert")->{status}, 200,
        'who has proven it, is');
    mode('lax');
    is(poll("/$v1/new")->{status}, 200, 'and others elsewhere');
};


subtest 'rate' => sub {
    my (%n, $retry);
    my $before = devices();
    my $start = time;
    my @http = map { $s->http } 1 .. 60;

    # all at a time: one after the other they may come slower than the rate
    $http[$_]->send_request('GET', ($_ % 2 ? '/rate' : '/rate/same')
        . "/$v1/r$_") for 0 .. $#http;
    for my $h (@http) {
        my $r = $h->response('GET');
        $n{$r->{status}}++;
        $retry //= $r->{headers}{'retry-after'} if $r->{status} == 429;
    }
    my $took = time - $start;
    ok($n{200} >= 2, 'a second\'s worth at once');
    cmp_ok($n{200}, '<=', 2 + 2 * $took + 1, 'and the rate from then on');
    ok($n{429}, 'the others are told to wait');
    is($retry, 1, 'how long');
    is($n{200} + $n{429}, 60, 'nothing else');
    is(devices() - $before, $n{200}, 'only those let in are registered');
    is(poll("/rate/$v1/known", 'first')->{status}, 200, 'the known wait not');
    sleep 1.1;
    is(poll("/rate/$v1/late")->{status}, 200, 'a second later');
};


subtest 'two first tokens' => sub {
    mode('setup');
    for my $round (1 .. 10) {
        my $id = "race-$round";
        $s->gbctl('device', 'add', $id) if $round % 2;
        my @http = map { my $h = $s->http; $h->send_request('GET',
            "/$v1/$id", headers => [Authorization => "TargetToken R$_"]); $h }
            1 .. 8;
        my @status = map { $_->response('GET')->{status} } @http;
        is(scalar(grep { $_ == 200 } @status), 1, 'one of eight gets in')
            or diag("@status");
        is(scalar(grep { $_ == 401 } @status), 7, 'the others do not');
        my ($won) = grep { $status[$_] == 200 } 0 .. 7;
        is(poll("/$v1/$id", 'R' . ($won + 1))->{status}, 200, 'it stays in');
        is(poll("/$v1/$id", 'R' . (($won + 1) % 8 + 1))->{status}, 401,
            'and alone');
        is(poll("/$v1/$id")->{status}, 401, 'not without');
    }
};


# Refused requests leave no trace, last seen included.
subtest 'no trace' => sub {
    my $state = sub {
        $s->value("select coalesce(string_agg(t::text, ';' order by t::text),
            '') from (select d::text from goosebit.device d union all
            select x::text from goosebit.device_seen x) t");
    };
    ok($s->wait_log(qr/connected/), 'a while');
    ok($s->seen, 'all that was seen is written');
    my $before = $state->();
    is(poll("/$v1/race-1", 'wrong')->{status}, 401, 'a wrong token');
    is(poll("/off/$v1/nobody")->{status}, 401, 'an unknown device');
    is($s->put("/$v1/race-1/configData", json => { data => { a => 'b' } },
        headers => [Authorization => 'TargetToken wrong'])->{status}, 401,
        'attributes');
    sleep 2.2;
    is($state->(), $before, 'changed nothing');
    poll("/$v1/known", 'first');
    ok((wait_for { $state->() ne $before }), 'as one that is let in does');
};

done_testing;
