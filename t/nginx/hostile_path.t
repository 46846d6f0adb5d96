# Paths, ids, methods and headers that no device sends: each is answered as
# ddi.md says, and nothing comes of it.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Hostile;

my $s = stack(fsync => 'off',
    yaml => "device_auth:\n  enable: true\n  mode: lax\n");
my $h = Goosebit::Hostile->new($s);
my $v1 = '/DEFAULT/controller/v1';
my $sw = $h->sw;
my $dev = $h->id('dev');

sub request { return Goosebit::Hostile::request(@_) }
sub get { return request('GET', $_[0], undef, @_[1 .. $#_]) }

sub paths {
    my ($name, $prefix, $suffix, %expect) = @_;
    $h->table($name, map { [$_ eq '' ? '(empty)' : $_, $expect{$_},
        get("$prefix$_$suffix")] } sort keys %expect);
}


paths('paths', '', '', map { ($_ => 404) } '/', '//', '/DEFAULT',
    '/DEFAULT/controller', $v1, "$v1/", "$v1//", '/DEFAULT/controller/v2/dev',
    '/DEFAULT/controller/V1/dev', '/DEFAULT/Controller/v1/dev',
    '/DEFAULT//controller/v1/dev', '/DEFAULT/controller//v1/dev',
    '/DEFAULT/controller/v1//dev', '//DEFAULT/controller/v1/dev',
    '/controller/v1/dev', "/x$v1/dev", "/x/y$v1/dev", "$v1/dev/nothing",
    "$v1/dev/configdata", "$v1/dev/configData/x", "$v1/dev/deploymentBase",
    "$v1/dev/deploymentBase/$dev/feedback/x", "$v1/dev/deploymentBase//",
    "$v1/dev/deploymentBase/$dev//feedback", "$v1/dev/cancelAction",
    "$v1/dev/softwaremodules", "$v1/dev/softwaremodules/$sw",
    "$v1/dev/softwaremodules/$sw/artifacts/a/b", "$v1/dev//",
    "$v1/dev/confirmationBase/x/y/z", "$v1/dev/" . 'a/' x 30,
    '/' . 'a/' x 1000, '/%2F' x 100, "$v1/dev/../dev", "$v1/./dev",
    "$v1/dev/.", "$v1/dev/..", "$v1/dev/%2e", "$v1/x/%2e%2e/dev",
    '/status/../DEFAULT/controller/v1/dev', "$v1/dev;x=y/deploymentBase/11",
    "$v1/dev/deploymentBase/$dev;x", '/DEFAULT%2Fcontroller/v1/dev',
    '/DEFAULT/controller%2Fv1/dev', '/favicon.ico', '/robots.txt',
    '/.git/config', '/wp-login.php', '/cgi-bin/%2e%2e%2fetc');

paths('tenants', '/', '/controller/v1/dev', map { ($_ => 404) } 'nobody',
    'DEFAULT%20', '%20DEFAULT', 'DEFAULT%00', 'DEFAULT%0a', 'DEFAULT%2F',
    'DEFAULT%27', 'DEFAULT%27%20OR%20%271%27=%271', 'DEFAULT;--', '%25', '*',
    '_______', '%5f', 'D%25FAULT', 'a' x 255, 'a' x 256, 'a' x 5000,
    '%ff', '%c3%28', '%ef%bc%a4EFAULT', '%C4%B0', '$goosebit_tenant', '.',
    '%2e', 'DEF%C2%ADAULT');

paths('encoded', '', '', "/%44EFAULT/controller/v1/dev" => 200,
    '/default/controller/v1/dev' => 200, '/DEFAULT/%63ontroller/v1/dev' => 200,
    "$v1/%64%65%76" => 200, "$v1/dev/deploymentBase/%3" . substr($dev, 0, 1)
    . substr($dev, 1) => 200, "$v1/dev/" => 200, "$v1/dev?" => 200,
    "$v1/dev?%" => 200, "$v1/dev?%00%ff" => 200, "$v1/dev#x" => 200);

# A poll of what could be an id would make it a device.
paths('no controller ids', "$v1/", '', map { ($_ => 404) }
    '%00', 'dev%00', '%00dev', 'dev%0a', 'dev%0d%0aX-Evil:%201', '%01', '%1f',
    '%7f', '%c2%80', '%c2%9f', '%80', '%ff', '%fe%ff', '%c0%af', '%c1%bf',
    '%e0%80%af', '%ed%a0%80', '%ed%bf%bf', '%f4%90%80%80', '%f5%80%80%80',
    '%c3', 'a%c3', '%e2%82', 'x' x 256, '%C3%BC' x 128, 'x' x 4000, '.', '..',
    '%2e', '%2e%2e');
paths('controller ids of strangers', "$v1/", "/deploymentBase/$dev",
    map { ($_ => 404) } 'x' x 255, '%C3%BC' x 127, 'DEV', 'Dev', 'dev%20',
    '%20', '%2520', 'dev+', '..%2fdev', '%2fdev', 'dev%2f', '%5c..%5cdev',
    "'", '%27%20OR%201=1--', '%22', '%3Cscript%3E', '%24%7Bx%7D',
    '%25n%25n%25s', '*', '%2A', '~', '%EF%BF%BD', '%EF%BB%BFdev',
    '%E2%80%AEved', 'd%E2%80%8Bev', '...', 'null', 'undefined', '0', '-1');

paths('broken escapes', "$v1/", '', '%' => 400, '%g1' => 400, '%2' => 400,
    'dev%' => 400, 'dev/%zz' => 400, '%u0041' => 400,
    '..%2f..%2f..%2f..%2f..%2fetc%2fpasswd' => 400,
    '%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e' => 400, '../../../../..' => 400);

for my $base (qw(deploymentBase cancelAction installedBase confirmationBase
    softwaremodules))
{
    paths("ids of $base", "$v1/dev/$base/",
        $base eq 'softwaremodules' ? '/artifacts' : '', map { ($_ => 404) }
        '0', '-1', '+11', '011', '1e3', '11.0', '0x10', '2147483647',
        '2147483648', '4294967307', '9' x 20, '9' x 300, '11%20', '%2011',
        '%D9%A3', '%EF%BC%91%EF%BC%91', 'NaN', 'null', '1%00', 'a', '%27',
        $base eq 'softwaremodules' ? $sw + 1
            : map { $h->id($_) } qw(wait stop done));
}
paths('an action at another resource', "$v1/", '', map { ($_ => 404) }
    "dev/cancelAction/$dev", "dev/installedBase/$dev",
    "dev/confirmationBase/$dev", 'stop/deploymentBase/' . $h->id('stop'),
    'wait/deploymentBase/' . $h->id('wait'),
    'done/deploymentBase/' . $h->id('done'),
    'done/cancelAction/' . $h->id('done'),
    'stop/installedBase/' . $h->id('stop'));

paths('file names', "$v1/dev/softwaremodules/$sw/artifacts/", '',
    map { ($_ => 404) } 'none', '%2e%2e', '..%2f..%2fetc%2fpasswd', '%00',
    'image-2.0.0.swu%00', 'image-2.0.0.swu%00.MD5SUM', 'IMAGE-2.0.0.SWU',
    'image-2.0.0.swu%20', 'image-2.0.0.swu.md5sum', '.MD5SUM',
    '.MD5SUM.MD5SUM', 'image-2.0.0.swu.MD5SUM.MD5SUM', 'x' x 256, '*',
    'image-2.0.0.swu%2f', '%ff', 'image-2.0.0.swu/x', '%2fetc%2fpasswd',
    '%5c%5chost%5cshare', 'con', '-');

paths('queries', "$v1/dev/deploymentBase/$dev?", '', map { ($_ => 200) }
    'actionHistory=', 'actionHistory=-2', 'actionHistory=x',
    'actionHistory=' . '9' x 30, 'actionHistory=-' . '9' x 30,
    'actionHistory=1.5', 'actionHistory=%31', 'actionHistory=1&' x 200,
    'actionHistory', 'c=-1', 'c=' . 'x' x 3000, '&&&&', '=', '%ff=%00',
    "actionHistory='%20OR%201=1", '?????', '/../..');
paths('too long', "$v1/dev?", '', 'x' x 9000 => 414, 'x' x 40000 => 414);


my %allow = (
    '' => 'GET, HEAD', '/configData' => 'PUT', '/installedBase' => 'PUT',
    "/deploymentBase/$dev" => 'GET, HEAD',
    "/deploymentBase/$dev/feedback" => 'POST', '/cancelAction/11' =>
    'GET, HEAD', '/cancelAction/11/feedback' => 'POST', '/installedBase/11' =>
    'GET, HEAD', '/confirmationBase' => 'GET, HEAD', '/confirmationBase/11' =>
    'GET, HEAD', '/confirmationBase/11/feedback' => 'POST',
    '/confirmationBase/activateAutoConfirm' => 'POST',
    '/confirmationBase/deactivateAutoConfirm' => 'POST',
    "/softwaremodules/$sw/artifacts" => 'GET, HEAD',
    "/softwaremodules/$sw/artifacts/x" => 'GET, HEAD',
    "/softwaremodules/$sw/artifacts/x.MD5SUM" => 'GET, HEAD',
);
my %told;
$h->table('methods', map {
    my $path = $_;
    my %may = map { ($_ => 1) } split /, /, $allow{$path};
    map {
        my $method = $_;
        ["$method $path", 405, sub {
            my ($http) = @_;
            $http->write(request($method, "$v1/dev$path",
                $method =~ /^P/ ? '{}' : undef));
            my $r = $http->response($method);
            $told{$path}{$r->{headers}{allow} // 'none'} = 1;
            return $r;
        }];
    } grep { !$may{$_} } qw(GET POST PUT DELETE PATCH OPTIONS PROPFIND);
} sort keys %allow);
is_deeply(\%told, { map { ($_ => { $allow{$_} => 1 }) } keys %allow },
    'Allow says what would be allowed');

$h->table('words for methods',
    ['TRACE', 405, request('TRACE', "$v1/dev")],
    ['CONNECT', '400|405', request('CONNECT', "$v1/dev")],
    ['get', 400, request('get', "$v1/dev")],
    ['unknown', 405, request('FOO', "$v1/dev")],
    ['long', '400|405', request('A' x 500, "$v1/dev")],
    ['empty', 400, request('', "$v1/dev")],
    ['with NUL', 400, request("GE\0T", "$v1/dev"), 1],
    ['OPTIONS *', 400, request('OPTIONS', '*'), 1],
    ['on an unknown path', 404, request('DELETE', "$v1/dev/x")],
    ['of an unknown tenant', 404, request('DELETE', '/x/controller/v1/dev')],
    ['overridden', 200, get("$v1/dev", 'X-HTTP-Method-Override: DELETE')],
);

my $poll = "$v1/dev";
my $file = "$v1/dev/softwaremodules/$sw/artifacts/image-2.0.0.swu";
$h->table('Host',
    ['none', 400, "GET $poll HTTP/1.1\r\n\r\n"],
    ['empty', '200|400', get($poll, 'Host:')],
    ['two', 400, get($poll, 'Host: a', 'Host: b')],
    ['a space', 400, get($poll, 'Host: a b')],
    ['a slash', 400, get($poll, 'Host: a/b')],
    ['a quote', '200|400', get($poll, 'Host: a"b')],
    ['a tag', '200|400', get($poll, 'Host: <script>')],
    ['bad UTF-8', '200|400', get($poll, "Host: \xff\xfe")],
    ['NUL', 400, get($poll, "Host: a\0b")],
    ['dots', 400, get($poll, 'Host: a..b')],
    ['half an address', '200|400', get($poll, 'Host: [::1')],
    ['long', 200, get($poll, 'Host: ' . 'a' x 2000)],
    ['another', 200, get($poll, 'Host: evil.example')],
    ['absolute form', 200, "GET http://evil$poll HTTP/1.1\r\n"
        . "Host: x\r\n\r\n"],
    ['another scheme', '200|400', "GET ftp://x$poll HTTP/1.1\r\n"
        . "Host: x\r\n\r\n"],
    ['forwarded', 200, get($poll, 'X-Forwarded-Host: evil',
        'X-Forwarded-Proto: javascript', 'Forwarded: host=evil')],
);

my $locked = "$v1/locked";
$h->table('Authorization', map { [$_, 401, get($locked, $_)] }
    'X: none', 'Authorization:', 'Authorization: TargetToken',
    'Authorization: TargetToken ', 'Authorization: TargetToken wrong',
    'Authorization: TargetToken Secret', 'Authorization: TargetTokensecret',
    'Authorization: TargetToken secret2', 'Authorization: secret',
    'Authorization: Bearer secret', 'Authorization: Basic c2VjcmV0',
    'Authorization: GatewayToken secret', 'Authorization: TargetToken "secret"',
    "Authorization: TargetToken\tsecret", 'Authorization: Target Token secret',
    'Authorization: TargetToken secret, TargetToken secret',
    'Authorization: TargetToken ' . 'x' x 7000, "Authorization: \xff\xff",
    "Authorization: TargetToken \x01", 'Proxy-Authorization: TargetToken secret',
    'Cookie: token=secret', 'X-Controller-Id: locked');
$h->table('refused first', map { ["$_->[0] $_->[1]", 401, request(@$_)] }
    ['GET', "$locked/deploymentBase/" . $h->id('locked')],
    ['GET', "$locked/softwaremodules/$sw/artifacts/image-2.0.0.swu"],
    ['GET', "$locked/confirmationBase"],
    ['PUT', "$locked/configData", '{"data":{"a":"b"}}'],
    ['PUT', "$locked/configData", '{'],
    ['PUT', "$locked/installedBase", '{"name":"os","version":"9"}'],
    ['POST', "$locked/deploymentBase/" . $h->id('locked') . '/feedback',
        '{"status":{"execution":"closed","result":{"finished":"success"}}}'],
    ['POST', "$locked/confirmationBase/activateAutoConfirm", '{}'],
    ['POST', "$locked/confirmationBase/deactivateAutoConfirm", '{}'],
    ['PUT', "$locked/configData", 'x' x 2000000],
    ['PUT', "$locked/configData", '{}', 'Content-Type: text/plain'],
    ['GET', $locked, undef, 'Accept: text/html']);
$h->table('two Authorizations', ['two lines', '400|401', get($locked,
    'Authorization: TargetToken wrong', 'Authorization: TargetToken secret')]);

$h->table('conditions and ranges',
    ['If-Match', 412, get($poll, 'If-Match: "x"')],
    ['If-None-Match', 200, get($poll, 'If-None-Match: "')],
    ['If-None-Match: lists', 200, get($poll, 'If-None-Match: '
        . '"x", ' x 1000)],
    ['If-Modified-Since', 200, get($poll, 'If-Modified-Since: never')],
    ['Range of a document', 200, get($poll, 'Range: bytes=0-1')],
    map({ ["Range: $_", 416, get($file, "Range: $_")] } 'bytes=-',
        'bytes=x', 'bytes=5-2', 'bytes=99999999-', 'bytes=-0', 'bytes=1-x',
        'bytes=' . '9' x 30 . '-', 'bytes=--1'),
    ['Range: no range', '200|416', get($file, 'Range: bytes=')],
    ['Range: another unit', '200|416', get($file, 'Range: lines=1-2')],
    ['Range: very many', '200|206|416', get($file, 'Range: bytes='
        . '0-0,' x 1500 . '0-0')],
    ['Range: overlapping', '200|206', get($file, 'Range: bytes='
        . '0-,' x 1000 . '0-')],
    ['If-Range', 200, get($file, 'Range: bytes=0-1', 'If-Range: "x"')],
);

$h->table('headers',
    ['no colon', '200|400', get($poll, 'nonsense')],
    ['a space before the colon', '200|400', get($poll, 'X : y')],
    ['folded', '200|400', get($poll, "X: y\r\n z")],
    ['NUL', 400, get($poll, "X: a\0b")],
    ['a bare CR', '200|400', get($poll, "X: a\rb")],
    ['a control character in the name', '200|400', get($poll, "X\x01: y")],
    ['one that is long', 400, get($poll, 'X: ' . 'y' x 40000)],
    ['very many', '200|400', get($poll, map { "X-$_: y" } 1 .. 2000)],
    ['many that are long', 400, get($poll, ('X: ' . 'y' x 7000) x 10)],
    ['Accept: a thousand', 200, get($poll, 'Accept: '
        . join ',', ('*/*;q=0.1') x 500)],
    ['Accept: nothing of ours', 406, get($poll, 'Accept: image/png')],
    ['Accept-Encoding', 200, get($poll, 'Accept-Encoding: gzip, br, x')],
    ['Upgrade', 200, get($poll, 'Connection: Upgrade, HTTP2-Settings',
        'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__')],
    ['Upgrade: websocket', 200, get($poll, 'Connection: Upgrade',
        'Upgrade: websocket')],
    ['Expect', '200|417', get($poll, 'Expect: the-unexpected')],
    ['Connection', 200, get($poll, 'Connection: Host, Authorization, x')],
    ['Content-Length of a GET', 200, get($poll, 'Content-Length: 0')],
    ['Max-Forwards', 200, get($poll, 'Max-Forwards: -1')],
    ['Transfer-Encoding of a GET', 200, get($poll,
        'Transfer-Encoding: chunked') . "0\r\n\r\n"],
);

$h->table('versions',
    ['HTTP/2.0', '400|505', "GET $poll HTTP/2.0\r\nHost: x\r\n\r\n"],
    ['HTTP/9.9', '400|505', "GET $poll HTTP/9.9\r\nHost: x\r\n\r\n"],
    ['HTTP/1.9', '200|400', "GET $poll HTTP/1.9\r\nHost: x\r\n\r\n"],
    ['HTTP/1.', 400, "GET $poll HTTP/1.\r\nHost: x\r\n\r\n"],
    ['HTTP/x', 400, "GET $poll HTTP/x\r\nHost: x\r\n\r\n"],
    ['HTCPCP/1.0', 400, "BREW $poll HTCPCP/1.0\r\nHost: x\r\n\r\n"],
    ['HTTP/1.0 without a host', 200, "GET $poll HTTP/1.0\r\n\r\n"],
    ['a space in the path', 400, "GET $poll x HTTP/1.1\r\nHost: x\r\n\r\n"],
    ['NUL in the path', 400, "GET $poll\0 HTTP/1.1\r\nHost: x\r\n\r\n"],
    ['a control character in the path', '400|404',
        "GET $poll/\x01 HTTP/1.1\r\nHost: x\r\n\r\n"],
    ['raw bytes in the path', 404,
        "GET $v1/\xc3\xbc/configData/x HTTP/1.1\r\nHost: x\r\n\r\n"],
    ['bad UTF-8 in the path', 404,
        "GET $v1/\xff/x HTTP/1.1\r\nHost: x\r\n\r\n"],
    ['no path', 400, "GET  HTTP/1.1\r\nHost: x\r\n\r\n", 1],
    ['no slash', 400, "GET dev HTTP/1.1\r\nHost: x\r\n\r\n", 1],
);

is($s->get($poll)->{status}, 200, 'all the while it serves');
cmp_ok($h->count, '>=', 400, 'requests: ' . $h->count);

done_testing;
