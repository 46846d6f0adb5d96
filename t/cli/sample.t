#!/usr/bin/perl
# gbctl sample load: a fleet to look at, which is the same each time.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

use File::Find;

my $s = stack(fsync => 'off', yaml => "poll_time: 00:00:30\n");

sub load { $s->gbctl('sample', 'load', @_) }
sub json { $s->gbctl(@_, '-o', 'json')->{json} }

# What there is, without ids and times.
sub picture {
    my ($t) = @_;
    return join "\n", map { join ' ', map { $_ // '-' } @$_ }
        $s->sql("SELECT d.controller_id, d.name, hw_revision, sw_version, feed,
            mode, state, tags, (SELECT string_agg(a.version || a.state, ',')
                FROM goosebit.action a WHERE a.tenant_id = d.tenant_id
                AND a.device_id = d.id)
        FROM goosebit.device d JOIN goosebit.tenant t ON t.id = d.tenant_id
        WHERE t.name_key = lower('$t') ORDER BY 1");
}

my $began = time;
my $r = load();
is($r->{exit}, 0, 'load') or diag($r->{err});
cmp_ok(time - $began, '<', 30, 'takes seconds');

my $devices = json(qw(device list));
is(scalar @$devices, 420, 'devices');
for my $column (qw(hw_model hw_revision sw_version feed mode state)) {
    my %seen = map { $_->{$column} => 1 } @$devices;
    cmp_ok(scalar keys %seen, '>', 1, "of more than one $column");
}
ok((grep { $_->{online} } @$devices) && (grep { !$_->{online} } @$devices),
    'some are online, some are not');

my %rollout = map { $_->{name} => $_ } @{json(qw(rollout list))};
my $half = $rollout{'Gateway 2.0'};
is($half->{state}, 'running', 'a rollout that is half done');
for my $count (qw(waiting running success failure)) {
    cmp_ok($half->{$count}, '>', 0, "has devices $count");
}
is($rollout{'Camera night mode'}{state}, 'paused', 'one that is paused');
is($s->value('SELECT count(*) FROM goosebit.rollout
    WHERE software_version IS NULL OR software_hardware IS NULL'), 0,
    'each knows its software');
is($rollout{'Sensor hub, first try'}{state}, 'aborted', 'one aborted');

my ($failed) = grep { $_->{state} eq 'error' && $_->{hw_model} eq 'gateway' }
    @$devices;
like($s->gbctl('device', 'log', $failed->{id})->{out}, qr/ERROR : zstd/,
    'failures have logs');
is(json('device', 'explain', $failed->{id})->{reason}, 'held_after_error',
    'and hold');
my $shown = json(qw(device show sample-gateway-010));
ok((grep { $_ eq 'canary' } @{$shown->{tags}}), 'tags');
like($shown->{attributes}{serial}, qr/^[0-9A-F]{8}$/, 'attributes');

# A narrow terminal: lines are broken between words, and what failed is last to
# go.

for my $args (['status'], ['device', 'show', $failed->{id}],
    ['device', 'explain', $failed->{id}], ['rollout', 'show', $half->{id}])
{
    my $out = $s->gbctl({ pty => 60 }, @$args, '--no-color')->{out}
        =~ s/\xe2\x80\xa6/./gr;
    unlike($out, qr/^[^\r\n]{61}/m, "@$args fits 60 columns");
    like($out, qr/ FAILED\r?$/m, 'status: failures stay') if @$args == 1;
}
like($s->gbctl('device', 'show', $failed->{id})->{out},
    qr/^attributes +site=.*, serial=.*, hw_model=/m, 'off it they are whole');
like($s->gbctl('device', 'explain', $failed->{id})->{out},
    qr/configData since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/m, 'a time as others');

# Images are whole and parse.
my $software = json(qw(software list));
is(scalar @$software, 7, 'images');
for my $image (@$software) {
    my ($path) = glob sprintf '%s/%s/%s/*', $s->artifacts,
        unpack 'a2 a*', $image->{sha256};
    my $i = json('software', 'inspect', $path);
    is("$i->{version} $i->{sha256}", "$image->{version} $image->{sha256}",
        "$image->{name} $image->{version} parses");
}

# A fleet that is there is left alone, unless it is wanted so.
$r = load();
is($r->{exit}, 1, 'again: exit 1');
like($r->{err}, qr/^gbctl: the database holds devices already: 420
hint: the sample is among them already$/, 'and says why');
$s->gbctl(qw(tenant add Other));
$r = load('-t', 'Other');
is($r->{exit}, 1, 'also of another tenant');
like($r->{err}, qr/^hint: --yes adds to them$/m, 'which may be wanted');
is(load('-t', 'Other', '--yes')->{exit}, 0, 'unless --yes');
is(picture('Other'), picture('DEFAULT'), 'it is the same fleet');

my $before = picture('DEFAULT');
$r = load('--yes');
is($r->{exit}, 1, 'twice in a tenant: exit 1');
is($r->{err}, qq{gbctl: tenant "DEFAULT" has the sample already
hint: "gbctl -t NAME sample load" loads it into another tenant\n}, 'and says so');
is(picture('DEFAULT'), $before, 'and nothing changed');

done_testing;
