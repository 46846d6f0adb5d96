# gbctl device confirm, deny, autoconfirm, assign --confirm, and rollout
# create --confirm, with devices over HTTP.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/../nginx/lib";
use Goosebit::Test;
use Goosebit::Device;

my $s = stack(fsync => 'off');
my $two = Goosebit::Device::image($s, '2.0.0');
my $three = Goosebit::Device::image($s, '3.0.0');
my %d = map { ($_ => Goosebit::Device->new($s, $_)) } qw(a b c d e);
$_->register for values %d;

sub gbctl { return $s->gbctl('device', @_) }

sub links { return join ' ', sort keys %{$d{$_[0]}->poll->{json}{_links}} }

sub audit {
    my ($verb) = @_;
    return $s->value("select string_agg(object || ' ' || (before ->> 'state')
        || ' ' || (after ->> 'state'), ', ' order by id) from goosebit.audit
        where verb = '$verb'");
}


# a rollout that asks

my $r = $s->gbctl('rollout', 'create', '--software', $two->{id}, '--confirm',
    '-o', 'json');
is($r->{exit}, 0, 'rollout create --confirm');
my $rollout = $r->{json}{id};
ok($s->gbctl('rollout', 'show', $rollout, '-o', 'json')->{json}{confirm},
    'show says so');
is(links($_), 'confirmationBase', "$_ is asked to confirm") for sort keys %d;
like(gbctl('explain', 'a')->{out}, qr/awaiting_confirmation/, 'explain');
my $row = $s->gbctl('rollout', 'explain', $rollout, '-o', 'json')->{json};
is_deeply([map { "$_->{reason} $_->{devices}" } @$row],
    ['awaiting_confirmation 5'], 'rollout explain');


# confirm

$r = gbctl('confirm', 'a', 'b', '--dry-run', '-o', 'json');
is_deeply([map { $_->{id} } @{$r->{json}}], ['a', 'b'], 'dry run: those two');
is(links('a'), 'confirmationBase', 'dry run: nothing changed');

$r = gbctl('confirm', 'a', 'b', '-o', 'json');
is($r->{exit}, 0, 'confirm');
is_deeply([map { [@$_{qw(id before after action)}] } @{$r->{json}}], [
    map { [$_, { state => 'awaiting_confirmation' }, { state => 'open' },
        'confirmed'] } 'a', 'b'], 'what was done');
is(links($_), 'deploymentBase', "$_ is offered it") for 'a', 'b';
is(links('c'), 'confirmationBase', 'c is not');
is($s->value("select string_agg(distinct confirmed_by, ' ')
    from goosebit.action where confirmed_at is not null"),
    $s->value('select session_user'), 'by whom');
is(audit('device.confirm'), 'a awaiting_confirmation open, '
    . 'b awaiting_confirmation open', 'in the audit log');

$r = gbctl('confirm', 'a');
is($r->{exit}, 0, 'again');
like($r->{err}, qr/1 device without an action that waits/, 'says that');
is($r->{out}, '', 'and no more');
$r = gbctl('confirm', 'c', 'nobody');
is($r->{exit}, 1, 'one that is unknown');
is(links('c'), 'confirmationBase', 'nothing is half done');


# deny

unlike(gbctl('explain', 'c')->{out}, qr/said no/, 'nobody has said no yet');
is($s->post($d{c}->path('confirmationBase', $d{c}->poll->{json}{_links}
    {confirmationBase}{href} =~ m{/(\d+)\?} ? $1 : 0, 'feedback'), json => {
    confirmation => 'denied', details => ['busy'] })->{status}, 200,
    'the device says no');
like(gbctl('explain', 'c')->{out}, qr/the device has\s+said no/,
    'explain tells');
like(gbctl('log', 'c')->{out}, qr/denied.*busy/, 'so does the log');
is(links('c'), 'confirmationBase', 'it waits all the same');
$r = gbctl('deny', 'c');
is($r->{exit}, 0, 'deny');
like($r->{out}, qr/awaiting_confirmation -> rejected/, 'what was done');
is(links('c'), '', 'nothing is offered');
is(gbctl('show', 'c', '-o', 'json')->{json}{reason}, 'held_after_error',
    'the target is held');
is(audit('device.deny'), 'c awaiting_confirmation rejected',
    'in the audit log');
my $counts = $s->gbctl('rollout', 'show', $rollout, '-o', 'json')->{json};
is("@$counts{qw(targeted running rejected)}", '5 4 1', 'counted apart');
is(gbctl('force', 'c')->{exit}, 0, 'force');
is(links('c'), 'confirmationBase', 'asks once more');


# autoconfirm

$r = gbctl('autoconfirm', 'c', 'd', 'on', '--dry-run', '-o', 'json');
is(scalar @{$r->{json}}, 2, 'autoconfirm: dry run');
is(links('d'), 'confirmationBase', 'changes nothing');
$r = gbctl('autoconfirm', 'c', 'd', 'on', '-o', 'json');
is_deeply([map { [@$_{qw(id before after action)}] } @{$r->{json}}], [
    map { [$_, { auto_confirm => JSON::PP::false },
        { auto_confirm => JSON::PP::true }, 'confirmed'] } 'c', 'd'],
    'on');
is(links($_), 'deploymentBase', "$_ goes on by itself") for 'c', 'd';
my $auto = $s->get($d{c}->path('confirmationBase'))->{json}{autoConfirm};
is($auto->{initiator}, $s->value('select session_user'), 'the device can see');
is(gbctl('show', 'c', '-o', 'json')->{json}{auto_confirm}, JSON::PP::true,
    'show');
$r = gbctl('autoconfirm', 'c', 'd', 'e', 'on', '-o', 'json');
is_deeply([map { $_->{id} } @{$r->{json}}], ['e'], 'only those that change');
is(gbctl('autoconfirm', 'c', 'd', 'e', 'off')->{exit}, 0, 'off');
is(gbctl('show', 'c', '-o', 'json')->{json}{auto_confirm}, JSON::PP::false,
    'show');
is(links('c'), 'deploymentBase', 'what was confirmed stays so');


# assign

$r = gbctl('assign', 'a', $three->{id}, '--confirm');
is($r->{exit}, 0, 'assign --confirm');
like($r->{out}, qr/confirm no -> yes/, 'says so');
is(links('a'), 'confirmationBase', 'a is asked again');
is(gbctl('assign', 'a', $three->{id})->{exit}, 0, 'assign without');
is(links('a'), 'confirmationBase', 'the open action is not changed by that');
is(gbctl('confirm', 'a')->{exit}, 0, 'confirm');
is(links('a'), 'deploymentBase', 'offered');


# rights

$s->sql('CREATE ROLE eve LOGIN IN ROLE goosebit_viewer');
for (['confirm', 'b'], ['deny', 'b'], ['autoconfirm', 'b', 'on']) {
    is($s->gbctl({ env => { PGUSER => 'eve' } }, 'device', @$_)->{exit}, 4,
        "a viewer may not $_->[0]");
}

done_testing;
