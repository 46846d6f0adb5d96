# Client certificates: whose, for which device, and by whom they were issued.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Certs;
use Goosebit::Test;

my $c = Goosebit::Certs->new;
$c->make('server-ca', '/CN=Server CA', ca => 1)
    ->make('server', '/CN=localhost', by => 'server-ca',
        san => 'DNS:localhost,IP:127.0.0.1')
    ->make('ca-a', '/O=A/CN=Devices', ca => 1)
    ->make('ca-b', '/O=B/CN=Devices', ca => 1)
    ->make('ca-x', '/O=A/CN=Devices', ca => 1)
    ->make('sub-a', '/O=A/CN=Line 7', by => 'ca-a', ca => 1)
    ->make('fake-b', '/O=B/CN=Devices', by => 'ca-a', ca => 1)
    ->make('dev-a', '/O=A/CN=dev-a', by => 'ca-a')
    ->make('dev-b', '/O=B/CN=dev-b', by => 'ca-b')
    ->make('umlaut', "/O=A/CN=ger\xc3\xa4t, \"1\"", by => 'ca-a')
    ->make('two', '/CN=dev-a/CN=dev-b', by => 'ca-a')
    ->make('none', '/O=A', by => 'ca-a')
    ->make('within', '/OU=x,CN=dev-a/CN=other', by => 'ca-a')
    ->make('sub', '/O=A/CN=dev-sub', by => 'sub-a')
    ->make('fake', '/O=B/CN=dev-b', by => 'fake-b')
    ->make('alien', '/CN=dev-a', by => 'ca-x')
    ->make('old', '/CN=dev-a', by => 'ca-a', days => 0);
$c->join('cas', qw(ca-a ca-b));
$c->join('fake-chain', qw(fake fake-b));
$c->join('sub-chain', qw(sub sub-a));
$c->join('sub-trust', qw(ca-a sub-a));

my ($hash_a, $hash_b) = map { $c->issuer_hash($_) } qw(dev-a dev-b);
my ($tls, $lenient, $deep) = map { $c->port } 1 .. 3;

sub server {
    my ($port, $cas, $verify, $more) = @_;
    return "server {
        listen 127.0.0.1:$port ssl http2;
        ssl_certificate @{[$c->pem('server')]};
        ssl_certificate_key @{[$c->key('server')]};
        ssl_client_certificate @{[$c->pem($cas)]};
        ssl_verify_client $verify;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_verify_depth 4;
        goosebit_client_id \$ssl_client_s_dn_cn;
        location / { goosebit; goosebit_issuer_hash \$issuers; }
        location /any/ { goosebit; }
        location /dn/ { goosebit; goosebit_client_id \$dn_cn; }
        location /headers/ {
            goosebit;
            add_header X-Hash \"\$goosebit_issuer_hash\" always;
            add_header X-Cn \"\$ssl_client_s_dn_cn\" always;
        }
    }";
}

my $s = stack(fsync => 'off',
    yaml => "device_auth:\n  enable: true\n  mode: strict\n",
    http => "map \$goosebit_tenant \$issuers {
            DEFAULT '$hash_a; ffffffff';
            other 'ffffffff,\U$hash_b\E';
        }
        map \$ssl_client_s_dn \$dn_cn { ~CN=(?<cn>[^,]+) \$cn; }\n" . server($tls, 'cas', 'optional')
        . server($lenient, 'cas', 'optional_no_ca')
        . server($deep, 'sub-trust', 'on'));
is($s->gbctl('tenant', 'add', 'Other')->{exit}, 0, 'another tenant');

my $base = "https://localhost:$tls";
my $v1 = 'controller/v1';

sub ask {
    my ($url, $cert, @more) = @_;
    return $c->curl($url =~ /^https/ ? $url : "$base/$url", cert => $cert,
        @more)->{status};
}


is($hash_a ne $hash_b, 1, 'two authorities, two hashes');

subtest 'of its own authority' => sub {
    is(ask("DEFAULT/$v1/dev-a", 'dev-a'), 200, 'the device it names');
    is($s->value("select count(*) from goosebit.device
        where controller_id = 'dev-a'"), 1, 'registers, though strict');
    is(ask("default/$v1/dev-a", 'dev-a'), 200, 'the tenant in any case');
    is(ask("DEFAULT/$v1/dev-b", 'dev-a'), 401, 'not another');
    is(ask("DEFAULT/$v1/DEV-A", 'dev-a'), 401, 'nor in other letters');
    is(ask("DEFAULT/$v1/dev-", 'dev-a'), 401, 'nor its beginning');
    is(ask("Other/$v1/dev-a", 'dev-a'), 401, 'nor in another tenant');
    is(ask("NOBODY/$v1/dev-a", 'dev-a'), 404, 'no such tenant');
    is(ask("any/Other/$v1/dev-a", 'dev-a'), 200,
        'unless any authority will do');
    is(ask("DEFAULT/$v1/ger%C3%A4t%2C%20%221%22", 'umlaut'), 200,
        'a name with more than letters');
    is(ask("DEFAULT/$v1/dev-a", 'dev-a', args => ['--http2']), 200, 'HTTP/2');
    is(ask("DEFAULT/$v1/dev-a", 'dev-a', args => ['--tls-max', '1.2']), 200,
        'TLS 1.2');
};


subtest 'another\'s authority' => sub {
    is(ask("Other/$v1/dev-b", 'dev-b'), 200, 'in its tenant');
    is(ask("DEFAULT/$v1/dev-b", 'dev-b'), 401, 'in another');
    is(ask("any/Other/$v1/dev-b", 'fake', chain => 'fake-chain'), 200,
        'one issued in its name is valid for NGINX');
    is(ask("Other/$v1/dev-b", 'fake', chain => 'fake-chain'), 401,
        'and not for us');
    is(ask("DEFAULT/$v1/dev-b", 'fake', chain => 'fake-chain'), 401,
        'nor where it really came from');
    is(ask("DEFAULT/$v1/dev-sub", 'sub', chain => 'sub-chain'), 401,
        'an intermediate one is not told by its word');
    is(ask("https://localhost:$deep/any/DEFAULT/$v1/dev-sub", 'sub'), 200,
        'where NGINX has it');
};


subtest 'not valid' => sub {
    my $n = $s->value('select count(*) from goosebit.device');
    is(ask("DEFAULT/$v1/dev-a", 'alien'), 400, 'not issued by the authority');
    is(ask("DEFAULT/$v1/dev-a", 'old'), 400, 'expired');
    for ('', 'any/', 'dn/') {
        my $url = "https://localhost:$lenient/${_}DEFAULT/$v1/dev-a";
        is(ask($url, 'alien'), 401, "optional_no_ca: /$_");
        is(ask($url, 'dev-a'), 200, 'while a valid one is taken');
    }
    is(ask("DEFAULT/$v1/dev-a", 'two'), 401, 'two names are none');
    is(ask("DEFAULT/$v1/dev-b", 'two'), 401, 'neither');
    is(ask("DEFAULT/$v1/dev-a", 'none'), 401, 'no name');
    is(ask("DEFAULT/$v1/dev-a", 'within'), 401, 'a name within another');
    is($s->value('select count(*) from goosebit.device'), $n,
        'nothing was registered');
};


subtest 'tokens' => sub {
    is($s->gbctl('device', 'add', 'tok', '--token', 'S3cret')->{exit}, 0,
        'a device with a token');
    my @token = (args => ['-H', 'Authorization: TargetToken S3cret']);
    is(ask("DEFAULT/$v1/tok", undef, @token), 200, 'no certificate: a token');
    is(ask("DEFAULT/$v1/tok"), 401, 'nothing');
    is(ask("DEFAULT/$v1/tok", 'none', @token), 200, 'no name: a token');
    is(ask("DEFAULT/$v1/tok", 'dev-a', @token), 401,
        'another\'s name: no token helps');
    is(ask("DEFAULT/$v1/tok", 'dev-a', args => ['-H',
        'X-Ssl-Client-Cn: tok', '-H', 'X-Controller-Id: tok', '-H',
        "X-Ssl-Issuer-Hash-1: $hash_a"]), 401, 'nor headers');
    is($s->gbctl('device', 'block', 'dev-a')->{exit}, 0, 'blocked');
    is(ask("DEFAULT/$v1/dev-a", 'dev-a'), 401, 'nor a certificate');
    $s->gbctl('device', 'unblock', 'dev-a');
};


subtest 'variables' => sub {
    my $get = sub { $c->curl("$base/headers/DEFAULT/$v1/dev-a", cert => $_[0],
        args => ['-i', '--http1.1'])->{body} };
    like($get->('dev-a'), qr/^X-Hash: $hash_a\r$/m, 'as openssl says it');
    like($get->('dev-a'), qr/^X-Cn: dev-a\r$/m, 'the name');
    unlike($get->(undef), qr/^X-(?:Hash|Cn): ./m, 'none of these');
};


# A resumed session has the certificate, and no chain.
subtest 'resumed' => sub {
    for my $version ('-tls1_2', '-tls1_3') {
        my $session = $c->file("session$version");
        my $try = sub {
            my ($tenant, @args) = @_;
            my $cmd = join ' ', "(printf 'GET /$tenant/$v1/dev-a HTTP/1.1\\r\\n"
                . "Host: localhost\\r\\nConnection: close\\r\\n\\r\\n';"
                . ' sleep 1) |', 'openssl s_client -ign_eof -connect',
                "127.0.0.1:$tls -cert", $c->pem('dev-a'), '-key',
                $c->key('dev-a'), $version, @args, '2>&1';
            return scalar `$cmd`;
        };
        like($try->('DEFAULT', '-sess_out', $session), qr{HTTP/1.1 200},
            "$version: first");
        my $out = $try->('DEFAULT', '-sess_in', $session);
        like($out, qr/^Reused/m, 'resumed');
        like($out, qr{HTTP/1.1 200}, 'known again');
        like($try->('Other', '-sess_in', $session), qr{HTTP/1.1 401},
            'and no more than that');
    }
};

like($s->error_log, qr/client's identity "dev-a" is not taken for "dev-b"/,
    'who was refused is in the log');
unlike($s->error_log . $s->access_log, qr/S3cret/, 'and no token');

done_testing;
