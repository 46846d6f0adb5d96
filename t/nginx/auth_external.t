# External authentication by the module's own call to external_url: what is
# asked, what each answer leads to, what is remembered, and that nothing waits.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::AuthServer;
use Goosebit::Test;

use IO::Select;
use Time::HiRes qw(sleep time);

my $auth = Goosebit::AuthServer->new;
my $s = stack(fsync => 'off', workers => 1,
    yaml => "device_auth:\n  enable: true\n  mode: external\n"
        . '  external_url: ' . $auth->url('/check?a=b') . "\n"
        . "  external_mode: bearer\n",
    location => 'goosebit_auth_timeout 60s; goosebit_auth_cache 1h;',
    server => 'location /short/ { goosebit; goosebit_auth_timeout 2s;
        goosebit_auth_cache 1s; }');
my $v1 = '/DEFAULT/controller/v1';

sub token { [Authorization => "TargetToken $_[0]"] }

sub poll {
    my ($id, $token, $where) = @_;
    return $s->get(($where // '') . "$v1/$id",
        defined $token ? (headers => token($token)) : ());
}

# Waits until the service is asked about that token; all it was asked by then.
sub asked_for {
    my ($token) = @_;
    my @asked;
    ok((wait_for {
        push @asked, $auth->asked;
        grep { $_->{header}{authorization} =~ /$token/ } @asked;
    }), "$token: the service is asked");
    return @asked;
}

sub devices { $s->value('select count(*) from goosebit.device') }


subtest 'what is asked' => sub {
    my $r = poll('d%C3%A9"1', 'yes-1');
    is($r->{status}, 200, 'a yes');
    my ($asked, @more) = $auth->asked;
    is(scalar @more, 0, 'once');
    is($asked->{line}, 'POST /check?a=b HTTP/1.1', 'POST to the URL');
    is($asked->{header}{authorization}, 'Bearer yes-1', 'as bearer');
    is($asked->{header}{host}, '127.0.0.1:' . $auth->port, 'host');
    is($asked->{header}{'content-type'}, 'application/json', 'and JSON');
    is_deeply($asked->{json}, { controller_id => "d\x{e9}\"1",
        tenant => 'DEFAULT' }, 'that names the device');
};


subtest 'answers' => sub {
    my $before = devices();
    for (['no', 401], ['204', 401], ['302', 401], ['403', 401], ['404', 401],
        ['500', 503], ['502', 503], ['503', 503], ['599', 503],
        ['drop', 503], ['garbage', 503], ['600', 503])
    {
        my ($token, $status) = @$_;
        my $r = poll('x', $token);
        is($r->{status}, $status, "$token: $status");
        if ($status == 503) {
            ok($r->{headers}{'retry-after'}, 'and when to come again');
        } else {
            is($r->{json}{errorCode}, 'unauthorized', 'and no reason');
        }
    }
    is(devices(), $before, 'nobody was registered');
    $auth->asked;
    is(poll('x')->{status}, 401, 'no token');
    is($s->get("$v1/x", headers => [Authorization => 'TargetToken'])->{status},
        401, 'an empty one');
    is($s->get("$v1/x", headers => [Authorization => 'Bearer yes'])->{status},
        401, 'another scheme');
    is($s->get("$v1/x", headers => [Authorization => 'GatewayToken yes'])
        ->{status}, 401, 'a gateway\'s');
    is($s->get('/NOBODY/controller/v1/x', headers => token('yes'))->{status},
        404, 'a tenant that does not exist');
    is($s->request('DELETE', "$v1/x", headers => token('yes'))->{status}, 405,
        'a method that does not');
    is(scalar(() = $auth->asked), 0, 'need no asking');
};


subtest 'a known device' => sub {
    poll('known', 'yes-k');
    my $seen = $s->value("select coalesce(max(seen_at)::text, '')
        from goosebit.device_seen s join goosebit.device d
        on d.id = s.device_id where d.controller_id = 'known'");
    my ($unknown, $known) = map { poll($_, 'no-k') } 'unknown-1', 'known';
    is("$_->{status} $_->{body}", "401 $known->{body}", 'is refused alike')
        for $unknown, $known;
    is($s->gbctl('device', 'block', 'known')->{exit}, 0, 'blocked');
    is(poll('known', 'yes-b')->{status}, 401, 'a yes is not enough');
    my ($asked) = grep { $_->{json}{controller_id} eq 'known'
        && $_->{header}{authorization} =~ /yes-b/ } $auth->asked;
    ok($asked, 'and looks no different on the way');
};


subtest 'all resources' => sub {
    poll('res', 'yes-r');
    my $r = $s->put("$v1/res/configData", headers => token('yes-r2'),
        json => { data => { hw_model => 'm', hw_revision => '1',
            sw_version => '1' } });
    is($r->{status}, 200, 'a body is kept meanwhile');
    is($s->value("select hw_model || ' ' || sw_version from goosebit.device
        where controller_id = 'res'"), 'm 1', 'and taken');
    is($s->put("$v1/res/configData", headers => token('no-r'),
        json => { data => { hw_model => 'evil' } })->{status}, 401, 'a no');
    is($s->value("select hw_model from goosebit.device
        where controller_id = 'res'"), 'm', 'changes nothing');
    is($s->put("$v1/res/configData", headers => token('yes-r3'),
        body => '{')->{status}, 400, 'a malformed body, let in');
    is($s->put("$v1/res/configData", headers => token('no-r3'),
        body => '{')->{status}, 401, 'and refused');
    is($s->get("$v1/res/deploymentBase/11", headers => token('yes-r4'))
        ->{status}, 404, 'no such action, let in');
    is($s->get("$v1/res/softwaremodules/1/artifacts/f",
        headers => token('no-r4'))->{status}, 401, 'an artifact');
};


subtest 'remembered' => sub {
    $auth->asked;
    is(poll('mem', 'yes-m')->{status}, 200, 'a yes') for 1 .. 5;
    is(scalar(() = $auth->asked), 1, 'is asked for once');
    is($s->get('/default/controller/v1/mem', headers => token('yes-m'))
        ->{status}, 200, 'the tenant in other letters');
    is(scalar(() = $auth->asked), 0, 'is the same one');
    is(poll('mem2', 'yes-m')->{status}, 200, 'another device');
    is(poll('mem', 'yes-n')->{status}, 200, 'another token');
    is(scalar(() = $auth->asked), 2, 'are others');
    is(poll('mem', 'no-m')->{status}, 401, 'a no') for 1 .. 3;
    is(scalar(() = $auth->asked), 3, 'is asked for each time');
    poll('mem', '500') for 1 .. 2;
    is(scalar(() = $auth->asked), 2, 'as is a failure');
    is(poll('short', 'yes-m', '/short')->{status}, 200, 'for a second');
    sleep 1.1;
    is(poll('short', 'yes-m', '/short')->{status}, 200, 'after its time');
    is(scalar(() = $auth->asked), 2, 'it is asked for again');
};


subtest 'slow' => sub {
    my $hold = $auth->hold;
    my @slow = map { my $h = $s->http; $h->send_request('GET',
        "$v1/slow", headers => token('hold-1')); $h } 1 .. 20;
    my @asked = asked_for('hold-1');
    is(poll('fast', 'yes-f')->{status}, 200, 'others are answered');
    ok(!IO::Select->new(map { $_->{sock} } @slow)->can_read(0), 'meanwhile');
    close $hold;
    is($_->response('GET')->{status}, 200, 'the slow are, too') for @slow;
    is(scalar(grep { $_->{header}{authorization} =~ /hold/ }
        @asked, $auth->asked), 1, 'one call for all who ask the same');

    for (['slow-30', 'silence'], ['trickle', 'a trickle']) {
        my ($token, $name) = @$_;
        my $start = time;
        is(poll('hang', $token, '/short')->{status}, 503, $name);
        cmp_ok(time - $start, '>', 1.8, 'not before its time');
        cmp_ok(time - $start, '<', 20, 'ends in time');
    }

    $hold = $auth->hold;
    my $h = $s->http;
    $h->send_request('GET', "$v1/gone", headers => token('hold-2'));
    asked_for('hold-2');
    $h->close;
    ok((wait_for { $s->access_log =~ m{/gone HTTP/1.1" 499} }),
        'a client leaves');
    close $hold;
    sleep 0.1;                  # or the next one joins its call
    is(poll('gone', 'hold-2')->{status}, 200, 'one that left');
    is(scalar(() = $auth->asked), 0, 'has its yes remembered');
};


subtest 'many' => sub {
    my $hold = $auth->hold;
    my @h = map { my $h = $s->http; $h->send_request('GET', "$v1/many-$_",
        headers => token("hold-m$_")); $h } 1 .. 300;
    my $select = IO::Select->new(map { $_->{sock} } @h);
    ok((wait_for { (() = $select->can_read(0)) >= 44 }),
        'some are answered at once');
    close $hold;
    my %n;
    $n{$_->response('GET')->{status}}++ for @h;
    is_deeply(\%n, { 200 => 256, 503 => 44 }, 'the others by the service');
    like($s->error_log, qr/256 calls to external_url .* no more are made/,
        'no more than 256 calls at a time');
    is(poll('after', 'yes')->{status}, 200, 'and then again');
};


subtest 'a tenant\'s own mode' => sub {
    $s->value("update goosebit.tenant set auth = 'strict' returning 1");
    is($s->gbctl('device', 'add', 'own', '--token', 'mine')->{exit}, 0,
        'a device with a token');
    $auth->asked;
    is(poll('own', 'mine')->{status}, 200, 'strict: its token');
    is(poll('own', 'yes')->{status}, 401, 'not what the service allows');
    is(poll('mem', 'yes-m')->{status}, 401, 'nor what it has allowed');
    is(scalar(() = $auth->asked), 0, 'no token is shown to it');
    $s->value('update goosebit.tenant set auth = null returning 1');
};


subtest 'reload' => sub {
    is(poll('reload', 'yes-r')->{status}, 200, 'a yes');
    $auth->asked;
    my $h = $s->http;
    $h->send_request('GET', "$v1/during", headers => token('slow-0.5'));
    my @asked = asked_for('slow-0.5');
    ok($s->reload, 'a reload');
    is($h->response('GET')->{status}, 200, 'loses nobody');
    is(poll('during', 'slow-0.5')->{status}, 200, 'nor what was said');
    is(scalar(() = (@asked, $auth->asked)), 1, 'as one call shows');
};


subtest 'dead' => sub {
    my $port = $auth->port;
    poll('late', 'yes-l');
    $auth->stop;
    my $t = time;
    is(poll('late', 'yes-l')->{status}, 200, 'the remembered come in');
    is(poll('dead', 'yes-d')->{status}, 503, 'the others do not');
    ok(time - $t < 30, 'at once');      # goosebit_auth_timeout 60s
    $auth = Goosebit::AuthServer->new(port => $port);
    is(poll('dead', 'yes-d')->{status}, 200, 'and it is there again');
};


subtest 'secrets' => sub {
    my $logs = $s->error_log . $s->access_log . $s->pg_log;
    unlike($logs, qr/yes-|no-k|slow-|hold-|mine/, 'no token in a log');
    like($s->error_log, qr/external_url .* answered 500/, 'but what failed');
};

done_testing;
