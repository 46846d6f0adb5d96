#!/usr/bin/perl
# --filter: which devices an expression means, in lists and in every verb.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;
use Goosebit::Fleet;

use JSON::PP;

my $s = stack(fsync => 'off', yaml => "poll_time: 02:00:00\n");
my $f = Goosebit::Fleet->new($s);

sub gbctl { $s->gbctl('device', @_) }
sub takes {
    my $r = gbctl('list', '-o', 'name', '--filter', @_);
    return $r->{exit} ? $r->{err} : join ' ', split /\n/, $r->{out};
}

my $one = $f->software('1.10.0', 'board:r1');
$f->register('a', sw_version => '1.2.0', hw_revision => 'r10',
    region => 'eu', ram => '512', 'a b' => 'c d');
$f->register('b', sw_version => '1.10', region => 'us', ram => '64');
$f->register('c', sw_version => 'v1.10.0-rc1', hw_model => 'other');
$f->register('d-1', sw_version => 'odd', hw_revision => 'r2');
gbctl('add', 'never', '--name', q{it's "x" (y)}, '--tag', 'lab',
    '--tag', 'two words');
gbctl('set', 'a', '--feed', 'prod', '--tag', '+lab', '--tag', '+x1');
gbctl('set', 'b', '--name', 'bee', '--tag', '+x22');
gbctl('pin', 'c');
$s->sql(q{UPDATE goosebit.device SET state = 'error' WHERE controller_id = 'c'});
$s->sql(q{UPDATE goosebit.device SET state = 'finished'
          WHERE controller_id = 'd-1'});
ok($s->seen, 'all polls are written down');
$s->sql(q{UPDATE goosebit.device_seen x SET seen_at = now() - interval '3 days'
          FROM goosebit.device d
          WHERE d.id = x.device_id AND d.controller_id = 'b'});
$s->gbctl('rollout', 'create', '--software', $one);

my @cases = (
    'feed=prod' => 'a',
    'feed!=prod' => 'b c d-1 never',
    'id=a or id=b' => 'a b',
    'id>=b and id<d' => 'b c',
    'id~"d-*"' => 'd-1',
    'id~[!a-c]*' => 'd-1 never',
    'id~?' => 'a b c',
    'id~A' => '',
    'name=bee' => 'b',
    'name=""' => 'a c d-1',
    'name!=bee' => 'a c d-1 never',
    q{name="it's ""x"" (y)"} => 'never',
    'name~*' => 'b never',
    'not name~*' => 'a c d-1',
    'name<c' => 'b',
    'not name<c' => 'a c d-1 never',
    'hw_model=other' => 'c',
    'hw_revision=r1' => 'b c',
    'hw_revision>r1 and hw_model=board' => 'a d-1',
    'sw_version<1.10' => 'a c d-1',
    'sw_version<1.10.0 and sw_version>=1' => 'a c',
    'sw_version=1.10.0.0' => 'b',
    'sw_version!=v1.10' => 'a c d-1 never',
    'sw_version>1.10-alpha' => 'b c',
    'sw_version=""' => 'never',
    'sw_version~1.*' => 'a b',
    'not sw_version<1.10' => 'b never',
    'mode=pinned' => 'c',
    'state=error or state=finished' => 'c d-1',
    'progress=100' => 'd-1',
    'progress!=100' => 'a b c never',
    'progress<101' => 'd-1',
    'target_version=1.10' => 'b',
    'target_version=""' => 'a c d-1 never',
    'last_seen<1h' => 'a c d-1',
    'last_seen>2d' => 'b never',
    'last_seen<7d' => 'a b c d-1',
    'last_seen=never' => 'never',
    'last_seen!=never and online=false' => 'b',
    'online=true' => 'a c d-1',
    'tag=lab' => 'a never',
    'tag!=lab' => 'b c d-1',
    'tag="two words"' => 'never',
    'tag=""' => 'c d-1',
    'tag~x?' => 'a',
    'not tag~x*' => 'c d-1 never',
    'attr.region=eu' => 'a',
    'attr.region!=eu' => 'b c d-1 never',
    'attr.region=""' => 'c d-1 never',
    'attr.ram>99' => 'a',
    'attr.ram<=64' => 'b',
    'attr."a b"="c d"' => 'a',
    'attr.none<1' => '',
    'attr.region~*u*' => 'a b',
    'not (feed=prod or not (tag=x22 or state=error))' => 'b c',
    'feed=prod or id=b and id=c' => 'a',
    'feed=prod and hw_model=board and sw_version<1.4 and last_seen<7d and '
        . 'tag=lab and state=registered and attr.region=eu' => 'a',
    # nothing that is typed becomes SQL
    q{name="') OR true --"} => '',
    q{name='x'' OR ''1''=''1'} => '',
    q{attr."') OR true --"="$1[1]"} => '',
    q{attr.x'=''} => qr/\Agbctl: --filter, column 7: /,
    q{id="\\' OR 1=1; DROP TABLE goosebit.device; --"} => '',
);
while (my ($expr, $want) = splice @cases, 0, 2) {
    ref $want ? like(takes($expr), $want, $expr)
              : is(takes($expr), $want, $expr);
}
is($s->value('SELECT count(*) FROM goosebit.device'), 5, 'all are there');


# with sort and limit

is(takes('feed=default', '--sort', '-id', '--limit', '2'), 'never d-1',
    'the last two');
is(takes('id<d', '--sort', 'sw_version'), 'a c b', 'by version');
is(takes('id<d', '--sort', 'sw_version DESC'), 'b c a', 'DESC');
is(takes('id<d', '--sort', 'id asc'), 'a b c', 'asc');
is(takes('id<e', '--sort', 'target_version'), 'b a c d-1',
    'by target, absent ones last');
is(takes('target_version=1.10', '--limit', '1'), 'b', 'target and limit');


# errors: the column, exit 2, one line

my $r = gbctl('list', '--filter', 'feed=prod\tor hwmodel=x');
is($r->{exit}, 2, 'wrong: exit 2');
$r = gbctl('list', '--filter', 'feed=prod and hwmodel=x');
is($r->{err}, qq{gbctl: --filter, column 15: unknown field "hwmodel", did }
    . qq{you mean "hw_model"?\n}, 'the contract\'s error');
like(gbctl('list', '--filter', 'zzz=1')->{err}, qr/unknown\ field\ "zzz",
    \ there\ are\ feed,\ .*\ target_version\ and\ attr[.]NAME\n\z/x, 'near none: those there are');
like(gbctl('list', '--sort', 'name foo')->{err}, qr/after "name" comes "asc" or/,
    'a known column, in no order');
is(decode_json(gbctl('list', '-o', 'json', '--filter', 'x')->{err})->{error}
    {code}, 'usage', 'as JSON');
is(gbctl('list', '--filter', "id=\xff")->{exit}, 2, 'no UTF-8');


# verbs: the dry run touches whom the verb touches, and changes nothing

for my $verb (['set', '--feed', 'new'], ['pin'], ['force'], ['block'],
    ['assign', $one], ['autoconfirm', 'on'])
{
    my ($name, @args) = @$verb;
    my @filter = ('--filter', 'hw_model=board and sw_version!=""');
    my $state = sub { $s->value(q{SELECT md5(string_agg(d::text, ',' ORDER BY
        controller_id)) FROM goosebit.device d}) };
    @filter = ('--filter', 'id=b') if $name eq 'assign';
    my $before = $state->();
    my $dry = gbctl($name, @args, @filter, '--dry-run', '-o', 'json');
    is($state->(), $before, "$name: a dry run changes nothing");
    $r = gbctl($name, @args, @filter, '-o', 'json');
    is($r->{exit}, 0, "$name: exit 0") or diag $r->{err};
    is_deeply($r->{json}, $dry->{json}, "$name: as the dry run said");
    is(join(' ', map { $_->{id} } @{$r->{json}}),
        $name eq 'assign' ? 'b' : 'a b d-1', "$name: whom");
    isnt($state->(), $before, "$name: does it");
    $r = gbctl($name, @args, '--filter', 'id=nobody', '-o', 'json');
    is_deeply([$r->{exit}, $r->{json}, $r->{err}],
        [0, [], "no device to change matches\n"], "$name: nobody");
}
$r = gbctl('assign', $one, '--filter', 'id=c or id=b');
is($r->{exit}, 1, 'one does not fit: refused');
is($s->value(q{SELECT assigned_software_id FROM goosebit.device
    WHERE controller_id = 'c'}), undef, 'as a whole');

$r = gbctl('delete', '--filter', 'id=never');
is($r->{exit}, 1, 'delete asks');
like($r->{err}, qr/refused without a terminal.*takes, now 1 device,/,
    'with a count');
is(gbctl('delete', '--filter', 'id=never', '--yes', '-o', 'name')->{out},
    "never\n", 'delete');
is(takes('id=never'), '', 'is gone');


# a rollout for some devices

sub rollout { $s->gbctl('rollout', @_) }
my $two = $f->software('2.0.0', 'board:r1');
gbctl('unpin', '--filter', 'id<z');
gbctl('unforce', '--filter', 'id<z');
gbctl('unblock', '--filter', 'id<z');
gbctl('set', 'a', 'b', '--mode', 'rollout', '--feed', 'default');
$f->register($_, sw_version => '1.9', group => $_) for qw(e f);

my @create = ('create', '--software', $two, '--filter', 'attr.group=e');
$r = rollout('create', '--software', $two, '--filter', 'id=e and state=error');
is($r->{exit}, 2, 'only what is journalled: exit 2');
like($r->{err}, qr/\Agbctl: --filter, column 10: a rollout can't look at /,
    'and says what it may');
is(rollout(@create, '--dry-run', '-o', 'name')->{out}, "e\n", 'dry run');
$r = rollout(@create);
is($r->{exit}, 0, 'create') or diag $r->{err};
chomp(my $id = $r->{out});
my $show = rollout('show', $id, '-o', 'json')->{json};
is($show->{filter}, 'attr.group=e', 'show: as typed');
is($show->{targeted}, 1, 'show: targeted');
is($s->value(q{SELECT after ->> 'filter' FROM goosebit.audit
    WHERE verb = 'rollout.create' ORDER BY id DESC LIMIT 1}), 'attr.group=e',
    'audited');
is(takes('target_version=2.0.0'), 'e', 'whose target it is');
is(takes('id~[ef]', '--sort', 'target_version'), 'f e', 'others\' is older');
is(($f->poll('e'))[0], 'deploymentBase', 'it is offered');
is($s->value(q{SELECT version FROM goosebit.action a JOIN goosebit.device d
    ON d.open_action_id = a.id WHERE d.controller_id = 'e'}), '2.0.0',
    'with that version');
is(($f->poll('f'))[0], 'deploymentBase', 'the other gets');
is($s->value(q{SELECT version FROM goosebit.action a JOIN goosebit.device d
    ON d.open_action_id = a.id WHERE d.controller_id = 'f'}), '1.10.0',
    'the next older one');

done_testing;
