# nginx starts with each sample for authentication, and with that for S3, as it
# is, and does what the sample says. Only paths, ports, names and hashes are
# replaced.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Certs;
use Goosebit::Device;
use Goosebit::S3;
use Goosebit::Test;

my $c = Goosebit::Certs->new;
$c->make('server-ca', '/CN=Server CA', ca => 1)
    ->make('server', '/CN=x', by => 'server-ca', san => 'DNS:localhost,'
        . 'DNS:alpha.example.com,DNS:beta.example.com')
    ->make('ca-a', '/O=Alpha/CN=Devices', ca => 1)
    ->make('ca-b', '/O=Beta/CN=Devices', ca => 1)
    ->make('one', '/CN=one', by => 'ca-a')
    ->make('two', '/CN=two', by => 'ca-b')
    ->make('fake-b', '/O=Beta/CN=Devices', by => 'ca-a', ca => 1)
    ->make('fake', '/CN=two', by => 'fake-b');
$c->join('cas', qw(ca-a ca-b));
$c->join('fake-chain', qw(fake fake-b));
my ($hash_a, $hash_b) = map { $c->issuer_hash($_) } qw(one two);
my $v1 = 'controller/v1';

sub sample {
    my ($name, $yaml, %replace) = @_;
    my $text = slurp("conf/nginx-$name.conf");
    my $more = delete $replace{http} // '';
    %replace = (
        '/etc/goosebit.yaml' => '@DIR@/goosebit.yaml',
        'host=/var/run/postgresql' => 'host=@SOCKET@',
        'listen 60053;' => 'listen @LISTEN@:@PORT@;',
        'listen 443 ' => 'listen @LISTEN@:@PORT@ ',
        'listen 127.0.0.1:60053' => 'listen @LISTEN@:@PORT@',
        '/etc/ssl/goosebit/server.pem' => $c->pem('server'),
        '/etc/ssl/goosebit/server.key' => $c->key('server'),
        '/etc/ssl/goosebit/devices-ca.pem' => $c->pem('ca-a'),
        '/etc/ssl/goosebit/all-tenants-ca.pem' => $c->pem('cas'),
        %replace);
    $text =~ s/^(?!\s*#)(.*?)\Q$_\E/$1$replace{$_}/mg
        for sort { length $b <=> length $a } keys %replace;
    my $temp = join "\n", map { "${_}_temp_path \@DIR\@/tmp/$_;" }
        qw(client_body proxy fastcgi uwsgi scgi);
    return stack(fsync => 'off', yaml => $yaml, conf => <<"CONF");
load_module \@MODULE\@;
\@USER\@
\@ENV\@
worker_processes 1;
pid \@DIR\@/nginx.pid;
error_log \@DIR\@/logs/error.log info;
events { }
http {
$temp
access_log \@DIR\@/logs/access.log;
$text
$more
}
CONF
}

sub ask {
    my ($s, $name, $path, $cert, @more) = @_;
    my $port = $s->port;
    return $c->curl("https://$name:$port/$path", cert => $cert, args =>
        ['--connect-to', "$name:$port:127.0.0.1:$port"], @more);
}

my $strict = "device_auth:\n  enable: true\n  mode: strict\n";


subtest 'https' => sub {
    my $s = sample('https', $strict);
    my $r = ask($s, 'localhost', "DEFAULT/$v1/one", 'one');
    is($r->{status}, 200, 'a device by its certificate');
    my $port = $s->port;
    like($r->{body}, qr{"https://localhost:$port/DEFAULT/$v1/one/configData"},
        'with links to HTTPS');
    is(ask($s, 'localhost', "DEFAULT/$v1/two", 'one')->{status}, 401,
        'not another');
    is(ask($s, 'localhost', "DEFAULT/$v1/two", 'two')->{status}, 400,
        'not by another authority');
    is(ask($s, 'localhost', "DEFAULT/$v1/one")->{status}, 401, 'nor without');
    is($s->gbctl('device', 'add', 'tok', '--token', 'T')->{exit}, 0, 'a token');
    is($c->curl("https://localhost:$port/DEFAULT/$v1/tok", args =>
        ['-H', 'Authorization: TargetToken T'])->{status}, 200, 'does as well');
};


subtest 'proxy' => sub {
    my $s = sample('proxy', $strict, '5f2c9a01' => $hash_a);
    my @cert = ('X-Ssl-Client-Cn' => 'one');
    my @issuer = ('X-Ssl-Issuer-Hash-1' => $hash_a);
    my @proxy = (Host => 'fleet.example.com', 'X-Forwarded-Proto' => 'https',
        'X-Forwarded-For' => '192.0.2.7');
    my $get = sub { $s->get("/DEFAULT/$v1/one", headers => [@_]) };
    my $r = $get->(@proxy, @cert, @issuer);
    is($r->{status}, 200, 'as the proxy says');
    like($r->{body}, qr{"https://fleet\.example\.com/DEFAULT/},
        'links lead through it');
    ok((wait_for { ($s->value('select address
        from goosebit.device_seen') // '') eq '192.0.2.7' }),
        'the device\'s own address');
    is($get->(@proxy, @cert)->{status}, 401, 'no issuer');
    is($get->(@proxy, @cert, 'X-Ssl-Issuer-Hash-1' => $hash_b)->{status}, 401,
        'another');
    is($get->(@proxy, 'X-Ssl-Client-Cn' => 'two', @issuer)->{status}, 401,
        'another device');
    is($get->(@proxy)->{status}, 401, 'none');
};


subtest 'tenants' => sub {
    my $s = sample('tenants', $strict, '5f2c9a01' => $hash_a,
        '8e1d3b77' => $hash_b);
    is($s->gbctl('tenant', 'add', $_)->{exit}, 0, $_) for qw(ALPHA BETA);
    my $try = sub { ask($s, "$_[0].example.com", "$_[1]/$v1/$_[2]",
        @_[3 .. $#_])->{status} };
    is($try->('alpha', 'ALPHA', 'one', 'one'), 200, 'alpha\'s device');
    is($try->('beta', 'BETA', 'two', 'two'), 200, 'beta\'s');
    is($try->('beta', 'beta', 'two', 'two'), 200, 'in any case');
    is($try->('beta', 'BETA', 'one', 'one'), 401, 'alpha\'s, at beta\'s');
    is($try->('alpha', 'ALPHA', 'two', 'two'), 401, 'and the other way');
    is($try->('alpha', 'BETA', 'two', 'two'), 404, 'a name is one tenant\'s');
    is($try->('beta', 'BETA', 'two', 'fake', chain => 'fake-chain'), 401,
        'an authority in another\'s name');
    is(ask($s, 'localhost', "ALPHA/$v1/one", 'one')->{status}, 404,
        'any other name is nobody\'s');
    is($try->('alpha', 'ALPHA', 'one'), 401, 'no certificate');
};

# The store is that of endpoint_url, behind TLS, and signatures hold its name.
subtest 's3' => sub {
    my $s3 = Goosebit::S3->new;
    my ($port, $to) = (Goosebit::Certs::port(), $s3->port);
    $c->make('s3', '/CN=x', by => 'server-ca', san => 'DNS:s3.example.com');
    my $s = sample('s3', $s3->yaml(endpoint_url => 'https://s3.example.com'),
        '/var/cache/' => '@DIR@/tmp/',              # nginx makes what is in it
        's3.example.com:443' => "127.0.0.1:$port",
        '/etc/ssl/certs/ca-certificates.crt' => $c->pem('server-ca'),
        http => "server { listen 127.0.0.1:$port ssl;
            ssl_certificate @{[$c->pem('s3')]};
            ssl_certificate_key @{[$c->key('s3')]};
            location / { proxy_pass http://127.0.0.1:$to;
                proxy_set_header Host \$http_host; } }");

    # gbctl has not this test's idea of where s3.example.com is
    $s->{env}{GOOSEBIT_STORAGE__S3__ENDPOINT_URL} = $s3->url;
    my $image = Goosebit::Device::image($s, '2.0.0', size => 5_000_000);
    Goosebit::Device::rollout($s, $image->{id});

    my $gets = sub { scalar(() = $s3->log =~ m{\| GET \| /artifacts/}g) };
    my $before = $gets->();
    my @http;
    for my $id (qw(one two)) {
        my $d = Goosebit::Device->new($s, $id);
        $d->register;
        my ($url) = $d->get('deploymentBase', $d->action)->{json}{deployment}
            {chunks}[0]{artifacts}[0]{_links}{download}{href}
            =~ m{^http://[^/]+(/.*)};
        push @http, $s->http(timeout => 30);
        $http[-1]->send_request('GET', $url);
    }
    ok($_->response('GET')->{body} eq $image->{bytes}, 'a device has it all')
        for @http;
    wait_for { $gets->() >= $before + 2 };      # written after the answer
    is($gets->() - $before, 2, 'S3 was asked once for each of two slices');
};

done_testing;
