# Artifacts: who may have them, ranges and conditions, names, and a store that
# is not as it should be. Errors have an empty body (rule 9).

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Device;

use Digest::SHA qw(sha1_hex);
use Digest::MD5 qw(md5_hex);

my $s = stack(fsync => 'off', workers => 1,
    http => 'goosebit_open_file_cache max=4 inactive=3s;', server => <<'CONF');
location /cached/ { goosebit; open_file_cache max=10 inactive=1h; sendfile on; }
location /direct/ { goosebit; directio 512; }
location /plain/ { goosebit; sendfile off; gzip on; gzip_types *;
    gzip_min_length 1; }
location /threads/ { goosebit; aio threads; }
location /slow/ { goosebit; limit_rate 20k; }
location /links/ { goosebit; disable_symlinks on; }
CONF

my $image = Goosebit::Device::image($s, '2.0.0', size => 300_000,
    filename => 'sam"p le%ü#.swu');
my $bytes = $image->{bytes};
my $size = length $bytes;
my $etag = '"' . sha1_hex($bytes) . '"';

my $rollout = Goosebit::Device::rollout($s, $image->{id});
my $d = Goosebit::Device->new($s, 'dev');
$d->register;
my $id = $d->action;

my $links = $d->get("deploymentBase/$id")
    ->{json}{deployment}{chunks}[0]{artifacts}[0]{_links};
my ($url) = $links->{download}{href} =~ m{^http://[^/]+(/.*)};
my ($file) = $url =~ m{([^/]+)$};
my $store = $s->artifacts . '/' . $image->{sha256} =~ s{^(..)}{$1/}r;
my ($stored) = glob "$store/*";

is($file, 'sam%22p%20le%25%C3%BC%23.swu', 'the name in the link');
ok(-f $stored, 'the file in the store');

# Also after an error: 404 for good only where nothing else is true.
sub empty {
    my ($r, $status, $name) = @_;
    is("$r->{status} " . ($r->{headers}{'content-length'} // 'no length')
        . ', ' . length($r->{body}), "$status 0, 0", $name);
}


subtest 'whole' => sub {
    for my $where ('', qw(/cached /direct /plain /threads /cached)) {
        my $r = $s->get("$where$url");
        is($r->{status}, 200, "$where: status");
        ok($r->{body} eq $bytes, 'the bytes');
        is($r->{headers}{'content-length'}, $size, 'Content-Length');
        is($r->{headers}{'content-encoding'}, undef, 'as they are');
    }

    my $r = $s->get($url);
    my $h = $r->{headers};
    is($h->{'content-type'}, 'application/octet-stream', 'Content-Type');
    is($h->{etag}, $etag, 'ETag');
    is($h->{'accept-ranges'}, 'bytes', 'Accept-Ranges');
    like($h->{'last-modified'}, qr/ GMT$/, 'Last-Modified');
    is($h->{'content-disposition'}, 'attachment; filename="sam_p le___#.swu"'
        . q{; filename*=UTF-8''sam%22p%20le%25%C3%BC%23.swu},
        'Content-Disposition');

    my $head = $s->head($url);
    is($head->{status}, 200, 'HEAD');
    is_deeply([@{$head->{headers}}{qw(content-length etag)}], [$size, $etag],
        'says the same');
    is($head->{body}, '', 'and sends nothing');

    is($s->get("$url/")->{body} eq $bytes, 1, 'a slash at the end');
    is($s->get("$url?a=b")->{status}, 200, 'a query');
    is($s->get($url, headers => [Accept => 'text/html'])->{status}, 200,
        'Accept is ignored');
};


subtest 'ranges' => sub {
    my $last = $size - 1;
    my @table = (
        ['bytes=0-0', 206, substr($bytes, 0, 1), "0-0"],
        ['bytes=0-', 206, $bytes, "0-$last"],
        ['bytes=100-199', 206, substr($bytes, 100, 100), '100-199'],
        ['bytes=-5', 206, substr($bytes, -5), ($size - 5) . "-$last"],
        ["bytes=$last-", 206, substr($bytes, -1), "$last-$last"],
        ["bytes=$last-99999999", 206, substr($bytes, -1), "$last-$last"],
        ["bytes=-99999999", 206, $bytes, "0-$last"],
        ["bytes=$size-", 416], ["bytes=$size-$size", 416],
        ['bytes=9999999-', 416], ['bytes=5-4', 416], ['bytes=x', 416],
        ['bytes=-', 416],
        ['bytes=99999999999999999999-', 416],
        ['lines=0-1', 200, $bytes], ['x', 200, $bytes],
        ['bytes=', 200, $bytes],
    );

    for my $where ('', '/direct') {
        for (@table) {
            my ($range, $status, $body, $says) = @$_;
            my $r = $s->get("$where$url", headers => [Range => $range]);
            my $name = "$where $range";

            if ($status == 416) {
                empty($r, 416, $name);
                is($r->{headers}{'content-range'}, "bytes */$size", 'of');
            } else {
                is($r->{status}, $status, $name);
                ok($r->{body} eq $body, 'the bytes');
                is($r->{headers}{'content-range'},
                    defined $says ? "bytes $says/$size" : undef, 'of');
            }
        }
    }

    my $r = $s->get($url, headers => [Range => 'bytes=0-9,100-109,-10']);
    is($r->{status}, 206, 'several');
    my ($bound) = $r->{headers}{'content-type'}
        =~ m{^multipart/byteranges; boundary=(.*)};
    is($r->{headers}{'content-length'}, length $r->{body},
        'Content-Length is right');
    my $want = join '', map {
        "\r\n--$bound\r\nContent-Type: application/octet-stream\r\n"
        . "Content-Range: bytes $_->[0]-$_->[1]/$size\r\n\r\n"
        . substr $bytes, $_->[0], $_->[1] - $_->[0] + 1;
    } [0, 9], [100, 109], [$size - 10, $last];
    ok($r->{body} eq "$want\r\n--$bound--\r\n", 'each with its head');

    my $date = $s->head($url)->{headers}{'last-modified'};
    for ([$etag, 206], [$date, 206], ['"x"', 200], ["W/$etag", 200],
        ['Mon, 01 Jan 2001 00:00:00 GMT', 200])
    {
        is($s->get($url, headers => [Range => 'bytes=0-1',
            'If-Range' => $_->[0]])->{status}, $_->[1], "If-Range: $_->[0]");
    }

    is($s->head($url, headers => [Range => 'bytes=0-1'])->{status}, 206,
        'HEAD of a range');
    empty($s->head($url, headers => [Range => "bytes=$size-"]), 416,
        'HEAD past the end');

    # as rauc-hawkbit-updater does: many small ones, one connection
    my $http = $s->http;
    my $got = join '', map {
        $http->request('GET', $url, headers => [
            Range => sprintf 'bytes=%d-%d', $_ * 4096, $_ * 4096 + 4095,
        ])->{body};
    } 0 .. int(($size - 1) / 4096);
    ok($got eq $bytes, 'streamed in ranges');
};


subtest 'conditions' => sub {
    my $date = $s->head($url)->{headers}{'last-modified'};
    my ($old, $new) = map { "Mon, 01 Jan $_ 00:00:00 GMT" } 2001, 2035;

    for (['If-None-Match', $etag, 304], ['If-None-Match', '*', 304],
        ['If-None-Match', '"x"', 200], ['If-Modified-Since', $date, 304],
        ['If-Modified-Since', $old, 200], ['If-Match', $etag, 200],
        ['If-Match', '"x"', 412], ['If-Unmodified-Since', $old, 412],
        ['If-Unmodified-Since', $date, 200])
    {
        my ($header, $value, $status) = @$_;
        my $r = $s->get($url, headers => [$header => $value]);
        is($r->{status}, $status, "$header: $value");
        is($r->{body}, '', 'empty') if $status != 200;
        is($r->{headers}{'content-length'}, 0, 'says so') if $status == 412;
    }
};


subtest 'who may' => sub {
    my $other = Goosebit::Device->new($s, 'other');
    my $theirs = $url =~ s{/dev/}{/other/}r;

    empty($s->get($theirs), 404, 'an unknown device');
    $other->register(hw_model => 'else');
    empty($s->get($theirs), 404, 'a device without an action');
    empty($s->get("$theirs.MD5SUM"), 404, 'nor its MD5SUM');
    is($s->get($theirs =~ s{/[^/]+$}{}r)->{json}{errorCode}, 'not_found',
        'nor the list');

    empty($s->get($url =~ s{[^/]+$}{other.swu}r), 404, 'another name');
    empty($s->get($url =~ s{\.swu$}{.SWU}r), 404, 'in upper case');
    empty($s->get($url =~ s{softwaremodules/\d+}{softwaremodules/999}r), 404,
        'another software');
    empty($s->get($url =~ s{softwaremodules/\d+}{softwaremodules/x}r), 404,
        'no number');
    empty($s->get($url =~ s{[^/]+$}{..%2f..%2f..%2fgoosebit.yaml}r), 404,
        'a way out');
    empty($s->get($url =~ s{[^/]+$}{%2fetc%2fpasswd}r), 404, 'and another');
    empty($s->request('POST', $url), 405, 'POST');
    empty($s->request('DELETE', $url), 405, 'DELETE');
};


subtest 'the list and MD5SUM' => sub {
    my $r = $s->get($url =~ s{/[^/]+$}{}r);
    is($r->{status}, 200, 'the list');
    is_deeply($r->{json}[0]{_links}, $links, 'has the same links');
    is($r->{json}[0]{size}, $size, 'and size');

    $r = $s->get("$url.MD5SUM");
    is($r->{status}, 200, 'MD5SUM');
    is($r->{body}, md5_hex($bytes) . qq{  sam"p le%\xc3\xbc#.swu\n}, 'body');
    is($r->{headers}{'content-type'}, 'text/plain', 'type');
    is($s->head("$url.MD5SUM")->{status}, 200, 'HEAD');
    is($s->get("$url.MD5SUM", headers => [Accept => 'image/png'])->{status},
        200, 'Accept is ignored');
};


subtest 'a slow client' => sub {
    my $http = $s->http;
    $http->send_request('GET', "/slow$url", headers => [
        Range => 'bytes=0-39999']);
    $http->_fill_until(sub { length $http->{buffer} > 1000 });
    is($s->get($url)->{status}, 200, 'others go on');
    my $r = $http->response('GET');
    ok($r->{body} eq substr($bytes, 0, 40_000), 'gets it all');

    # and one that leaves
    for (1 .. 30) {
        $http = $s->http;
        $http->send_request('GET', "/slow$url");
        $http->_fill_until(sub { length $http->{buffer} > 1000 });
        $http->close;
    }
    ok((wait_for { open_files() == 0 }), 'no descriptor stays open')
        or diag open_files();
};


# What the store holds is looked at each second.
subtest 'the store' => sub {
    my $n = () = $s->error_log =~ /artifact:/g;
    is($n, 0, 'nothing to complain of so far');

    is($s->get($url)->{status}, 200, 'is open');
    rename $stored, "$stored.away" or die;
    sleep 2;
    empty($s->get($url), 404, 'a missing file');
    like($s->error_log,
        qr/\[error\].*artifact: (?:open|stat)\(\) ".*" failed \(2:/,
        'is logged');
    empty($s->head($url), 404, 'HEAD');

    mkdir $stored or die;
    empty($s->get($url), 404, 'a directory');
    rmdir $stored;
    sleep 2;

    spew($stored, substr $bytes, 0, -1);
    empty($s->get($url), 503, 'a truncated file');
    ok($s->get($url)->{headers}{'retry-after'}, 'Retry-After');
    like($s->error_log, qr/artifact: ".*" has \d+ bytes instead of \d+/,
        'is logged');
    unlink $stored;
    sleep 2;

    symlink "$stored.away", $stored or die;
    is($s->get($url)->{status}, 200, 'a link');
    empty($s->get("/links$url"), 503, 'unless disable_symlinks');
    unlink $stored;

    rename "$stored.away", $stored;
    sleep 2;
    is($s->get($url)->{status}, 200, 'and all is well again');
    ok((wait_for { $s->get($url); open_files() == 1 }), 'it stays open');
    ok((wait_for { open_files() == 0 }), 'until nobody asks for it');
};


subtest 'its last action' => sub {
    $d->feedback($id, 'closed', 'success');
    is($s->get($url)->{status}, 200, 'a finished action, the last one');

    # a remote one, with credentials that nobody may see
    my $uri = 'https://user:pa%40ss@files.example:8443/x.swu?a=@b';
    is($s->value("update goosebit.software set uri = '$uri'
        where id = $image->{id} returning 1"), 1, 'now it is elsewhere');
    my $r = $s->get($url);
    empty($r, 302, 'a redirect');
    is($r->{headers}{location}, 'https://files.example:8443/x.swu?a=@b',
        'without user and password');
    $r = $d->get("installedBase/$id");
    is($r->{json}{deployment}{chunks}[0]{artifacts}[0]{_links}{download}{href},
        'https://files.example:8443/x.swu?a=@b', 'as the document says');
    unlike($r->{raw}, qr/pa%40ss|user/, 'nor anywhere else');
};

done_testing;


# How many artifacts the worker has open.
sub open_files {
    my $n = 0;
    for my $pid ($s->workers) {
        for (glob "/proc/$pid/fd/*") {
            my $to = readlink // next;
            $n++ if index($to, $s->artifacts) == 0;
        }
    }
    return $n - cached();
}


# open_file_cache keeps one, on purpose.
sub cached { 1 }
