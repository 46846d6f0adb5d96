# CBOR both ways: what JSON says, CBOR says, too.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::CBOR qw(decode encode integer raw);
use Goosebit::Device;

my $s = stack(fsync => 'off', server => <<'CONF');
location /denied/ { goosebit; deny all; }
CONF

my $type = 'application/cbor';
my $v1 = '/DEFAULT/controller/v1';
my $image = Goosebit::Device::image($s, '2.0.0', filename => "a \xc3\xbc.swu");
Goosebit::Device::rollout($s, $image->{id});

my $d = Goosebit::Device->new($s, 'dev');


# The same resource both ways: equal when decoded.
sub same {
    my ($path, $status, $name) = @_;
    my $json = $s->get($path);
    my $cbor = $s->get($path, headers => [Accept => $type]);

    is("$json->{status} $cbor->{status}", "$status $status", $name);
    is($cbor->{headers}{'content-type'}, $type, '... its type');
    is($cbor->{headers}{'content-length'}, length $cbor->{body},
        '... its length');
    is_deeply(eval { decode($cbor->{body}) } // $@, $json->{json},
        '... says the same');
    return $cbor;
}


sub send_cbor {
    my ($method, $path, $body, %headers) = @_;
    return $s->$method($path, body => ref $body ? encode($body) : $body,
        headers => {'Content-Type' => $type, %headers});
}


subtest 'answers' => sub {
    same($d->path, 200, 'first poll');
    $d->register;
    my $id = $d->action;
    same($d->path, 200, 'poll');
    same($d->path('deploymentBase', $id), 200, 'deploymentBase');
    same($d->path('deploymentBase', $id) . '?actionHistory=-1', 200,
        'with its history');
    same($d->path('softwaremodules', $image->{id}, 'artifacts'), 200,
        'artifacts');
    same($d->path('deploymentBase', 99999), 404, 'an error');
    same('/nobody/controller/v1/dev', 404, 'an unknown tenant');
    same($d->path('nothing'), 404, 'an unknown path');
    same('/denied' . $d->path, 403, 'an error of NGINX');
    same($d->path('configData'), 405, 'a wrong method');

    my $r = $s->get($d->path, headers => [Accept => $type]);
    my $etag = $r->{headers}{etag};
    isnt($etag, $s->get($d->path)->{headers}{etag}, 'an ETag of its own');
    $r = $s->get($d->path, headers => [Accept => $type,
        'If-None-Match' => $etag]);
    is("$r->{status} $r->{body}", '304 ', 'not modified');
    is($s->get($d->path, headers => ['If-None-Match' => $etag])->{status},
        200, 'JSON is');

    my $get = $s->get($d->path, headers => [Accept => $type]);
    my $head = $s->head($d->path, headers => [Accept => $type]);
    is($head->{headers}{'content-length'}, length $get->{body}, 'HEAD');
    is($head->{headers}{'content-type'}, $type, 'its type');

    $r = $s->get($d->path('softwaremodules', $image->{id}, 'artifacts',
        'none.swu'), headers => [Accept => $type]);
    is("$r->{status} $r->{body}", '404 ', 'artifacts: errors are empty');
};


subtest 'Accept' => sub {
    my ($json, $hal) = ('application/json', 'application/hal+json');
    my @table = (
        [$type, $type], ["$type;q=0.1", $type], ['APPLICATION/CBOR', $type],
        ["$type, $json", $type], ["$json, $type", $json],
        ["$type, */*", $type], ["*/*, $type", $type],
        ["application/*, $type", $type], ["$type, application/*", $type],
        ["$type;q=0.5, */*", $json], ["$type;q=0.5, $json", $json],
        ["$json;q=0.5, $type", $type], ["$hal, $type", $hal],
        ["$type, $hal", $type], ["$type, $json, $hal", $type],
        ["$json;q=0.5, $hal;q=0.8, $type;q=0.7", $hal],
        ["$json;q=0.5, $hal;q=0.6, $type;q=0.7", $type],
        ["$type;q=0, */*", $json], ["$json;q=0, $hal;q=0, */*", $type],
        ["$json;q=0, $hal;q=0, application/*;q=0.1", $type],
        ['*/*', $json], ['application/*', $json], ["$type;q=2", $json],
        ["$type;q=0", 406], ["$json;q=0, $hal;q=0, $type;q=0, */*", 406],
        ["application/x-cbor", 406], ["application/cbor-seq", 406],
        ["text/cbor", 406],
    );

    for (@table) {
        my ($accept, $want) = @$_;
        my $r = $s->get($d->path, headers => [Accept => $accept]);
        is($r->{status} == 200 ? $r->{headers}{'content-type'} : $r->{status},
            $want, "Accept: $accept");
    }

    my $r = $s->get($d->path, headers => [Accept => 'text/html']);
    is($r->{headers}{'content-type'}, $json, 'a 406 is JSON');
};


subtest 'configData' => sub {
    my $path = $d->path('configData');
    my $r = send_cbor(put => $path, { mode => 'merge', data => {
        a => 'text', b => integer(5), c => integer(-7),
        d => raw("\xf9\x3e\x00"), e => raw("\xfa\x3f\x8c\xcc\xcd"),
        f => JSON::PP::true, g => raw("\x43\x01\x02\x03"),
        h => raw("\xc0\x61x"), i => raw("\x7f\x61y\x61z\xff"),
        j => raw("\x63a\x00b"), k => raw("\x61\xff"), l => "\x{fc}",
    } });
    is($r->{status}, 200, 'taken');
    is_deeply($r->{json}, { success => JSON::PP::true,
        message => 'Updated swupdate data.' }, 'answered in JSON');

    my $is = JSON::PP->new->utf8->decode($s->value(
        "select attributes from goosebit.device_attributes
        join goosebit.device d on d.id = device_id
        where controller_id = 'dev'"));
    is_deeply({ map { ($_ => $is->{$_}) } 'a' .. 'l' }, {
        a => 'text', b => '5', c => '-7', d => '1.5', e => '1.1',
        f => 'true', g => 'AQID', h => 'x', i => 'yz', j => "a\x{fffd}b",
        k => "\x{fffd}", l => "\x{fc}",
    }, 'kept');

    $r = send_cbor(put => $path, { data => { a => 'b' } }, Accept => $type);
    is_deeply(decode($r->{body}), { success => JSON::PP::true,
        message => 'Updated swupdate data.' }, 'answered in CBOR');

    # Indefinite lengths, as Jackson writes them; JSON under CBOR's name.
    $r = send_cbor(put => $path, "\xbf\x64data\xbf\x61a\x61c\xff\xff");
    is($r->{status}, 200, 'indefinite maps');
    is(send_cbor(put => $path, '{"data":{"a":"b"}}')->{status}, 400,
        'JSON as CBOR');
    is($s->put($path, body => encode({ data => { a => 'b' } }),
        headers => ['Content-Type' => 'application/json'])->{status}, 400,
        'CBOR as JSON');
    is($s->value("select attributes ->> 'a' from goosebit.device_attributes
        join goosebit.device d on d.id = device_id
        where controller_id = 'dev'"), 'c', 'changed nothing');

    my %status = ('application/vnd.x+cbor' => 200, 'APPLICATION/CBOR' => 200,
        'application/cbor; x=y' => 200, 'application/cbor2' => 415,
        'application/x-cbor' => 415, 'text/cbor' => 415);
    for (sort keys %status) {
        is(send_cbor(put => $path, { data => {} },
            'Content-Type' => $_)->{status}, $status{$_}, $_);
    }
};


subtest 'refused bodies' => sub {
    my $deep = "\xa1\x61a" x 31 . "\xa0";
    my %body = (
        'nothing' => '', 'a number' => "\x05", 'an array' => "\x80",
        'cut off' => "\xa1\x64data", 'too much' => encode({ data => {} }) . 'x',
        'a huge map' => "\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        'a huge array' => "\xa1\x64data\x9a\xff\xff\xff\xff",
        'a huge text' => "\xa1\x64data\x7b\x7f\xff\xff\xff\xff\xff\xff\xff",
        'too deep' => "\xa1\x61a" x 32 . "\xa0",
        'very deep' => "\x81" x 100000,
        'indefinitely deep' => "\x9f" x 100000,
        'many tags' => "\xc0" x 100000,
        'many items' => "\xa1\x61a\x9f" . "\x01" x 70000 . "\xff",
        'data is a number' => encode({ data => integer(1) }),
        'no data' => encode({ mode => 'merge' }),
        'an unknown mode' => encode({ mode => 'x', data => {} }),
        'mode is a number' => encode({ mode => integer(1), data => {} }),
        'bytes as a key' => "\xa1\x64data\xa1\x41a\x61b",
        'a key with NUL' => encode({ data => { "a\0b" => 'c' } }),
        'bad UTF-8 in a key' => "\xa1\x64data\xa1\x61\xff\x61b",
        'a long value' => encode({ data => { a => 'x' x 256 } }),
        'an array as value' => encode({ data => { a => [] } }),
    );
    for (sort keys %body) {
        my $r = send_cbor(put => $d->path('configData'), $body{$_},
            Accept => $type);
        is($r->{status}, 400, $_);
        is((eval { decode($r->{body}) } // {})->{errorCode}, 'invalid',
            '... in CBOR');
    }
    is(send_cbor(put => $d->path('configData'),
        { data => { map { ("k$_" => 'v') } 1 .. 101 } })->{status}, 429,
        'too many attributes');
    is(send_cbor(put => $d->path('configData'),
        "\xa2\x64data\xa0\x61x" . substr $deep, 3)->{status}, 200,
        'just not too deep');
};


subtest 'feedback' => sub {
    my $id = $d->action;
    my $path = $d->path('deploymentBase', $id, 'feedback');
    my $r = send_cbor(post => $path, { id => $id, status => {
        execution => 'proceeding', code => integer(-5),
        result => { finished => 'none',
            progress => { cnt => integer(1), of => integer(4) } },
        details => ["a\nb", integer(3), "\x{e4}"],
    } });
    is($r->{status}, 200, 'proceeding');
    is_deeply($r->{json}, { id => "$id" }, 'answered');

    my ($row) = $s->sql("select progress, code, details
        from goosebit.action_status order by id desc limit 1");
    is("$row->[0] $row->[1]", '25 -5', 'progress and code');
    is_deeply($s->get($d->path('deploymentBase', $id)
        . '?actionHistory=-1')->{json}{actionHistory}{messages},
        ["a\nb", '3', "\x{e4}"], 'details');

    is(send_cbor(post => $path, { status => { execution => 'x' } })->{status},
        400, 'an unknown word');
    is(send_cbor(post => $path, { status => { execution => 'closed',
        result => { finished => 'success' } } })->{status}, 200, 'closed');
    is($s->value("select state from goosebit.action where id = $id"),
        'finished', 'finished');
    same($d->path('installedBase', $id), 200, 'installedBase');
};

done_testing;
