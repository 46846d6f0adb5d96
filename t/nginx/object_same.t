# A device can't tell an object from a file: the same requests to two stacks,
# one with its artifact in a directory, one in S3, get the same answers; most of
# them without SQL, by the zone.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Device;
use Goosebit::S3;

use Digest::SHA qw(sha1_hex);

my $s3 = Goosebit::S3->new;
my $auth = "device_auth:\n  enable: true\n  mode: setup\n";
my $zone = 'goosebit_cache zone=fleet:4m;';
my $files = stack(fsync => 'off', workers => 1, yaml => $auth, http => $zone);
my $objects = stack(fsync => 'off', workers => 1, yaml => $auth . $s3->yaml,
    http => $zone . 'proxy_cache_path @DIR@/tmp/cache keys_zone=objects:1m;
        upstream s3 { server 127.0.0.1:' . $s3->port . '; }',
    server => <<"CONF");
goosebit_object_store \@objects;
location \@objects {
    slice 64k;
    proxy_cache objects;
    proxy_cache_key \$goosebit_object_uri\$slice_range;
    proxy_cache_valid 200 206 1h;
    proxy_set_header Range \$slice_range;
    @{[$s3->proxy('s3')]}
}
CONF

my $dir = tempdir();
my $file = "$dir/image.swu";
system('t/lib/fixtures/make-swu', '-o', $file, '-V', '2.0.0', '-H', 'board:1',
    '--size', 200_000) == 0 or die "make-swu failed\n";
my $size = -s $file;
my @at = map { url($_) } $files, $objects;
my $etag = '"' . sha1_hex(slurp($file)) . '"';

# Registers the image, and a device that is to have it; where it gets it.
sub url {
    my ($s) = @_;
    my ($image) = @{$s->gbctl('software', 'add', $file, '-o', 'json')->{json}};
    $s->value("update goosebit.software set created_at = '2024-01-01 0:00 UTC'
        returning 1");
    Goosebit::Device::rollout($s, $image->{id});
    my $d = Goosebit::Device->new($s, 'dev', token => 'T');
    $d->register;
    return $d->get('deploymentBase', $d->action)->{json}{deployment}{chunks}[0]
        {artifacts}[0]{_links}{download}{href} =~ s{^http://[^/]+}{}r;
}

# All of an answer but the time and what divides parts.
sub answer {
    my ($s, $url, $method, $more, @headers) = @_;
    my $token = (grep { ($_ // '') eq 'Authorization' } @headers) ? [] :
        [Authorization => 'TargetToken T'];
    my $r = $s->request($method, "$url$more", headers => [@$token, @headers]);
    delete $r->{headers}{date};
    my $text = join "\n", $r->{status},
        (map { "$_: $r->{headers}{$_}" } sort keys %{$r->{headers}}), '',
        $r->{body};
    my ($bound) = $text =~ /boundary=(\w+)/;
    $text =~ s/$bound/BOUNDARY/g if defined $bound;
    return $text;
}

my ($then, $before) = map { "Mon, 01 Jan $_ 00:00:00 GMT" } 2024, 2023;
my @table = (
    ['', [Range => 'bytes=0-9']], ['', [Range => "bytes=$size-"]],
    ['', [Range => 'bytes=70000-']], ['', [Range => 'bytes=-1']],
    ['', [Range => 'bytes=0-3,10-12']], ['', [Range => 'bytes=0-9,x']],
    ['', [Range => 'bytes=0-9', Range => 'bytes=0-19']],
    ['', ['If-None-Match' => $etag]], ['', ['If-None-Match' => "W/$etag"]],
    ['', ['If-None-Match' => qq{"a", $etag}]], ['', ['If-Match' => '"a"']],
    ['', ['If-Match' => '*']], ['', ['If-Modified-Since' => $then]],
    ['', ['If-Unmodified-Since' => $before]],
    ['', ['If-Range' => $etag, Range => 'bytes=1-1']],
    ['', ['If-Range' => $before, Range => 'bytes=1-1']],
    ['', ['If-Range' => $then, Range => 'bytes=1-1,5-5']],
    ['', [Accept => 'text/html']], ['', ['Accept-Encoding' => 'gzip']],
    ['', ['Content-Length' => 0]], ['', [Expect => '100-continue']],
    ['', [TE => 'trailers']], ['', ['X-Amz-Acl' => 'public-read']],
    ['', [Authorization => undef]], ['', [Authorization => 'TargetToken X']],
    ['', [Authorization => 'AWS4-HMAC-SHA256 Credential=x']],
    ['/', []], ['?a=b', []], ['?x-id=GetObject&X-Amz-Expires=1', []],
    ['.MD5SUM', []], ['x', []], ['', []],
);

for my $method (qw(GET HEAD POST PUT DELETE OPTIONS)) {
    for (@table) {
        my ($more, $headers) = @$_;
        my ($is, $want) = map { answer(@$_, $method, $more, @$headers) }
            [$objects, $at[1]], [$files, $at[0]];
        ok($is eq $want, join ' ', $method, $more,
            map { $_ // 'none' } @$headers)
            or diag map { "\n" . substr $_, 0, 600 } $is, $want;
    }
}

# The journal's news of all this ends what was allowed.
for ([$files, $at[0]], [$objects, $at[1]]) {
    my ($s) = @$_;
    ok($s->synced, 'the journal is read');
    answer(@$_, 'GET', '');
    $s->pg('stop');
}
for my $ask ([Range => 'bytes=5-70000'], [Range => 'bytes=5-5,7-8'],
    ['If-None-Match' => $etag])
{
    my ($is, $want) = map { answer(@$_, 'GET', '', @$ask) }
        [$objects, $at[1]], [$files, $at[0]];
    ok($is eq $want, "no database: @$ask")
        or diag map { "\n" . substr $_, 0, 600 } $is, $want;
    like($want, qr/^(?:206|304)/, 'as it should');
}

done_testing;
