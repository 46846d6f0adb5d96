# goosebit_ddi.changes(): each change is told to each reader once, in whatever
# order transactions end; and when a reader has to start anew.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $s = stack(nginx => 0, fsync => 'off');
my $reader = $s->psql(user => 'goosebit_ddi');
my @writer = map { $s->psql } 1 .. 3;
my $prev;


# What is new since the last look: 'device 1 5', 'feed 1 default', 'all', ...
sub look {
    my (%opt) = @_;
    my $since = exists $opt{since} ? $opt{since} : $prev;
    my @rows = map { [split /\|/, $_, -1] } split /\n/, $reader->query(
        "select kind, coalesce(tenant_id::text, ''), coalesce(feed, ''),"
        . " coalesce(n::text, ''), coalesce(snapshot, ''),"
        . " coalesce(encode(devices, 'hex'), '') from goosebit_ddi.changes("
        . (defined $since ? "'$since'" : 'null')
        . ', ' . ($opt{waiting} // "'{}', '{}'") . ', 1000, '
        . ($opt{most} // 10000) . ')');
    my @new;

    for (@rows) {
        my ($kind, $tenant, $feed, $n, $snapshot, $ids) = @$_;
        $prev = $snapshot, next if $kind eq 'snapshot';
        push @new, $kind eq 'device'
            ? map { "device $tenant " . hex } $ids =~ /(.{16})/g
            : $kind eq 'free' ? "free $tenant $feed $n"
            : join ' ', grep { length } $kind, $tenant, $feed;
    }
    return join ', ', sort @new;
}


sub device { "select goosebit.changed('device', 1, null, $_[0])" }


is(look(), 'all', 'the first look: nothing known is trusted');
is(look(), '', 'the next: nothing new');

$writer[0]->query(device(1));
$writer[0]->query("select goosebit.changed('feed', 1, 'default')");
$writer[0]->query("select goosebit.changed('feed', 1, 'default')");
$writer[0]->query("select goosebit.changed('tenant', 2)");
$writer[0]->query("select goosebit.changed('latest', 1)");
is(look(), 'device 1 1, feed 1 default, latest 1, tenant 2', 'each scope');
is(look(), '', 'told once');


# transactions that end in another order than they began

$_->query('begin') for @writer;
$writer[$_]->query(device(10 + $_)) for 0 .. 2;
is(look(), '', 'nothing of what is not committed');
$writer[2]->query('commit');
my $between = $prev;
is(look(), 'device 1 12', 'the last to begin commits first');
is(look(), '', 'and once');
$writer[0]->query('commit');
is(look(), 'device 1 10', 'the first one next');
$writer[1]->query('rollback');
is(look(), '', 'and nothing of what was rolled back');
is(look(since => $between), 'device 1 10, device 1 12',
    'a reader that looked before is told all of it');

$writer[0]->query('begin');
$writer[0]->query('savepoint a');
$writer[0]->query(device(20));
$writer[0]->query('release a');
$writer[1]->query(device(21));
is(look(), 'device 1 21', 'beside an open subtransaction');
$writer[0]->query('commit');
is(look(), 'device 1 20', 'which is told when it ends');


# many at a time

$writer[0]->query("select goosebit.changed('device', 1, null, i % 5)"
    . ' from generate_series(1, 9) i');
is(look(most => 5), join(', ', map { "device 1 $_" } 0 .. 4),
    'one device many times is one device');
$writer[0]->query("select goosebit.changed('device', 1 + i / 10, null, i)"
    . ' from generate_series(1, 12) i');
is(look(most => 5), join(', ', (map { "device 2 $_" } 10 .. 12), 'tenant 1'),
    'too many of a tenant: the tenant');
$writer[0]->query("select goosebit.changed('device', i, null, i)"
    . ' from generate_series(1, 51) i');
is(look(most => 5), 'all', 'too many at all: all');


# when what was read before is worth nothing

my ($server, $timeline, $crash, $at, $snapshot)
    = $prev =~ /^(\d+):(\w+):([\d.]+)@(\d+)@(.*)$/
    or die "another kind of mark: $prev\n";
sub mark { "$_[0]:$_[1]:$_[2]\@$_[3]\@$_[4]" }

is(mark($server, $timeline, $crash, $at, $snapshot), $prev,
    'marks are put together as they are');
is(look(since => mark($server + 1, $timeline, $crash, $at, $snapshot)), 'all',
    'another server');
is(look(since => mark($server, '00000002', $crash, $at, $snapshot)), 'all',
    'another timeline');
is(look(since => mark($server, $timeline, $crash - 1, $at, $snapshot)), 'all',
    'another crash');
is(look(since => mark($server, $timeline, $crash, $at,
    '900000000:900000000:')), 'all', 'a snapshot from the future');
is(look(since => mark($server, $timeline, $crash, $at + 3600e6, $snapshot)),
    'all', 'a clock that was set back');
is(look(since => "$server:$timeline\@$at\@$snapshot"), 'all',
    'what another version has left behind');
is(look(since => $prev), '', 'but a good one is good');

my $old = $prev;
$writer[0]->query(device($_)) for 30, 31;
$s->sql('update goosebit.tick_state set change_from = pg_current_xact_id()');
is(look(since => $old), 'all', 'a look from before what is kept');


# an hour is kept

is($s->value('select goosebit.changes_prune(now())'), 0, 'nothing is old');
my $rows = $s->value('select count(*) from goosebit.change');
look();
$writer[0]->query(device(40));
is($s->value("select goosebit.changes_prune(now() + interval '59 minutes')"),
    0, 'not even after 59 minutes');
is(look(), 'device 1 40', 'which harms no reader');
is($s->value("select goosebit.changes_prune(now() + interval '61 minutes',"
    . ' 10)'), 10, 'old rows go, some at a time');
is($s->value("select goosebit.changes_prune(now() + interval '62 minutes')"),
    $rows - 10, 'then the rest of them');
is($s->value('select count(*) from goosebit.change'), 1, 'and no others');
is(look(), '', 'a reader that kept looking notices nothing');
is(look(since => $old), 'all', 'one that slept starts anew');


# slots

$s->sql("select goosebit_admin.tenant_add('two')");
$s->sql(<<'SQL');
insert into goosebit.software (tenant_id, name, version, version_key, format,
    filename, size, sha256, sha1, md5)
values (1, 'os', '2', goosebit.version_key('2'), 'swu', 'a.swu', 1,
    repeat('a', 64), repeat('b', 40), repeat('c', 32));
insert into goosebit.rollout (tenant_id, software_id, feed, max_concurrent)
values (1, 1, 'a', 3), (1, 1, 'b', 5), (1, 1, 'c', null), (1, 1, 'a', 2);
insert into goosebit.device (tenant_id, controller_id)
    select 1, 'd' || i from generate_series(1, 4) i;
insert into goosebit.action (tenant_id, device_id, id, software_id, version,
    cause, cause_id, state)
    select 1, i, 10 + i, 1, '2', 'rollout', 1 + i / 4, 'open'
    from generate_series(1, 4) i;
update goosebit.device set open_action_id = 10 + id;
SQL

my $two = $s->value("select id from goosebit.tenant where name = 'two'");
my $waiting = qq('{1,1,1,1,$two}', '{a,b,c,null,null}');
is(look(waiting => $waiting), 'free 1  996, free 1 a 2, free 1 b 4,'
    . " free 1 c 996, free $two  1000", 'free slots of tenant and feeds');
$s->sql('update goosebit.tenant set max_updates = 5 where id = 1');
is(look(waiting => $waiting), 'free 1  1, free 1 a 1, free 1 b 1,'
    . " free 1 c 1, free $two  1000", 'never more than the tenant has');
$s->sql('update goosebit.tenant set max_updates = 4 where id = 1');
is(look(waiting => $waiting), "free $two  1000", 'none: no row');

$s->sql('delete from goosebit.action; update goosebit.device set'
    . ' open_action_id = null');


# the hour of a rollout, which nobody writes down; tick() does nothing here

$s->sql('delete from goosebit.rollout');
look();
$s->sql(<<'SQL');
insert into goosebit.rollout (tenant_id, software_id, feed, start_at, state)
values (1, 1, 'due', now() + interval '1 hour', 'running'),
    (1, 1, 'due', now() + interval '1 hour', 'paused'),
    (1, 1, 'late', now() + interval '2 hours', 'running'),
    (1, 1, 'past', now() - interval '1 hour', 'running'),
    (1, 1, 'over', now() + interval '1 hour', 'aborted')
SQL
$between = $prev;
is(look(), '', 'not before');
# It comes, in that the hour is now.
$s->sql("update goosebit.rollout set start_at = clock_timestamp()
    where feed in ('due', 'over')");
is(look(), 'feed 1 due', 'its feed is out of date, and no other');
is(look(), '', 'told once');
is(look(since => $between), 'feed 1 due', 'also to who looks late');


# last polls that were stored while their device, or its tenant, was deleted

$s->sql(<<'SQL');
insert into goosebit.tenant (name) values ('gone');
insert into goosebit.device (tenant_id, controller_id)
select id, c from goosebit.tenant, unnest('{stays,goes}'::text[]) c
where name in ('DEFAULT', 'gone');
insert into goosebit.device_seen
select tenant_id, id, now() from goosebit.device
where controller_id in ('stays', 'goes');
create table orphan as
select s.* from goosebit.device_seen s
join goosebit.device d on d.id = s.device_id
where d.controller_id = 'goes' or d.tenant_id > 1;
select goosebit_admin.device_delete('DEFAULT', '{goes}');
select goosebit_admin.device_set('DEFAULT', '{stays}', 'other', null, null,
    '{}', '{}', null);
select goosebit_admin.tenant_delete('gone', true);
insert into goosebit.device_seen table orphan;
insert into goosebit.change_mark values (now() + interval '2 hours',
    pg_snapshot_xmax(pg_current_snapshot()));
SQL
my $seen = "select count(*), count(*) filter (where not exists (
        select from goosebit.device d where d.id = s.device_id))
    from goosebit.device_seen s";
is_deeply([$s->sql($seen)], [[4, 3]], 'last polls of nobody');
$s->value("select goosebit.changes_prune(now() + interval '3 hours')");
is_deeply([$s->sql($seen)], [[1, 0]], 'go with the journal');

done_testing;
