use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Release;
use Goosebit::Swupdate;
use Goosebit::Test;

# Debian's swupdate over TLS: its client certificate says who it is.

my $dir = tempdir();
my $port = Goosebit::Test::free_port();


sub openssl {
    my $r = run(['openssl', @_]);
    $r->{exit} == 0 or die "openssl @_: $r->{err}\n";
}


# A key and a certificate of the CA: NAME.key, NAME.pem
sub certificate {
    my ($name, $subject, $extension) = @_;
    spew("$dir/$name.ext", $extension);
    openssl(qw(req -newkey rsa:2048 -nodes -keyout), "$dir/$name.key",
        '-out', "$dir/$name.csr", '-subj', $subject);
    openssl(qw(x509 -req -days 2 -CA), "$dir/ca.pem", '-CAkey',
        "$dir/ca.key", '-CAcreateserial', '-in', "$dir/$name.csr", '-out',
        "$dir/$name.pem", '-extfile', "$dir/$name.ext");
}


openssl(qw(req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=Test-CA
    -keyout), "$dir/ca.key", '-out', "$dir/ca.pem");
certificate('server', '/CN=localhost', 'subjectAltName = IP:127.0.0.1');
certificate('tls-1', '/O=Fleet/CN=tls-1', 'extendedKeyUsage = clientAuth');
certificate('tls-2', '/O=Fleet/CN=tls-2', 'extendedKeyUsage = clientAuth');

my $s = stack(yaml => <<'YAML', http => <<"CONF");
poll_time: 00:00:01
device_auth:
  enable: true
  mode: strict
YAML
server {
    listen 127.0.0.1:$port ssl;
    ssl_certificate $dir/server.pem;
    ssl_certificate_key $dir/server.key;
    ssl_client_certificate $dir/ca.pem;
    ssl_verify_client optional;
    goosebit_client_id \$ssl_client_s_dn_cn;
    location / { goosebit; }
}
CONF
my $releases = Goosebit::Release->new($s);


# A device with the certificate of NAME, or with none.
sub device {
    my ($id, $name) = @_;
    return Goosebit::Swupdate->new($s, $id, key => $releases->key,
        url => "https://127.0.0.1:$port",
        suricatta => join ' ', "cafile = \"$dir/ca.pem\";", $name
            ? "sslcert = \"$dir/$name.pem\"; sslkey = \"$dir/$name.key\";"
            : ());
}


sub refused {
    my ($device, $name) = @_;
    my $answers = sub { () = $s->access_log =~ /" 401 /g };
    my $before = $answers->();

    $device->start;
    ok(wait_for(sub { $answers->() > $before + 1 }, 60), $name)
        or diag($device->story);
    $device->stop;
    is($s->value('select count(*) from goosebit.device'), 0,
        'and not registered');
}


subtest 'refused' => sub {
    refused(device('tls-1'), 'without a certificate');
    refused(device('tls-1', 'tls-2'), 'with that of another device');
};


subtest 'its own certificate' => sub {
    my $device = device('tls-1', 'tls-1');
    my $file = $releases->swu($device, '1.1.0');
    my $rollout = $releases->rollout('1.1.0');

    $device->start;
    $releases->installed($device, $file);
    $device->{version} = '1.1.0';
    $device->start(2);
    ok($releases->reaches('tls-1', 'finished'), 'reported');
    is($releases->shown('rollout', $rollout)->{success}, 1, 'counted');
    $device->stop;
};


# The installation goes well, the start after it does not.
subtest 'a start that reports failure' => sub {
    my $device = device('tls-2', 'tls-2');
    my $file = $releases->swu($device, '1.2.0');
    my $rollout = $releases->rollout('1.2.0');

    $device->start;
    $releases->installed($device, $file);
    is($releases->shown('device', 'tls-2')->{state}, 'running', 'running');
    $device->start(3);
    ok($releases->reaches('tls-2', 'error'), 'reported')
        or diag($device->story);
    is($releases->shown('device', 'tls-2')->{sw_version}, '1.0.0',
        'the old version');
    is($releases->shown('rollout', $rollout)->{failure}, 1, 'counted once');
    like($s->gbctl(qw(device explain tls-2))->{out}, qr/held_after_error/,
        'held');
    $device->stop;
};


done_testing;
