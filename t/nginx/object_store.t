# Artifacts in a real S3 server, which verifies what the module signs: what a
# device sees is what it would see of a file, whichever way the bytes come.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Device;
use Goosebit::S3;

use Digest::SHA qw(sha1_hex);

my $s3 = Goosebit::S3->new;
my $port = $s3->port;
my $slice = 65_536;

my ($proxy, $via) = map { $s3->proxy($_) } qw(s3 via);

my $s = stack(fsync => 'off', workers => 1,
    yaml => $s3->yaml . "device_auth:\n  enable: true\n  mode: setup\n",
    http => <<"CONF", server => <<"CONF");
proxy_cache_path \@DIR\@/tmp/cache keys_zone=objects:1m;
upstream s3 { server 127.0.0.1:$port; keepalive 4; }
upstream via { server unix:\@DIR\@/tmp/via.sock; }
log_format via '\$http_x_amz_date \$http_range \$status';
server {
    listen unix:\@DIR\@/tmp/via.sock;
    access_log \@DIR\@/logs/via.log via;
    location / { proxy_pass http://s3; proxy_set_header Host \$http_host; }
}
log_format echo '\$request_method "\$http_authorization" "\$http_cookie" '
                '"\$http_range" "\$http_if_none_match" "\$http_x_amz_acl"';
CONF
goosebit_object_store /objects;

location /objects {
    internal;
    slice $slice;
    proxy_cache objects;
    proxy_cache_key \$goosebit_object_uri\$slice_range;
    proxy_cache_valid 200 206 1h;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Range \$slice_range;
    $proxy
}

location /sliced/ { goosebit; goosebit_object_store \@sliced; }
location \@sliced {
    slice $slice;
    proxy_set_header Range \$slice_range;
    $proxy
}

location /plain/ { goosebit; goosebit_object_store \@plain; }
location \@plain { $proxy }

location /whole/ { goosebit; goosebit_object_store \@whole; }
location \@whole {
    sendfile on;
    proxy_cache objects;
    proxy_cache_key whole\$goosebit_object_uri;
    proxy_cache_valid 200 1h;
    $proxy
}

location /slow/ { goosebit; goosebit_object_store \@slow; }
location \@slow {
    limit_rate 60k;
    slice $slice;
    proxy_set_header Range \$slice_range;
    $via
}

location /redirect/ {
    goosebit;
    goosebit_artifact_delivery redirect;
    goosebit_presign_ttl 60s;
}
location /short/ {
    goosebit;
    goosebit_artifact_delivery redirect;
    goosebit_presign_ttl 1s;
}

location /bare/ { goosebit; goosebit_object_store /to-echo; }
location /to-echo { internal; proxy_pass http://127.0.0.1:\@PORT\@/echo; }
location /echo { access_log \@DIR\@/logs/echo.log echo; return 200; }

location /nowhere/ { goosebit; goosebit_object_store \@nowhere; }
location /loop/ { goosebit; goosebit_object_store /loop/x; }
location /refused/ { goosebit; goosebit_object_store \@refused; }
location \@refused { proxy_pass http://127.0.0.1:1; }
location /page/ { goosebit; goosebit_object_store \@page; }
location \@page {
    proxy_intercept_errors on;
    error_page 403 404 502 503 /page.html;
    proxy_pass http://127.0.0.1:1;
}
location = /page.html { return 200 "<html>"; }
CONF

my @ways = ('', qw(/sliced /plain /whole));
my $image = Goosebit::Device::image($s, '2.0.0', size => 300_000,
    filename => 'sam"p le%ü#.swu');
my $bytes = $image->{bytes};
my $object = '/artifacts/' . ($image->{sha256} =~ s{^..}{$&/}r)
    . '/sam%22p%20le%25%C3%BC%23.swu';
my $size = length $bytes;
my $last = $size - 1;
my $etag = '"' . sha1_hex($bytes) . '"';

my $rollout = Goosebit::Device::rollout($s, $image->{id});
my $d = Goosebit::Device->new($s, 'dev', token => 'T0ken');
$d->register;
my $id = $d->action;
my @token = (Authorization => 'TargetToken T0ken');

my $href = $d->get("deploymentBase/$id")
    ->{json}{deployment}{chunks}[0]{artifacts}[0]{_links}{download}{href};
my ($url) = $href =~ m{^http://[^/]+(/.*)};

sub get { $s->get($_[0], headers => [@token, @_[1 .. $#_]]) }
sub head { $s->head($_[0], headers => [@token, @_[1 .. $#_]]) }

# Requests that reached the store since the last look, when there are so many
# at least: it writes of one after it has answered.
my $seen = 0;
sub asked {
    my ($least) = @_;
    my $lines = 0;
    wait_for { $lines = () = $s3->log =~ m{\| (?:GET|HEAD) \| /artifacts/}g;
        $lines >= $seen + $least };
    my $new = $lines - $seen;
    $seen = $lines;
    return $new;
}

# From now on: what it has answered until now is written before this is.
sub asked_no_more {
    my $path = '/artifacts/' . time;
    $s3->request('HEAD', $path);
    wait_for { $s3->log =~ m{\| HEAD \| \Q$path\E} } or die "no such line\n";
    asked(0);
}

sub empty {
    my ($r, $status, $name) = @_;
    is("$r->{status} " . ($r->{headers}{'content-length'} // 'no length')
        . ', ' . length($r->{body}), "$status 0, 0", $name);
}

# What may stand in an answer, whoever sends the bytes.
sub headers {
    my ($r, $name) = @_;
    my %known = map { $_ => 1 } qw(server date content-type content-length
        last-modified connection etag content-disposition accept-ranges
        content-range retry-after location);
    is(join(' ', grep { !$known{$_} } sort keys %{$r->{headers}}), '', $name);
    like($r->{headers}{server}, qr/nginx/, 'of NGINX');
}


subtest 'whole' => sub {
    for my $way (@ways, @ways) {
        my $r = get("$way$url");
        my $h = $r->{headers};

        is($r->{status}, 200, "$way: status");
        ok($r->{body} eq $bytes, 'the bytes');
        is($h->{'content-length'}, $size, 'Content-Length');
        is($h->{etag}, $etag, 'ETag is the SHA-1');
        is($h->{'accept-ranges'}, 'bytes', 'Accept-Ranges');
        is($h->{'content-type'}, 'application/octet-stream', 'Content-Type');
        like($h->{'last-modified'}, qr/ GMT$/, 'Last-Modified');
        is($h->{'content-disposition'},
            'attachment; filename="sam_p le___#.swu"'
            . q{; filename*=UTF-8''sam%22p%20le%25%C3%BC%23.swu},
            'Content-Disposition');
        headers($r, 'no header of the store');

        my $head = head("$way$url");
        is($head->{status}, 200, "$way: HEAD");
        is_deeply([@{$head->{headers}}{qw(content-length etag last-modified)}],
            [$size, $etag, $h->{'last-modified'}], 'says the same');
        headers($head, 'and no more');
    }
};


subtest 'ranges' => sub {
    my @table = (
        ['bytes=0-0', 206, substr($bytes, 0, 1), '0-0'],
        ['bytes=0-', 206, $bytes, "0-$last"],
        ['bytes=100-199', 206, substr($bytes, 100, 100), '100-199'],
        ['bytes=65000-200000', 206, substr($bytes, 65_000, 135_001),
            '65000-200000'],
        ['bytes=65536-131071', 206, substr($bytes, 65_536, 65_536),
            '65536-131071'],
        ['bytes=-5', 206, substr($bytes, -5), ($size - 5) . "-$last"],
        ["bytes=$last-", 206, substr($bytes, -1), "$last-$last"],
        ["bytes=$last-99999999", 206, substr($bytes, -1), "$last-$last"],
        ['bytes=-99999999', 206, $bytes, "0-$last"],
        ["bytes=$size-", 416], ["bytes=$size-$size", 416],
        ['bytes=9999999-', 416], ['bytes=5-4', 416], ['bytes=x', 416],
        ['bytes=-', 416], ['bytes=99999999999999999999-', 416],
        ['lines=0-1', 200, $bytes], ['x', 200, $bytes],
        ['bytes=', 200, $bytes],
    );

    for my $way (@ways) {
        for (@table) {
            my ($range, $status, $body, $says) = @$_;
            my $r = get("$way$url", Range => $range);
            my $name = "$way $range";

            if ($status == 416) {
                empty($r, 416, $name);
                is($r->{headers}{'content-range'}, "bytes */$size", 'of');
            } else {
                is($r->{status}, $status, $name);
                ok($r->{body} eq $body, 'the bytes');
                is($r->{headers}{'content-range'},
                    defined $says ? "bytes $says/$size" : undef, 'of');
            }
            headers($r, 'no header of the store');
        }

        is(head("$way$url", Range => 'bytes=0-1')->{status}, 206,
            'HEAD of a range');
        empty(head("$way$url", Range => "bytes=$size-"), 416,
            'HEAD past the end');

        my $date = head("$way$url")->{headers}{'last-modified'};
        for ([$etag, 206], [$date, 206], ['"x"', 200], ["W/$etag", 200],
            ['Mon, 01 Jan 2001 00:00:00 GMT', 200])
        {
            my $r = get("$way$url", Range => 'bytes=70000-70001',
                'If-Range' => $_->[0]);
            is($r->{status}, $_->[1], "If-Range: $_->[0]");
            ok($r->{body} eq ($_->[1] == 206 ? substr $bytes, 70_000, 2
                : $bytes), 'the bytes');
        }
    }

    # as rauc-hawkbit-updater does: many small ones, one connection
    my $http = $s->http;
    my $got = join '', map {
        $http->request('GET', $url, headers => [@token,
            Range => sprintf 'bytes=%d-%d', $_ * 4096, $_ * 4096 + 4095,
        ])->{body};
    } 0 .. int($last / 4096);
    ok($got eq $bytes, 'streamed in ranges');
};


# Of an answer with several parts: [[FROM, TO, BYTES]...], after all that is
# around them was found right; the reason if not.
sub parts {
    my ($r) = @_;
    return "status $r->{status}" if $r->{status} != 206;
    return 'length' if $r->{headers}{'content-length'} != length $r->{body};
    return 'a range of all' if defined $r->{headers}{'content-range'};
    my ($bound) = $r->{headers}{'content-type'}
        =~ m{^multipart/byteranges; boundary=(\w+)$} or return 'type';

    my ($body, @parts) = $r->{body};
    while ($body =~ s/\A\r\n--$bound\r\nContent-Type:[ ]application\/octet-stream
            \r\nContent-Range:[ ]bytes[ ](\d+)-(\d+)\/$size\r\n\r\n//x)
    {
        push @parts, [$1, $2, substr $body, 0, $2 - $1 + 1, ''];
    }
    return $body eq "\r\n--$bound--\r\n" ? \@parts : 'parts';
}

# The same of FROM-TO pairs: in order, and those that touch joined.
sub want {
    my @want;
    for (sort { $a->[0] <=> $b->[0] } @_) {
        my ($from, $to) = @$_;
        if (@want && $from <= $want[-1][1] + 1) {
            $want[-1][1] = $to if $to > $want[-1][1];
        } else {
            push @want, [$from, $to];
        }
    }
    return [map { [@$_, substr $bytes, $_->[0], $_->[1] - $_->[0] + 1] }
        @want];
}


subtest 'several ranges' => sub {
    my @table = (
        ['0-9,100-109,-10', [0, 9], [100, 109], [$size - 10, $last]],
        ['0-0,2-2,4-4', [0, 0], [2, 2], [4, 4]],
        ['0-0,1-1,3-3', [0, 1], [3, 3]],
        ['65530-65540,131070-131080', [65530, 65540], [131070, 131080]],
        ['65535-65535,65537-65537', [65535, 65535], [65537, 65537]],
        ['200000-, 5-6', [200000, $last], [5, 6]],
        ['5-100,50-200,300-300', [5, 200], [300, 300]],
        ["9-9,$last-99999999", [9, 9], [$last, $last]],
        ["1-2,$size-,4-5", [1, 2], [4, 5]],
    );

    for my $way (@ways) {
        for (@table) {
            my ($range, @want) = @$_;
            my @ask = ("$way$url", Range => "bytes=$range");
            my $r = get(@ask);
            is_deeply(parts($r), want(@want), "$way $range");
            headers($r, 'no header of the store');

            my $head = head(@ask);
            is_deeply([$head->{status}, $head->{headers}{'content-length'}],
                [206, length $r->{body}], 'HEAD says the same');
        }

        for (['0-9,10-19', '0-19'], ["5-6,$size-", '5-6'], ['3-3,3-3', '3-3'])
        {
            my $r = get("$way$url", Range => "bytes=$_->[0]");
            is("$r->{status} $r->{headers}{'content-range'}",
                "206 bytes $_->[1]/$size", "$_->[0] is one");
        }

        for ("0-,5-", "-$size,0-0") {
            my $r = get("$way$url", Range => "bytes=$_");
            is($r->{status}, 200, "$_: more than all");
            ok($r->{body} eq $bytes, 'all it is');
        }

        empty(get("$way$url", Range => "bytes=$_"), 416, $_)
            for '0-1,x', '0-1,', ',', "$size-,$size-", '-,0-1', '4-3,9-8';

        for ([$etag, 206], ['"x"', 200]) {
            my $r = get("$way$url", Range => 'bytes=70000-70001,0-0',
                'If-Range' => $_->[0]);
            is($r->{status}, $_->[1], "If-Range: $_->[0]");
            is_deeply(parts($r), want([0, 0], [70000, 70001]), 'both')
                if $_->[1] == 206;
            is($r->{body} eq $bytes, 1, 'all') if $_->[1] == 200;
        }
        is(get("$way$url", Range => 'bytes=0-0,5-5',
            'If-None-Match' => $etag)->{status}, 304, 'not modified');
    }

    # by chance, to a client that takes its time
    my $seed = time;
    srand $seed;
    my $wrong = '';
    for (1 .. 40) {
        my $way = $ways[rand @ways];
        my ($left, @want) = $size;
        for (1 .. 2 + rand 12) {
            my $from = int rand $size;
            my $to = $from + int rand(rand() < 0.5 ? 40 : $left);
            $to = $last if $to > $last;
            next if ($left -= $to - $from + 1) < 0;
            push @want, [$from, $to];
        }
        my $want = want(@want);
        next if @$want < 2;
        my $http = $s->http;
        $http->send_request('GET', "$way$url", headers => [@token,
            Range => 'bytes=' . join ',', map { "$_->[0]-$_->[1]" } @want]);
        sleep 0.1 if $_ % 8 == 0;
        my $got = parts($http->response('GET'));
        $wrong = "$way: " . join ',', map { "$_->[0]-$_->[1]" } @want
            if !ref $got || @$got != @$want
            || grep { "@{$got->[$_]}" ne "@{$want->[$_]}" } 0 .. $#$want;
    }
    is($wrong, '', "ranges by chance (seed $seed)");

    # and slowly
    my $http = $s->http(timeout => 30);
    $http->send_request('GET', "/slow$url", headers => [@token,
        Range => 'bytes=10-90000,100000-100010,131000-200000']);
    is_deeply(parts($http->response('GET')), want([10, 90_000],
        [100_000, 100_010], [131_000, 200_000]), 'with limit_rate');
};


subtest 'conditions' => sub {
    my ($old, $new) = map { "Mon, 01 Jan $_ 00:00:00 GMT" } 2001, 2035;

    for my $way (@ways) {
        my $date = head("$way$url")->{headers}{'last-modified'};

        for (['If-None-Match', $etag, 304], ['If-None-Match', '*', 304],
            ['If-None-Match', '"x"', 200], ['If-Modified-Since', $date, 304],
            ['If-Modified-Since', $new, 200],
            ['If-Modified-Since', $old, 200], ['If-Match', $etag, 200],
            ['If-Match', '"x"', 412], ['If-Unmodified-Since', $old, 412],
            ['If-Unmodified-Since', $date, 200])
        {
            my ($header, $value, $status) = @$_;
            my $r = get("$way$url", $header => $value);
            is($r->{status}, $status, "$way $header: $value");
            is($r->{body}, '', 'empty') if $status != 200;
            is($r->{headers}{'content-length'}, 0, 'says so')
                if $status == 412;
            headers($r, 'no header of the store');
        }
    }
};


subtest 'what the store gets to see' => sub {
    empty(get("/bare$url", Cookie => 'c=1', Range => 'bytes=0-1',
        'If-None-Match' => '"x"', 'X-Amz-Acl' => 'public-read'), 503,
        'a location that says nothing but proxy_pass');
    is(slurp($s->dir . '/logs/echo.log'), qq{GET "-" "-" "-" "-" "-"\n},
        'nothing that the device has sent');
    like($s->error_log,
        qr/artifact: the store has 0 bytes of ".*" instead of $size/,
        'a wrong length is logged');

    my $unsigned = Goosebit::HTTP->new(port => $port)
        ->request('GET', $object, close => 1);
    like($unsigned->{status}, qr/^40[03]$/, 'the store wants signatures');
};


subtest 'the cache' => sub {
    asked_no_more();
    ok(get($url)->{body} eq $bytes, 'again');
    is(asked(0), 0, 'from the cache');

    ok(get("/sliced$url")->{body} eq $bytes, 'in slices, without one');
    is(asked(1 + int($last / $slice)), 1 + int($last / $slice), 'one request a slice');
    is(get("/sliced$url", Range => 'bytes=70000-70001')->{status}, 206,
        'a range');
    is(asked(1), 1, 'of one slice');
    is(get("/sliced$url", Range => 'bytes=-5')->{status}, 206, 'the end');
    is(asked(1), 1, 'of the last one');
};


# What the slow location asked the store for, since then and to the slice from
# that byte on, the last to be written of.
sub via {
    my ($since, $from) = @_;
    my $log;
    ok((wait_for { $log = substr slurp($s->dir . '/logs/via.log'), $since;
        $log =~ /=$from-/ }), 'the last slice');
    return $log;
}


subtest 'a slow device' => sub {
    my $since = length via(0, 3 * $slice);
    my $http = $s->http(timeout => 30);
    $http->send_request('GET', "/slow$url", headers => \@token);
    $http->_fill_until(sub { length $http->{buffer} > 1000 });
    my ($old) = $s->workers;
    kill HUP => $s->pid;
    ok((wait_for { grep { $_ != $old } $s->workers }), 'a reload');
    $s->pg('stop');
    is(get($url)->{status}, 503, 'and no database');

    my $r = $http->response('GET');
    ok($r->{body} eq $bytes, 'a download that runs gets it all');
    ok((wait_for { !grep { $_ == $old } $s->workers }),
        'and lets the old worker go');

    my @asked = map { [split] } split /\n/, via($since, 4 * $slice);
    is_deeply([map { "$_->[1] $_->[2]" } @asked], [map {
        sprintf 'bytes=%d-%d 206', $_ * $slice, ($_ + 1) * $slice - 1
    } 0 .. int($last / $slice)], 'slice by slice');
    my %dates = map { $_->[0] => 1 } @asked;
    cmp_ok(keys %dates, '>', 1, 'each signed when it is asked for');

    $s->pg('start');
    ok((wait_for { get($url)->{status} == 200 }), 'and all is well');

    # the store goes while it runs: cut off, and gone on with
    $http = $s->http(timeout => 30);
    $http->send_request('GET', "/slow$url", headers => \@token);
    $http->_fill_until(sub { length $http->{buffer} > 1000 });
    $s3->stop;
    $http->_fill_until(sub { 0 });
    my ($got) = $http->{buffer} =~ /\r\n\r\n(.*)/s;
    my $from = length $got;
    cmp_ok($from, '<', $size, "ends after $from bytes");
    ok($got eq substr($bytes, 0, $from), 'that are right');
    $s3->start or die;
    ok((wait_for { get("/slow$url", Range => "bytes=$from-$from")->{status}
        == 206 }), 'the store is back');
    ok(get("/slow$url", Range => "bytes=$from-")->{body}
        eq substr($bytes, $from), 'the rest');
};


subtest 'a redirect' => sub {
    my $r = get("/redirect$url");
    empty($r, 302, 'to a presigned URL');
    my $to = $r->{headers}{location};
    like($to, qr{^\Q${\$s3->url}\E/artifacts/.*&X-Amz-Expires=60&}, 'of S3');
    unlike($to, qr/\Q$s3->{secret}\E/, 'without the secret');
    headers($r, 'no more');

    my ($path) = $to =~ m{^http://[^/]+(/.*)};
    my $ask = sub { Goosebit::HTTP->new(port => $port)
        ->request('GET', $_[0], close => 1, headers => [@_[1 .. $#_]]) };
    ok($ask->($path)->{body} eq $bytes, 'leads to the bytes');
    is($ask->($path, Range => 'bytes=0-1')->{status}, 206, 'and to ranges');
    is($ask->($path =~ s/Expires=60/Expires=90/r)->{status}, 403,
        'not for longer');

    my ($head) = head("/redirect$url")->{headers}{location}
        =~ m{^http://[^/]+(/.*)};
    is(Goosebit::HTTP->new(port => $port)->request('HEAD', $head, close => 1)
        ->{status}, 200, 'HEAD is signed as HEAD');

    my ($short) = get("/short$url")->{headers}{location}
        =~ m{^http://[^/]+(/.*)};
    ok((wait_for { $ask->($short)->{status} == 403 }), 'a second is over');
    is($ask->($path)->{status}, 200, 'a minute is not');

    empty($s->get("/redirect$url"), 401, 'only for who may');
    empty($s->get($url), 401, 'as any way');
};


subtest 'what goes wrong' => sub {
    for (['/nowhere', qr/could not find named location/],
        ['/loop', qr/goosebit_object_store leads back to "goosebit"/],
        ['/refused', qr/connect\(\) failed.*refused/],
        ['/page', qr/connect\(\) failed.*refused/])
    {
        my ($way, $log) = @$_;
        my $r = get("$way$url");
        empty($r, 503, "$way");
        ok($r->{headers}{'retry-after'}, 'Retry-After');
        is($r->{headers}{'content-type'}, undef, 'no type');
        like($s->error_log, $log, 'is logged');
        empty(head("$way$url"), 503, "$way: HEAD");
    }

    # a missing object, and one that is not what was registered
    $s3->request('DELETE', $object);
    for my $way (@ways) {
        next if $way eq '/whole' || $way eq '';
        my $r = get("$way$url");
        empty($r, 503, "$way: missing");
        headers($r, 'no header of the store');
        empty(head("$way$url"), 503, 'HEAD');
        empty(get("$way$url", Range => 'bytes=5-'), 503, 'a range');
    }
    ok(get($url)->{body} eq $bytes, 'unless in the cache');
    like($s->error_log, qr/artifact: 404 instead of ".*\.swu" from the store/,
        'is logged');

    $s3->request('PUT', $object, body => 'x' x ($size - 1));
    empty(get("$_$url"), 503, "$_: truncated") for qw(/sliced /plain);
    $s3->request('PUT', $object, body => 'x');
    empty(get("/sliced$url", Range => 'bytes=200000-'), 503,
        'not a 416, by which a device would take it for complete');
    $s3->request('PUT', $object, body => $bytes);
    ok(get("/plain$url")->{body} eq $bytes, 'all is well again');

    # it refuses our signature
    my $other = $s3->{secret} =~ s/a/b/r;
    my $yaml = slurp($s->config);
    spew($s->config, $yaml =~ s/\Q$s3->{secret}\E/$other/r);
    ok($s->reload, 'another key');
    empty(get("/plain$url"), 503, 'a wrong signature');
    like($s->error_log, qr/artifact: 403 instead of ".*\.swu" from the store/, 'is logged');
    unlike($s->error_log, qr/\Q$other\E/, 'without secrets');
    spew($s->config, $yaml);
    ok($s->reload, 'the right one');
    is(get("/plain$url")->{status}, 200, 'is good');

    # and is gone
    $s3->stop;
    empty(get("/plain$url"), 503, 'no store');
    ok(get($url)->{body} eq $bytes, 'the cache goes on');
    $s3->start or die;
    ok((wait_for { get("/plain$url")->{status} == 200 }), 'it is back');
};


subtest 'figures and logs' => sub {
    my $was = $s->get('/status')->{json}{downloads};
    is(get("/plain$url")->{status}, 200, 'a download');
    is(head($url)->{status}, 200, 'a HEAD');
    is(get($url, Range => 'bytes=0-9')->{status}, 206, 'a part');
    my $now;
    ok((wait_for { $now = $s->get('/status')->{json}{downloads};
        $now->{complete} == $was->{complete} + 1 }), 'one is complete');
    is($now->{bytes} - $was->{bytes}, $size + 10, 'the bytes are counted');
    is($now->{active}, 0, 'none is active');
};

done_testing;
