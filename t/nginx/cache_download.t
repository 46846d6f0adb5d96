#!/usr/bin/perl
# Downloads that SQL has allowed once: the same bytes and headers without it,
# for the same credential, until something changes.
use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Fleet;
use Goosebit::Test;

my $server = 'add_header X-Cache $goosebit_cache_status always;';
my $yaml = "device_auth:\n  enable: true\n  mode: strict\n";
my $s = stack(workers => 1, yaml => $yaml, server => $server,
    http => "goosebit_cache zone=fleet:1m; goosebit_stale 60s;\n");
my $plain = stack(with => $s, workers => 1, yaml => $yaml, server => $server);
my $f = Goosebit::Fleet->new($s);
my ($v1, $v2) = map { $f->software($_, 'board:r1') } '1.0', '2.0';

$s->sql(q{insert into goosebit.device (tenant_id, controller_id, token,
    hw_model, hw_revision, state, config_data_at)
    select 1, d, sha256(d::bytea), 'board', 'r1', 'registered', now()
    from unnest(array['a', 'b', 'c']) d});


sub ask {
    my ($of, $method, $id, $path, @headers) = @_;
    my $r = $of->request($method, $path, headers => [Host => 'h:1',
        Authorization => "TargetToken $id", @headers]);
    $r->{cache} = $r->{headers}{'x-cache'} // '';
    $r->{bytes} = $r->{raw} =~ s/^(?:X-Cache|Date):.*\r\n//mgr;
    return $r;
}


# Assigns a software and gives the path of its file, for that device.
sub offer {
    my ($id, $version) = @_;
    my $r = $s->gbctl(qw(device assign), $id, $version);
    die $r->{err} if $r->{exit} != 0;
    my $path;
    wait_for(sub {
        my ($url) = ask($s, 'GET', $id, ddi($id))->{body}
            =~ m{(/DEFAULT/[^"]*deploymentBase[^"]*)} or return 0;
        my ($href) = ask($s, 'GET', $id, $url)->{body}
            =~ m{"download-http":\{"href":"http://[^/]*([^"]*\.swu)"} or return 0;
        $path = $href;
        return $href =~ /\Q$version\E/;
    }) or die "no $version for $id\n";
    # What the journal says of that must not end what is kept from here on.
    $s->synced or die "the journal is not read\n";
    return $path;
}


# Its update has succeeded.
sub finish {
    my ($id) = @_;
    my ($action) = ask($s, 'GET', $id, ddi($id))->{body}
        =~ m{deploymentBase/(\d+)};
    is($s->post(ddi($id, 'deploymentBase', $action, 'feedback'),
        headers => [Authorization => "TargetToken $id"],
        json => { id => $action, status => { execution => 'closed',
            result => { finished => 'success' } } })->{status}, 200, 'done');
}


sub warm {
    my ($id, $path) = @_;
    return ok(wait_for(sub { ask($s, 'GET', $id, $path)->{cache} eq 'HIT' }),
        "$id has a leave for its download");
}


my $path = offer('a', '1.0');
is(ask($s, 'GET', 'a', $path)->{cache}, 'MISS', 'the first one asks SQL');
warm('a', $path);

# ---- the same

for (['all of it', 'GET'], ['HEAD', 'HEAD'],
    ['a range', 'GET', Range => 'bytes=10-99'],
    ['its end', 'GET', Range => 'bytes=-7'],
    ['two ranges', 'GET', Range => 'bytes=0-1,5-6'],
    ['past its end', 'GET', Range => 'bytes=99999999-'],
    ['If-None-Match', 'GET', 'If-None-Match' => '*'],
    ['If-Range', 'GET', 'If-Range' => '"x"', Range => 'bytes=0-1'],
) {
    my ($name, $method, @headers) = @$_;
    my $want = ask($plain, $method, 'a', $path, @headers);
    my $got = ask($s, $method, 'a', $path, @headers);
    my $boundary = qr/\b\d{20}\b/;
    is($got->{bytes} =~ s/$boundary/B/gr, $want->{bytes} =~ s/$boundary/B/gr,
        "$name: as without a zone");
    like($got->{cache}, qr/^HIT\b/, "$name: without SQL");
}

{
    my $other = $path =~ s{^/DEFAULT/}{/Default/}r;
    warm('a', $other);
    is(ask($s, 'GET', 'a', $other)->{bytes}, ask($plain, 'GET', 'a', $path)
        ->{bytes}, 'the tenant in other letters: the same');
}

# ---- no SQL

{
    my $start = time;
    my $before = $s->get('/status')->{json};
    my $http = $s->http;
    for my $i (0 .. 199) {
        my $r = $http->request('GET', $path, headers => [
            Authorization => 'TargetToken a', Range => "bytes=$i-$i"]);
        is($r->{status}, 206, 'a byte') if $i % 50 == 0;
    }
    my $after = $s->get('/status')->{json};
    my $took = time - $start;
    # The journal, tick() and last seen times are among them.
    cmp_ok($after->{db}{calls} - $before->{db}{calls}, '<', 8 + 5 * $took,
        '200 ranges are not 200 calls');
    is($after->{requests}{artifact}{206} - $before->{requests}{artifact}{206},
        200, 'they are counted');
    cmp_ok($after->{downloads}{bytes} - $before->{downloads}{bytes}, '==', 200,
        'with their bytes');
}

# ---- complete: that got the last byte

{
    my $complete = sub {
        my ($is, @headers) = @_;
        my $before = $s->get('/status')->{json}{downloads}{complete};
        my $r = $s->get($path, headers => [Authorization => 'TargetToken a',
            @headers]);
        my $size = ($r->{headers}{'content-range'} // '') =~ m{/(\d+)$}
            ? $1 : length $r->{body};
        return ($size, wait_for(sub { $s->get('/status')->{json}{downloads}
            {complete} == $before + 1 }, $is ? 30 : 0.3) ? 1 : 0);
    };
    my ($size, $whole) = $complete->(1);
    is($whole, 1, 'all of it is');
    for (['0-9', 0], ["0-@{[$size - 2]}", 0], ["5-@{[$size - 1]}", 1],
        ['-1', 1], ["@{[$size - 1]}-", 1])
    {
        my ($range, $is) = @$_;
        is(($complete->($is, Range => "bytes=$range"))[1], $is,
            "bytes=$range " . ($is ? 'is' : 'is not'));
    }
}

# ---- nobody else's

for (['another token', 401, $path, 'b'],
    ['a gateway\'s word', 401, $path, 'a', Authorization => 'GatewayToken a'],
    ['another device', 404, $path =~ s{/v1/a/}{/v1/b/}r, 'b'],
    ['another name', 404, $path =~ s/\.swu$/x.swu/r, 'a'],
    ['another software', 404, $path =~ s{/\d+/artifacts}{/$v2/artifacts}r,
        'a'],
) {
    my ($name, $status, $of, $id, @headers) = @$_;
    my @auth = @headers ? @headers : (Authorization => "TargetToken $id");
    for (1, 2) {
        my $r = $s->get($of, headers => \@auth);
        is($r->{status}, $status, "$name: $status");
        is($r->{headers}{'x-cache'}, 'MISS', 'from SQL');
    }
}
is(ask($s, 'GET', 'a', $path)->{cache}, 'HIT', 'its own leave stays');

# ---- what ends it

my %path = (b => offer('b', '1.0'), c => offer('c', '1.0'));
warm($_, $path{$_}) for qw(b c);

is($s->gbctl(qw(device block b))->{exit}, 0, 'one is blocked');
ok(wait_for(sub { ask($s, 'GET', 'b', $path{b})->{status} == 401 }),
    'its download ends with that');
finish('c');
is(ask($s, 'GET', 'c', $path{c})->{status}, 200, 'one that is done stays');
$path{new} = offer('c', '2.0');
ok(wait_for(sub { ask($s, 'GET', 'c', $path{c})->{status} == 404 }),
    'and another\'s by another update');
warm('c', $path{new});
warm('a', $path);

# ---- a reload, and no database

ok($s->reload, 'reload');
is(ask($s, 'GET', 'a', $path)->{cache}, 'HIT', 'a reload keeps it');
$s->pg('stop');
my $r = ask($s, 'GET', 'a', $path);
is($r->{status}, 200, 'without a database it goes on');
is($r->{cache}, 'HIT', 'from the zone');
my $conf = $s->dir . '/nginx.conf';
spew($conf, slurp($conf) =~ s/goosebit_stale 60s/goosebit_stale 2s/r);
ok($s->reload, 'a reload without one');
ok(wait_for(sub { ask($s, 'GET', 'a', $path)->{status} == 503 }),
    'until goosebit_stale is over');
cmp_ok($s->get('/status')->{json}{sync}{lag_seconds}, '>', 2,
    'not before its time');
$s->pg('start');
warm('a', $path);

done_testing;
