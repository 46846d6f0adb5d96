# external_url over TLS, as JSON, and by name: whom the token is shown to.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::AuthServer;
use Goosebit::Certs;
use Goosebit::Conf;
use Goosebit::Test;

use IO::Socket::INET;

my $auth = Goosebit::AuthServer->new;
my $c = Goosebit::Certs->new;
$c->make('ca', '/CN=Auth CA', ca => 1)
    ->make('other-ca', '/CN=Other CA', ca => 1)
    ->make('good', '/CN=x', by => 'ca', san => 'DNS:localhost,IP:127.0.0.1')
    ->make('name', '/CN=x', by => 'ca', san => 'DNS:elsewhere.example')
    ->make('only-name', '/CN=x', by => 'ca', san => 'DNS:localhost')
    ->make('old', '/CN=x', by => 'ca', san => 'DNS:localhost', days => 0)
    ->make('alien', '/CN=x', by => 'other-ca', san => 'DNS:localhost');
my %port = map { $_ => $c->port } qw(good name only-name old alien);
my $tls = join "\n", map { "server {
        listen 127.0.0.1:$port{$_} ssl;
        ssl_certificate @{[$c->pem($_)]};
        ssl_certificate_key @{[$c->key($_)]};
        location / { proxy_pass http://127.0.0.1:@{[$auth->port]};
            proxy_set_header X-Sni \$ssl_server_name;
            proxy_set_header X-Host \$http_host; }
    }" } sort keys %port;
my $ca = 'goosebit_auth_ca ' . $c->pem('ca') . ';';
my $v1 = '/DEFAULT/controller/v1';

sub with {
    my ($url, %opt) = @_;
    return stack(fsync => 'off', workers => 1, env => $opt{env} // {},
        yaml => "device_auth:\n  enable: true\n  mode: external\n"
            . "  external_url: $url\n  external_mode: json\n"
            . ($opt{yaml} // ''),
        http => 'goosebit_auth_timeout 60s;' . ($opt{http} // "$tls\n$ca"),
        server => $opt{server}
            // 'location /short/ { goosebit; goosebit_auth_timeout 2s; }');
}

sub poll {
    my ($s, $id, $token, $where) = @_;
    return $s->get(($where // '') . "$v1/$id",
        headers => [Authorization => "TargetToken $token"])->{status};
}

# Changes where the service is and reloads.
sub move {
    my ($s, $url) = @_;
    my $file = $s->dir . '/goosebit.yaml';
    spew($file, slurp($file) =~ s/external_url: .*/external_url: $url/r);
    ok($s->reload, "reload: $url");
}


my $s = with("https://localhost:$port{good}/check");

subtest 'JSON over TLS' => sub {
    is(poll($s, 'a', "yes-\x{22}\\"), 200, 'a yes');
    my ($asked) = $auth->asked;
    is_deeply($asked->{json}, { token => "yes-\x{22}\\",
        controller_id => 'a', tenant => 'DEFAULT' }, 'token and device');
    is($asked->{header}{authorization}, undef, 'not in a header');
    is($asked->{header}{'x-sni'}, 'localhost', 'with SNI');
    is($asked->{header}{'x-host'}, "localhost:$port{good}", 'and Host');
    is(poll($s, 'a', 'no'), 401, 'a no');
    is(poll($s, 'a', '500'), 503, 'neither');
    $auth->asked;
};


subtest 'whom not to trust' => sub {
    for (['name', 'another name'], ['old', 'expired'], ['alien',
        'another authority'])
    {
        my ($cert, $name) = @$_;
        move($s, "https://localhost:$port{$cert}/");
        is(poll($s, 'a', "yes-$cert"), 503, $name);
    }
    move($s, "https://127.0.0.1:$port{'only-name'}/");
    is(poll($s, 'a', 'yes-ip'), 503, 'a name is not an address');
    is(scalar(() = $auth->asked), 0, 'no token was shown to them');
    move($s, "https://127.0.0.1:$port{good}/");
    is(poll($s, 'a', 'yes-ip'), 200, 'an address that is in it');
    my ($asked) = $auth->asked;
    is($asked->{header}{'x-sni'}, undef, 'needs no SNI');
    move($s, 'https://127.0.0.1:' . $auth->port . '/');
    is(poll($s, 'a', 'yes-plain', '/short'), 503, 'no TLS at all');
    is(scalar(() = $auth->asked), 0, 'nothing shown');
    unlike($s->error_log . $s->access_log, qr/yes-/, 'no token in a log');
    like($s->error_log, qr/certificate of external_url https:\S+ \(10:/,
        'but why');
};


subtest 'whom to trust, by default and by location' => sub {
    my $o = with("https://localhost:$port{good}/", http => '',
        yaml => "  external_json_key: secret\n",
        server => "location /ca/ { goosebit; $ca }");
    is(poll($o, 'a', 'yes'), 503, 'the system\'s authorities are not ours');
    is($o->get("/ca$v1/a", headers => [Authorization => 'TargetToken yes'])
        ->{status}, 200, 'here is the one');
    my ($asked) = $auth->asked;
    is($asked->{json}{secret}, 'yes', 'the key that is configured');
    is(poll($o, 'a', 'yes'), 503, 'what one allows is not the other\'s');
};


# A resolver of our own, which knows one name.
subtest 'by name' => sub {
    my $dns = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp')
        or die "udp: $!\n";
    my $pid = fork // die;
    if (!$pid) {
        $SIG{ALRM} = sub { POSIX::_exit(0) };
        alarm 600;
        while (my $from = $dns->recv(my $q, 512)) {
            my $ok = $q =~ /\x04auth\x07example\x00\x00\x01/;
            my ($id, $rest) = unpack 'a2 x10 a*', $q;
            my $answer = $ok ? "\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1" : '';
            $dns->send($id . pack('n n n n n', $q =~ /auth/ ? 0x8180 : 0x8183,
                1, $ok ? 1 : 0, 0, 0) . $rest . $answer, 0, $from);
        }
        POSIX::_exit(0);
    }
    my $r = with('http://auth.example:' . $auth->port . '/', http => 'resolver '
        . '127.0.0.1:' . $dns->sockport . ' ipv6=off; resolver_timeout 30s;');
    is(poll($r, 'a', 'yes-r'), 200, 'found when it is needed');
    my ($asked) = $auth->asked;
    is($asked->{header}{host}, 'auth.example:' . $auth->port, 'by its name');
    move($r, 'http://gone.example/');
    is(poll($r, 'a', 'yes-r2'), 503, 'or not found');
    kill KILL => $pid;
    waitpid $pid, 0;
};


subtest 'wrong URLs' => sub {
    for (['http://no.such.host.invalid/', qr/host not found/],
        ['http://user:Passw0rd@localhost/', qr/neither a user/],
        ['http://localhost:99999/', qr/invalid port/])
    {
        my ($url, $why) = @$_;
        my $file = $s->dir . '/goosebit.yaml';
        spew($file, slurp($file) =~ s/external_url: .*/external_url: $url/r);
        my $r = Goosebit::Conf::check($s, $s->dir . '/nginx.conf');
        ok($r->{exit} != 0, $url =~ s/Passw0rd/.../r);
        like($r->{err}, $why, 'and why');
        my ($before) = slurp($file) =~ /(.*)external_url/s;
        my $line = 1 + ($before =~ tr/\n//);
        like($r->{err}, qr/\Q$file\E:$line: device_auth\.external_url: /,
            'and where');
        unlike($r->{err}, qr/Passw0rd/, 'no password told');
    }
};

done_testing;
