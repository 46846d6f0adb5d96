# Bodies, framing and pace that no device has: each is answered as ddi.md
# says, and nothing comes of it.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::CBOR qw(encode integer raw);
use Goosebit::Hostile;
use Time::HiRes qw(sleep);

my $s = stack(fsync => 'off', http => 'client_body_buffer_size 1k;');
my $h = Goosebit::Hostile->new($s);
my $v1 = '/DEFAULT/controller/v1';
my $id = $h->id('dev');
my $data = "$v1/dev/configData";
my $feedback = "$v1/dev/deploymentBase/$id/feedback";
my $confirm = "$v1/wait/confirmationBase/" . $h->id('wait') . '/feedback';
my $auto = "$v1/wait/confirmationBase/activateAutoConfirm";
my $installed = "$v1/dev/installedBase";
my $closed = '{"status":{"execution":"closed",'
    . '"result":{"finished":"success"}}}';

sub request { return Goosebit::Hostile::request(@_) }

sub put { return request('PUT', @_) }
sub post { return request('POST', @_) }


# Not JSON at all, or not an object, wherever it is sent.
my @broken = ('{', '}', '[', ']', '[]', '{}}', '{"a"', '{"a":', '{"a":1',
    '{"a":1,', '{"a":1,}', '{,}', '{:1}', '{1:2}', "{'a':1}", '{a:1}',
    '{"a" 1}', '{"a":1 "b":2}', '{"a":01}', '{"a":+1}', '{"a":.5}',
    '{"a":1.}', '{"a":1e}', '{"a":-}', '{"a":NaN}', '{"a":Infinity}',
    '{"a":nul}', '{"a":TRUE}', '{"a":undefined}', '{"a":"b}', '{"a":"\\"}',
    '{"a":"\\x41"}', '{"a":"\\u12"}', '{"a":"\\u12g4"}', '{"a":1}x',
    '{"a":1}{"a":1}', '{"a":/*x*/1}', "{}//x", '"a"', '1', 'null', 'true',
    ' ', "\n", "\0", "\xff", "\xff\xfe{\0}\0", "{\0}", '<xml/>',
    '<?php system(1)?>', 'a=b&c=d', '%7B%7D', '[' x 100000, '{"a":' x 100000,
    '[' x 50000 . ']' x 50000, '{"a":' . '[' x 5000 . ']' x 5000 . '}',
    '(){:;};', "\x1f\x8b\x08\x00\x00\x00\x00\x00", '{"data":{}',
    '{"status":{"execution":"closed"}', "--x\r\nContent-Disposition: x\r\n");
for (['configData', \&put, $data], ['feedback', \&post, $feedback],
    ['confirmation', \&post, $confirm], ['auto', \&post, $auto],
    ['installedBase', \&put, $installed])
{
    my ($name, $send, $path) = @$_;
    $h->table("broken JSON: $name",
        map { [$_, 400, $send->($path, $_)] } @broken);
}

$h->table('configData', map { [$_->[0], $_->[2] // 400, put($data, $_->[1])] }
    ['nothing', ''], ['no data', '{}'], ['data null', '{"data":null}'],
    ['data text', '{"data":"x"}'], ['data list', '{"data":[]}'],
    ['data number', '{"data":1}'], ['an unknown mode',
        '{"mode":"x","data":{}}'], ['mode in capitals',
        '{"mode":"MERGE","data":{}}'], ['mode a number',
        '{"mode":1,"data":{}}'], ['mode a list', '{"mode":[],"data":{}}'],
    ['a list as value', '{"data":{"a":[]}}'], ['an object as value',
        '{"data":{"a":{}}}'], ['no key', '{"data":{"":"x"}}'],
    ['a long key', '{"data":{"' . 'k' x 129 . '":"x"}}'],
    ['a long value', '{"data":{"a":"' . 'v' x 256 . '"}}'],
    ['a value of 900 kB', '{"data":{"a":"' . 'v' x 900000 . '"}}'],
    ['NUL in a key', "{\"data\":{\"a\0b\":\"x\"}}"],
    ['\u0000 in a key', '{"data":{"a\u0000b":"x"}}'],
    ['a lone surrogate in a key', '{"data":{"\ud800":"x"}}'],
    ['bad UTF-8 in a key', "{\"data\":{\"\xff\":\"x\"}}"],
    ['a tab in a key', "{\"data\":{\"a\tb\":\"x\"}}"],
    ['one bad of many', '{"data":{"a":"x","b":"y","c":[]}}'],
    ['101 attributes', '{"data":{' . join(',', map { "\"k$_\":\"v\"" }
        1 .. 101) . '}}', 429],
    ['30000 attributes', '{"data":{' . join(',', map { "\"k$_\":\"v\"" }
        1 .. 30000) . '}}', 429],
    ['too large', '{"data":{"a":"' . 'v' x 2000000 . '"}}', 413],
    ['nothing to say', '{"data":{}}', 200],
    ['to remove what is not there', '{"mode":"remove","data":{"z":"x"}}',
        200],
    ['depth elsewhere', '{"data":{},"x":' . '[' x 1000 . ']' x 1000 . '}',
        200],
    ['a great number elsewhere', '{"data":{},"x":' . '9' x 100000 . '}', 200],
    ['a great exponent elsewhere', '{"data":{},"x":1e999999999}', 200],
    ['bad UTF-8 elsewhere', "{\"data\":{},\"x\":\"\xff\xc0\xaf\0\"}", 200],
    ['many keys elsewhere', '{"data":{},' . join(',', map { "\"k$_\":0" }
        1 .. 20000) . '}', 200]);

$h->table('feedback', map { [$_, 400, post($feedback, $_)] } '', '{}',
    '{"id":"11"}', '{"status":null}', '{"status":"closed"}', '{"status":[]}',
    '{"status":{}}', '{"status":{"execution":null}}',
    '{"status":{"execution":1}}', '{"status":{"execution":"CLOSED"}}',
    '{"status":{"execution":"closed "}}', '{"status":{"execution":"x"}}',
    '{"status":{"execution":"closed\u0000"}}',
    '{"status":{"execution":["closed"]}}',
    '{"status":{"execution":"closed","result":"success"}}',
    '{"status":{"execution":"closed","result":[]}}',
    '{"status":{"execution":"closed","result":{"finished":"SUCCESS"}}}',
    '{"status":{"execution":"closed","result":{"finished":1}}}',
    '{"status":{"execution":"closed","result":{"finished":{}}}}',
    '{"status":{"execution":"closed","details":{}}}',
    '{"status":{"execution":"closed","details":[[]]}}',
    '{"status":{"execution":"closed","details":[{"a":1}]}}',
    '{"status":{"execution":"closed","details":[true]}}',
    '{"status":{"execution":"confirmed"}}',
    '{"status":{"execution":"\'; drop table goosebit.action; --"}}');
$h->table('feedback to others', map { [$_->[0], $_->[1],
        post("$v1/$_->[0]/feedback", $closed)] }
    ['dev/deploymentBase/99999', 404], ['dev/deploymentBase/0', 404],
    ['dev/deploymentBase/x', 404], ["stranger/deploymentBase/$id", 404],
    ["dev/cancelAction/$id", 404], ["done/deploymentBase/$id", 404],
    ['dev/deploymentBase/' . $h->id('done'), 404],
    ['dev/deploymentBase/2147483648', 404], ["dev/confirmationBase/$id", 400],
    ['done/deploymentBase/' . $h->id('done'), 200],
    ['dev/deploymentBase/%00', 404]);
$h->table('after the end', [$_, 410, post("$v1/done/deploymentBase/"
        . $h->id('done') . '/feedback', $_)]) for
    '{"status":{"execution":"closed","result":{"finished":"failure"}}}',
    '{"status":{"execution":"rejected"}}';
$h->table('confirmation', map { [$_, 400, post($confirm, $_)] } '', '{}',
    '{"confirmation":null}', '{"confirmation":true}', '{"confirmation":{}}',
    '{"confirmation":"Confirmed"}', '{"confirmation":"confirmed\u0000"}',
    '{"confirmation":["confirmed"]}', '{"status":{"execution":"closed"}}',
    '{"confirmation":"confirmed","details":[[]]}');
$h->table('auto and installedBase',
    ['initiator long', 400, post($auto, '{"initiator":"' . 'x' x 65 . '"}')],
    ['remark long', 400, post($auto, '{"remark":"' . 'x' x 513 . '"}')],
    ['remark a list', 400, post($auto, '{"remark":[]}')],
    ['of a stranger', 404, post("$v1/stranger/confirmationBase/"
        . 'activateAutoConfirm', '{}')],
    ['no name', 400, put($installed, '{"version":"9"}')],
    ['no version', 400, put($installed, '{"name":"os"}')],
    ['a list', 400, put($installed, '{"name":"os","version":["9"]}')],
    ['long', 400, put($installed, '{"name":"os","version":"' . '9' x 256
        . '"}')],
    ['a control character', 400, put($installed,
        '{"name":"os","version":"9\n"}')]);

$h->table('types', map { [$_, 415, put($data, '{"data":{"a":"b"}}',
        "Content-Type: $_")] }
    'text/plain', 'text/json', 'application/xml', 'application/octet-stream',
    'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x',
    'json', 'application', 'application/', '/json', 'application/json2',
    'application/cbor+x', 'application/json application/json', "\xff",
    'application/json,application/json', '*/*');
$h->table('encodings',
    ['gzip', 400, put($data, "\x1f\x8b\x08\0\0\0\0\0\0\3\xabV\1\0",
        'Content-Encoding: gzip')],
    ['UTF-16', 400, put($data, "\xfe\xff\0{\0}",
        'Content-Type: application/json; charset=utf-16')]);


my @cbor = ('', "\0", "\x05", "\x20", "\x40", "\x60", "\x80", "\xf6", "\xff",
    "\xf8", "\xf8\x18", "\xf9", "\xfb\0", "\x1c", "\x5f", "\x7f", "\x9f",
    "\xbf", "\xbf\xff\xff", "\xa0\xa0", "\xa1", "\xa1\x61", "\xa1\x61a",
    "\xa1\x61a\xff", "\xa2\x61a\1", "\xbf\x61a\xff", "\xc0", "\xc0\xc0",
    "\xa1\x64data\xc0", "\xa1\x01\xa1\x02", "\xa1\xf5\x01", "\xa1\x80\x01",
    "\xa1\xa0\x01", "\xa1\x41a\x01", "\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
    "\xbb\x80\0\0\0\0\0\0\0", "\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
    "\xa1\x64data\xba\xff\xff\xff\xff", "\xa1\x64data\x7a\xff\xff\xff\xff",
    "\xa1\x7b\xff\xff\xff\xff\xff\xff\xff\xffdata",
    "\xa1\x64data\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
    "\xa1\x64data\x7f\x61a\x41b\xff", "\xa1\x64data\x7f\x7f\x61a\xff\xff",
    "\xa1\x64data\x7f\x01\xff", "\x81" x 900000, "\x9f" x 900000,
    "\xbf\x61a" x 300000, "\xc1" x 900000, "\xa1\x61a" x 40 . "\xa0",
    "\xa1\x61a\x9f" . "\xf6" x 900000 . "\xff",
    "\xa1\x61a\x7f" . "\x60" x 100000, '{"data":{}}',
    "\xd9\xd9\xf7", "\xd9\xd9\xf7{}");
for (['configData', \&put, $data], ['feedback', \&post, $feedback],
    ['confirmation', \&post, $confirm], ['installedBase', \&put, $installed])
{
    my ($name, $send, $path) = @$_;
    $h->table("CBOR: $name", map { [unpack('H*', substr $_, 0, 20), 400,
        $send->($path, $_, 'Content-Type: application/cbor')] } @cbor);
}
$h->table('CBOR that says what it may not', map { [$_->[0], $_->[2] // 400,
        put($data, encode($_->[1]), 'Content-Type: application/cbor')] }
    ['data a number', { data => integer(1) }],
    ['no key', { data => { '' => 'x' } }],
    ['NUL in a key', { data => { "a\0" => 'x' } }],
    ['a long key', { data => { 'k' x 129 => 'x' } }],
    ['a long value', { data => { a => raw("\x59\0\xc0" . 'x' x 192) } }],
    ['a list as value', { data => { a => [] } }],
    ['mode a number', { mode => integer(0), data => {} }],
    ['mode bytes', { mode => raw("\x45merge"), data => {} }],
    ['101 attributes', { data => { map { ($_ => 'v') } 1 .. 101 } }, 429],
    ['nothing to say', { data => {}, x => raw("\xfb\x7f\xf0\0\0\0\0\0\0") },
        200]);


sub head {
    return join "\r\n", "PUT $data HTTP/1.1", 'Host: x',
        'Content-Type: application/json', @_, '', '';
}

sub chunked { return head('Transfer-Encoding: chunked') . $_[0] }

# What is sent, and then no more.
sub cut {
    my ($bytes) = @_;
    return sub {
        my ($http) = @_;
        $http->write($bytes);
        $http->shut;
        return $http->response;
    };
}

# In pieces, so many seconds apart.
sub slowly {
    my ($seconds, @pieces) = @_;
    return sub {
        my ($http) = @_;
        for (@pieces) {
            $http->write($_) or last;
            sleep $seconds;
        }
        return $http->response;
    };
}

$h->table('Content-Length', map { [$_, 400, head("Content-Length: $_")
        . '{"data":{"a":"b"}}'] }
    '', '-1', '+18', '0x12', '18x', '1 8', '18, 18', '9' x 30,
    '18446744073709551616', '1e1', '18.0');
$h->table('two lengths',
    ['that differ', 400, head('Content-Length: 18', 'Content-Length: 2')
        . '{"data":{"a":"b"}}'],
    ['that are one', 400, head('Content-Length: 18', 'Content-Length: 18')
        . '{"data":{"a":"b"}}'],
    ['and chunks', 400, head('Content-Length: 18',
        'Transfer-Encoding: chunked') . "0\r\n\r\n"],
    ['chunks twice', '400|501', head('Transfer-Encoding: chunked, chunked')
        . "0\r\n\r\n", 1],
    ['gzip', '400|501', head('Transfer-Encoding: gzip'), 1],
    ['in HTTP/1.0', 400, (chunked("0\r\n\r\n") =~ s{1\.1}{1.0}r)],
    ['less than was sent', 400, head('Content-Length: 5')
        . '{"data":{"a":"b"}}'],
    ['a gigabyte', 413, head('Content-Length: 1073741824')],
    ['a gigabyte, after asking', 413, head('Content-Length: 1073741824',
        'Expect: 100-continue')]);
$h->table('chunks',
    ['none', 400, chunked("0\r\n\r\n")],
    ['no size', 400, chunked("\r\n\r\n")],
    ['a size that is none', 400, chunked("zz\r\n{}\r\n0\r\n\r\n")],
    ['a negative size', 400, chunked("-1\r\n{}\r\n0\r\n\r\n")],
    ['a size of 64 bits', '400|413', chunked("ffffffffffffffff\r\n{}")],
    ['a size of 63 bits', '400|413', chunked("7fffffffffffffff\r\n{}")],
    ['a long size', '400|413', chunked('0' x 5000 . "1\r\n{\r\n0\r\n\r\n")],
    ['no end of line', 400, chunked("2\r\n{}0\r\n\r\n")],
    ['a spaced size', '400', chunked("2 2\r\n{}\r\n0\r\n\r\n")],
    ['larger than allowed', 413, chunked(join('', ("1000\r\n" . 'x' x 4096
        . "\r\n") x 300) . "0\r\n\r\n")],
    ['a long extension', 400, chunked('2;' . 'x' x 5000
        . "\r\n{}\r\n0\r\n\r\n")],
    ['trailers', 400, chunked("2\r\n{}\r\n0\r\nX-Evil: 1\r\n\r\n")],
    ['one byte each', 400, chunked(join('', map { "1\r\n$_\r\n" }
        split //, '{"data":[1]}') . "0\r\n\r\n")]);

$h->table('cut off',
    ['in the request line', 'none|400', cut('PUT /DEFAULT/contr')],
    ['in a header', 'none|400', cut("PUT $data HTTP/1.1\r\nHos")],
    ['after the headers', 'none|400', cut(head('Content-Length: 18'))],
    ['in the body', 'none|400', cut(head('Content-Length: 18')
        . '{"data":{"a"')],
    ['in a chunk size', 'none|400', cut(chunked('1'))],
    ['in a chunk', 'none|400', cut(chunked("12\r\n{\"data\""))],
    ['before the last chunk', 'none|400',
        cut(chunked("12\r\n{\"data\":{\"a\":\"b\"}}\r\n"))],
    ['before any byte', 'none', cut('')]);

$h->table('no HTTP',
    ['TLS', 400, "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" . 'x' x 512, 1],
    ['HTTP/2', '400|505', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
        1],
    ['SSH', 400, "SSH-2.0-x\r\n\r\n", 1],
    ['NULs', 400, "\0" x 2000, 1], ['bytes', 400, "\xff" x 2000, 1],
    ['PROXY', 400, "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n\r\n", 1],
    ['SMTP', 400, "HELO x\r\n\r\n", 1],
    ['JSON', 400, $closed . "\r\n\r\n", 1],
    ['empty lines before', 200, "\r\n" x 100
        . request('GET', "$v1/dev")]);

$h->table('pace',
    ['byte by byte', 400, slowly(0.003, head('Content-Length: 12'),
        split //, '{"data":[1]}')],
    ['headers byte by byte', 200, slowly(0.003,
        split //, request('GET', "$v1/dev"))]);

# Where who says nothing is not waited for: only of those that never end.
my $short = $h->at(stack(with => $s, http => 'client_header_timeout 1s;
    client_body_timeout 1s; send_timeout 1s; lingering_timeout 300ms;'));
$short->table('no end',
    ['a line that never ends', 'none|408', slowly(0.7, 'GET /DEFAULT',
        '/controller', '/v1')],
    ['headers that never end', 'none|408', slowly(0.7, "GET $v1/dev HTTP/1.1",
        "\r\nHost: x", "\r\nX: y")],
    ['no body', 408, slowly(0, head('Content-Length: 18'))],
    ['half a body', 408, slowly(0, head('Content-Length: 18') . '{"data":')],
    ['half a chunk', 408, slowly(0, chunked("12\r\n{\"data\""))]);


sub statuses {
    my ($bytes, $n) = @_;
    my $http = $s->http;
    $http->write($bytes);
    return join ' ', map { my $r = eval { $http->response };
        $r ? $r->{status} : 'none' } 1 .. $n;
}

my $get = request('GET', "$v1/dev");
my $before = $h->digest;
for (
    ['polls', $get x 50, join ' ', (200) x 50],
    ['all kinds', $get . put($data, '{') . $get . post($feedback, '{}')
        . request('DELETE', "$v1/dev") . request('GET', "$v1/dev/x") . $get,
        '200 400 200 400 405 404 200'],
    ['garbage after a poll', $get . "\0\0\0\r\n\r\n", '200 400 none'],
    ['more than the length says', put($data, '{', 'Content-Length: 1')
        . 'x' . $get, '400 400 none'],
    ['a request in a body', put($data, $get) . $get, '400 200'],
    ['too large, then a poll', put($data, 'x' x 1100000) . $get, '413 none'],
    ['a poll in a chunk', chunked(sprintf("%x\r\n%s\r\n0\r\n\r\n",
        length $get, $get)) . $get, '400 200'],
    ['refused types', put($data, $get, 'Content-Type: a/b') . $get,
        '415 200'],
    ['unknown paths with bodies', put("$v1/dev/x", $get) . $get, '404 200'],
    ['wrong methods with bodies', post("$v1/dev", $get) . $get, '405 200'],
) {
    my ($name, $bytes, $expected) = @$_;
    is(statuses($bytes, scalar split ' ', $expected), $expected,
        "pipelined: $name");
}
is_deeply($h->digest, $before, 'pipelined: the database is unchanged');

# Many at once that never finish, and one that does.
my @open = map { $s->http } 1 .. 100;
$_->write(head('Content-Length: 100') . '{') for @open;
is($s->get("$v1/dev")->{status}, 200, 'served beside a hundred slow ones');
$_->close for @open;
is_deeply($h->digest, $before, 'which change nothing');

is($s->get("$v1/dev")->{status}, 200, 'all the while it serves');
cmp_ok($h->count, '>=', 650, 'requests: ' . $h->count);

done_testing;
