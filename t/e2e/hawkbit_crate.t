use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Digest::MD5;
use Digest::SHA;
use Goosebit::Release;
use Goosebit::Test;
use JSON::PP ();

# The crate `hawkbit` 0.7.2, in a small program of ours (clients/), does all it
# can do: poll, attributes, documents, downloads, progress, cancel, errors.

my $build = run(['t/e2e/clients/build', 'hawkbit-crate'], timeout => 1500);
plan skip_all => $build->{err} if $build->{exit} == 77;
die $build->{err} if $build->{exit};
chomp(my $program = $build->{out});

my $s = stack(fsync => 'off', yaml => <<'YAML');
poll_time: 00:00:30
device_auth:
  enable: true
  mode: setup
YAML
my $releases = Goosebit::Release->new($s);


# One step of a device: {exit, and what it printed}
sub step {
    my ($id, @args) = @_;
    my $token = ref $id ? $id->[1] : "target:token-of-$id";
    my $r = run([$program, $s->url, ref $id ? $id->[0] : $id, $token, @args]);

    diag($r->{err}) if $r->{err} ne '';
    my $said = $r->{out} eq '' ? {} : JSON::PP::decode_json($r->{out});
    return { exit => $r->{exit}, %$said };
}


sub attributes {
    my ($id) = @_;
    my $r = step($id, qw(config merge hw_model=test-board hw_revision=rev1
        sw_version=1.0.0));
    is($r->{exit}, 0, "$id: attributes") or diag($r->{error});
}


sub state { $releases->action($_[0])->{state} }


subtest 'attributes' => sub {
    my $poll = step('crate-1', 'poll');
    is($poll->{sleep}, 10, 'an unknown device shall be back soon');
    ok($poll->{config}, 'and is asked for attributes');
    ok(!$poll->{$_}, "no $_") for qw(update cancel confirmation);

    attributes('crate-1');
    $poll = step('crate-1', 'poll');
    is($poll->{sleep}, 30, 'then the poll time');
    ok(!$poll->{config}, 'and it is not asked again');
    is($releases->shown('device', 'crate-1')->{hw_model}, 'test-board',
        'they are there');

    is(step('crate-2', qw(config none hw_model=test-board))->{exit}, 0,
        'with "mode":null');
    is(step('crate-3', qw(config replace hw_model=a))->{exit}, 0, 'replace');
    is(step('crate-4', qw(config remove hw_model=a))->{exit}, 0, 'remove');
};


subtest 'an update' => sub {
    my $file = $releases->swu(undef, '1.1.0', size => 300_000);
    my $bytes = slurp($file);
    my $id = $releases->rollout('1.1.0');
    my $dir = tempdir();

    my $got = step('crate-1', 'fetch');
    my ($chunk) = @{$got->{chunks}};
    like($got->{action}, qr/^\d+$/, 'an action');
    is("$got->{download} $got->{update}", 'forced forced', 'forced');
    is($got->{window}, undef, 'no maintenance window');
    is("$chunk->{part} $chunk->{version}", 'os 1.1.0', 'its chunk');
    is_deeply($chunk->{artifacts}, [{ filename => 'image-1.1.0.swu',
        size => length $bytes }], 'its artifact');

    is_deeply(step('crate-1', 'stream')->{sizes}, [(length $bytes) x 3],
        'a stream with each checksum');

    $got = step('crate-1', 'install', $dir);
    is($got->{exit}, 0, 'installed') or diag($got->{error});
    my $there = $got->{files}[0];
    is(slurp($there->{file}), $bytes, 'its bytes');
    is($there->{md5}, Digest::MD5::md5_hex($bytes), 'MD5');
    is($there->{sha1}, Digest::SHA::sha1_hex($bytes), 'SHA-1');
    is($there->{sha256}, Digest::SHA::sha256_hex($bytes), 'SHA-256');

    is(state('crate-1'), 'finished', 'finished');
    my $d = $releases->shown('device', 'crate-1');
    is("$d->{state} $d->{sw_version} $d->{progress}", 'finished 1.1.0 100',
        'the device, too');
    is($releases->shown('rollout', $id)->{success}, 1, 'counted');
    my $log = $s->gbctl(qw(device log crate-1))->{out};
    like($log, qr/start.*fetching.*there.*writing.*done/s, 'its log');
    ok(!step('crate-1', 'poll')->{update}, 'nothing more to do');
};


subtest 'progress and failure' => sub {
    attributes('crate-5');
    my $show = sub { $releases->shown('device', 'crate-5') };

    for (['{"cnt":1,"of":4}', 25], ['{"cnt":2,"of":4}', 50]) {
        my ($shape, $percent) = @$_;
        is(step('crate-5', 'feedback', 'proceeding', 'none', $shape, 'x')
            ->{exit}, 0, "progress $shape");
        is($show->()->{progress}, $percent, "is $percent percent");
    }

    # Whatever a device calls progress is no reason to refuse its feedback.
    for my $shape ('true', '7', '"half"', '[1,2]', '{}', 'null',
        '{"percentage":80}', '{"cnt":"1","of":"2"}', '{"cnt":1,"of":0}',
        '{"cnt":-1,"of":4}', '{"cnt":9,"of":4}', '{"cnt":1e300,"of":1}')
    {
        is(step('crate-5', 'feedback', 'proceeding', 'none', $shape, 'x')
            ->{exit}, 0, "progress $shape");
        cmp_ok($show->()->{progress} // 0, '<=', 100, 'at most 100');
    }

    for my $execution (qw(scheduled resumed download downloaded)) {
        is(step('crate-5', 'feedback', $execution, 'none')->{exit}, 0,
            $execution);
        is(state('crate-5'), 'running', 'goes on');
    }

    is(step('crate-5', qw(feedback closed failure null), "two\nlines")
        ->{exit}, 0, 'closed with failure');
    is($show->()->{state}, 'error', 'error');
    ok(!step('crate-5', 'poll')->{update}, 'held');
    is($s->gbctl(qw(device force crate-5))->{exit}, 0, 'forced');
    is(step('crate-5', 'install', tempdir())->{exit}, 0, 'once more');
    is($show->()->{sw_version}, '1.1.0', 'this time it succeeds');
};


subtest 'a download that goes on where it stopped' => sub {
    my $file = $releases->swu(undef, '1.2.0', size => 300_000);
    my $bytes = slurp($file);
    my $dir = tempdir();
    $releases->rollout('1.2.0');

    my $chunk = step('crate-1', 'fetch')->{chunks}[0];
    mkdir "$dir/$chunk->{name}";
    my $part = "$dir/$chunk->{name}/image-1.2.0.swu.part";

    # All of it is there under the name of a part: nothing is left to send.
    spew($part, $bytes);
    is(step('crate-1', 'install', $dir)->{error}, 'status 416',
        'a range from the end on');

    spew($part, substr $bytes, 0, 100_000);
    my $got = step('crate-1', 'install', $dir);
    is($got->{exit}, 0, 'installed') or diag($got->{error});
    is(slurp($got->{files}[0]{file}), $bytes, 'the bytes of both parts');
    my $rest = length($bytes) - 100_000;
    # nginx logs a request when its client has all of it.
    ok(wait_for(sub { $s->access_log
        =~ m{image-1\.2\.0\.swu HTTP/1\.1" 206 $rest } }),
        'no byte was sent twice') or diag($s->access_log);
};


subtest 'cancel' => sub {
    attributes($_) for qw(crate-6 crate-7);

    ok(step($_, 'fetch')->{action}, "$_ has an action")
        for qw(crate-6 crate-7);
    is(step('crate-6', qw(cancel closed success))->{exit}, 2,
        'nothing to cancel');
    is($s->gbctl(qw(device cancel crate-6 crate-7))->{exit}, 0, 'gbctl');

    my $poll = step('crate-6', 'poll');
    ok($poll->{cancel}, 'it is asked to cancel');
    ok(!$poll->{update}, 'and nothing else');
    my $got = step('crate-6', qw(cancel closed success));
    is($got->{exit}, 0, 'it does') or diag($got->{error});
    is(state('crate-6'), 'canceled', 'cancelled');
    ok(!step('crate-6', 'poll')->{$_}, "no $_ then") for qw(update cancel);

    $got = step('crate-7', qw(cancel rejected none));
    is($got->{exit}, 0, 'another refuses') or diag($got->{error});
    $poll = step('crate-7', 'poll');
    ok(!$poll->{cancel}, 'it is not asked again');
    ok($poll->{update}, 'the update goes on');
    is(step('crate-7', 'install', tempdir())->{exit}, 0, 'to its end');
    is(state('crate-7'), 'finished', 'finished');
};


subtest 'soft, and download only' => sub {
    attributes($_) for qw(crate-8 crate-9);
    my $assign = sub {
        my $r = $s->gbctl(qw(device assign), $_[0], '1.2.0', '--type', $_[1]);
        is($r->{exit}, 0, "assign $_[1]") or diag($r->{err});
    };

    $assign->('crate-8', 'soft');
    my $got = step('crate-8', 'fetch');
    is("$got->{download} $got->{update}", 'attempt attempt', 'attempt');

    $assign->('crate-9', 'downloadonly');
    $got = step('crate-9', 'fetch');
    is($got->{update}, 'skip', 'skip');
    is(step('crate-9', qw(feedback downloaded none))->{exit}, 0, 'downloaded');
    is(state('crate-9'), 'finished', 'is its end');
    is($releases->shown('device', 'crate-9')->{sw_version}, '1.0.0',
        'with the old version');
};


subtest 'confirmation by the device' => sub {
    my $file = $releases->swu(undef, '1.3.0');
    $releases->rollout('1.3.0', '--confirm');
    attributes('crate-10');

    my $poll = step('crate-10', 'poll');
    ok($poll->{confirmation}, 'it is asked to confirm');
    ok(!$poll->{update}, 'before it gets anything');
    my $got = step('crate-10', 'decline');
    is($got->{exit}, 0, 'it says no') or diag($got->{error});
    is(state('crate-10'), 'awaiting_confirmation', 'which is kept waiting');
    ok(step('crate-10', 'poll')->{confirmation}, 'it is asked again');

    is(step('crate-10', 'confirm')->{action}, $got->{action}, 'says yes');
    $poll = step('crate-10', 'poll');
    ok(!$poll->{confirmation}, 'it is asked no more');
    ok($poll->{update}, 'and gets the update');
    is(step('crate-10', 'install', tempdir())->{exit}, 0, 'which it installs');
    is($releases->shown('device', 'crate-10')->{sw_version}, '1.3.0',
        'to the end');
};


subtest 'a gateway\'s token' => sub {
    my $r = $s->gbctl({ stdin => "of-a-gateway\n" }, qw(tenant set DEFAULT
        --gateway-token - --gateway-prefix gw-));
    is($r->{exit}, 0, 'tenant set') or diag($r->{err});

    my $poll = step(['gw-1', 'gateway:of-a-gateway'], 'poll');
    ok($poll->{config}, 'lets a device in') or diag($poll->{error});
    is(step(['crate-1', 'gateway:wrong'], 'poll')->{error}, 'status 401',
        'a wrong one does not, where the device has a token');
    is(step(['crate-1', 'gateway:of-a-gateway'], 'poll')->{error},
        'status 401', 'nor for devices of others');
};


subtest 'credentials' => sub {
    my $before = $s->value('select count(*) from goosebit.device');

    is(step(['crate-1', $_], 'poll')->{error}, 'status 401', $_)
        for qw(target:wrong none);
    is(step(['crate-1', 'target:token-of-crate-1'], 'poll')->{exit}, 0,
        'its own');
    is($s->value('select count(*) from goosebit.device'), $before,
        'no device more');
};

done_testing;
