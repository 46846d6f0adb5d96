use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Proxy;
use Goosebit::Release;
use Goosebit::S3;
use Goosebit::Swupdate;
use Goosebit::Test;

# Debian's swupdate installs an image that gbctl has put into a bucket: streamed
# through NGINX, over a line that is cut, while NGINX reloads; and by a
# presigned URL.

my $s3 = Goosebit::S3->new;
my $port = $s3->port;
my $s = stack(workers => 1, yaml => $s3->yaml . <<'YAML', http => <<"HTTP",
poll_time: 00:00:01
device_auth:
  enable: true
  mode: setup
YAML
proxy_cache_path \@DIR\@/tmp/cache keys_zone=objects:1m;
upstream s3 { server 127.0.0.1:$port; keepalive 4; }
HTTP
    server => <<"CONF");
goosebit_object_store \@objects;
location \@objects {
    limit_rate 1m;
    slice 256k;
    proxy_cache objects;
    proxy_cache_key \$goosebit_object_uri\$slice_range;
    proxy_cache_valid 200 206 1h;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Range \$slice_range;
    @{[$s3->proxy('s3')]}
}
location /direct/ { goosebit; goosebit_artifact_delivery redirect; }
CONF
my $releases = Goosebit::Release->new($s);
my $proxy = Goosebit::Proxy->new($s->port, cut => 1_000_000, times => 1);
my $device = Goosebit::Swupdate->new($s, 'real-s3', key => $releases->key,
    token => 'a-token-of-its-own', url => $proxy->url,
    suricatta => 'retry = 20; retrywait = 1;');


sub fetched { scalar(() = $s3->log =~ m{\| GET \| /artifacts/}g) }


sub installs {
    my ($version, $file, $meanwhile) = @_;
    $releases->rollout($version);

    $device->start;
    $meanwhile->() if $meanwhile;
    $releases->installed($device, $file, "$version: installed");

    $device->{version} = $version;
    $device->start(2);
    ok($releases->reaches('real-s3', 'finished'), 'reported afterwards');
    is($s->value("select count(*) from goosebit.action a
        join goosebit.software o on o.id = a.software_id
        where o.version = '$version'"), 1, 'in one attempt');
    $device->stop;
}


subtest 'streamed' => sub {
    my $file = $releases->swu($device, '1.1.0', size => 3_000_000);
    ok(!glob($s->artifacts . '/*/*/*'), 'the directory has no image');
    my @keys = $s3->keys;
    is(@keys, 1, 'the bucket has');

    installs('1.1.0', $file, sub {
        ok(wait_for(sub { $proxy->seen(qr/^cut /) }, 60), 'a cut line');
        kill HUP => $s->pid;
    });
    like($s->access_log, qr{"GET \S+/image-1\.1\.0\.swu [^"]*" 206 },
        'it went on from there');
    cmp_ok(fetched(), '<=', 2 + int((-s $file) / 262_144),
        'no slice was fetched twice, but that which was cut');
};


subtest 'redirected' => sub {
    my $file = $releases->swu($device, '1.2.0', size => 500_000);
    $device->{url} = $s->url . '/direct';
    my $before = fetched();
    installs('1.2.0', $file);
    like($s->access_log, qr{"GET \S+/image-1\.2\.0\.swu [^"]*" 302 },
        'to the bucket');
    cmp_ok(fetched(), '>', $before, 'which it asked itself');
};

done_testing;
