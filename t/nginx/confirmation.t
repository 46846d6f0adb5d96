# confirmationBase as devices see it, installedBase by PUT, and quotas.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::CBOR qw(decode encode);
use Goosebit::Device;

my $s = stack(fsync => 'off',
    http => 'goosebit_quota attributes=5 statuses=3 details=2;');
my $v1 = '/DEFAULT/controller/v1';
my $base = 'http://127.0.0.1:' . $s->port . $v1;
my $image = Goosebit::Device::image($s, '2.0.0');
Goosebit::Device::rollout($s, $image->{id}, '--confirm');

sub device {
    my $d = Goosebit::Device->new($s, @_);
    $d->register;
    return $d;
}

sub links { return (shift)->poll->{json}{_links} }

# The id of the action that a device has to confirm.
sub waits {
    my ($d) = @_;
    my $links = links($d);
    is_deeply([keys %$links], ['confirmationBase'], 'only confirmationBase');
    my ($id) = $links->{confirmationBase}{href} =~
        m{^\Q$base\E/[^/]+/confirmationBase/(\d+)\?c=\d+$};
    return $id;
}

sub answer {
    my ($d, $id, $body, %headers) = @_;
    return $s->post($d->path('confirmationBase', $id, 'feedback'),
        ref $body ? (json => $body) : (body => $body),
        headers => \%headers);
}

sub state {
    my ($id) = @_;
    return $s->value("select state from goosebit.action where id = $id");
}


subtest 'confirmed' => sub {
    my $d = device('yes');
    my $r = $s->get($d->path('confirmationBase'));
    is_deeply($r->{json}, { autoConfirm => { active => JSON::PP::false },
        _links => { activateAutoConfirm => { href =>
            "$base/yes/confirmationBase/activateAutoConfirm" } } },
        'nothing waits');

    my $id = waits($d);
    $r = $s->get($d->path('confirmationBase'));
    like($r->{json}{_links}{confirmationBase}{href},
        qr{/yes/confirmationBase/$id\?c=\d+$}, 'it waits');

    $r = $s->get($d->path('confirmationBase', $id) . '?c=1');
    is($r->{status}, 200, 'its document');
    my $doc = $r->{json};
    is_deeply([sort keys %$doc], [qw(confirmation id)], 'has two members');
    is($doc->{id}, "$id", 'the id is a string');
    unlike($r->{body}, qr/"id":\d/, 'in the text, too');
    is($s->get($d->path('deploymentBase', $id))->{status}, 404,
        'no deploymentBase yet');
    is($s->head($d->path('confirmationBase', $id))->{headers}
        {'content-length'}, length $r->{body}, 'HEAD');
    is($s->get($d->path('confirmationBase', $id, ''))->{status}, 200,
        'a slash at the end');
    is_deeply($s->get($d->path('confirmationBase', $id)
        . '?actionHistory=-1')->{json}{actionHistory},
        { status => 'AWAITING_CONFIRMATION', messages => [] }, 'no history');

    for ('{}', '[]', '{', '', '{"confirmation":null}',
        '{"confirmation":"yes"}', '{"confirmation":"CONFIRMED"}',
        '{"confirmation":1}', '{"confirmation":"confirmed","details":{}}',
        '{"confirmation":"confirmed"')
    {
        is(answer($d, $id, $_)->{status}, 400, "400: $_");
    }
    is(answer($d, 99999, { confirmation => 'confirmed' })->{status}, 404,
        'another action');
    is(state($id), 'awaiting_confirmation', 'nothing has changed');

    $r = answer($d, $id, '{"confirmation":"confirmed","code":7,'
        . "\"details\":[\"a\nb\",\"c\",\"d\"],\"more\":{}}");
    is($r->{status}, 200, 'confirmed');
    is_deeply($r->{json}, { id => "$id" }, 'its answer');
    is($d->action, $id, 'the same action is offered');
    my $got = $s->get($d->path('deploymentBase', $id)
        . '?actionHistory=-1')->{json};
    is_deeply($got->{deployment}, $doc->{confirmation},
        'the deployment is what was confirmed');
    is_deeply($got->{actionHistory}{messages},
        ["a\nb", 'c [1 more dropped]'], 'details, as many as are allowed');
    is($s->get($d->path('confirmationBase', $id))->{status}, 404,
        'nothing to confirm any more');
    is(answer($d, $id, { confirmation => 'confirmed' })->{status}, 200,
        'again');
    is(answer($d, $id, { confirmation => 'denied' })->{status}, 404,
        'too late');
    is($d->feedback($id, 'closed', 'success')->{status}, 200, 'installed');
};


subtest 'denied' => sub {
    my $d = device('no');
    my $id = waits($d);
    is(answer($d, $id, { confirmation => 'denied', code => JSON::PP::null,
        details => 'not now' })->{status}, 200, 'denied');
    is(waits($d), $id, 'asked again');
    is_deeply($s->get($d->path('confirmationBase', $id)
        . '?actionHistory=1')->{json}{actionHistory}{messages}, ['not now'],
        'remembered');

    is($s->post($d->path('confirmationBase', $id, 'feedback'),
        body => encode({ confirmation => 'confirmed' }),
        headers => ['Content-Type' => 'application/cbor'])->{status}, 200,
        'confirmed, in CBOR');
    is($d->action, $id, 'offered');
};


subtest 'by itself' => sub {
    my $d = device('auto');
    my $id = waits($d);
    my $on = $d->path('confirmationBase', 'activateAutoConfirm');
    my $off = $d->path('confirmationBase', 'deactivateAutoConfirm');

    for ('{', '[]', '"x"', '{"initiator":""}', '{"initiator":{}}',
        '{"remark":[]}', "{\"initiator\":\"a\nb\"}",
        '{"initiator":"' . 'x' x 65 . '"}', '{"remark":"' . 'x' x 513 . '"}')
    {
        is($s->post($on, body => $_)->{status}, 400,
            '400: ' . substr s/\n/\\n/r, 0, 30);
    }
    is(waits($d), $id, 'nothing has changed');

    my $before = time;
    my $r = $s->post($on, json => { initiator => "b\x{fc}b",
        remark => 'x' x 512, more => 1 });
    is($r->{status}, 200, 'on');
    is_deeply($s->get($d->path('confirmationBase'))->{json}, $r->{json},
        'answered as confirmationBase is');
    my $auto = $r->{json}{autoConfirm};
    is($auto->{initiator}, "b\x{fc}b", 'who');
    is($auto->{remark}, 'x' x 512, 'why');
    ok($auto->{activatedAt} >= $before * 1000 - 1000
        && $auto->{activatedAt} <= (time + 2) * 1000, 'when');
    is_deeply($r->{json}{_links}, { deactivateAutoConfirm => { href =>
        "$base/auto/confirmationBase/deactivateAutoConfirm" } }, 'links');
    is($d->action, $id, 'what waited is offered');

    is($s->post($on)->{status}, 200, 'again, without a body');
    is_deeply([sort keys %{$s->get($d->path('confirmationBase'))->{json}
        {autoConfirm}}], [qw(activatedAt active)], 'by nobody');
    is($s->post($off, body => 'x', headers =>
        ['Content-Type' => 'text/plain'])->{status}, 200,
        'off, whatever the body');
    is_deeply($s->get($d->path('confirmationBase'))->{json}{autoConfirm},
        { active => JSON::PP::false }, 'off');
    is($s->post($off)->{status}, 200, 'off again');

    my $e = device('ready');
    is($s->post($e->path('confirmationBase', 'activateAutoConfirm'))
        ->{status}, 200, 'on before there is an action');
    ok($e->action, 'which is offered at once');

    for my $path ($d->path('confirmationBase', 'activateAutoConfirm'),
        $d->path('confirmationBase', 11, 'feedback'))
    {
        $r = $s->get($path);
        is("$r->{status} $r->{headers}{allow}", '405 POST', "GET $path");
    }
    for my $path ($d->path('confirmationBase'),
        $d->path('confirmationBase', 11))
    {
        $r = $s->post($path, json => {});
        is("$r->{status} $r->{headers}{allow}", '405 GET, HEAD',
            "POST $path");
    }
    is($s->get("$v1/stranger/confirmationBase")->{status}, 404,
        'a device that never polled');
    is($s->post("$v1/stranger/confirmationBase/activateAutoConfirm")
        ->{status}, 404, 'nor can it switch');
};


subtest 'PUT installedBase' => sub {
    my $d = device('put');
    my $path = $d->path('installedBase');
    my $version = sub { $s->value("select sw_version from goosebit.device
        where controller_id = 'put'") };

    for ('{}', '[]', '', '{"name":"os"}', '{"version":"2"}',
        '{"name":"","version":"2"}', '{"name":"os","version":""}',
        '{"name":"os","version":null}', '{"name":{},"version":"2"}',
        '{"name":"os","version":"' . 'x' x 256 . '"}',
        '{"name":"os","version":"1\u0007"}')
    {
        is($s->put($path, body => $_)->{status}, 400, substr $_, 0, 40);
    }
    is($version->(), '1.0.0', 'nothing has changed');

    my $r = $s->put($path, json => { name => 'os', version => '2.0.0' });
    is($r->{status}, 200, 'taken');
    is($r->{json}{success}, JSON::PP::true, 'success');
    is($version->(), '2.0.0', 'that is what runs');
    is_deeply(links($d), {}, 'so there is nothing to do');

    $r = $s->put($path, body => encode({ name => 'os', version => '2.1' }),
        headers => ['Content-Type' => 'application/cbor',
            Accept => 'application/cbor']);
    is((eval { decode($r->{body}) } // {})->{message},
        'Updated installed version.', 'in CBOR');
    is($version->(), '2.1', 'taken');

    $r = $s->get($path);
    is("$r->{status} $r->{headers}{allow}", '405 PUT', 'no GET');
    is($s->put("$v1/stranger/installedBase",
        json => { name => 'os', version => '2' })->{status}, 404,
        'a device that never polled');
};


subtest 'quotas' => sub {
    my $d = device('quota');
    my $r = $s->put($d->path('configData'), json => { data => {
        map { ("k$_" => 'v') } 1 .. 6 } });
    is($r->{status}, 429, 'too many attributes in one message');
    like($r->{headers}{'retry-after'}, qr/^\d+$/, 'Retry-After');
    is($r->{json}{errorCode}, 'quota_exceeded', 'in JSON');
    $r = $s->put($d->path('configData'), json => { data => {
        map { ("k$_" => 'v') } 1 .. 3 } });
    is($r->{status}, 429, 'too many with those there are');
    is($r->{json}{errorCode}, 'quota_exceeded', 'by the same word');
    is($s->put($d->path('configData'), json => { data => {
        map { ("k$_" => 'v') } 1 .. 2 } })->{status}, 200, 'just enough');

    answer($d, my $id = waits($d), { confirmation => 'confirmed' });
    $d->feedback($id, 'proceeding', 'none', details => ["said $_"])
        for 1 .. 5;
    $d->feedback($id, 'closed', 'failure', details => [1 .. 5]);
    is_deeply($s->get($d->path('installedBase', $id))->{status}, 404,
        'not installed');
    is($s->value("select string_agg(array_to_string(details, ','), ' '
        order by id) from goosebit.action_status where action_id = $id"),
        'said 4 said 5 1,2 [3 more dropped]', 'the newest statuses are kept');
    is(state($id), 'error', 'the last one counts');
};


subtest 'the directive' => sub {
    my %wrong = (
        'attributes' => 'expected attributes=N',
        'attributes=' => 'expected attributes=N',
        'attributes=x' => 'must be from 1',
        'attributes=0' => 'must be from 1',
        'attributes=-1' => 'must be from 1',
        'attributes=1000000000' => 'must be from 1',
        'details=1 details=2' => 'duplicate parameter',
        'nothing=1' => 'expected attributes=N',
        '' => 'invalid number of arguments',
    );

    my @env;
    if ($ENV{GB_ASAN}) {
        my @libs = map { `gcc -print-file-name=$_` =~ s/\n//r } 'libasan.so',
            'libubsan.so';
        @env = ('env', "LD_PRELOAD=@libs", 'ASAN_OPTIONS=detect_leaks=0');
    }

    for my $args (sort keys %wrong) {
        my $conf = slurp($s->dir . '/nginx.conf')
            =~ s/goosebit_quota [^;]*;/goosebit_quota $args;/r;
        spew($s->dir . '/other.conf', $conf);
        my $r = run([@env, 'nginx', '-t', '-p', $s->dir, '-c',
            $s->dir . '/other.conf']);
        unlink $s->dir . '/other.conf';
        ok($r->{exit} != 0, "goosebit_quota $args");
        like($r->{err}, qr/\Q$wrong{$args}/, 'and says why');
    }
};

done_testing;
