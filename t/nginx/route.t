# Paths as sent, decoded once; ids; methods; Allow; location prefixes. Each
# request's status is asserted, and that the database did not change.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $s = stack(fsync => 'off', http => <<'CONF', server => <<'CONF');
log_format route '$goosebit_endpoint $goosebit_tenant $goosebit_device';
map $arg_t $by_query { default DEFAULT; other OTHER; none ""; }
CONF
access_log "@DIR@/logs/route.log" route;
location /hawkbit/ { goosebit; }
location /two/parts { goosebit; }
location /DEFAULT/controller/v1/own/ { goosebit; }
location ~ ^/regex/(?<w>\d+)/ { goosebit; }
location /query/ { goosebit; goosebit_tenant $by_query; }
location /fixed/ { goosebit; goosebit_tenant default; }
location /slash/ { goosebit; goosebit_base_url https://fleet.example/; }
location /empty/ { goosebit; goosebit_base_url "$arg_nothing"; }
CONF

my $v1 = '/DEFAULT/controller/v1';
my $known = do {
    my $http = $s->http;
    $http->request('GET', "$v1/known");
    $http->request('PUT', "$v1/known/configData", json => { data => {} });
    $s->value('select count(*) from goosebit.device');
};

# Refused or not found: METHOD PATH STATUS [Allow]
my @table = (
    # not ours
    [GET => '/', 404],
    [GET => '//', 404],
    [GET => '/DEFAULT', 404],
    [GET => '/DEFAULT/', 404],
    [GET => '/DEFAULT/controller', 404],
    [GET => '/DEFAULT/controller/v1', 404],
    [GET => "$v1/", 404],
    [GET => "$v1//", 404],
    [GET => "/$v1/known", 404],
    [GET => '/DEFAULT//controller/v1/known', 404],
    [GET => "$v1//known", 404],
    [GET => "$v1/known//", 404],
    [GET => "$v1/known//configData", 404],
    [GET => '/DEFAULT/Controller/v1/known', 404],
    [GET => '/DEFAULT/controller/V1/known', 404],
    [GET => '/DEFAULT/controller/v2/known', 404],
    [GET => "$v1/known/deploymentbase/11", 404],
    [GET => "$v1/known/deploymentBase", 404],
    [GET => "$v1/known/deploymentBase/", 404],
    [GET => "$v1/known/deploymentBase/11/feedback/x", 404],
    [GET => "$v1/known/cancelAction", 404],
    [GET => "$v1/known/installedBase/11/x", 404],
    [GET => "$v1/known/softwaremodules", 404],
    [GET => "$v1/known/softwaremodules/1", 404],
    [GET => "$v1/known/softwaremodules/1/artifacts/a/b", 404],
    [GET => "$v1/known/nothing", 404],
    [PUT => "$v1/known/nothing", 404],
    [GET => '/prefix' . "$v1/known", 404],
    [GET => '/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z', 404],

    # dots: no link could lead back
    [GET => "$v1/.", 404],
    [GET => "$v1/known/../other", 404],
    [GET => "$v1/%2e%2e", 404],
    [GET => "$v1/%2E", 404],
    [GET => "/x/..$v1/known", 404],
    [GET => "$v1/known/./configData", 404],

    # control characters, broken UTF-8, length
    [GET => "$v1/a%00b", 404],
    [GET => "$v1/%00", 404],
    [GET => "$v1/a%0Ab", 404],
    [GET => "$v1/a%0d%0aX:%20y", 404],
    [GET => "$v1/a%1fb", 404],
    [GET => "$v1/a%7fb", 404],
    [GET => "$v1/a%C2%80b", 404],
    [GET => "$v1/%ff", 404],
    [GET => "$v1/%C3", 404],
    [GET => "$v1/%C0%AF", 404],
    [GET => "$v1/%ED%A0%80", 404],
    [GET => "$v1/%F4%90%80%80", 404],
    [GET => "$v1/\xff\xfe", 404],
    [GET => "$v1/" . 'a' x 256, 404],
    [GET => "$v1/" . '%41' x 256, 404],
    [GET => "$v1/" . '%C3%A4' x 128, 404],
    [GET => '/' . 'T' x 256 . '/controller/v1/known', 404],
    [GET => '/%0A/controller/v1/known', 404],

    # broken escapes are broken requests
    [GET => "$v1/a%", 400],
    [GET => "$v1/a%4", 400],
    [GET => "$v1/a%zz", 400],
    [GET => "$v1/%u0041", 400],

    # tenants
    [GET => '/NOPE/controller/v1/known', 404],
    [GET => '/DEFAUL/controller/v1/known', 404],
    [GET => '/DEFAULT%20/controller/v1/known', 404],
    [GET => '/%27%20or%201=1--/controller/v1/known', 404],
    [DELETE => '/NOPE/controller/v1/known', 404],
    [PUT => '/NOPE/controller/v1/known/configData', 404],
    [POST => '/NOPE/controller/v1/known/deploymentBase/11/feedback', 404],

    # methods
    [POST => "$v1/known", 405, 'GET, HEAD'],
    [PUT => "$v1/known", 405, 'GET, HEAD'],
    [DELETE => "$v1/known", 405, 'GET, HEAD'],
    [OPTIONS => "$v1/known", 405, 'GET, HEAD'],
    [PATCH => "$v1/known", 405, 'GET, HEAD'],
    [TRACE => "$v1/known", 405, 'GET, HEAD'],
    [PROPFIND => "$v1/known", 405, 'GET, HEAD'],
    [FROBNICATE => "$v1/known", 405, 'GET, HEAD'],
    [GET => "$v1/known/configData", 405, 'PUT'],
    [HEAD => "$v1/known/configData", 405, 'PUT'],
    [POST => "$v1/known/configData", 405, 'PUT'],
    [PUT => "$v1/known/deploymentBase/11", 405, 'GET, HEAD'],
    [GET => "$v1/known/deploymentBase/11/feedback", 405, 'POST'],
    [PUT => "$v1/known/deploymentBase/11/feedback", 405, 'POST'],
    [POST => "$v1/known/cancelAction/11", 405, 'GET, HEAD'],
    [GET => "$v1/known/cancelAction/11/feedback", 405, 'POST'],
    [DELETE => "$v1/known/installedBase/11", 405, 'GET, HEAD'],
    [POST => "$v1/known/softwaremodules/1/artifacts", 405, 'GET, HEAD'],
    [POST => "$v1/known/softwaremodules/1/artifacts/a", 405, 'GET, HEAD'],
    [PUT => "$v1/known/softwaremodules/1/artifacts/a.MD5SUM", 405,
        'GET, HEAD'],

    # ids that none can have: a path, but no such resource
    (map { [GET => "$v1/known/deploymentBase/$_", 404] }
        qw(0 -1 +11 011 11x x 1e3 0x11 11.0 2147483648 99999999999999999999
        9223372036854775808 %31%31%31%32 11%20 %D9%A1), 'a' x 255),
    [GET => "$v1/known/cancelAction/abc", 404],
    [GET => "$v1/known/installedBase/99", 404],
    [GET => "$v1/known/softwaremodules/x/artifacts", 404],
    [GET => "$v1/known/softwaremodules/1/artifacts/..%2f..%2fetc%2fpasswd",
        404],
    [GET => "$v1/known/softwaremodules/1/artifacts/.MD5SUM", 404],
);

for my $row (@table) {
    my ($method, $path, $status, $allow) = @$row;
    my $name = "$method $path";
    my $r;

    $name = substr($name, 0, 60) . '...' if length $name > 63;
    $name =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;

    subtest $name => sub {
        $r = $s->request($method, $path, headers => [
            $method =~ /^P/ ? ('Content-Type' => 'application/json',
                'Content-Length' => 2) : ()],
            $method =~ /^P/ ? (body => '{}') : ());
        is($r->{status}, $status, 'status');
        is($r->{headers}{allow}, $allow, 'Allow');
        ok(defined $r->{headers}{'content-length'}, 'Content-Length');
        is($r->{headers}{'transfer-encoding'}, undef, 'no chunks');

        if ($path =~ m{/artifacts/[^/]+$} && $path !~ m{^//}) {
            is($r->{body}, '', 'nothing for an installer to read');
        } elsif ($method ne 'HEAD') {
            is($r->{headers}{'content-type'}, 'application/json', 'JSON');
            is_deeply([sort keys %{$r->{json} // {}}],
                ['errorCode', 'message'], 'an error document');
        }
    };
}

is($s->value('select count(*) from goosebit.device'), $known,
    'no device came of it');

# The longest URI that NGINX takes, and one more byte.
{
    my $line = 8192 - length "GET  HTTP/1.1\r\n";
    my $r = $s->get("$v1/" . 'a' x ($line - length "$v1/"));
    is($r->{status}, 404, 'a very long id');
    $r = $s->get("$v1/" . 'a' x $line);
    is($r->{status}, 414, 'a URI that is too long');
    is($r->{json}{errorCode}, 'uri_too_long', 'in JSON');
}

# What is taken, and what its link says: PATH, path of the link's device.
my @good = (
    ["$v1/plain", "$v1/plain"],
    ["$v1/plain/", "$v1/plain"],
    ["$v1/plain?x=1/2", "$v1/plain"],
    ["$v1/plain/?x", "$v1/plain"],
    ["$v1/%70lain", "$v1/plain"],
    ["$v1/Plain", "$v1/Plain"],
    ['/default/controller/v1/plain', "$v1/plain"],
    ['/%44efault/%63ontroller/%76%31/plain', "$v1/plain"],
    ["$v1/a%20b", "$v1/a%20b"],
    ["$v1/a+b", "$v1/a%2Bb"],
    ["$v1/a%2Fb", "$v1/a%2Fb"],
    ["$v1/a%252Fb", "$v1/a%252Fb"],
    ["$v1/a%3Fb%23c", "$v1/a%3Fb%23c"],
    ["$v1/a%22%3Cb%3E%5C", "$v1/a%22%3Cb%3E%5C"],
    ["$v1/a:b\@c;d=e,f!", "$v1/a%3Ab%40c%3Bd%3De%2Cf%21"],
    ["$v1/\xc3\xa4", "$v1/%C3%A4"],
    ["$v1/%F0%9F%98%80", "$v1/%F0%9F%98%80"],
    ["$v1/...", "$v1/..."],
    ["$v1/%27;drop%20table%20device", "$v1/%27%3Bdrop%20table%20device"],
    ["$v1/controller", "$v1/controller"],
    ["$v1/v1", "$v1/v1"],
    ["$v1/" . 'a' x 255, "$v1/" . 'a' x 255],
    ["$v1/" . '%C3%A4' x 127, "$v1/" . '%C3%A4' x 127],
    ["/hawkbit$v1/plain", "/hawkbit$v1/plain"],
    ["/two/parts$v1/plain", "/two/parts$v1/plain"],
    ["$v1/own/", "$v1/own"],
    ["/regex/42$v1/plain", "/regex/42$v1/plain"],
    ["/query$v1/plain", "/query$v1/plain"],
    ["/fixed$v1/plain", "/fixed$v1/plain"],
);

for my $row (@good) {
    my ($path, $want) = @$row;
    my $name = $path =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;

    subtest substr($name, 0, 60) => sub {
        my $r = $s->get($path);
        is($r->{status}, 200, 'status');
        my $href = $r->{json}{_links}{configData}{href};
        my ($back) = $href =~ m{^http://127\.0\.0\.1:\d+(/.*)/configData$};
        is($back, $want, 'link');
        is($s->get($back)->{headers}{etag}, $r->{headers}{etag},
            'leads back to the same device');
        is($s->head($path)->{status}, 200, 'HEAD');
        is($s->head($path)->{body}, '', 'has no body');
    };
}

is($s->get("/query$v1/plain?t=other")->{status}, 404,
    'goosebit_tenant says another tenant');
is($s->get("/query$v1/plain?t=none")->{status}, 404,
    'goosebit_tenant is empty');
is($s->get("/fixed/OTHER/controller/v1/plain")->{status}, 404,
    'not the location\'s tenant');
like($s->get("/slash$v1/plain")->{body},
    qr{"https://fleet\.example/slash$v1/plain/configData"},
    'goosebit_base_url');
like($s->get("/empty$v1/plain")->{body}, qr{"http://127\.0\.0\.1:},
    'an empty goosebit_base_url is none');

# Who finds us by other means than a Host header.
like($s->raw("GET $v1/plain HTTP/1.0\r\n\r\n"),
    qr{"http://127\.0\.0\.1:\d+$v1/plain/configData"}, 'without a Host');
like($s->raw("GET $v1/plain HTTP/1.1\r\nHost: my.host:8\r\n"
    . "Connection: close\r\n\r\n"), qr{"http://my\.host:8$v1/plain/},
    'Host with its port');
like($s->raw("GET http://abs.example$v1/plain HTTP/1.1\r\n"
    . "Host: my.host\r\nConnection: close\r\n\r\n"),
    qr{"http://my\.host$v1/plain/}, 'a URI in absolute form');
like($s->raw("GET $v1/plain HTTP/1.1\r\nHost: a\"b\r\n"
    . "Connection: close\r\n\r\n"), qr{"http://a\\"b$v1/plain/},
    'a quote in Host is escaped');
like($s->raw("GET $v1/plain\r\n"), qr{^\{"config"}, 'HTTP/0.9');

my $log = slurp($s->dir . '/logs/route.log');
like($log, qr{^poll DEFAULT plain$}m, 'variables');
like($log, qr{^poll DEFAULT a{255}$}m, 'an id of 255 bytes');
unlike($log, qr{a{256}}, 'a longer one is not even looked at');


# A control character, and one that is none, at each place of ids that are
# short, or not of eights.
{
    my $http = $s->http;
    my (@bad, @good);
    for my $len (1 .. 18) {
        for my $at (0 .. $len - 1) {
            for (['%01', 404], ['%7f', 404], ['%C2%85', 404],
                ['%22', 200], ['~', 200])
            {
                my ($odd, $status) = @$_;
                my $id = ('k' x $at) . $odd . ('k' x ($len - 1 - $at));
                my $is = $http->request('HEAD', "$v1/$id")->{status};
                push @bad, "$id: $is" if $is != $status;
            }
        }
    }
    is_deeply(\@bad, [], 'each byte of an id is looked at');
}

done_testing;
