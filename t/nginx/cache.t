#!/usr/bin/perl
# Quiet polls from the zone: the same bytes as from SQL, whatever is asked for,
# and for nobody who would not have them from SQL.
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Conf;
use Goosebit::Fleet;
use Goosebit::Test;

my $server = q{
    add_header X-Cache $goosebit_cache_status always;
    add_header X-Reason $goosebit_reason always;
    location /pre/fix/ { goosebit; }
    location /based/ { goosebit; goosebit_base_url https://updates.example/x/; }
};
my $s = stack(workers => 1, server => $server,
    http => "goosebit_cache zone=fleet:1m;\n",
    yaml => "device_auth:\n  enable: true\n  mode: setup\n");
my $plain = stack(with => $s, server => $server, workers => 1,
    yaml => "device_auth:\n  enable: true\n  mode: setup\n");
my @host = (Host => 'devices.example:8080');


sub token { return (Authorization => "TargetToken $_[0]") }


# poll(ID, PATH, METHOD, HEADERS): the answer; {cache} is how it came about
sub poll {
    my ($id, %opt) = @_;
    my $r = ($opt{of} // $s)->request($opt{method} // 'GET',
        ($opt{prefix} // '') . ddi($id), headers => [@host, token("t-$id"),
        @{$opt{headers} // []}]);
    $r->{cache} = $r->{headers}{'x-cache'};
    $r->{bytes} = $r->{raw} =~ s/^(?:X-Cache|Date):.*\r\n//mgr;
    return $r;
}


sub known {
    my ($id) = @_;
    my @auth = (headers => [token("t-$id")]);
    $s->get(ddi($id), @auth);
    is($s->put(ddi($id, 'configData'), @auth, json => { data => {
        hw_model => 'board', hw_revision => 'r1', sw_version => '1' } })
        ->{status}, 200, "$id is known");
}


# Until it comes from the zone: what SQL said before may be older than a change.
sub warm {
    my ($id, %opt) = @_;
    return wait_for(sub { poll($id, %opt)->{cache} eq 'HIT' });
}


sub calls { return $s->get('/status')->{json}{polls} }


ok($s->synced, 'the journal is read');

# ---- the same bytes

known($_) for 'a', 'b c/d', "\xc3\xa9";

# One of them has installed something: its answer has a link.
{
    my $id = 'b c/d';
    my @auth = (headers => [token("t-$id")]);
    Goosebit::Fleet->new($s)->software('2', 'board:r1');
    is($s->gbctl(qw(device assign), $id, '2')->{exit}, 0, 'assigned');
    my ($action) = $s->get(ddi($id), @auth)->{body}
        =~ m{deploymentBase/(\d+)};
    is($s->post(ddi($id, 'deploymentBase', $action, 'feedback'), @auth,
        json => { id => $action, status => { execution => 'closed',
            result => { finished => 'success' } } })->{status}, 200,
        'and installed');
    like($s->get(ddi($id), @auth)->{body}, qr{installedBase/$action"},
        'its answer has a link');
}

# What the journal has not said yet ends an answer that is newer, too.
ok($s->synced, 'the journal is read with all that');

for my $id ('a', 'b c/d', "\xc3\xa9") {
    for my $case (
        ['plain'],
        ['HEAD', method => 'HEAD'],
        ['as CBOR', headers => [Accept => 'application/cbor']],
        ['as HAL', headers => [Accept => 'application/hal+json']],
        ['as anything', headers => [Accept => '*/*']],
        ['as nothing of ours', headers => [Accept => 'text/html']],
        ['behind a prefix', prefix => '/pre/fix'],
        ['with a base URL', prefix => '/based'],
        ['without the tag it has', headers => ['If-None-Match' => '"x"']],
        ['with any tag', headers => ['If-None-Match' => '*']],
        ['with a condition that fails', headers => ['If-Match' => '"x"']],
        ['since a date', headers => ['If-Modified-Since' =>
            'Fri, 01 Jan 2100 00:00:00 GMT']],
    ) {
        my ($name, @how) = @$case;
        my $want = poll($id, @how, of => $plain);
        ok(warm($id), "$id is in the zone");
        my $got = poll($id, @how);
        is($got->{bytes}, $want->{bytes}, "$id $name: as without a zone");
        is($got->{cache}, $name =~ /nothing/ ? 'BYPASS' : 'HIT',
            "$id $name: " . $got->{cache});
    }
}

{
    my $r = poll('a');
    my $tag = $r->{headers}{etag};
    my $again = poll('a', headers => ['If-None-Match' => $tag]);
    is($again->{status}, 304, 'If-None-Match: 304');
    is($again->{cache}, 'HIT', 'from the zone');
    is($again->{headers}{etag}, $tag, 'with the same tag');
    isnt(poll('a', headers => [Accept => 'application/cbor'])->{headers}{etag},
        $tag, 'CBOR has another tag');
}

# ---- who asks

known('secret');
ok($s->synced, 'as the journal says');
ok(warm('secret'), 'with its token: from the zone');
for (['another token', 401, token('t-b')],
    ['no token', 401, Authorization => undef],
    ['an empty one', 401, Authorization => 'TargetToken '],
    ['another scheme', 401, Authorization => 'Basic t-secret'],
    ['as a gateway\'s', 401, Authorization => 'GatewayToken t-secret'],
    ['cut off', 401, token('t-secre')],
    ['with more at its end', 401, token('t-secret1')],
    ['in other letters', 401, token('T-secret')],
) {
    my ($name, $status, @auth) = @$_;
    for (1, 2) {
        my $r = $s->get(ddi('secret'), headers => [@host, @auth]);
        is($r->{status}, $status, "$name: $status");
        is($r->{headers}{'x-cache'}, 'MISS', 'not from the zone');
    }
    is(poll('secret')->{cache}, 'HIT', 'and its own answer stays');
}

{
    my $r = $s->get(ddi('secret'), headers => [@host,
        Authorization => 'targettoken   t-secret']);
    is($r->{headers}{'x-cache'}, 'HIT', 'the scheme in any case, and blanks');
    $r = $s->get('/default' . substr(ddi('secret'), 8), headers => [@host,
        token('t-secret')]);
    is($r->{status}, 200, 'a tenant in other letters is the same');
    is($r->{headers}{'x-cache'}, 'MISS', 'but asked about in SQL');
    $r = $s->get(ddi('SECRET'), headers => [@host, token('t-secret')]);
    unlike($r->{headers}{'x-reason'}, qr/no_rollout/, 'a device is not');
}

# A gateway's token stands for all devices, until it is changed.
{
    $s->sql(q{update goosebit.tenant set gateway_token = sha256('gate')});
    my @gate = (headers => [@host, Authorization => 'GatewayToken gate']);
    ok(wait_for(sub { $s->get(ddi('secret'), @gate)->{headers}{'x-cache'}
        eq 'HIT' }), 'a gateway is answered from the zone');
    is($s->get(ddi('secret'), headers => [@host,
        Authorization => 'GatewayToken gates'])->{status}, 401,
        'another gateway is not');
    is($s->get(ddi('secret'), headers => [@host,
        Authorization => 'TargetToken gate'])->{status}, 401,
        'nor its token as a device\'s');
}

# ---- what never comes from it

{
    my $r = poll('stranger');
    is($r->{headers}{'x-reason'}, 'not_registered', 'an unknown device');
    is(poll('stranger')->{cache}, 'MISS', 'that has said nothing of itself');
    is(poll('stranger')->{cache}, 'MISS', 'is asked about each time');
    is(poll('secret', method => 'POST')->{status}, 405, 'POST: 405');
    is(poll('secret', method => 'POST')->{cache}, 'BYPASS', 'past the zone');
    my $sql = poll('secret', of => $plain);
    is($sql->{cache}, 'BYPASS', 'without a zone: BYPASS');
}

# ---- last seen

{
    # the change of the tenant's gateway throws out once what it is about
    ok($s->synced, 'the journal is read');
    my $seen = 'select extract(epoch from now() - s.seen_at) from '
        . 'goosebit.device_seen s join goosebit.device d on d.id = s.device_id '
        . "where controller_id = 'secret'";
    ok(warm('secret'), 'in the zone');
    $s->sql(q{update goosebit.device_seen set seen_at = 'epoch'});
    is(poll('secret')->{cache}, 'HIT', 'who is answered from the zone');
    ok(wait_for(sub { ($s->value($seen) // 99) < 60 }), 'is seen');
    is($s->value('select address from goosebit.device_seen s join '
        . 'goosebit.device d on d.id = s.device_id where controller_id = '
        . "'secret'"), '127.0.0.1', 'where it is');
}

# ---- figures

{
    my $before = calls();
    poll('secret') for 1 .. 5;
    poll('stranger') for 1 .. 2;
    my $after = calls();
    is($after->{hit} - $before->{hit}, 5, 'hits are counted');
    is($after->{miss} - $before->{miss}, 2, 'as are the others');
    my $j = $s->get('/status')->{json};
    cmp_ok($j->{cache}{entries}, '>=', 4, 'devices in the zone');
    cmp_ok($j->{cache}{bytes}, '>', 0, 'bytes');
    is($j->{cache}{evictions}, 0, 'none was thrown out');
    ok(wait_for(sub { $s->get('/status')->{json}{sync}{lag_seconds} < 3 }),
        'the lag');
}

# ---- a reload

{
    $s->reload;
    is(poll('secret')->{cache}, 'HIT', 'a reload keeps the zone');
    my $yaml = slurp($s->config);
    spew($s->config, $yaml . "poll_time: 00:00:07\n");
    $s->reload;
    my $r = poll('secret');
    is($r->{cache}, 'MISS', 'but not what was said under other settings');
    like($r->{body}, qr/00:00:07/, 'which are those of now');
    ok(warm('secret'), 'and then stand in the zone');
    like(poll('secret')->{body}, qr/00:00:07/, 'as well');
}

# ---- directives

{
    my $conf = slurp($s->dir . '/nginx.conf');
    my $dir = tempdir;
    for (
        ['fleet', qr/"goosebit_cache" directive takes "zone=NAME:SIZE" or/],
        ['zone=:1m', qr/needs a zone's name and size/],
        ['zone=fleet', qr/needs a zone's name and size/],
        ['zone=fleet:much', qr/needs a zone's name and size/],
        ['zone=fleet:2g', qr/needs a zone's name and size, .* with k or m/],
        ['zone=fleet:500k', qr/zone "fleet" is too small: at least 512k/],
        ['zone=fleet:1m huge_pages=maybe',
            qr/invalid parameter "huge_pages=maybe"/],
        ['off huge_pages=on', qr/takes "zone=NAME:SIZE" or "off"/],
        ['off; goosebit_cache zone=fleet:1m',
            qr/"goosebit_cache" directive is duplicate/],
        ['off; goosebit_sync 0', qr/"goosebit_sync" directive must not be 0/],
        ['off; goosebit_sync 1m', qr/"goosebit_stale" must be longer than/],
        ["off; goosebit_stale 5s;\n\ngoosebit_sync 5s",
            qr/"goosebit_stale" must be longer than/],
        ['off; goosebit_stale x', qr/"goosebit_stale" directive invalid/],
    ) {
        my ($text, $error) = @$_;
        my $file = "$dir/nginx.conf";
        spew($file, $conf =~ s/goosebit_cache [^;]*;/goosebit_cache $text;/r);
        my $r = Goosebit::Conf::check($s, $file);
        isnt($r->{exit}, 0, "goosebit_cache $text; is refused");
        my @lines = grep { /\[emerg\]/ } split /\n/, $r->{err};
        is(@lines, 1, 'in one line');
        like($lines[0], $error, 'that says why');

        # the directive that was wrong is the last one of what was put in
        my ($before) = slurp($file) =~ /(.*\Q$text\E)/s;
        my $line = 1 + ($before =~ tr/\n//);
        like($lines[0], qr/ in \Q$file\E:$line$/, 'and where');
    }
}

done_testing;
