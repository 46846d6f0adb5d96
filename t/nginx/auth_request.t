# External authentication by subrequest: goosebit_auth_request.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::AuthServer;
use Goosebit::Certs;
use Goosebit::Test;

use IO::Select;
use Time::HiRes qw(sleep time);

my $auth = Goosebit::AuthServer->new;
my $dead = Goosebit::Certs::port();
my $h2 = Goosebit::Certs::port();
my $c = Goosebit::Certs->new;
$c->make('server', '/CN=localhost', san => 'DNS:localhost');
my $s = stack(fsync => 'off', workers => 1,
    http => 'goosebit_auth_timeout 60s; goosebit_auth_cache 1h;
        upstream both { server 127.0.0.1:' . $auth->port . ';
            server 127.0.0.1:' . $auth->port . '; }
        server { listen 127.0.0.1:' . $h2 . ' ssl http2;
            ssl_certificate ' . $c->pem('server') . ';
            ssl_certificate_key ' . $c->key('server') . ';
            location = /auth { internal; proxy_pass ' . $auth->url('/sub') . ';
                proxy_set_header X-Token $goosebit_token; }
            location / { goosebit; goosebit_auth_request /auth; } }',
    server => 'location = /auth {
            internal;
            proxy_pass ' . $auth->url('/sub') . ';
            proxy_set_header X-Token $goosebit_token;
            proxy_set_header X-Device $goosebit_device;
            proxy_set_header X-Tenant $goosebit_tenant;
            proxy_set_header Authorization "";
        }
        location = /auth-both {
            internal;
            proxy_pass http://both/sub;
            proxy_set_header X-Token $goosebit_token;
        }
        location = /auth-args { internal; if ($arg_all = yes) { return 200; }
            return 403; }
        location = /auth-dead { internal;
            proxy_pass http://127.0.0.1:' . $dead . '; }
        location = /auth-page { internal; error_page 403 = /page; return 403; }
        location = /page { internal; return 200; }
        location /both/ { goosebit; goosebit_auth_request /auth-both;
            goosebit_auth_timeout 2s; }
        location /short/ { goosebit; goosebit_auth_request /auth;
            goosebit_auth_timeout 2s; goosebit_auth_cache 1s; }
        location /args/ { goosebit; goosebit_auth_request /auth-args?all=yes; }
        location /no/ { goosebit; goosebit_auth_request /auth-args; }
        location /dead/ { goosebit; goosebit_auth_request /auth-dead; }
        location /missing/ { goosebit; goosebit_auth_request /nowhere; }
        location /page/ { goosebit; goosebit_auth_request /auth-page; }
        location /open/ { goosebit; goosebit_auth_request off; }
        location /forever/ { goosebit; goosebit_auth_request /auth;
            goosebit_auth_cache 0; }
        goosebit_auth_request /auth;');
my $v1 = 'DEFAULT/controller/v1';

sub token { [Authorization => "TargetToken $_[0]"] }
sub poll { $s->get($_[0], headers => defined $_[1] ? token($_[1]) : []) }
sub devices { $s->value('select count(*) from goosebit.device') }


subtest 'what is asked' => sub {
    is(poll("/$v1/d%C3%A9%201", 'yes-1')->{status}, 200, 'a yes');
    my ($asked, @more) = $auth->asked;
    is(scalar @more, 0, 'once');
    is($asked->{line}, 'GET /sub HTTP/1.0', 'by NGINX\'s own proxy');
    is($asked->{header}{'x-token'}, 'yes-1', '$goosebit_token');
    is($asked->{header}{'x-device'}, "d\xc3\xa9 1", '$goosebit_device');
    is($asked->{header}{'x-tenant'}, 'DEFAULT', '$goosebit_tenant');
    is($asked->{header}{authorization}, undef, 'as it is configured');
};


subtest 'answers' => sub {
    my $before = devices();
    for (['no', 401], ['204', 401], ['302', 401], ['403', 401], ['404', 401],
        ['500', 503], ['502', 503], ['503', 503], ['drop', 503],
        ['garbage', 503])
    {
        my ($token, $status) = @$_;
        my $r = poll("/$v1/x", $token);
        is($r->{status}, $status, "$token: $status");
        is($r->{json}{errorCode}, $status == 401 ? 'unauthorized'
            : 'unavailable', 'and our own words');
    }
    is(poll("/no/$v1/x", 'yes')->{status}, 401, 'return 403');
    is(poll("/dead/$v1/x", 'yes')->{status}, 503, 'nobody there');
    unlike($s->error_log, qr/asked no service/, 'of which no log speaks');
    is(poll("/missing/$v1/x", 'yes')->{status}, 401, 'no such location');
    ok($s->wait_log(
        qr{\[error\].* "/nowhere" asked no service, .* with 404,}),
        'which the log says');
    is(devices(), $before, 'nobody was registered');
    $auth->asked;
    is(poll("/$v1/x")->{status}, 401, 'no token');
    is(poll("/NOBODY/controller/v1/x", 'yes')->{status}, 404, 'no tenant');
    is(scalar(() = $auth->asked), 0, 'need no asking');
    is(poll("/args/$v1/x", 'yes')->{status}, 200, 'arguments are kept');
    is(poll("/page/$v1/x", 'yes')->{status}, 200, 'as is what NGINX makes it');
    is(poll("/open/$v1/x")->{status}, 200, 'switched off');
};


subtest 'bodies and files' => sub {
    poll("/$v1/res", 'yes-r');
    is($s->put("/$v1/res/configData", headers => token('yes-r2'),
        json => { data => { hw_model => 'm', hw_revision => '1',
            sw_version => '1' } })->{status}, 200, 'a body is kept meanwhile');
    is($s->value("select hw_model from goosebit.device
        where controller_id = 'res'"), 'm', 'and taken');
    is($s->put("/$v1/res/configData", headers => token('no-r'),
        json => { data => { hw_model => 'evil' } })->{status}, 401, 'a no');
    is($s->put("/$v1/res/configData", headers => token('yes-r3'),
        body => '{')->{status}, 400, 'a malformed body');
    my $h = $s->http;
    for (1 .. 3) {
        is($h->request('GET', "/forever/$v1/res", headers => token('yes-k'))
            ->{status}, 200, 'on one connection');
        is($h->request('PUT', "/forever/$v1/res/configData",
            headers => token('yes-k'), json => { data => { a => 'b' } })
            ->{status}, 200, 'again');
        is($h->request('GET', "/forever/$v1/res", headers => token('no'))
            ->{status}, 401, 'a no does not end it');
    }
    my $two = $s->raw(join '', map { "GET /forever/$v1/$_ HTTP/1.1\r\n"
        . "Host: x\r\nAuthorization: TargetToken yes\r\n"
        . ($_ eq 'p2' ? "Connection: close\r\n" : '') . "\r\n" } 'p1', 'p2');
    is(scalar(() = $two =~ m{HTTP/1.1 200}g), 2, 'two pipelined');
};


# Streams of one connection, each with a subrequest.
subtest 'HTTP/2' => sub {
    my $dir = tempdir();
    my $config = "$dir/curl";
    my @token = map { $_ % 3 ? "yes-h$_" : "no-h$_" } 1 .. 12;
    spew($config, join "next\n", map {
        qq{url = "https://localhost:$h2/$v1/h2-$_"\n}
        . qq{header = "Authorization: TargetToken $token[$_ - 1]"\n}
        . qq{http2\ncacert = "@{[$c->pem('server')]}"\nwrite-out = "%{http_code} "\n}
        . qq{output = "/dev/null"\n}
    } 1 .. 12);
    my $r = run(['curl', '-sS', '--parallel', '-K',
        $config]);
    is(scalar(() = $r->{out} =~ /200/g), 8, 'the yes') or diag($r->{err});
    is(scalar(() = $r->{out} =~ /401/g), 4, 'the no');
    is($s->value("select count(*) from goosebit.device
        where controller_id like 'h2-%'"), 8, 'are told apart');
};


subtest 'remembered' => sub {
    $auth->asked;
    is(poll("/$v1/mem", 'yes-m')->{status}, 200, 'a yes') for 1 .. 4;
    is(scalar(() = $auth->asked), 1, 'is asked for once');
    is(poll("/both/$v1/mem", 'yes-m')->{status}, 200, 'by another URI');
    is(scalar(() = $auth->asked), 1, 'is another');
    is($c->curl("https://localhost:$h2/$v1/mem", ca => 'server',
        args => ['-H', 'Authorization: TargetToken yes-m'])
        ->{status}, 200, 'that URI of another server');
    is(scalar(() = $auth->asked), 1, 'may be another service');
    is(poll("/forever/$v1/mem", 'yes-m')->{status}, 200, 'cache 0') for 1 .. 2;
    is(scalar(() = $auth->asked), 2, 'keeps nothing');
    is(poll("/$v1/mem", 'no-m')->{status}, 401, 'a no') for 1 .. 2;
    is(scalar(() = $auth->asked), 2, 'is never kept');
    is(poll("/short/$v1/short", 'yes-m')->{status}, 200, 'for a second');
    sleep 1.1;
    is(poll("/short/$v1/short", 'yes-m')->{status}, 200, 'after its time');
    is(scalar(() = $auth->asked), 2, 'it is asked for again');
};


subtest 'slow' => sub {
    my $hold = $auth->hold;
    my $h = $s->http;
    $h->send_request('GET', "/$v1/slow", headers => token('hold-1'));
    ok((wait_for { $auth->asked }), 'the service is asked');
    is(poll("/$v1/fast", 'yes-f')->{status}, 200, 'others are answered');
    ok(!IO::Select->new($h->{sock})->can_read(0), 'meanwhile');
    close $hold;
    is($h->response('GET')->{status}, 200, 'the slow one, too');

    for my $in ('/short', '/both') {
        for my $token ('slow-30', 'trickle') {
            $auth->asked;
            my $t = time;
            is(poll("$in/$v1/hang", $token)->{status}, 503, "$in $token");
            cmp_ok(time - $t, '>', 1.8, 'not before its time');
            cmp_ok(time - $t, '<', 20, 'ends in time');
            is(scalar(() = $auth->asked), 1, 'asked once');
        }
    }

    $hold = $auth->hold;
    my @gone = map { my $g = $s->http; $g->send_request('GET', "/$v1/gone$_",
        headers => token('hold-2')); $g } 1 .. 10;
    my $asked = 0;
    ok((wait_for { ($asked += () = $auth->asked) == 10 }), 'ten are waiting');
    $_->close for @gone;
    ok((wait_for { 10 == (() = $s->access_log =~ m{/gone\d+ \S+ 499}g) }),
        'and leave');
    close $hold;
    is(poll("/$v1/after", 'yes')->{status}, 200, 'others go on');
};


subtest 'the tenant decides' => sub {
    $s->value("update goosebit.tenant set auth = 'lax' returning 1");
    $auth->asked;
    is(poll("/$v1/lax")->{status}, 200, 'lax: no token');
    is(poll("/$v1/lax", 'no')->{status}, 200, 'any token');
    is(scalar(() = $auth->asked), 0, 'nobody is asked');
    $s->value("update goosebit.tenant set auth = 'external' returning 1");
    is(poll("/$v1/lax", 'no')->{status}, 401, 'external');
    is(poll("/open/$v1/lax", 'yes')->{status}, 401,
        'even where there is nobody to ask');
    $s->value('update goosebit.tenant set auth = null returning 1');
};

unlike($s->error_log . $s->access_log . $s->pg_log,
    qr/yes-|slow-|hold-|no-m|trickle/, 'no token in a log');

done_testing;
