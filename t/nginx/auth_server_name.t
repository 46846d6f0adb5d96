#!/usr/bin/perl
# Servers of one address, each with an authority of its own: a certificate
# counts in the server that asked for it, whatever Host says.
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Certs;
use Goosebit::Test;

my $c = Goosebit::Certs->new;
$c->make('server-ca', '/CN=Server CA', ca => 1)
    ->make('server', '/CN=localhost', by => 'server-ca', san => join ',',
        'IP:127.0.0.1', map { "DNS:$_.example" } qw(alpha beta open plain))
    ->make('ca-alpha', '/CN=Alpha', ca => 1)
    ->make('ca-beta', '/CN=Beta', ca => 1)
    ->make('alpha', '/CN=dev', by => 'ca-alpha')
    ->make('beta', '/CN=dev', by => 'ca-beta');
my $port = $c->port;
my $own = "ssl_certificate @{[$c->pem('server')]};
    ssl_certificate_key @{[$c->key('server')]};";

sub server {
    my ($name, $tenant, $more) = @_;
    return "server {
        listen 127.0.0.1:$port ssl http2;
        server_name $name.example;
        goosebit_tenant $tenant;
        location / { goosebit; }
        $more
    }\n";
}

sub verifies {
    return "$own ssl_client_certificate @{[$c->pem($_[0])]};
        ssl_verify_client on;";
}

my $s = stack(fsync => 'off',
    yaml => "device_auth:\n  enable: true\n  mode: strict\n",
    http => 'goosebit_client_id $ssl_client_s_dn_cn;'
        . ' map $ssl_client_s_dn $by_map { ~^CN=(?<cn>[^,]+)$ $cn; }'
        . server('alpha', 'alpha', verifies('ca-alpha'))
        . server('beta', 'beta', verifies('ca-beta')
            . 'location /map/ { goosebit; goosebit_client_id $by_map; }')
        . server('open', 'beta', $own)
        . server('plain', 'alpha', ''));
is($s->gbctl('tenant', 'add', $_)->{exit}, 0, $_) for qw(alpha beta);


# Asks the server that Host says in a connection to another, or to none.
sub ask {
    my ($name, $host, $cert, $path, @args) = @_;
    my $to = defined $name ? "$name.example:$port" : "127.0.0.1:$port";
    return $c->curl("https://$to/$path/controller/v1/dev", cert => $cert,
        args => ['--connect-to', "$to:127.0.0.1:$port", '-H',
            "Host: $host.example", @args])->{status};
}

for my $http ('--http1.1', '--http2') {
    is(ask('alpha', 'alpha', 'alpha', 'alpha', $http), 200,
        "$http: its own certificate");
    is(ask('beta', 'beta', 'beta', 'beta', $http), 200, 'the other\'s');
    is(ask(undef, 'alpha', 'alpha', 'alpha', $http), 200,
        'no name: the default server');
    is(ask('plain', 'plain', 'alpha', 'alpha', $http), 200,
        'one without a certificate has the default one\'s');

    is(ask(undef, 'beta', 'alpha', $_, $http), 401,
        "no name, and Host is another: $_") for 'beta', 'map/beta';
    is(ask('alpha', 'beta', 'alpha', 'beta', $http), 421,
        'a name, and Host is another');
    is(ask('alpha', 'open', 'alpha', 'beta', $http), 401,
        'that asks for no certificate');
    is(ask(undef, 'open', 'alpha', 'beta', $http), 401, 'and without a name');
    is(ask('beta', 'plain', 'beta', 'alpha', $http), 401,
        'nor what is not the default one\'s');
}

done_testing;
