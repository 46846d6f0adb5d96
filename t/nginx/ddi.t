# The DDI's documents and the numbered client rules of ddi.md that they carry.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Device;

my $s = stack(fsync => 'off', yaml => "poll_time: 00:00:30\n",
    server => <<'CONF');
listen unix:@DIR@/h2.sock http2;
location /edge/ { goosebit; goosebit_base_url http://edge.example:8080; }
CONF

my $base = 'http://127.0.0.1:' . $s->port;
my $v1 = '/DEFAULT/controller/v1';
my $image = Goosebit::Device::image($s, '2.0.0', filename => 'a b#1.swu');

sub device { Goosebit::Device->new($s, @_) }

# Every answer of a device on its way: 200, small, in one piece, no null.
sub fine {
    my ($r, $name) = @_;
    my @bad;

    push @bad, "status $r->{status}" if $r->{status} != 200;
    push @bad, 'not JSON' if !$r->{json};
    push @bad, 'no Content-Length' if !defined $r->{headers}{'content-length'};
    push @bad, 'chunked' if defined $r->{headers}{'transfer-encoding'};
    push @bad, 'null' if $r->{body} =~ /null/;
    push @bad, 'large' if length $r->{body} > 1100;
    push @bad, "type $r->{headers}{'content-type'}"
        if $r->{headers}{'content-type'} ne 'application/json';
    is("@bad", '', $name);
    return $r->{json};
}


subtest 'an unknown device' => sub {
    my $d = device('new');
    my $j = fine($d->poll, 'poll');

    is_deeply($j, {
        config => { polling => { sleep => '00:00:10' } },
        _links => { configData => { href => "$base$v1/new/configData" } },
    }, 'is asked for its data, soon');
    is_deeply(fine($d->poll, 'again'), $j, 'and again');
    is($s->value("select count(*) from goosebit.device
        where controller_id = 'new'"), 1, 'there is one of it');

    is_deeply(fine($d->register, 'configData'),
        { success => JSON::PP::true, message => 'Updated swupdate data.' },
        'configData');
    is_deeply(fine($d->poll, 'poll'), {
        config => { polling => { sleep => '00:00:30' } }, _links => {},
    }, 'the link is gone (rule 2)');
    fine($d->register, 'configData unasked');
};


subtest 'sleep (rule 7)' => sub {
    my $d = device('sleepy');
    $d->register;
    for my $time ('00:00:01', '00:01:00', '01:02:03', '23:59:59') {
        $s->gbctl('device', 'set', 'sleepy', '--poll-time', $time);
        is($d->poll->{json}{config}{polling}{sleep}, $time, $time);
    }
};


# From here on devices of hw_model board are due.
Goosebit::Device::rollout($s, $image->{id});

subtest 'a deployment' => sub {
    my $d = device('dev1');
    $d->register;
    my $poll = fine($d->poll, 'poll');
    is_deeply([keys %{$poll->{_links}}], ['deploymentBase'], 'one link');

    my $href = $poll->{_links}{deploymentBase}{href};
    like($href, qr{^\Q$base$v1\E/dev1/deploymentBase/\d+\?c=\d+$},
        'it ends in ?c=N (rule 3)');
    my ($id) = $href =~ m{/(\d+)\?};
    cmp_ok($id, '>=', 11, 'the id is 11 at least (rule 4)');
    isnt($id % 10, 0, 'and no multiple of 10');
    my ($path) = $href =~ m{^\Q$base\E(.*)};
    cmp_ok(length $path, '<=', 49, 'a short path (rule 12)');

    my $j = fine($s->get($path), 'deploymentBase');
    my $part = "$base$v1/dev1/softwaremodules/$image->{id}/artifacts/"
        . 'a%20b%231.swu';
    is_deeply($j, { id => "$id", deployment => {
        download => 'forced', update => 'forced', chunks => [{
            part => 'os', version => '2.0.0', name => $image->{name},
            artifacts => [{
                filename => 'a b#1.swu', size => length $image->{bytes},
                hashes => digests($image->{bytes}),
                _links => {
                    download => { href => $part },
                    'download-http' => { href => $part },
                    'md5sum-http' => { href => "$part.MD5SUM" },
                },
            }],
        }],
    } }, 'the document (rules 5, 8, 9)');
    like($s->get($path)->{body}, qr/^\{"id":"\d+",/, 'id is a string');
    cmp_ok(length($part) - length($base), '<=', 199, 'a short path');

    for my $query ('', '?c=-1', '?c=99', '?c=', '?x', '?actionHistory=0',
        '?actionHistory=x', '?actionHistory=', '?xactionHistory=5')
    {
        is_deeply(fine($s->get($d->path('deploymentBase', $id) . $query),
            "query '$query'"), $j, 'the same');
    }

    fine($d->feedback($id, 'proceeding', 'none', details => ['one']),
        'feedback');
    fine($d->feedback($id, 'proceeding', 'none', details => ['two', 'three']),
        'feedback');
    for (['-1', qr/^(?:two|three)$/, 3], ['1', qr/^(?:two|three)$/, 1],
        ['2', qr/^(?:two|three)$/, 2], ['99999999999', qr/./, 3])
    {
        my ($n, $first, $count) = @$_;
        my $h = fine($s->get($d->path('deploymentBase', $id)
            . "?c=1&actionHistory=$n"), "history $n")->{actionHistory};
        is(scalar @{$h->{messages}}, $count, 'that many messages');
        like($h->{messages}[0], $first, 'newest first');
        is($h->{status}, 'RUNNING', 'status');
    }

    fine($d->feedback($id, 'proceeding', 'none', details => [1 .. 100]),
        'feedback') for 1 .. 11;
    is(scalar @{$s->get($d->path('deploymentBase', $id)
        . "?actionHistory=$_->[0]")->{json}{actionHistory}{messages}},
        $_->[1], "the newest $_->[0]")
        for [1050, 1050], [2 ** 31, 1103], [2 ** 32 + 1, 1103],
            [99999999999, 1103], ['9' x 30, 1103], [-1, 1103];

    is($d->get("deploymentBase/$_")->{status}, 404, "another id: $_")
        for $id + 1, "0$id", "+$id", "$id.0", $id + 2 ** 32, "-$id";
    my $other = device('dev2');
    $other->register;
    is($other->get("deploymentBase/$id")->{status}, 404,
        'another device\'s');
    is($other->feedback($id, 'closed', 'success')->{status}, 404,
        'nor is its feedback taken');
    is($d->get("cancelAction/$id")->{status}, 404, 'nobody cancels it');
    is($d->get("installedBase/$id")->{status}, 404, 'nor is it installed');

    my $done = fine($d->feedback($id, 'closed', 'success'), 'closed');
    is_deeply($done, { id => "$id" }, 'the answer to feedback');
    fine($d->feedback($id, 'closed', 'success'), 'closed, repeated');
    is($s->value("select count(*) from goosebit.action where id = $id
        and state = 'finished'"), 1, 'it is finished');
    is($d->feedback($id, 'closed', 'failure')->{status}, 410,
        'another final status');
    is($d->get("deploymentBase/$id")->{status}, 404, 'it is over');

    is_deeply(fine($d->poll, 'poll')->{_links}, { installedBase => {
        href => "$base$v1/dev1/installedBase/$id" } }, 'installedBase');
    is_deeply(fine($d->get("installedBase/$id"), 'installedBase'), $j,
        'is the same document');
    is($d->get('installedBase/11999')->{status}, 404, 'another id');
};


subtest 'a cancellation (rules 3, 11)' => sub {
    my $d = device('cancelled');
    $d->register;
    my $id = $d->action;
    $d->get("deploymentBase/$id");
    is($s->gbctl('device', 'cancel', 'cancelled')->{exit}, 0, 'cancel');

    is_deeply(fine($d->poll, 'poll')->{_links}, { cancelAction => {
        href => "$base$v1/cancelled/cancelAction/$id" } },
        'the only link, without a query');
    is_deeply(fine($d->get("cancelAction/$id"), 'cancelAction'),
        { id => "$id", cancelAction => { stopId => "$id" } }, 'document');
    is($d->get("deploymentBase/$id")->{status}, 404, 'nothing to deploy');
    is($d->get('cancelAction/1')->{status}, 404, 'another id');

    my $path = $d->path('cancelAction', $id, 'feedback');
    my $yes = { id => $id, status => { execution => 'closed',
        result => { finished => 'success' }, details => [] } };
    is_deeply(fine($s->post($path, json => $yes), 'feedback'),
        { id => "$id" }, 'its answer');
    fine($s->post($path, json => $yes), 'repeated');
    is_deeply(fine($d->poll, 'poll')->{_links}, {}, 'cancelled');

    $d = device('toolate');
    $d->register;
    $id = $d->action;
    $d->get("deploymentBase/$id");
    $d->feedback($id, 'proceeding', 'none');
    $s->gbctl('device', 'cancel', 'toolate');
    fine($d->feedback($id, 'closed', 'success'), 'it is installed');
    is($s->value("select state from goosebit.action where id = $id"),
        'finished', 'and that counts');
};


subtest 'links elsewhere' => sub {
    my $r = $s->get("/edge$v1/new");
    like($r->{body}, qr{"http://edge\.example:8080/edge$v1/new/},
        'goosebit_base_url and the prefix');
};


subtest 'ETag' => sub {
    my $d = device('etag');
    $d->poll;
    my $path = $d->path;
    my $tag = $s->get($path)->{headers}{etag};
    like($tag, qr/^"[0-9a-f]{32}"$/, 'there is one');

    my $ask = sub { $s->get($path, headers => [@_]) };
    for ($tag, "W/$tag", "\"x\", $tag", '*') {
        my $r = $ask->('If-None-Match' => $_);
        is($r->{status}, 304, "If-None-Match: $_");
        is($r->{body}, '', 'no body');
    }
    is($ask->('If-None-Match' => '"x"')->{status}, 200, 'another tag');
    is($ask->('If-None-Match' => $tag, 'If-Modified-Since' =>
        'Mon, 01 Jan 2001 00:00:00 GMT')->{status}, 304,
        'If-Modified-Since does not count beside it');
    is($ask->('If-Modified-Since' =>
        'Mon, 01 Jan 2035 00:00:00 GMT')->{status}, 200, 'nor alone');
    is($ask->('If-Unmodified-Since' =>
        'Mon, 01 Jan 2001 00:00:00 GMT')->{status}, 200, 'nor its opposite');
    is($ask->('If-Match' => '"x"')->{status}, 412, 'If-Match');
    is($ask->('If-Match' => '"x"')->{json}{errorCode}, 'precondition_failed',
        'in JSON');

    $d->register;
    isnt($s->get($path)->{headers}{etag}, $tag, 'another answer, another tag');
    is($s->put($d->path('configData'), json => { data => {} },
        headers => ['If-None-Match' => '*', 'If-Match' => '"x"'])->{status},
        200, 'what is written is answered with 200 whatever (rule 1)');
};


subtest 'Accept' => sub {
    my $d = device('accept');
    my $path = $d->path;
    my ($json, $hal) = ('application/json', 'application/hal+json');
    my $lines = join ', ', ('a/b') x 200;
    my @table = (
        ['', $json], ['*/*', $json], ['application/*', $json],
        [$json, $json], [$hal, $hal], ["$json, $hal", $hal],
        ["$hal;q=0.9, $json", $json], ["$hal, */*;q=0.1", $hal],
        ["$hal;q=0.5, */*", $json], ["$hal;q=0, */*", $json],
        ["$json;q=0, */*", $hal], ["$json;q=0, application/*;q=0.3", $hal],
        ['APPLICATION/HAL+JSON', $hal], ["$hal;charset=utf-8", $hal],
        ["$json; charset=\"a,b\\\";\" ; q=1", $json],
        ["text/html, $json;q=0.001", $json], [", ,$hal,,", $hal],
        [$lines, 406], ["$lines, $hal", $hal],
        ['text/html', 406], ['application/xml', 406], ["$json;q=0", 406],
        ["$json;q=0.000", 406], ['*/*;q=0', 406],
        ["application/*;q=0, text/html", 406],
        ['application/vnd.eclipse+json', 406],
        # malformed: as if it said */*
        ['json', $json], ['/', $json], ['*', $json], ['*/json', $json],
        ['text/html;q=2', $json], ['text/html;q=1.001', $json],
        ['text/html;q=0.1234', $json], ['text/html;q=', $json],
        ['text/html;q', $json], ['text/html;q=-1', $json],
        ['text/html;x="', $json], ['text/html application/xml', $json],
        ['text/(html)', $json], ["\xff\xfe", $json], ['text/', $json],
    );

    for (@table) {
        my ($accept, $want) = @$_;
        my $name = length $accept > 60 ? substr($accept, 0, 60) . '...'
            : $accept =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;
        my $r = $s->get($path, headers => [Accept => $accept]);

        if ($want eq '406') {
            is($r->{status}, 406, "Accept: $name");
            is($r->{json}{errorCode}, 'not_acceptable', 'in JSON');
        } else {
            is("$r->{status} $r->{headers}{'content-type'}", "200 $want",
                "Accept: $name");
        }
    }

    my $r = $s->get($path, headers => [Accept => 'text/html',
        Accept => $hal]);
    is($r->{headers}{'content-type'}, $hal, 'on two lines');
    is($s->get($path)->{headers}{'content-type'}, $json, 'none');
    is($s->post($d->path('deploymentBase', 11, 'feedback'),
        headers => [Accept => 'text/html'], json => {})->{status}, 406,
        'also where something is sent');
};


subtest 'one connection (rule 12)' => sub {
    my $http = $s->http;
    my $ok = 0;

    for (1 .. 20) {
        my $r = $http->request('GET', "$v1/keep");
        $ok++ if $r && $r->{status} == 200
            && ($r->{headers}{connection} // '') eq 'keep-alive';
        $r = $http->request('GET', "$v1/keep/nothing");
        $ok++ if $r && $r->{status} == 404;
        $r = $http->request('PUT', "$v1/keep/configData",
            json => { data => {} });
        $ok++ if $r && $r->{status} == 200;
        $r = $http->request('PUT', "$v1/keep/configData", body => 'x');
        $ok++ if $r && $r->{status} == 400;
        $r = $http->request('DELETE', "$v1/keep");
        $ok++ if $r && $r->{status} == 405;
    }
    is($ok, 100, 'a hundred requests, errors among them');

    # Answers to what was pipelined come in order.
    $http = $s->http;
    $http->write(join '', map {
        "GET $v1/p$_ HTTP/1.1\r\nHost: h\r\n\r\n" } 1 .. 20);
    my @got = map {
        my $r = $http->response;
        ($r->{json}{_links}{configData}{href} // '') =~ m{/(p\d+)/} ? $1 : '-';
    } 1 .. 20;
    is("@got", join(' ', map { "p$_" } 1 .. 20), 'pipelined');

    # Header and body leave in one write, small enough for one segment.
    $http = $s->http;
    $http->write("GET $v1/keep HTTP/1.1\r\nHost: h\r\n\r\n");
    sysread $http->{sock}, my $first, 65536;
    like($first, qr/^HTTP.*\r\n\r\n\{.*\}$/s, 'one write');
    cmp_ok(length $first, '<', 1400, 'that fits one segment');
};


subtest 'HTTP/2' => sub {
    my $h2 = sub {
        my ($path, @options) = @_;
        return run(['curl', '-sS', '--http2-prior-knowledge', '--unix-socket',
            $s->dir . '/h2.sock', '-w', ' %{http_version} %{http_code}',
            @options, "http://two.example$path"])->{out};
    };

    like($h2->("$v1/h2"), qr{"http://two\.example$v1/h2/configData".* 2 200$},
        'poll');
    like($h2->("$v1/h2/configData", '-X', 'PUT', '-H',
        'Content-Type: application/json', '-d', '{"data":{"a":"b"}}'),
        qr/^\{"success":true,.* 2 200$/, 'configData');
    spew(my $big = tempdir() . '/big', '{"data":{},"x":"' . 'x' x 900_000
        . '"}');
    like($h2->("$v1/h2/configData", '-T', $big), qr/ 2 200$/, 'a large body');
    like($h2->("$v1/h2/configData", '-X', 'PUT', '-H',
        'Content-Type: application/json', '-d', 'x'),
        qr/"invalid".* 2 400$/, 'a broken one');
    like($h2->("$v1/h2/nothing"), qr/"not_found".* 2 404$/, 'no such path');
    like($h2->("$v1/h2", '-I'), qr/ 2 200$/, 'HEAD');
};

done_testing;


# What hashes of a deployment say.
sub digests {
    my ($bytes) = @_;
    require Digest::MD5;
    require Digest::SHA;
    return {
        md5 => Digest::MD5::md5_hex($bytes),
        sha1 => Digest::SHA::sha1_hex($bytes),
        sha256 => Digest::SHA::sha256_hex($bytes),
    };
}
