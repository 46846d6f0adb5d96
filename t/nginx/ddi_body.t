# What devices send: bodies taken leniently (rule 10), refused ones, types,
# sizes, framing, and the order of refusals.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Device;

my $s = stack(fsync => 'off', http =>
    'client_body_buffer_size 1k; lingering_timeout 300ms;',
    server => <<'CONF');
location /small/ { goosebit; client_max_body_size 2k; }
location /large/ { goosebit; client_max_body_size 0; }
location /file/ { goosebit; client_body_in_file_only clean;
    client_body_buffer_size 16; }
location /mirror/ { goosebit; mirror /other; client_body_buffer_size 16; }
location = /other { internal; return 204; }
location /hasty/ { goosebit; client_body_timeout 1s; }
location /denied/ { goosebit; deny all; }
location /only/ { goosebit; limit_except GET { deny all; } }
location /put/ { goosebit; client_max_body_size 2k; limit_except GET { } }
location /if/ { goosebit; if ($arg_x) { add_header X-If yes always; } }
CONF

my $v1 = '/DEFAULT/controller/v1';
my $image = Goosebit::Device::image($s, '2.0.0');
Goosebit::Device::rollout($s, $image->{id});

my $d = Goosebit::Device->new($s, 'dev');
$d->register;
my $id = $d->action;
my $feedback = $d->path('deploymentBase', $id, 'feedback');
my $data = $d->path('configData');

sub messages {
    return $s->get($d->path('deploymentBase', $id)
        . '?actionHistory=-1')->{json}{actionHistory}{messages};
}

sub short {
    my $text = shift =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;
    return length $text > 70 ? substr($text, 0, 70) . '...' : $text;
}


subtest 'feedback that is taken' => sub {
    my $head = '{"id":"11","status":';
    my @good = (
        '{"status":{"execution":"proceeding"}}',
        '{"status":{"execution":"proceeding","result":{}}}',
        '{"status":{"execution":"proceeding","result":null}}',
        '{"status":{"execution":"proceeding","result":{"finished":null}}}',
        '{"id":11,"status":{"execution":"proceeding"}}',
        '{"id":"","status":{"execution":"proceeding"}}',
        '{"id":null,"status":{"execution":"proceeding"}}',
        '{"id":"99","status":{"execution":"proceeding"}}',
        '{"id":[1],"status":{"execution":"proceeding"}}',
        '{"time":"20140511T121314","status":{"execution":"proceeding"}}',
        '{"time":null,"timestamp":1,"status":{"execution":"proceeding"}}',
        $head . '{"execution":"proceeding","details":null}}',
        $head . '{"execution":"proceeding","details":[]}}',
        $head . '{"execution":"proceeding","details":"one"}}',
        $head . '{"execution":"proceeding","code":null}}',
        $head . '{"execution":"proceeding","code":200}}',
        $head . '{"execution":"proceeding","code":-1}}',
        $head . '{"execution":"proceeding","code":99999999999999999999}}',
        $head . '{"execution":"proceeding","result":{"progress":null}}}',
        $head . '{"execution":"proceeding","result":{"progress":5}}}',
        $head . '{"execution":"proceeding","result":{"progress":{}}}}',
        $head . '{"execution":"proceeding","result":{"progress":'
            . '{"cnt":2,"of":5}}}}',
        $head . '{"execution":"proceeding","result":{"progress":'
            . '{"cnt":-2,"of":0}}}}',
        $head . '{"execution":"proceeding","more":{"a":[null]}}}',
        $head . '{"execution":"scheduled"}}',
        $head . '{"execution":"resumed"}}',
        $head . '{"execution":"download"}}',
        $head . '{"execution":"downloaded"}}',
        "\xef\xbb\xbf" . '{"status":{"execution":"proceeding"}}',
        "  \r\n\t" . '{"status":{"execution":"proceeding"}}' . "\n",
        # raw control characters, broken UTF-8, NUL, surrogates
        $head . "{\"execution\":\"proceeding\",\"details\":[\"a\nb\tc\"]}}",
        $head . "{\"execution\":\"proceeding\",\"details\":[\"\x01\x1f\"]}}",
        $head . "{\"execution\":\"proceeding\",\"details\":[\"\xff\xc3\"]}}",
        $head . "{\"execution\":\"proceeding\",\"details\":[\"a\0b\"]}}",
        $head . '{"execution":"proceeding","details":["a\u0000b"]}}',
        $head . '{"execution":"proceeding","details":["\ud800x\udc00"]}}',
        $head . '{"execution":"proceeding","details":["' . 'x' x 9000 . '"]}}',
        $head . '{"execution":"proceeding","details":['
            . join(',', map { "\"line $_\"" } 1 .. 150) . ']}}',
    );

    for my $body (@good) {
        my $r = $s->post($feedback, body => $body);
        is($r->{status}, 200, 'body ' . short($body));
        is($r->{body}, "{\"id\":\"$id\"}", 'its answer') if $r->{status} == 200;
    }

    my $all = messages();
    is_deeply([grep { /^a\nb\tc$/ } @$all], ["a\nb\tc"],
        'control characters are kept');
    is(scalar(grep { /^a\x{fffd}b$/ } @$all), 2, 'NUL is U+FFFD');
    is(scalar(grep { length == 4096 && /\[cut\]$/ } @$all), 1,
        'a long one is cut');
    is(scalar(grep { /^line 100 \[50 more dropped\]$/ } @$all), 1, 'too many, too');

    # SWUpdate's: 48 of 2 KB, newlines in them
    my $swupdate = '{"id":"11","status":{"execution":"proceeding","result":'
        . '{"finished":"none"},"details":['
        . join(',', map { '"' . ("[TRACE] : x\n" x 170) . '"' } 1 .. 48)
        . ']}}';
    cmp_ok(length $swupdate, '>', 96_000, 'a long log');
    is($s->post($feedback, body => $swupdate)->{status}, 200, 'is taken');
};


subtest 'feedback that is refused' => sub {
    my $before = $s->value("select count(*) from goosebit.action_status");
    my $deep = '[' x 100_000;
    my @bad = (
        '', ' ', 'x', '{', '[]', '""', '1', 'null', 'true', '{}', '{"a":1}',
        '{"status":null}', '{"status":1}', '{"status":[]}', '{"status":{}}',
        '{"status":{"execution":null}}', '{"status":{"execution":1}}',
        '{"status":{"execution":""}}', '{"status":{"execution":"Closed"}}',
        '{"status":{"execution":"finished"}}',
        '{"status":{"execution":["closed"]}}',
        '{"status":{"execution":"closed","result":{"finished":"maybe"}}}',
        '{"status":{"execution":"closed","result":{"finished":1}}}',
        '{"status":{"execution":"closed","result":[]}}',
        '{"status":{"execution":"closed"}', '{"status":{"execution":"closed"}}}',
        '{"status":{"execution":"closed"}} x', '{"status":{"execution":"clos',
        "{'status':{'execution':'closed'}}", '{status:{execution:"closed"}}',
        '{"status":{"execution":"closed",}}', "\0", "\xff\xfe", "\x1f\x8b\x08",
        '<?xml version="1.0"?>', 'status=closed', $deep,
        '{"a":' x 50_000, '{"status":' . $deep . ']' x 100_000 . '}',
        '{"status":{"execution":"closed\u0000"}}',
        "{\"status\":\n\x01{\"execution\":\"closed\"}}",
        '{"status":{"execution":"closed"},"n":01}',
    );

    for my $body (@bad) {
        my $r = $s->post($feedback, body => $body);
        is($r->{status}, 400, 'body ' . short($body));
        is($r->{json}{errorCode}, 'invalid', 'an error document');
    }

    is($s->value("select count(*) from goosebit.action_status"), $before,
        'none left a trace');
    is($s->value("select state from goosebit.action where id = $id"),
        'running', 'nor ended the action');
};


subtest 'configData' => sub {
    my $many = join ',', map { "\"k$_\":\"v\"" } 1 .. 101;
    my @table = (
        ['{"data":{}}', 200], ['{"mode":"merge","data":{"a":"b"}}', 200],
        ['{"mode":null,"data":{"a":"b"}}', 200],
        ['{"mode":"replace","data":{"a":"b"}}', 200],
        ['{"mode":"remove","data":{"a":""}}', 200],
        ['{"id":"","time":"x","status":{"result":{"finished":"success"},'
            . '"execution":"closed","details":[]},"data":{"a":"b"}}', 200],
        ["{\"data\":{\"a\":\"x\ny\"}}", 200], ['{"data":{"a":1}}', 200],
        ['{"data":{"' . 'k' x 128 . '":"' . 'v' x 255 . '"}}', 200],
        ['', 400], ['{}', 400], ['[]', 400], ['{"data":null}', 400],
        ['{"data":[]}', 400], ['{"data":"x"}', 400],
        ['{"mode":"update","data":{}}', 400], ['{"mode":1,"data":{}}', 400],
        ['{"data":{"a":{}}}', 400], ['{"data":{"a":["b"]}}', 400],
        ['{"data":{"":"x"}}', 400], ["{\"data\":{\"a\\u0000\":\"x\"}}", 400],
        ["{\"data\":{\"\xff\":\"x\"}}", 400],
        ['{"data":{"' . 'k' x 129 . '":"v"}}', 400],
        ['{"data":{"k":"' . 'v' x 256 . '"}}', 400],
        ["{\"data\":{$many}}", 429],
    );

    for (@table) {
        my ($body, $status) = @$_;
        my $r = $s->put($data, body => $body);
        is($r->{status}, $status, short($body));
        ok($r->{headers}{'retry-after'}, 'Retry-After') if $status == 429;
        is($r->{body}, '{"success":true,"message":"Updated swupdate data."}',
            'its answer') if $status == 200;
    }
};


subtest 'Content-Type' => sub {
    my $body = '{"status":{"execution":"proceeding"}}';
    my @table = (
        [undef, 200], ['', 200], ['application/json', 200],
        ['application/json;charset=utf-8', 200], ['APPLICATION/JSON', 200],
        ['application/json ; charset="utf-8"', 200],
        ['application/hal+json', 200], ['application/vnd.x+json', 200],
        ['text/plain', 415], ['text/json', 415], ['application/xml', 415],
        ['application/x-www-form-urlencoded', 415], ['*/*', 415],
        ['multipart/form-data; boundary=x', 415], ['json', 415], ['/', 415],
        ['application/', 415], ['application/jsonx', 415],
        ['application/json x', 415], ['application/octet-stream', 415],
        ["\xff", 415], ['application/+json', 415],
    );

    for (@table) {
        my ($type, $status) = @$_;
        my $r = $s->post($feedback, body => $body, headers => [
            defined $type ? ('Content-Type' => $type) : ()]);
        is($r->{status}, $status, 'Content-Type: ' . short($type // 'none'));
    }
    is($s->get($d->path, headers => ['Content-Type' => 'text/plain'])
        ->{status}, 200, 'does not matter where nothing is sent');
};


subtest 'sizes' => sub {
    my $big = '{"data":{"a":"b"},"x":"' . 'x' x 3000 . '"}';
    my $path = "/small$data";

    my $r = $s->http->request('PUT', $path, body => $big);
    is($r->{status}, 413, 'over client_max_body_size');
    is($r->{json}{errorCode}, 'too_large', 'in JSON');
    is($r->{headers}{connection}, 'close', 'and the connection closes');

    $r = $s->http->request('PUT', $path, headers => ['Content-Length' => undef,
        'Transfer-Encoding' => 'chunked'], body => chunks($big, 100));
    is($r->{status}, 413, 'in chunks');
    is($r->{headers}{connection}, 'close', 'and the connection closes');
    is($s->put($data, body => $big)->{status}, 200, 'not elsewhere');
    is($s->put("/large$data", body => '{"data":{"a":"b"},"x":"'
        . 'x' x 3_000_000 . '"}')->{status}, 200, 'no limit');
    is($s->put($data, body => '{"data":{},"x":"' . 'x' x 1_100_000 . '"}')
        ->{status}, 413, 'the default is NGINX\'s');

    $r = $s->raw("PUT $path HTTP/1.1\r\nHost: h\r\n"
        . "Content-Length: 99999999999\r\n\r\n");
    like($r, qr{^HTTP/1\.1 413 }, 'announced, never sent');
    unlike($r, qr{100 Continue}, 'nor asked for');
    $r = $s->raw("PUT $path HTTP/1.1\r\nHost: h\r\n"
        . "Content-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n");
    like($r, qr{^HTTP/1\.1 413 }, 'the same with Expect');
};


subtest 'blocks within a location' => sub {
    is($s->get("/only$v1/dev")->{status}, 200, 'what limit_except lets in');
    is($s->put("/put$data", json => { data => {} })->{status}, 200,
        'what it is about');
    is($s->put("/put$data", body => 'x' x 3000)->{json}{errorCode},
        'too_large', 'with the limits of its location');
    my $r = $s->put("/if$data?x=1", json => { data => {} });
    is($r->{status}, 200, 'if');
    is($r->{headers}{'x-if'}, 'yes', 'with its own headers');
};


subtest 'what comes first' => sub {
    my $d2 = Goosebit::Device->new($s, 'secret', token => 'right');
    $s->gbctl('device', 'add', 'secret', '--token', 'right');
    $s->gbctl({ stdin => "strict\n" }, 'device', 'show', 'secret');
    my $none = $s->value("update goosebit.tenant set auth = 'strict'
        where name = 'DEFAULT' returning 1");
    is($none, 1, 'strict from here on');

    my $big = 'x' x 3000;
    my ($ok, $wrong) = map { [Authorization => "TargetToken $_"] }
        qw(right wrong);
    my $html = [Accept => 'text/html'];
    my $xml = ['Content-Type' => 'application/xml'];
    my $path = '/small' . $d2->path('configData');
    my $fb = '/small' . $d2->path('deploymentBase', 'x', 'feedback');
    my $good = '{"status":{"execution":"proceeding"}}';
    my @table = (
        ['path', PUT => "$path/x", $wrong, $big, 404],
        ['tenant', PUT => $path =~ s/DEFAULT/NOPE/r, $wrong, $big, 404],
        ['tenant, method', GET => $path =~ s/DEFAULT/NOPE/r, $wrong, '', 404],
        ['method', POST => $path, $ok, $big, 405],
        ['credentials', PUT => $path, [@$wrong, @$html, @$xml], $big, 401],
        ['credentials, broken', PUT => $path, $wrong, 'x', 401],
        ['no credentials', PUT => $path, [@$html], 'x', 401],
        ['credentials, type', PUT => $path, [@$wrong, @$xml], 'x', 401],
        ['size', PUT => $path, [@$ok, @$html, @$xml], $big, 413],
        ['type', PUT => $path, [@$ok, @$html, @$xml], 'x', 415],
        ['Accept', PUT => $path, [@$ok, @$html], 'x', 406],
        ['broken', PUT => $path, $ok, 'x', 400],
        ['broken, no such id', POST => $fb, $ok, 'x', 400],
        ['no such id', POST => $fb, $ok, $good, 404],
        ['no such id, credentials', POST => $fb, $wrong, $good, 401],
    );

    for (@table) {
        my ($name, $method, $where, $headers, $body, $status) = @$_;
        is($s->request($method, $where, headers => $headers,
            body => $body)->{status}, $status, $name);
    }

    # A wrong method is 405 to the credentials' owner, 401 to others; nothing
    # in an answer tells whether a device exists.
    is($s->request('DELETE', $d2->path, headers => $wrong)->{status}, 405,
        'a method that no resource has is said before credentials');
    my $known = $s->get($d2->path, headers => $wrong);
    my $unknown = $s->get($d2->path =~ s/secret/public/r, headers => $wrong);
    s/^Date:.*\r\n//m for $known->{raw}, $unknown->{raw};
    is($known->{raw}, $unknown->{raw}, '401 is the same for both');

    $s->value("update goosebit.tenant set auth = null
        where name = 'DEFAULT' returning 1");
};


subtest 'framing' => sub {
    my $body = '{"status":{"execution":"proceeding","details":["'
        . 'y' x 3000 . '"]}}';
    my $http = $s->http;

    for my $size (1, 7, 64, 1000, 100_000) {
        my $r = $http->request('POST', $feedback, headers => [
            'Transfer-Encoding' => 'chunked', 'Content-Length' => undef],
            body => chunks($body, $size));
        is($r->{status}, 200, "chunks of $size");
    }
    is($http->request('POST', $feedback, headers => [
        'Transfer-Encoding' => 'chunked', 'Content-Length' => undef],
        body => "5;ext=1\r\n{\"sta\r\n"
            . sprintf("%x\r\n%s\r\n", length($body) - 5, substr $body, 5)
            . "0\r\nTrailer: x\r\n\r\n")->{status}, 200,
        'an extension and a trailer');
    is($http->request('GET', $d->path)->{status}, 200,
        'the connection goes on');

    for ("zz\r\n", "-1\r\n", "5\r\nabcdefgh\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nx")
    {
        my $r = $s->post($feedback, headers => ['Transfer-Encoding' =>
            'chunked', 'Content-Length' => undef], body => $_);
        is($r->{status}, 400, 'broken chunks: ' . short($_));
        is($r->{json}{errorCode}, 'invalid', 'in JSON');
    }

    for my $where (qw(/file /mirror)) {
        is($s->post("$where$feedback", body => $body)->{status}, 200,
            "$where: read from a temporary file or another module");
        is($s->post("$where$feedback", body => 'x' x 3000)->{status}, 400,
            'and looked at');
        is($s->post("$where$feedback", headers => ['Transfer-Encoding' =>
            'chunked', 'Content-Length' => undef],
            body => chunks($body, 50))->{status}, 200, 'in chunks');
    }

    # Expect: 100-continue
    $http = $s->http;
    $http->write("POST $feedback HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue"
        . "\r\nContent-Length: " . length($body) . "\r\n\r\n");
    $http->_fill_until(sub { $http->{buffer} =~ /\r\n\r\n/ });
    is($http->{buffer}, "HTTP/1.1 100 Continue\r\n\r\n", '100 first');
    $http->write($body);
    is($http->response('POST')->{status}, 200, 'then 200');

    for (['PUT', $feedback, 405], ['POST', "$feedback/x", 404]) {
        my ($method, $path, $status) = @$_;
        my $raw = $s->raw("$method $path HTTP/1.1\r\nHost: h\r\nExpect: "
            . "100-continue\r\nContent-Length: 5\r\n\r\n");
        like($raw, qr{^HTTP/1\.1 $status .*^Connection: close\r$}ms,
            "no 100 for a $status, and no keep-alive");
    }

    $http = $s->http;
    is($http->request('GET', $d->path, headers => [Expect => '100-continue'])
        ->{headers}{connection}, 'keep-alive', 'Expect, but nothing to send')
        for 1, 2;

    # one byte at a time
    $http = $s->http;
    my $small = '{"status":{"execution":"proceeding"}}';
    $http->write("POST $feedback HTTP/1.1\r\nHost: h\r\nContent-Length: "
        . length($small) . "\r\n\r\n");
    for (split //, $small) {
        $http->write($_);
        sleep 0.002;
    }
    is($http->response('POST')->{status}, 200, 'byte by byte');

    # pipelined with bodies
    $http = $s->http;
    my $one = "POST $feedback HTTP/1.1\r\nHost: h\r\nContent-Length: "
        . length($small) . "\r\n\r\n$small";
    $http->write($one x 10);
    is(join(' ', map { $http->response('POST')->{status} } 1 .. 10),
        join(' ', (200) x 10), 'ten in one go');

    # GET with a body that nobody wants
    $http = $s->http;
    is($http->request('GET', $d->path, body => '')->{status}, 200,
        'GET with Content-Length: 0');
    is($http->request('GET', $d->path, body => 'x' x 5000)->{status}, 200,
        'GET with a body');
    is($http->request('GET', $d->path, headers => ['Transfer-Encoding' =>
        'chunked', 'Content-Length' => undef],
        body => chunks('x' x 500, 100))->{status}, 200,
        'GET with chunks');
    is($http->request('GET', $d->path)->{status}, 200, 'and on');

    # nothing at all
    like($s->raw("POST $feedback HTTP/1.1\r\nHost: h\r\n"
        . "Connection: close\r\n\r\n"), qr{^HTTP/1\.1 400 }, 'no body');

    # a client that stops in the middle: no answer, nothing stored
    my $before = $s->value('select count(*) from goosebit.action_status');
    $http = $s->http;
    $http->write("POST $feedback HTTP/1.1\r\nHost: h\r\nContent-Length: 999"
        . "\r\n\r\n$small");
    $http->shut;
    ok($http->closed(30), 'the end comes too early');
    $http = $s->http;
    $http->write("POST $feedback HTTP/1.1\r\nHost: h\r\nContent-Length: 999"
        . "\r\n\r\n$small");
    $http->close;

    my $r = $s->http;
    $r->write("POST /hasty$feedback HTTP/1.1\r\nHost: h\r\n"
        . "Content-Length: 99\r\n\r\n{");
    my $late = $r->response('POST');
    is($late->{status}, 408, 'client_body_timeout');
    is($late->{json}{errorCode}, 'timeout', 'in JSON');
    is($s->value('select count(*) from goosebit.action_status'), $before,
        'nothing of these came in');
};


subtest 'NGINX\'s own errors' => sub {
    my @table = (
        ['denied', GET => "/denied$v1/x", [], 403],
        ['limit_except', PUT => "/only$data", [], 403],
        ['a header twice', GET => $d->path, [Authorization => 'a',
            Authorization => 'b'], 400],
        ['a long header', GET => $d->path, [X => 'x' x 9000], 400],
        ['no number', PUT => $data, ['Content-Length' => 'x'], 400],
        ['two numbers', PUT => $data, ['Content-Length' => 1,
            'Content-Length' => 2], 400],
        ['length and chunks', PUT => $data, ['Content-Length' => 1,
            'Transfer-Encoding' => 'chunked'], 400],
        ['what encoding?', PUT => $data, ['Transfer-Encoding' => 'gzip'],
            501],
    );

    for (@table) {
        my ($name, $method, $path, $headers, $status) = @$_;
        my $r = $s->request($method, $path, headers => $headers);
        is($r->{status}, $status, $name);
        is($r->{headers}{'content-type'}, 'application/json', 'is JSON');
        ok($r->{json}{errorCode}, 'with a code');
    }

    like($s->raw("GET $v1/x HTTP/1.1\r\n\r\n"),
        qr{^HTTP/1\.1 400 .*"errorCode"}s, 'no Host');
    like($s->raw("GET $v1/x HTTP/3.0\r\n\r\n"),
        qr{^HTTP/1\.1 505 }, 'no such version');
    like($s->raw("\x16\x03\x01\x02\x00\x01"), qr{^HTTP/1\.1 400 },
        'TLS where there is none');
};

done_testing;


sub chunks {
    my ($body, $size) = @_;
    return join('', map { sprintf "%x\r\n%s\r\n", length, $_ }
        unpack "(a$size)*", $body) . "0\r\n\r\n";
}
