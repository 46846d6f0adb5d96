#!/usr/bin/perl
# gbctl tenant: add, list, set; and that NGINX does what was set.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $s = stack(fsync => 'off');

sub tenant { $s->gbctl('tenant', @_) }
sub json { tenant(@_, '-o', 'json')->{json} }
sub status {
    my ($tenant, $id, $auth) = @_;
    return $s->get("/$tenant/controller/v1/$id",
        defined $auth ? (headers => [Authorization => $auth]) : ())->{status};
}

subtest 'add' => sub {
    is(tenant('add', 'Second')->{exit}, 0, 'a tenant');
    is_deeply(json('add', 'Third'), { name => 'Third' }, 'and another');
    is(tenant('add', 'THIRD')->{exit}, 1, 'once in any case');
    is(tenant('add', 'a/b')->{exit}, 1, 'not any name');
    is(tenant('add', 'dry', '--dry-run')->{exit}, 0, '--dry-run');
    is_deeply([map { $_->{name} } @{json('list')}],
        ['DEFAULT', 'Second', 'Third'], 'list');
    is(status('third', 'x'), 200, 'devices find it');
};

subtest 'set' => sub {
    my $r = json('set', 'Second', '--poll-time', '00:05:00', '--auth', 'strict',
        '--max-updates', '7');
    is($r->{poll_time}, '00:05:00', 'poll time');
    is($r->{auth}, 'strict', 'authentication');
    is($r->{max_updates}, 7, 'updates at a time');
    is($r->{gateway_token}, JSON::PP::false(), 'no gateway');
    is(status('Second', 'x'), 401, 'strict is in force');
    is(status('DEFAULT', 'x'), 200, 'elsewhere it is not');
    is(tenant('set', 'Second', '--auth', 'lax', '--dry-run')->{exit}, 0,
        '--dry-run');
    is(status('Second', 'x'), 401, 'changes nothing');
    is(tenant('set', 'Second', '--auth', 'lax')->{exit}, 0, 'lax');
    is(status('Second', 'x'), 200, 'is in force');
    my $poll = $s->get('/Second/controller/v1/x')->{json};
    is($poll->{config}{polling}{sleep}, '00:00:10', 'not registered: ten');
    $s->put('/Second/controller/v1/x/configData', json => { data => {
        hw_model => 'm', hw_revision => '1', sw_version => '1' } });
    $poll = $s->get('/Second/controller/v1/x')->{json};
    is($poll->{config}{polling}{sleep}, '00:05:00', 'registered: its own');
    $r = json('set', 'second', '--poll-time', 'default', '--auth', 'default',
        '--max-updates', 'default');
    is($r->{$_}, undef, "$_: as configured")
        for qw(poll_time auth max_updates);
    for (['--poll-time', '24:00:00'], ['--poll-time', 'soon'],
        ['--auth', 'none'], ['--max-updates', '-1'], [])
    {
        is(tenant('set', 'Second', @$_)->{exit}, 2, "@$_: usage");
    }
    is(tenant('set', 'Nobody', '--auth', 'lax')->{exit}, 1, 'unknown');
};

subtest 'gateway' => sub {
    is(tenant('set', 'Second', '--auth', 'strict')->{exit}, 0, 'strict');
    my $r = $s->gbctl({ stdin => "G-token\n" }, 'tenant', 'set', 'Second',
        '--gateway-token', '-', '--gateway-prefix', 'gw-', '-o', 'json');
    is($r->{json}{gateway_token}, JSON::PP::true(), 'a token from stdin');
    is($r->{json}{gateway_prefix}, 'gw-', 'for some');
    unlike($r->{out}, qr/G-token/, 'not shown');
    is(status('Second', 'gw-1', 'GatewayToken G-token'), 200, 'lets in');
    is(status('Second', 'x', 'GatewayToken G-token'), 401, 'not others');
    is(status('DEFAULT', 'gw-1', 'GatewayToken G-token'), 200,
        'and where nothing is asked');
    is(status('Third', 'gw-%31', 'GatewayToken other'), 200, 'nor there');
    is(tenant('set', 'Second', '--gateway-prefix', '')->{exit}, 0, 'for all');
    is(status('Second', 'x', 'GatewayToken G-token'), 200, 'lets all in');

    my $new = json('set', 'Second', '--new');
    like($new->{token}, qr/^[0-9a-f]{32}$/, 'a new one is shown');
    is(status('Second', 'x', 'GatewayToken G-token'), 401, 'replaces the old');
    is(status('Second', 'x', "GatewayToken $new->{token}"), 200, 'and counts');
    is(status('Second', 'x', "TargetToken $new->{token}"), 401,
        'for gateways');
    is($s->value("select count(*) from goosebit.audit
        where a::text like '%$new->{token}%'" =~ s/audit/audit a/r), 0,
        'is in no audit');
    is(tenant('set', 'Second', '--no-gateway-token')->{exit}, 0, 'none');
    is(status('Second', 'x', "GatewayToken $new->{token}"), 401, 'lets in');

    for (['--gateway-token', 'secret'], ['--new', '--no-gateway-token'],
        ['--gateway-token', '-', '--new'])
    {
        is(tenant('set', 'Second', @$_)->{exit}, 2, "@$_: usage");
    }
    is($s->gbctl({ stdin => "a b\n" }, 'tenant', 'set', 'Second',
        '--gateway-token', '-')->{exit}, 1, 'a token has no blanks');
};

subtest 'delete' => sub {
    my $dir = tempdir;
    my @add = ('software', 'add', "$dir/a.swu", '-o', 'name', '-t');
    system('t/lib/fixtures/make-swu', '-o', "$dir/a.swu", '-V', '1') == 0
        or die 'make-swu';
    system('t/lib/fixtures/make-swu', '-o', "$dir/b.swu", '-V', '2') == 0
        or die 'make-swu';
    tenant('add', $_) for qw(Full Empty);
    $s->gbctl(@add, 'DEFAULT');
    my $id = $s->gbctl(@add, 'Full')->{out} + 0;
    $s->gbctl('software', 'add', "$dir/b.swu", '-t', 'Full');
    $s->gbctl('rollout', 'create', '--software', $id, '-t', 'Full');
    status('Full', $_) for qw(x y);
    $s->put('/Full/controller/v1/x/configData', json => { data => {
        hw_model => 'board', hw_revision => '1.0', sw_version => '0' } });
    my $link = $s->get('/Full/controller/v1/x')->{json}{_links}
        {deploymentBase}{href};
    my ($action) = $link =~ m{/(\d+)(?:\?|$)};
    $s->post("/Full/controller/v1/x/deploymentBase/$action/feedback", json =>
        { id => $action, status => { execution => 'proceeding',
            result => { finished => 'none' }, details => ['x'] } });
    my $files = sub { split /\n/, `find @{[$s->artifacts]} -name '*.swu'` };
    is(scalar @{[$files->()]}, 2, 'two files are stored');

    my $r = tenant('delete', 'Full', '-y', '-o', 'json');
    is($r->{exit}, 1, 'one that has something: refused');
    is_deeply(JSON::PP::decode_json($r->{err})->{error}, { code => 'in_use',
        message => 'tenant "Full": has 2 devices, 2 software, 1 rollouts',
        hint => '--force deletes them as well' }, 'and says what');
    is(tenant('delete', 'Full', '--force')->{exit}, 1, 'asks');
    is(tenant('delete', 'Full', '--force', '--dry-run')->{exit}, 0,
        '--dry-run');
    is(status('Full', 'x'), 200, 'all is there');
    # A last seen under way would outlive the device, as a row of nobody's.
    ok($s->seen, 'last seen is written');

    is_deeply(json('delete', 'full', '--force', '-y'), { name => 'Full',
        devices => 2, software => 2, rollouts => 1 }, '--force');
    is(status('Full', 'x'), 404, 'gone');
    is_deeply([map { m{([^/]+)$} } $files->()], ['a.swu'],
        'its files, too, but for one that others have');
    is_deeply(json('delete', 'Empty', '-y'), { name => 'Empty',
        devices => 0, software => 0, rollouts => 0 }, 'an empty one');
    is(tenant('delete', 'Empty', '-y')->{exit}, 1, 'not twice');
    is(tenant('delete', 'Empty', @$_)->{err},
        qq{gbctl: tenant "Empty": not found\n}, "no question: @$_")
        for [], ['--force'];
    like(tenant('delete', 'DEFAULT', '--force')->{err},
        qr/^gbctl: refused without a terminal/, 'a question');

    my @left = $s->sql(q{SELECT c.oid::regclass::text
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'goosebit'::regnamespace
          AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND a.attname = 'tenant_id' ORDER BY 1});
    cmp_ok(scalar @left, '>=', 8, 'tables by tenant');
    is($s->value("SELECT count(*) FROM $_->[0] WHERE tenant_id > 0
        AND tenant_id NOT IN (SELECT id FROM goosebit.tenant)"), 0,
        "nothing is left in $_->[0]")
        for grep { $_->[0] !~ /\.(?:audit|change)$/ } @left;
    is_deeply([map { "$_->{verb} $_->{object}" } grep { ($_->{tenant} // '')
        eq 'Full' } @{$s->gbctl('audit', 'list', '--all', '--verb', 'rollout',
        '-o', 'json')->{json}}], ['rollout.create 1'],
        'what was done to it stays on record');
};

subtest 'rights' => sub {
    $s->value('create role looker login in role goosebit_viewer');
    my $db = 'postgres://looker@/goosebit?host=' . $s->socket;
    is(tenant('list', '--db', $db)->{exit}, 0, 'a viewer looks');
    is(tenant('set', 'Second', '--auth', 'off', '--db', $db)->{exit}, 4,
        'and changes nothing');
};

like(tenant('list')->{out}, qr/^NAME +POLL TIME +AUTH +GATEWAY/, 'a table');

done_testing;
