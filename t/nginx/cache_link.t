#!/usr/bin/perl
# Quiet polls with a link to installedBase, whose beginning a worker does not
# write again: the bytes and tags that SQL's answer has, whoever asks, by which
# address, in any order.
use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $server = q{
    add_header X-Cache $goosebit_cache_status always;
    location /a/ { goosebit; }
    location /b/ { goosebit; }
    location /based/ { goosebit; goosebit_base_url https://updates.example/x/; }
    location /quoted/ { goosebit; goosebit_base_url 'https://q"uote.example'; }
};
my %common = (workers => 1, server => $server,
    yaml => "tenant: [DEFAULT, DEFAULU]\n"
        . "device_auth:\n  enable: true\n  mode: strict\n");
my $s = stack(%common, http => "goosebit_cache zone=fleet:1m;\n");
my $plain = stack(%common, with => $s);

# Ids that a link has as they are, and others; one begins as another does.
my @ids = ('d', 'dd', 'dev-1.2_3~x', 'x' x 128, 'b c', "\xc3\xa9", 'a/b',
    'inst"alled');

for my $tenant (qw(DEFAULT DEFAULU)) {
    for my $i (0 .. $#ids) {
        $s->sql(sprintf q{insert into goosebit.device (tenant_id,
            controller_id, token, state, config_data_at, installed_action_id)
            select id, %s, sha256('t'), 'registered', now(), %s
            from goosebit.tenant where name = '%s'},
            "'$ids[$i]'", (11, 2147483647, 12, 999, 1234567, 13, 14, 15)[$i],
            $tenant);
    }
}


# poll(STACK, ID, HOST, PREFIX, TENANT, HEADERS, METHOD)
sub poll {
    my ($of, $id, $host, $prefix, $tenant, $headers, $method) = @_;
    my $r = $of->request($method // 'GET', ($prefix // '')
        . ddi($id) =~ s{^/DEFAULT/}{"/" . ($tenant || "DEFAULT") . "/"}re,
        headers => [Host => $host // 'one.example',
            Authorization => 'TargetToken t', @{$headers // []}]);
    $r->{bytes} = $r->{raw} =~ s/^(?:X-Cache|Date):.*\r\n//mgr;
    return $r;
}


sub same {
    my ($name, @how) = @_;
    my $got = poll($s, @how);
    is($got->{bytes}, poll($plain, @how)->{bytes}, "$name: as without a zone");
    is($got->{headers}{'x-cache'}, 'HIT', "$name: from the zone");
    return $got;
}


for my $tenant (qw(DEFAULT DEFAULU)) {
    for my $id (@ids) {
        ok((wait_for { poll($s, $id, undef, undef, $tenant)
            ->{headers}{'x-cache'} eq 'HIT' }), "$tenant/$id is known");
    }
}

my %tag;
for my $round (1, 2) {
    for my $id (@ids) {
        for my $how ([], ['two.example'], ['two.exampl'], ['two.example:81'],
            ['one.example', '/a'], ['one.example', '/b'],
            ['one.example', '/based'], ['one.example', '/quoted'],
            ['one.example', '', 'DEFAULU'])
        {
            my $name = join ' ', $round, substr($id, 0, 12), @$how;
            my $r = same($name, $id, @$how);
            like($r->{body}, qr{/installedBase/\d+"}, "$name: with its link");
            $tag{$r->{headers}{etag}}{$r->{body}} = 1;
        }
    }
}
# /based and /quoted say nothing of who was asked, but for the tenant.
is((scalar grep { keys %{$tag{$_}} > 1 } keys %tag), 0, 'a tag is one body');
is(scalar keys %tag, 9 * @ids, 'and each body has one of its own');

for my $how (['HEAD', undef, 'HEAD'],
    ['as CBOR', [Accept => 'application/cbor']],
    ['as HAL', [Accept => 'application/hal+json']],
    ['with another tag', ['If-None-Match' => '"x"']],
    ['with a condition that fails', ['If-Match' => '"x"']])
{
    my ($name, $headers, $method) = @$how;
    same("$_ $name", $_, 'one.example', '', 'DEFAULT', $headers, $method)
        for 'd', 'b c', 'dd';
}

{
    my $tag = poll($plain, 'd')->{headers}{etag};
    my $r = same('with its tag', 'd', undef, undef, undef,
        ['If-None-Match' => $tag]);
    is($r->{status}, 304, 'If-None-Match: 304');
}

# More addresses than a worker keeps, and longer ones; then the first again.
for my $round (1, 2) {
    same("$round host $_", $_ % 2 ? 'd' : 'dd', "h$_.example") for 1 .. 80;
}
same("a long name, $_", $_, join('.', ('long') x 40) . '.example')
    for qw(d dd d);
same("prefix by tenant, $_", 'd', 'one.example', $_) for '/a', '', '/b', '';

# The sleep is a part of it.
is($s->gbctl(qw(tenant set DEFAULT --poll-time 00:02:00))->{exit}, 0,
    'another interval');
ok((wait_for { poll($s, 'd')->{body} =~ /00:02:00/ }), 'is told');
for my $id ('d', 'dd', 'd') {
    ok((wait_for { poll($s, $id)->{headers}{'x-cache'} eq 'HIT' }), $id);
    like(same("$id later", $id)->{body}, qr/00:02:00/, 'with its sleep');
}
like(same('the other tenant', 'd', 'one.example', '', 'DEFAULU')->{body},
    qr/"sleep":"(?!00:02:00)/, 'has the old one');

# Upper and lower case of the tenant do not matter, nor does what was sent when
# it was kept; the link has it as it is stored.
for my $tenant (qw(default dEFAULT)) {
    for my $id ('d', 'b c') {
        ok((wait_for { poll($s, $id, undef, undef, $tenant)
            ->{headers}{'x-cache'} eq 'HIT' }), "$tenant/$id is known");
        like(same("$tenant/$id", $id, 'one.example', '', $tenant)->{body},
            qr{/DEFAULT/}, 'as stored');
    }
}
like(same('as stored', 'd', 'one.example', '', 'DEFAULT')->{body},
    qr{/DEFAULT/}, 'the same');
same("$_, not the other", 'd', 'one.example', '', $_)
    for qw(DEFAULU default DEFAULT);

# Another one of that name, stored otherwise.
poll($s, 'd', undef, undef, 'defaulu') for 1 .. 2;
is($s->gbctl(qw(-y tenant delete DEFAULU --force))->{exit}, 0, 'deleted');
ok((wait_for { poll($s, 'd', undef, undef, 'defaulu')->{status} == 404 }),
    'gone');
is($s->gbctl(qw(tenant add Defaulu))->{exit}, 0, 'another');
$s->sql(q{insert into goosebit.device (tenant_id, controller_id, token, state,
    config_data_at, installed_action_id)
    select id, 'd', sha256('t'), 'registered', now(), 21
    from goosebit.tenant where name = 'Defaulu'});
ok($s->synced, 'the journal is read with that');
for my $tenant (qw(defaulu DEFAULU Defaulu)) {
    ok((wait_for { poll($s, 'd', undef, undef, $tenant)
        ->{headers}{'x-cache'} eq 'HIT' }), "$tenant is known again");
    like(same("$tenant again", 'd', 'one.example', '', $tenant)->{body},
        qr{/Defaulu/.*/installedBase/21"}, 'as stored now');
}

done_testing;
