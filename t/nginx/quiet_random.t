#!/usr/bin/perl
# Two nginx with small zones on one database, and whatever may happen there in
# random order: verbs of operators, what devices say, transactions that end
# late, polls with right and wrong tokens that are answered late, evictions.
# Each answer has to be one that SQL would have given a moment before: at most
# goosebit_sync and a second.
#
# GB_SEED=N repeats a run, GB_SECONDS=N makes it longer, GB_TRACE=1 prints it.
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Pair;
use Goosebit::Test;

use Digest::SHA qw(sha256_hex);
use IO::Select;
use List::Util qw(max min);

my $seed = $ENV{GB_SEED} // (time * 1000 ^ $$) % 1_000_000_007;
my $seconds = $ENV{GB_SECONDS} // 20;
my $sync = 0.2;
my $late = $sync + 1;
my $slack = 0.3;        # of this program's own clock
diag("GB_SEED=$seed");
srand $seed;

my $p = Goosebit::Pair->new(sync => '200ms', zone => '512k',
    database => 'connections=6', patient => 1,
    yaml => "device_auth:\n  enable: true\n  mode: lax\n"
        . "poll_time: 00:01:00\nmax_concurrent_updates: 6\n");
my $db = $p->first->psql;                   # verbs
my $open = $p->first->psql;                 # a transaction that ends late
my ($opened, @busy);

my @feed = map { "feed-$_" } 1 .. 4;
my @version = map { "$_.0.0" } 1 .. 4;
my %software = map { $_ => $p->software($_) } @version;
my @id = map { "d$_" } 1 .. 16;
my @slow = map { "s$_" } 1 .. 4;            # of the late transactions only
my @image = ('i1', 'i2');                   # wait for new images only
my @hour = ('h1', 'h2');                    # for the hour of a rollout only
my @all = (@id, @slow, @image, @hour);
my ($newest, $due, $calms) = (4, 0, 0);
my @token = ('', 'right', 'wrong');

# Some answers take a while, after SQL has looked: what changes meanwhile is
# not in them.
$p->sql(<<'SQL');
create table public.slow as select 0.1 as often;
alter table public.slow owner to goosebit_owner;
insert into goosebit.device (tenant_id, controller_id, state, config_data_at,
    sw_version, feed)
select 1, 'c' || i, 'registered', now(), '1.0.0', 'cold'
from generate_series(1, 9000) i;
SQL
$p->slow_poll(q{case when left($2, 1) <> 'c'
    and random() < (select often from public.slow)
    then random() * 0.5 else 0 end});
$p->device($_, feed => pick(@feed), sw_version => pick(@version)) for @id;
$p->device($_, feed => 'slow') for @slow;
$p->device($_) for @image, @hour;
$p->sql("update goosebit.device set token = sha256('right')"
    . " where controller_id in ('d1', 'd2', 'd3', 'd4')");

sub pick { $_[rand @_] }
sub q1 { "'$_[0]'" }
sub some { "'{" . join(',', map { pick(@id) } 1 .. 1 + rand 3) . "}'" }
sub trace { diag(sprintf '%.3f %s', time, "@_") if $ENV{GB_TRACE} }


# ---- what SQL says, and said: per device and token [from, to, answer]

my %truth;
my $mode = 'lax';

sub look {
    my ($since) = @_;
    my $from = time;
    my $rows = $db->query(<<"SQL");
select d.id, t.i, p.status, p.reason, p.poll_seconds, p.config_data, p.link,
       p.action_id, p.installed_id, p.next
from unnest('{@{[join ',', @all]}}'::text[]) as d (id),
     (values (0, null, null), (1, 'target', sha256('right')),
             (2, 'target', sha256('wrong'))) as t (i, scheme, digest),
     goosebit_ddi.poll_now('DEFAULT', d.id, t.scheme, t.digest, 'lax', 60, 6) p
SQL
    my $to = time;

    for (split /\n/, $rows) {
        my ($id, $i, $status, $reason, $sleep, $config, $link, $action,
            $installed, $next) = map { $_ eq '\N' ? '' : $_ } split /\|/, $_,
            -1;
        my $text = $next ne '' ? "next $next"
            : $status != 200 ? "$status $reason"
            : join ' ', $status, $reason, $sleep,
                ($config eq 't' ? 'configData' : ()),
                ($link ne '' ? "$link/$action" : ()),
                ($installed ne '' && $config ne 't'
                    ? "installedBase/$installed" : ());
        my $list = $truth{"$id $token[$i]"} //= [];
        if (@$list && $list->[-1][2] eq $text) {
            $list->[-1][1] = 1e99;
            next;
        }
        $list->[-1][1] = $to if @$list;
        push @$list, [$since // $from, 1e99, $text];
        shift @$list while @$list > 40;
    }
}


# The same words from what nginx says.
sub answer {
    my ($r) = @_;
    my $reason = $r->{headers}{'x-reason'} // '';
    return "$r->{status} $reason" if $r->{status} != 200;
    my ($h, $m, $s) = split /:/, $r->{json}{config}{polling}{sleep};
    my %link = map {
        $_ => ($r->{json}{_links}{$_}{href} =~ m{/(\w+/\d+)} ? $1 : $_)
    } keys %{$r->{json}{_links}};
    return join ' ', 200, $reason, $h * 3600 + $m * 60 + $s,
        map { $link{$_} // () } qw(configData deploymentBase cancelAction
            confirmationBase installedBase);
}


# ---- polls, answered whenever they are

my (@idle, @asked, %count, @wrong);
my $last = time;

sub ask {
    my ($n, $id, $token) = @_;
    my $http = pop @{$idle[$n]} // ($p->stacks)[$n]->http;
    $http->send_request('GET', ddi($id), headers => [
        $token ne '' ? (Authorization => "TargetToken $token") : ()]);
    push @asked, { n => $n, id => $id, token => $token, http => $http,
        at => time };
}


sub harvest {
    my ($wait) = @_;
    my $select = IO::Select->new(map { $_->{http}{sock} } @asked);
    my %ready = map { $_ => 1 } $select->can_read($wait // 0);
    my @answered;

    for my $ask (splice @asked) {
        if (!$ready{$ask->{http}{sock}}) {
            push @asked, $ask;
            next;
        }
        my $r = $ask->{http}->response('GET') // die "no answer\n";
        push @{$idle[$ask->{n}]}, $ask->{http};
        push @answered, [$ask, $r];
        began(@{$answered[-1]});
    }

    # One from the zone may be told before the one that it comes from.
    check(@$_) for @answered;
}


sub check {
    my ($ask, $r) = @_;
    my $cache = $r->{headers}{'x-cache'} // '';
    my $text = answer($r);
    my $key = "$ask->{id} $ask->{token}";

    $count{$cache}++;
    trace("poll $ask->{n} $key $cache $text");
    return if good($ask, $cache, $text);
    look($ask->{at});
    return if good($ask, $cache, $text);
    return if heals($ask);

    push @wrong, sprintf '%s at %d: %s "%s", when SQL said %s', $key,
        $ask->{n}, $cache, $text, join ', ', map {
            sprintf '"%s" from %.2f to %.2f s', $_->[2], $_->[0] - time,
                min($_->[1], time) - time
        } @{$truth{$key}}[-min(3, scalar @{$truth{$key}}) .. -1];
    trace("WRONG $wrong[-1]");
}


# What was due and a poll did is SQL's word from then on, also where something
# else changes it before the next look.
sub began {
    my ($ask, $r) = @_;
    my $text = answer($r);
    return if $text !~ /^200 / || ($r->{headers}{'x-cache'} // '') eq 'HIT';

    for my $list (grep { $_ } map { $truth{"$ask->{id} $_"} } @token) {
        next if !grep { $_->[1] > $ask->{at} && $_->[2] =~ /^next/ } @$list;
        splice @$list, -1, 0, [$ask->{at}, time, $text];
    }
}


# On a machine that has far more to do than it can, an answer may be late;
# what is wrong for good is wrong for good there, too.
sub heals {
    my ($ask) = @_;
    my ($load) = slurp('/proc/loadavg') =~ /^(\S+)/;
    return 0 if $load < 2 * grep { /^processor/ } split /^/,
        slurp('/proc/cpuinfo');

    return 0 if !wait_for {
        my $again = { %$ask, at => time };
        my $is = $p->poll($ask->{n}, $ask->{id},
            $ask->{token} ne '' ? (token => $ask->{token}) : ());
        look();
        good($again, $is->{cache}, answer($is->{r}));
    } 3;
    $count{late}++;
    return 1;
}


# Whether SQL said so between the documented delay before the poll and now.
sub good {
    my ($ask, $cache, $text) = @_;
    my $since = $ask->{at} - $late - $slack;

    for my $t (@{$truth{"$ask->{id} $ask->{token}"}}) {
        next if $t->[1] < $since;
        return 1 if $t->[2] eq $text;

        # What nginx makes of it: a new action, or a device that was unknown.
        return 1 if $cache ne 'HIT' && $t->[2] =~ /^next/
            && $text =~ /^200 /;

        # Slots may be free for fewer than wait; all have their turn at the end.
        return 1 if $t->[2] eq 'next start' && $text =~ /^200 concurrency /;
    }
    return 0;
}


# ---- what happens

my %rollout;

sub verb {
    my ($small) = @_;
    my $ids = some();
    my $id = pick(@id);
    my $feed = pick(@feed);
    my $r = pick(keys %rollout) // 0;
    my @verb = (
        ["device_set('default', $ids, '$feed', null, null, '{}', '{}', null)"],
        ["device_set('default', $ids, null, " . q1(pick(qw(rollout rollout
            latest))) . ", null, '{}', '{}', null)"],
        ["device_set('default', $ids, null, null, null, '{}', '{}', "
            . pick(0, 30, 600) . ')'],
        ["device_assign('default', $ids, '" . pick(@version)
            . "', null, " . pick('true', 'false') . ')'],
        map({ ["device_$_('default', $ids, " . pick('true', 'false') . ')'] }
            qw(pin pin force block cancel confirm autoconfirm)),
        ["device_block('default', '{@{[join ',', @id]}}', false)"],
        ["device_token('default', '$id', "
            . pick('null', "sha256('right')", "sha256('wrong')") . ')'],
        ["device_delete('default', '{$id}')"],
        (["rollout_create('default', '$software{pick(@version)}', '{\"feed\":"
            . " \"$feed\", \"allow_downgrade\": true, \"paused\": "
            . pick(qw(true false false)) . ', "confirm": '
            . pick(qw(true false false false))
            . (rand() < 0.5 ? ', "max_concurrent": ' . (1 + int rand 3) : '')
            . "}')", 'rollout']) x 3,
        ["rollout_pause('default', '$r', " . pick('true', 'false') . ')'],
        ["rollout_retry('default', '$r')"],
        ["rollout_abort('default', '$r')"],
        ["rollout_delete('default', '$r')"],
        ["tenant_set('default', '{\"poll_time\": " . pick(60, 90) . "}')"],
        ["tenant_set('default', '{\"auth\": " . pick('"off"', 'null', 'null')
            . "}')"],
        ["tenant_set('default', '{\"max_updates\": " . pick(0, 2, 5) . "}')"],
        ["software_delete('default', '{" . pick(@version) . "}')"],
    );
    @verb = grep { $_->[0] !~ /^tenant/ } @verb if $small;
    my ($sql, $what) = @{pick(@verb)};
    hours();
    my $since = time;
    my $out = $db->query("select * from goosebit_admin.$sql");
    trace("verb $sql: " . ($out =~ /ERROR: +(GB\d+)/ ? $1 : 'done'));
    if ($out =~ /ERROR/ && $out !~ /GB00\d/) {
        die "$sql: $out\n";
    }
    $rollout{$out} = 1 if $what && $out =~ /^\d+$/;
    delete $rollout{$1} if $sql =~ /rollout_delete.*'(\d+)'/ && $out !~ /ERR/;
    look($since);
}


# An image comes: what those in mode latest wait for. Or a rollout's hour.
sub event {
    hours();
    my $since = time;
    rand() < 0.3 ? later(1, pick(@feed)) : image();
    look($since);
}


sub image {
    $newest++;
    $db->query("select * from goosebit_admin.software_add('default',"
        . "'{\"name\": \"os\", \"version\": \"$newest.0.0\","
        . ' "format": "swu", "filename": "a.swu", "size": 1, "sha256": "'
        . 'a' x 64 . '", "sha1": "' . 'b' x 40 . '", "md5": "' . 'c' x 32
        . '", "hardware": [{"model": "default", "revision": "default"}]}'
        . "')");
    trace("software $newest.0.0");
}


# Those who wait are there anew, some with the newest image, some in a feed
# that has nothing yet and is another than before. At once: whoever asks while
# it is gone is there.
sub renew {
    $due++;
    $db->query($_) for 'begin',
        "select goosebit_admin.device_delete('default', '{"
            . join(',', @image, @hour) . "}')",
        'insert into goosebit.device (tenant_id, controller_id, state,'
            . ' config_data_at, mode, sw_version, feed) values '
            . join(', ', map({ "(1, '$_', 'registered', now(), 'latest',"
                . " '$newest.0.0', 'none')" } @image),
                map({ "(1, '$_', 'registered', now(), 'rollout', '1.0.0',"
                    . " 'due-$due')" } @hour)),
        'commit';
}


my @hours;

sub later {
    my ($after, $feed) = @_;
    $db->query("insert into goosebit.rollout (tenant_id, software_id, feed,"
        . " start_at, allow_downgrade) select 1, max(id), '$feed', now()"
        . " + interval '$after s', true from goosebit.software"
        . ' where tenant_id = 1');
    push @hours, time + $after;
    trace("a rollout of $feed in $after s");
}


# An hour comes by itself: what SQL says from then on is looked at before
# something else changes, which would hide it.
sub hours {
    my $soon = time + 0.05;
    my @come = grep { $_ < $soon } @hours;
    return if !@come;
    @hours = grep { $_ >= $soon } @hours;
    my $wait = max(@come) + 0.01 - time;
    sleep $wait if $wait > 0;
    look(min(@come));
}


# What a device says, at either nginx.
sub said {
    my $id = pick(@id);
    my $n = int rand 2;
    my $s = ($p->stacks)[$n];
    my $since = time;
    my @auth = (headers => [Authorization => 'TargetToken right']);
    my ($action) = (map { $_->[2] =~ m{/(\d+)} && $_->[2] !~ /installedBase/
        ? $1 : () } ($truth{"$id right"} // [])->[-1] // ());
    my $what = pick(qw(config version), (qw(end end begin)) x 2);
    hours();

    if ($what eq 'config') {
        $s->put(ddi($id, 'configData'), @auth, json => { data => {
            sw_version => pick(@version) } });
    } elsif ($what eq 'version') {
        $s->put(ddi($id, 'installedBase'), @auth, json => { name => 'os',
            version => pick(@version) });
    } elsif ($action) {
        my ($kind) = $truth{"$id right"}[-1][2] =~ /(\w+Base|\w+Action)\//;
        return if $kind eq 'confirmationBase';
        $s->post(ddi($id, $kind, $action, 'feedback'), @auth, json => {
            id => $action, status => $what eq 'begin'
                ? { execution => 'proceeding', result => { finished => 'none' } }
                : { execution => 'closed', result => { finished =>
                    pick(qw(success success failure)) } } });
    }
    trace("said $id at $n: $what " . ($action // ''));
    look($since);
}


# A transaction that stays open while others commit.
sub transaction {
    if ($opened) {
        hours();
        my $since = time;
        $open->query(pick(qw(commit commit rollback)));
        trace('the late transaction ends');
        $opened = 0;
        look($since);
        return;
    }
    $open->query('begin');
    $open->query("select * from goosebit_admin.device_set('default', '{"
        . join(',', map { pick(@slow) } 1, 2) . "}', null, null, null, '{}',"
        . " '{}', " . pick(7, 70, 700) . ')');
    trace('a late transaction begins');
    $opened = 1;
}


# Enough others that some of ours are thrown out of the zone.
sub evict {
    my ($n, $first, $many) = @_;
    my $http = ($p->stacks)[$n]->http;
    my @more = map { ddi('c' . ($first + $_)) } 1 .. $many;
    while (my @some = splice @more, 0, 500) {
        $http->write(join '', map { "GET $_ HTTP/1.1\r\nHost: x\r\n\r\n" }
            @some);
        $http->response('GET') // die "no answer\n" for @some;
    }
    trace("$many others at $n");
}


# All ask at once, many of them for a while, and meanwhile things change: by
# verbs, by a transaction that began long before, by an image, by a rollout's
# hour. Then nothing changes any more. Whoever keeps what is over by now keeps
# it for good. What all ask begins when the journal has told of what was before,
# and every other time no verb concerns the tenant: else that would end for good
# what something smaller has to end.
sub calm {
    hours();
    my $began = time;
    transaction() if !$opened;
    renew();
    $db->query("select goosebit_admin.tenant_set('default', '{\"poll_time\": "
        . pick(60, 90) . "}')");
    look($began);
    settle(2 * $sync + 0.1);

    $db->query('update public.slow set often = 0.6');
    all();
    sleep 0.03;
    hours();
    my $since = time;
    $db->query("select goosebit_admin.device_set('default', '{"
        . join(',', grep { rand() < 0.4 } @id) . "}', null, null,"
        . " null, '{}', '{}', " . (100 + int rand 900) . ')');
    look($since);
    verb($calms % 2) for 1, 2;
    transaction();
    $since = time;
    image();
    later(0.3, "due-$due");
    sleep 0.4;
    look($since);

    settle($late + $slack);
    harvest(0.1) while @asked;
    $db->query('update public.slow set often = 0.1');
    all();
    harvest(0.5) while @asked;
    $calms++;
    trace('calm');
}


# So long, whether or not answers come meanwhile.
sub settle {
    my $until = time + $_[0];
    @asked ? harvest(0.05) : sleep 0.05 while time < $until;
}


sub all {
    for my $n (0, 1) {
        ask($n, $_, 'right') for @all;
    }
}


evict($_, 0, 5600) for 0, 1;
look();
my $steps = 0;
my $until = time + $seconds;
my $storm = time + 2;
while ((time < $until || $calms < 6) && @wrong < 3) {
    if (time > $storm) {
        calm();
        $storm = time + 2;
    }
    my $x = rand;
    $steps++;
    if ($x < 0.93) {
        ask(int rand 2, pick(@all), pick(@token, ('right') x 8));
    } elsif ($x < 0.955) {
        verb();
    } elsif ($x < 0.97) {
        said();
    } elsif ($x < 0.975) {
        transaction();
    } elsif ($x < 0.978) {
        event();
    } elsif ($x < 0.982) {
        evict(int rand 2, int rand 8500, 400);
    } else {
        harvest(rand 0.05);
    }
    harvest(0);
    harvest(0.5) while @asked > 30;
}
harvest(0.5) while @asked;
transaction() if $opened;

is_deeply(\@wrong, [], "$steps steps: each answer is SQL's, of now or"
    . " $late s before");
diag(join ', ', (map { "$_ $count{$_}" } sort keys %count), "calms $calms");
cmp_ok($count{HIT} // 0, '>', $steps / 10, 'many of them from the zone');
cmp_ok($count{MISS} // 0, '>', $steps / 50, 'and many not');
cmp_ok(($p->stacks)[$_]->get('/status')->{json}{cache}{evictions}, '>', 0,
    'some were thrown out') for 0, 1;


# ---- who waits has its turn

$db->query("select goosebit_admin.tenant_set('default',"
    . " '{\"max_updates\": 100}')");
renew();
later(0, "due-$due");
$db->query("update goosebit.rollout set max_concurrent = 1"
    . " where feed = 'due-$due'");
sleep $late;                            # nothing else ends their answers
ok(wait_for(sub { $p->poll(0, $hour[0])->{text} =~ /deploymentBase/ }),
    'one of two starts');
ok(wait_for(sub { $p->poll($_, $hour[1])->{cache} eq 'HIT' }),
    "the other waits at $_") for 0, 1;
$db->query("select * from goosebit_admin.device_cancel('default',"
    . " '{$hour[0]}', true)");
ok(wait_for(sub { $p->poll(1, $hour[1])->{text} =~ /deploymentBase/ }),
    'until the first is done');


# ---- in the end nothing is left undone

my $left;
ok(wait_for(sub {
    for my $id (@id) {
        ask($_, $id, 'right') for 0, 1;
    }
    harvest(0.5) while @asked;
    look();
    $left = join ', ', map { "$_ $truth{\"$_ right\"}[-1][2]" }
        grep { $truth{"$_ right"}[-1][2] =~ /^next/ } @id;
    return $left eq '';
}, 20), 'who may start has started') or diag($left);

sleep $late + $slack;
look();
for my $id (@all) {
    for my $token (@token) {
        ask($_, $id, $token) for 0, 1;
    }
}
harvest(0.5) while @asked;
is_deeply(\@wrong, [], 'all answers are right');

done_testing;
