# The numbered client rules of ddi.md, in their order, as raw HTTP: one
# subtest each, with bytes as the clients send them. Where else they stand:
#
#   rule  also tested by
#    1    ddi.t (conditional requests), ddi_body.t, e2e/swupdate.t
#    2    ddi.t, e2e/swupdate.t, e2e/hawkbit_crate.t
#    3    ddi.t, e2e/rauc_hawkbit.t (never updates without ?c=)
#    4    sql/04_feedback.sql, ddi.t
#    5    ddi.t (every document), e2e/rauc_hawkbit.t
#    6    ddi.t (goosebit_base_url), route.t
#    7    ddi.t, e2e/hawkbit_crate.t
#    8    ddi.t, e2e/hawkbit_crate.t (soft, download only)
#    9    artifact.t, ddi.t, e2e/hawkbit_crate.t (all three hashes, 416)
#   10    ddi_body.t (the long table), unit/test_feedback, e2e/*
#   11    ddi.t, sql/04_feedback.sql, e2e/swupdate_cancel.t
#   12    ddi.t (keep-alive, sizes), route.t (tenants)
#   13    e2e/swupdate.t, e2e/swupdate_cancel.t, sql/04_feedback.sql
#   14    artifact.t, e2e/rauc_hawkbit.t, e2e/swupdate_resume.t

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Device;

my $s = stack(fsync => 'off', http => <<'CONF', server => <<'CONF',
map $http_x_forwarded_proto $forwarded { default http; https https; }
CONF
location /proxied/ { goosebit; goosebit_base_url $forwarded://$http_host; }
location /file/ { goosebit; client_body_in_file_only clean; }
CONF
    yaml => <<'YAML');
poll_time: 00:00:30
device_auth:
  enable: true
  mode: setup
YAML

my $base = 'http://127.0.0.1:' . $s->port;
my $v1 = '/DEFAULT/controller/v1';
my $image = Goosebit::Device::image($s, '2.0.0', size => 50_000);
my @documents;

sub device {
    my ($id) = @_;
    my $d = Goosebit::Device->new($s, $id, token => "token-of-$id");
    $d->register;
    return $d;
}


# One request as a client writes it, headers and all; the answer.
sub say {
    my ($head, $body) = @_;
    my $http = $s->http;
    my ($line, @lines) = split /\n/, $head;
    my ($method) = $line =~ /^(\S+)/;

    push @lines, 'Host: 127.0.0.1:' . $s->port
        if !grep { /^Host:/ } @lines;
    push @lines, 'Content-Length: ' . length $body
        if defined $body && !grep { /^(?:Content-Length|Transfer-)/ } @lines;
    $http->write(join("\r\n", "$line HTTP/1.1", @lines, '', '')
        . ($body // ''));

    my $r = $http->response($method);
    push @documents, $r->{body} if $r->{status} == 200 && $r->{json};
    return $r;
}


sub links {
    my ($d) = @_;
    my $r = $d->poll;
    push @documents, $r->{body};
    return $r->{json}{_links};
}


sub cancel {
    my ($d) = @_;
    is($s->gbctl(qw(device cancel), $d->id)->{exit}, 0, 'device cancel');
}


sub state {
    my ($d) = @_;
    return $s->gbctl(qw(device history -o json), $d->id)->{json}[0]{state};
}


my $rollout = Goosebit::Device::rollout($s, $image->{id});

subtest '1: feedback and configData are answered with exactly 200' => sub {
    my $d = device('rule-1');
    my $auth = 'Authorization: TargetToken token-of-rule-1';
    my $id = $d->action;
    my $post = "POST $v1/rule-1/deploymentBase/$id/feedback";
    my $put = "PUT $v1/rule-1/configData";
    my $json = 'Content-Type: application/json';

    for my $execution (qw(proceeding scheduled resumed download downloaded
        closed closed))
    {
        my $r = say("$post\n$auth\n$json", "{\"id\":\"$id\",\"status\":{"
            . "\"execution\":\"$execution\",\"result\":{\"finished\":"
            . ($execution eq 'closed' ? '"success"' : '"none"') . '}}}');
        is($r->{status}, 200, $execution);
        is($r->{body}, "{\"id\":\"$id\"}", 'and a body');
    }
    is(say("$put\n$auth\n$json", '{"data":{"a":"b"}}')->{status}, 200,
        'configData') for 1 .. 2;

    $s->gbctl(qw(device force rule-1));
    $id = $d->action;
    $d->get("deploymentBase/$id");
    cancel($d);
    is(say("POST $v1/rule-1/cancelAction/$id/feedback\n$auth\n$json",
        '{"status":{"execution":"closed","result":{"finished":"success"}}}')
        ->{status}, 200, 'cancelAction') for 1 .. 2;
};


subtest '2: the configData link goes away' => sub {
    my $d = Goosebit::Device->new($s, 'rule-2', token => 'token-of-rule-2');
    for (1 .. 2) {
        is_deeply([keys %{links($d)}], ['configData'],
            'asked for, until it has come');
    }
    $d->register;
    is_deeply([keys %{links($d)}], ['deploymentBase'], 'then no more');
    is($d->register(region => 'eu')->{status}, 200, 'unasked');
    is_deeply([keys %{links($d)}], ['deploymentBase'], 'it stays away');
    is($s->gbctl(qw(device show -o json rule-2))->{json}{attributes}{region},
        'eu', 'what came unasked counts');
};


subtest '3: deploymentBase ends in ?c=N, cancelAction does not' => sub {
    my $d = device('rule-3');
    my $auth = 'Authorization: TargetToken token-of-rule-3';
    my ($path) = links($d)->{deploymentBase}{href} =~ m{^\Q$base\E(/\S+)$};

    like($path, qr{/deploymentBase/\d+\?c=-?\d+$}, 'its form');
    my $same = say("GET $path\n$auth")->{body};
    for my $c (qw(-1 0 1 -2147483648 99999999999999999999 x), '') {
        is(say('GET ' . ($path =~ s/\?c=.*/?c=$c/r) . "\n$auth")->{body},
            $same, "?c=$c");
    }

    cancel($d);
    my ($asked) = links($d)->{cancelAction}{href} =~ m{^\Q$base\E(/\S+)$};
    like($asked, qr{/cancelAction/\d+$}, 'no query');
    is(say("POST $asked/feedback\n$auth", '{"status":{"execution":"closed",'
        . '"result":{"finished":"success"}}}')->{status}, 200,
        'where clients append /feedback');
};


subtest '4: ids are strings of decimals that clients can read' => sub {
    my %seen;

    for my $n (1 .. 24) {
        my $d = device("rule-4-$n");
        my ($path) = links($d)->{deploymentBase}{href} =~ m{^\Q$base\E(/\S+)$};
        my ($id) = say("GET $path\nAuthorization: TargetToken "
            . "token-of-rule-4-$n")->{body} =~ /^\{"id":"([1-9]\d*)",/;
        $seen{$id // 'none'}++;
    }
    cancel(device('rule-4-1'));
    like(say("GET $v1/rule-4-1/cancelAction/" . (links(device('rule-4-1'))
        ->{cancelAction}{href} =~ m{(\d+)$})[0] . "\nAuthorization: "
        . 'TargetToken token-of-rule-4-1')->{body}, qr/"stopId":"\d+"/,
        'stopId, too');

    is(scalar(keys %seen), 24, 'each its own');
    is(join(' ', grep { /\D/ || $_ < 11 || $_ % 10 == 0 || $_ > 2147483647 }
        keys %seen), '', 'from 11 on, no multiple of 10');
};


subtest '6: absolute URLs from Host, no redirects' => sub {
    my $auth = 'Authorization: TargetToken token-of-rule-6';
    device('rule-6');
    my $href = sub {
        my ($path, @lines) = @_;
        my $r = say(join "\n", "GET $path", $auth, @lines);
        return $r->{json}{_links}{deploymentBase}{href};
    };

    for my $host ('fleet.example', 'fleet.example:8443', '[::1]:8080') {
        like($href->("$v1/rule-6", "Host: $host"),
            qr{^http://\Q$host$v1\E/rule-6/}, "Host: $host");
    }
    like($href->("$v1/rule-6", 'X-Forwarded-Proto: https'), qr{^http://},
        'a forwarded scheme that nobody vouches for');
    like($href->("/proxied$v1/rule-6", 'X-Forwarded-Proto: https',
        'Host: fleet.example'),
        qr{^https://fleet\.example/proxied$v1/rule-6/}, 'a trusted one');

    for my $path ("$v1/rule-6/", "$v1/rule-6/configData/", "$v1/rule-6/x",
        '/DEFAULT', "/proxied$v1/rule-6/", '/proxied')
    {
        my $r = say("GET $path\n$auth");
        unlike("$r->{status}", qr/^3/, "$path: no redirect");
        is($r->{headers}{location}, undef, 'no Location');
    }
};


subtest '7: sleep has eight characters, below 24 hours' => sub {
    my $d = device('rule-7');
    my $sleep = sub { $d->poll->{json}{config}{polling}{sleep} };

    for my $time (qw(00:00:01 00:00:59 00:59:59 23:59:59)) {
        $s->gbctl(qw(device set rule-7 --poll-time), $time);
        is($sleep->(), $time, $time);
    }
    for my $time (qw(24:00:00 00:00:00 99:59:59 1:00:00 00:00:60)) {
        $s->gbctl(qw(device set rule-7 --poll-time), $time);
        like($sleep->(), qr/^(?!00:00:00)(?:[01]\d|2[0-3])(?::[0-5]\d){2}$/,
            "$time does no harm");
    }
};


subtest '8: update and download are one of three words' => sub {
    my %want = (forced => 'forced forced', soft => 'attempt attempt',
        downloadonly => 'forced skip');

    for my $type (sort keys %want) {
        my $d = device("rule-8-$type");
        $s->gbctl(qw(device assign), $d->id, $image->{id}, '--type', $type);
        my $id = $d->action;
        my $deployment = $d->get("deploymentBase/$id")->{json}{deployment};
        like("$deployment->{download} $deployment->{update}",
            qr/^(?:$want{$type}|attempt skip)$/, $type);
    }
};


subtest '9: hashes, names, sizes, and quiet errors of artifacts' => sub {
    my $d = device('rule-9');
    my $auth = 'Authorization: TargetToken token-of-rule-9';
    my $id = $d->action;
    my $chunk = $d->get("deploymentBase/$id")
        ->{json}{deployment}{chunks}[0];
    my $artifact = $chunk->{artifacts}[0];
    my %length = (md5 => 32, sha1 => 40, sha256 => 64);

    is(scalar(keys %{$artifact->{hashes}}), 3, 'three hashes');
    like($artifact->{hashes}{$_}, qr/^[0-9a-f]{$length{$_}}$/, $_)
        for sort keys %length;
    ok(length($chunk->{$_} // ''), $_) for qw(name version part);
    ok(length($artifact->{filename} // ''), 'filename');
    my $size = length $image->{bytes};
    is($artifact->{size}, $size, 'size');

    my ($path) = $artifact->{_links}{download}{href} =~ m{^\Q$base\E(.*)};
    is(say("GET $path\n$auth")->{body}, $image->{bytes}, 'the bytes');
    my @errors = (
        ['from the end on', "GET $path\n$auth\nRange: bytes=$size-", 416],
        ['not there', "GET ${path}x\n$auth", 404],
        ['wrong token', "GET $path\nAuthorization: TargetToken x", 401],
        ['no token', "GET $path", 401],
        ['another device', 'GET ' . ($path =~ s/rule-9/rule-2/r)
            . "\n$auth", 401],
        ['method', "PUT $path\n$auth\nContent-Length: 0", 405],
    );
    for (@errors) {
        my ($name, $request, $status) = @$_;
        my $r = say($request);
        is("$r->{status} '$r->{body}'", "$status ''", "$name: empty");
    }
};


subtest '10: bodies as real clients send them' => sub {
    my $d = device('rule-10');
    my $auth = 'Authorization: TargetToken token-of-rule-10';
    my $id = $d->action;
    my $feedback = "$v1/rule-10/deploymentBase/$id/feedback";
    my $json = 'Content-Type: application/json';
    my @bodies = (
        ['SWUpdate', "{ \"id\": \"$id\", \"time\": \"20261123T160524\", "
            . '"status": { "result": { "progress": { "cnt" : 0, "of": 1 }, '
            . '"finished": "none" }, "execution": "proceeding", "details" : '
            . "[ \"[TRACE] : line\n\tand more\x1b[0m\n\" ] } }"],
        ['rauc-hawkbit', "{\"id\": \"$id\", \"time\": \"20261123T160524\", "
            . '"status": {"result": {"progress": {"percentage": 20}, '
            . '"finished": "none"}, "execution": "proceeding", "details": '
            . '["Checking bundle"]}}'],
        ['rauc-hawkbit, no progress', "{\"id\": \"$id\", \"time\": "
            . '"20261123T160524", "status": {"result": {"progress": {}, '
            . '"finished": "failure"}, "execution": "proceeding", "details": '
            . '["LastError"]}}'],
        ['rauc-hawkbit-updater', "{\"id\":\"$id\",\"status\":{\"result\":{"
            . '"finished":"none"},"execution":"proceeding","details":["x"]}}'],
        ['the crate', "{\"id\":\"$id\",\"status\":{\"execution\":"
            . '"proceeding","result":{"finished":"none","progress":true},'
            . '"details":[]}}'],
        ['hawkBit\'s Java SDK', '{"timestamp":1700000000000,"status":{'
            . '"execution":"proceeding","result":{"finished":"none",'
            . '"progress":null},"code":null,"details":["x"]}}'],
        ['Zephyr', "{\"id\":$id,\"time\":\"\",\"status\":{\"execution\":"
            . '"proceeding","result":{"finished":"none"}}}'],
        ['Zephyr, newer', '{"status":{"execution":"proceeding","result":{'
            . '"finished":"none"}}}'],
        ['Hara', "{\"id\":\"$id\",\"time\":\"2026-11-27T06:28:06.123\","
            . '"status":{"execution":"proceeding","result":{"finished":'
            . '"success","progress":{"of":0,"cnt":0}},"details":[]}}'],
        ['48 details of 2 KB', '{"status":{"execution":"proceeding",'
            . '"details":[' . join(',', ('"' . "x\n" x 1024 . '"') x 48)
            . ']}}'],
    );

    for (@bodies) {
        my ($name, $body) = @$_;
        is(say("POST $feedback\n$auth\n$json", $body)->{status}, 200, $name);
        is(say("POST /file$feedback\n$auth\n$json\nExpect: 100-continue",
            $body)->{status}, 200, "$name, expecting 100, into a file");
    }

    my $data = '"data":{"hw_model":"board","hw_revision":"1"}}';
    for ('{"mode":null,', '{"id":"","time":"20261123T160524","status":{"resu'
        . 'lt":{"finished":"success"},"execution":"closed","details":["",""]'
        . '},', '{"status":null,')
    {
        is(say("PUT $v1/rule-10/configData\n$auth\n$json", "$_$data")
            ->{status}, 200, "configData $_");
    }
    is(say("GET $v1/rule-10\n$auth\nContent-Length: 0")->{status}, 200,
        'GET with Content-Length: 0');
    is(say("GET $v1/rule-10\n$auth\n$json\nAccept: application/json")
        ->{status}, 200, 'GET with a Content-Type');
    is(say("GET $v1/rule-10\n$auth\nAccept: application/hal+json\n"
        . 'If-None-Match: ')->{status}, 200, 'an empty If-None-Match, as Hara '
        . 'sends first');
    is(state($d), 'running', 'and the update runs');
};


subtest '11: feedback while the action is being cancelled' => sub {
    my %end = (
        '"closed","result":{"finished":"success"}' => 'finished',
        '"closed","result":{"finished":"failure"}' => 'canceled',
        '"canceled"' => 'canceled', '"rejected"' => 'canceled',
    );
    my $n = 0;

    for my $last (sort keys %end) {
        my $d = device('rule-11-' . ++$n);
        my $auth = 'Authorization: TargetToken token-of-' . $d->id;
        my $id = $d->action;
        my $post = 'POST ' . $d->path('deploymentBase', $id, 'feedback')
            . "\n$auth";

        $d->get("deploymentBase/$id");
        cancel($d);
        is(say($post, '{"status":{"execution":"proceeding"}}')->{status}, 200,
            'proceeding');
        is(state($d), 'cancelling', 'changes nothing');
        is(say($post, "{\"status\":{\"execution\":$last}}")->{status}, 200,
            $last);
        is(state($d), $end{$last}, "is $end{$last}");
    }
};


subtest '12: tenants, keep-alive, small documents' => sub {
    device('r12');
    my $auth = "Authorization: TargetToken token-of-r12\r\n";
    my $http = $s->http;
    my $ask = sub {
        $http->write("GET $_[0] HTTP/1.1\r\nHost: h\r\n$auth\r\n");
        return $http->response;
    };

    for my $tenant (qw(DEFAULT default Default)) {
        my $r = $ask->("/$tenant/controller/v1/r12");
        like($r->{json}{_links}{deploymentBase}{href},
            qr{^http://h/DEFAULT/controller/v1/}, "$tenant, as stored");
        is($r->{headers}{connection}, 'keep-alive', 'the same connection');
    }

    my ($path) = $ask->("$v1/r12")->{json}{_links}{deploymentBase}{href}
        =~ m{^http://h(.*)};
    cmp_ok(length $path, '<=', 49, 'a short path');
    my $r = $ask->($path);
    my $href = $r->{json}{deployment}{chunks}[0]{artifacts}[0]{_links}
        {download}{href};
    cmp_ok(length($href =~ s{^http://h}{}r), '<=', 199,
        'a short path to download');

    # What one read gets is what came in one piece.
    for ("$v1/r12", $path) {
        my $one = $s->http;
        $one->write("GET $_ HTTP/1.1\r\nHost: h\r\n$auth\r\n");
        my $n = sysread $one->{sock}, my $bytes, 65536;
        my ($length) = $bytes =~ /^Content-Length: (\d+)\r$/m;
        my ($body) = $bytes =~ /\r\n\r\n(.*)\z/s;
        is(length $body, $length, 'in one piece');
        cmp_ok($length, '<=', 1100, 'a small one');
        cmp_ok($n, '<=', 1448, 'fits one segment');
    }
};


subtest '13: a device that reports at its next start' => sub {
    my $d = device('rule-13');
    my $id = $d->action;
    $d->get("deploymentBase/$id");
    is($d->feedback($id, 'proceeding', 'none', details => ['installed'])
        ->{status}, 200, 'installed, not closed');

    # It starts again: attributes of the old version unasked, then the poll.
    $d->register;
    is($d->action, $id, 'the same action is still there');
    is($d->get("deploymentBase/$id")->{status}, 200, 'and its document');
    is($d->feedback($id, 'closed', 'success')->{status}, 200, 'closed');
    is(state($d), 'finished', 'finished');

    is($d->feedback($id, 'closed', 'success')->{status}, 200,
        'said again: no 410');
    is($d->feedback($id, 'proceeding')->{status}, 200, 'nor for a late word');
    is($d->feedback($id, 'closed', 'failure')->{status}, 410,
        'only for the opposite');
    is(state($d), 'finished', 'which changes nothing');
    $d->register;
    is(links($d)->{deploymentBase}, undef,
        'and its old attributes do not bring the update back');
};


subtest '14: artifacts in small ranges, one link a poll' => sub {
    my $d = device('rule-14');
    my $auth = 'Authorization: TargetToken token-of-rule-14';
    my $id = $d->action;
    my ($path) = $d->get("deploymentBase/$id")->{json}{deployment}{chunks}[0]
        {artifacts}[0]{_links}{download}{href} =~ m{^\Q$base\E(.*)};
    my $size = length $image->{bytes};
    my $bytes = '';
    my $http = $s->http;
    my $part = sub {
        my ($from, $to) = @_;
        $http->write("GET $path HTTP/1.1\r\nHost: h\r\n$auth\r\n"
            . "Range: bytes=$from-$to\r\n\r\n");
        return $http->response;
    };

    # Half of it, then an operator cancels while the bundle is streamed.
    for (my $from = 0; $from < $size; $from += 4096) {
        my $r = $part->($from, $from + 4095);
        last if !is($r->{status}, 206, "from $from");
        $bytes .= $r->{body};
        cancel($d) if $from == 20480;
    }
    is($bytes, $image->{bytes}, 'all of it');
    is_deeply([keys %{links($d)}], ['cancelAction'], 'one link');
    $d->feedback($id, 'closed', 'success');
    is($part->(0, 99)->{status}, 206, 'its last one, even when it is over');

    my @several = grep {
        my $l = $_;
        1 < grep { $l =~ /"$_":\{"href"/ }
            qw(deploymentBase cancelAction confirmationBase configData)
    } grep { /"_links"/ && /"polling"/ } @documents;
    is("@several", '', 'never two in one poll');
};


# Last, over all that was answered above.
subtest '5: nothing is null' => sub {
    cmp_ok(scalar @documents, '>', 100, 'documents');
    is(join("\n", grep { /null/ } @documents), '', 'none has a null');
};

done_testing;
