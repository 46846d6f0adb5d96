#!/usr/bin/perl
# --dry-run of every verb that has one: it says what it is, leaves database and
# store as they were, and lists the very devices that the verb then changes.
# That of "import goosebit" is in t/e2e/import_goosebit.t.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

use Digest::MD5 qw(md5_hex);

my $s = stack(nginx => 0, fsync => 'off');

sub gbctl { $s->gbctl(@_) }

my @tables = map { $_->[0] } $s->sql(q{SELECT c.oid::regclass::text
    FROM pg_class c WHERE c.relkind = 'r' AND NOT c.relispartition
    AND c.relnamespace = 'goosebit'::regnamespace ORDER BY 1});
cmp_ok(scalar @tables, '>', 5, 'tables to look at');

# All that there is: rows, roles and files.
sub everything {
    my $sql = join ' || ', map { "(SELECT md5(string_agg(t::text, ','
        ORDER BY t::text)) FROM $_ t)" =~ s/\(SELECT/coalesce((SELECT/r
        . ", '')" } @tables, 'pg_roles', 'pg_auth_members';
    return md5_hex($s->value("SELECT $sql")
        . `find @{[$s->artifacts]} -type f | sort`);
}

# Devices, each with its open action, by tenant and id.
sub devices {
    return { map { @$_ } $s->sql(q{SELECT t.name || '/' || d.controller_id,
        md5(d::text || coalesce((SELECT string_agg(a::text, ',' ORDER BY a.id)
            FROM goosebit.action a
            WHERE a.tenant_id = d.tenant_id AND a.device_id = d.id), ''))
        FROM goosebit.device d JOIN goosebit.tenant t ON t.id = d.tenant_id})
    };
}

sub changed {
    my ($old, $new) = @_;
    return [sort grep { ($old->{$_} // '') ne ($new->{$_} // '') }
        keys %{{ %$old, %$new }}];
}

# What --help says has a dry run.
my %left;
my ($nouns) = gbctl('--help')->{out} =~ /^Nouns:\n(.*?)\n\n/ms;
for my $noun (map { /^  (\S+)/ } split /\n/, $nouns) {
    my ($verbs) = gbctl($noun, '--help')->{out} =~ /^Verbs:\n(.*?)\n\n/ms;
    for (map { /^  (\S+)/ } split /\n/, $verbs // '') {
        $left{"$noun $_"} = 1
            if gbctl($noun, $_, '--help')->{out} =~ /--dry-run/;
    }
}
delete $left{'import goosebit'};

# try({ stdin, tenant, devices }, ARGS): devices is 0 where the verb changes a
# rollout or software and no row of a device.
sub try {
    my ($how, @args) = ref $_[0] ? @_ : ({}, @_);
    my $name = "@args";
    my $tenant = $how->{tenant} // 'DEFAULT';
    my @stdin = exists $how->{stdin} ? ({ stdin => $how->{stdin} }) : ();
    delete $left{"$args[0] $args[1]"};

    my $before = everything();
    my $dry = gbctl(@stdin, '-y', @args, '--dry-run', '-o', 'name');
    is($dry->{exit}, 0, "$name: dry run: exit 0") or diag $dry->{err};
    like($dry->{err}, qr/^dry run: /m, "$name: says so");
    is(everything(), $before, "$name: changes nothing");

    my $table = gbctl(@stdin, '-y', @args, '--dry-run');
    is($table->{exit}, 0, "$name: as a table");
    is(everything(), $before, "$name: changes nothing");
    unlike($table->{out} . $table->{err}, qr/\b[0-9a-f]{32}\b/,
        "$name: no token is made");

    my $old = devices();
    my $r = gbctl(@stdin, '-y', @args, '-o', 'name');
    is($r->{exit}, 0, "$name: exit 0") or diag $r->{err};
    my $changed = changed($old, devices());
    isnt(everything(), $before, "$name: does something");

    if ($how->{devices} // 1) {
        is_deeply([map { "$tenant/$_" } sort split /\n/, $dry->{out}],
            $changed, "$name: lists what it touches");
        cmp_ok(scalar @$changed, '>', 0, "$name: and there is some");
    }
    else {
        is_deeply($changed, [], "$name: no device is changed");
    }
    return $dry->{out};
}


my $dir = tempdir;
system('t/lib/fixtures/make-swu', '-o', "$dir/$_.swu", '-V', $_, '-H',
    'board:r1') == 0 or die for '1.0', '2.0';
spew("$dir/f.csv", "id,name,hw_model,hw_revision,sw_version\n"
    . "new,New,board,r1,0.1\nsample-camera-001,Cam,,,\n"
    . "sample-camera-002,,,,\n");

try('sample', 'load');
try({ devices => 0 }, 'software', 'add', "$dir/1.0.swu", "$dir/2.0.swu");
try('device', 'add', 'a', '--new-token');
try('device', 'import', "$dir/f.csv");
try('device', 'token', 'a', '--new');
try({ stdin => "secret\n" }, 'device', 'token', 'a', '--set', '-');
try('device', 'token', 'a', '--clear');

my @few = ('sample-gateway-001', 'sample-gateway-002', 'sample-gateway-007');
try('device', 'set', @few, 'a', '--tag', '+x');
try('device', 'set', '--filter', 'tag=canary', '--feed', 'x');
try('device', 'autoconfirm', @few, 'on');
try('device', 'autoconfirm', $few[0], 'off');
try('device', 'pin', @few[0, 1]);
try('device', 'unpin', @few);
try('device', 'force', @few);
try('device', 'unforce', @few, 'a');
try('device', 'block', @few);
try('device', 'unblock', @few, 'a');
try('device', 'cancel', @few, 'a');
try('device', 'cancel', '--now', '--filter', 'state=running and tag=lyon');
try('device', 'assign', @few, '1.5.2');

for my $verb ('confirm', 'deny') {
    $s->sql("UPDATE goosebit.action SET state = 'awaiting_confirmation',
        confirm = true WHERE id IN (SELECT a.id FROM goosebit.action a
        WHERE a.state = 'running' ORDER BY a.id LIMIT 2)");
    try('device', $verb, '--filter', 'id~sample-*');
}
try('device', 'delete', 'a', @few);
try('device', 'delete', '--filter', 'feed=lab');

my %id = map { $_->{name} // '-' => $_->{id} }
    @{gbctl('rollout', 'list', '-o', 'json')->{json}};
my $id = $id{'Gateway 2.0'};
like(try({ devices => 0 }, 'rollout', 'pause', $id), qr/^sample-gateway-/m,
    'pause: lists devices that wait');
like(try({ devices => 0 }, 'rollout', 'resume', $id), qr/^sample-gateway-/m,
    'resume: lists devices that wait');
like(try({ devices => 0 }, 'rollout', 'retry', $id), qr/^sample-gateway-/m,
    'retry: lists devices that failed');
like(try({ devices => 0 }, 'rollout', 'create', '--software', '1.5.2',
    '--feed', 'production', '--allow-downgrade'), qr/^sample-gateway-/m,
    'create: lists devices that it reaches');
try('rollout', 'abort', $id);
like(try({ devices => 0 }, 'rollout', 'delete',
    $id{'Camera night mode'}), qr/^sample-camera-/m,
    'delete: lists devices that it had');
try({ devices => 0 }, 'software', 'delete', '1.0', '2.0');

try({ devices => 0 }, 'tenant', 'add', 'two');
try({ devices => 0, stdin => "secret\n" }, 'tenant', 'set', 'two',
    '--gateway-token', '-');
gbctl('device', 'add', $_, '-t', 'two') for 'one', 'other';
try({ tenant => 'two' }, 'tenant', 'delete', 'two', '--force');

try({ devices => 0, stdin => "secret\n" }, 'user', 'add', 'dry', '--password',
    '-');
try({ devices => 0 }, 'user', 'set', 'dry', '--rights', 'operator');
try({ devices => 0 }, 'user', 'delete', 'dry');

is_deeply([sort keys %left], [], 'no verb with a dry run is left out');

done_testing;
