# What two sessions may do to each other: final feedback, batches and the bounds
# of concurrency, each with real sessions of the module's role.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $s = stack(nginx => 0, fsync => 'off');
my @sessions = map { $s->psql(user => 'goosebit_ddi') } 1 .. 16;

my $sw = $s->value(<<'SQL');
insert into goosebit.software (tenant_id, name, version, version_key, format,
    filename, size, sha256, sha1, md5)
values (1, 'os', '2.0.0', goosebit.version_key('2.0.0'), 'swu', 'a.swu', 1,
    repeat('a', 64), repeat('b', 40), repeat('c', 32)) returning id
SQL
$s->sql(<<"SQL");
insert into goosebit.software_hardware
    (tenant_id, software_id, model, revision, version_key)
values (1, $sw, 'default', 'default', goosebit.version_key('2.0.0'))
SQL


sub rollout {
    my ($feed, $bound) = @_;
    my $r = $s->value('insert into goosebit.rollout (tenant_id, software_id,'
        . " feed, max_concurrent) values (1, $sw, '$feed', "
        . ($bound // 'null') . ') returning id');
    $s->sql("select goosebit.rollout_learn(1, $r)");
    return $r;
}


sub devices {
    my ($feed, $n) = @_;
    $s->sql("insert into goosebit.device (tenant_id, controller_id, feed,"
        . " sw_version, state, config_data_at)"
        . " select 1, '$feed-' || i, '$feed', '1.0.0', 'registered', now()"
        . " from generate_series(1, $n) i");
    return map {"$feed-$_"} 1 .. $n;
}


# A call of goosebit_ddi with the five that every call starts with.
sub call {
    my ($columns, $function, $device, @rest) = @_;
    return "select $columns from goosebit_ddi.$function(" . join(', ',
        "'default'", "'$device'", 'null', 'null', "'off'", @rest) . ')';
}


sub start {
    my ($device, $bound) = @_;
    return call("coalesce(link, 'none')", 'start', $device, 60, $bound // 1000);
}


sub array {
    my ($type, @values) = @_;
    return 'array[' . join(', ', map { $_ // 'null' } @values) . "]::${type}[]";
}


# The five of many.
sub who {
    my @devices = @_;
    return join ', ', array('text', map { "'default'" } @devices),
        array('text', map { "'$_'" } @devices),
        array('text', map { undef } @devices),
        array('bytea', map { undef } @devices),
        array('text', map { "'off'" } @devices);
}


sub starts {
    my ($bound, @devices) = @_;
    return 'select coalesce(link, status::text) from goosebit_ddi.starts('
        . who(@devices) . ", 60, $bound)";
}


sub feedback {
    my ($device, $id, $execution, $finished) = @_;
    return call('status', 'feedback', $device, "'deployment'", $id,
        "'$execution'", "'$finished'", 'null', 'null', "'{}'");
}


# The same and deploymentBase, as elements of a batch: [DEVICE, ID, EXECUTION,
# FINISHED], without the last two to read, without an ID to be locked alone.
sub batch {
    my @of = @_;
    my $text = sub { my ($i) = @_;
        return array('text', map { defined $_->[$i] ? "'$_->[$i]'" : undef }
            @of) };

    return 'select status from goosebit_ddi.batch(' . join(', ',
        who(map { $_->[0] } @of),
        array('text', map { defined $_->[2] ? "'deployment'" : undef } @of),
        array('int', map { $_->[1] } @of), $text->(2), $text->(3),
        (array('int', map { undef } @of)) x 2, "'{}'",
        array('int', map { 0 } 0 .. @of), array('int', map { undef } @of))
        . ')';
}


sub open_action {
    my ($device) = @_;
    return $s->value("select open_action_id from goosebit.device"
        . " where controller_id = '$device'");
}


# Ends what is open in a feed, so that it is in nobody's way.
sub finish {
    my ($feed) = @_;
    together(map { feedback($_, open_action($_), 'closed', 'success') }
        split ' ', $s->value("select coalesce(string_agg(controller_id, ' '),
            '') from goosebit.device
            where feed = '$feed' and open_action_id is not null"));
}


# Whether somebody has the row of this device.
sub locked {
    my ($device) = @_;
    return $s->value("select count(*) from (select from goosebit.device
        where controller_id = '$device' for update skip locked) x") == 0;
}


# All at once; their answers.
sub together {
    my (@statements) = @_;
    $sessions[$_]->send($statements[$_]) for 0 .. $#statements;
    return map { $sessions[$_]->result(30) // 'no answer' } 0 .. $#statements;
}


subtest 'two final feedbacks at once' => sub {
    my $r = rollout('final');
    my ($one, $two) = devices('final', 2);
    my ($a, $b) = @sessions;

    for my $case ([$one, 'success', 200], [$two, 'failure', 410]) {
        my ($device, $other, $status) = @$case;
        $a->query(start($device));
        my $id = open_action($device);

        $a->query('begin');
        is($a->query(feedback($device, $id, 'closed', 'success')), 200,
            'the first');
        $b->send(feedback($device, $id, 'closed', $other));
        ok($b->blocked($s), 'the second waits for it');
        $a->query('commit');
        is($b->result, $status, "then $other is $status");
        is($s->value('select count(*) from goosebit.action_status'
            . " where action_id = $id"), 1, 'one final status is kept');
    }

    is($s->value("select success from goosebit.rollout_counts(1, array[$r])"), 2,
        'each device is counted once');
    is($s->value("select failure from goosebit.rollout_counts(1, array[$r])"), 0,
        'and no failure');
};


# Rows are changed at the place where they were found: one that has moved while
# its lock was awaited is found where it is by then.
subtest 'an operator changes the rows that a device waits for' => sub {
    rollout('moved');
    my ($one, $two, $three) = devices('moved', 3);
    my $b = $sessions[0];
    my $operator = $s->psql;
    my ($id, $n) = (0, 0);
    my @started = ('deploymentBase', 'open|registered|f|f');
    my @read = (200, 'open|registered|t|f');
    my @runs = (200, 'running|running|t|t');
    my @done = (200, 'finished|finished|t|t');

    for (
        [$one, sub { start($one) }, @started],
        [$one, sub { call('status', 'deployment_base', $one, $id, 0) }, @read],
        [$one, sub { feedback($one, $id, 'proceeding', 'none') }, @runs],
        [$one, sub { feedback($one, $id, 'closed', 'success') }, @done],
        [$three, sub { starts(1000, $three) }, @started],
        [$two, sub { start($two) }, @started],
        [$two, sub { batch([$two, $id]) }, @read],
        [$two, sub { batch([$two, $id, 'proceeding', 'none']) }, @runs],
        [$two, sub { batch([$two, $id, 'closed', 'success']) }, @done],
    ) {
        my ($device, $call, $answer, $is) = @$_;
        my $starts = $answer eq 'deploymentBase';
        $id = 0 if $starts;
        my $sql = $call->();
        $n++;
        $operator->query('begin');
        $operator->query("update goosebit.device set name = 'name $n'"
            . " where controller_id = '$device'");
        $operator->query("update goosebit.action set deadline = $n"
            . " where id = $id");
        $b->send($sql);
        ok($b->blocked($s), "$answer waits");
        $operator->query('commit');
        is($b->result, $answer, 'and is done');
        $id ||= open_action($device);
        is($s->value("select concat_ws('|', a.state, d.state,
            a.fetched_at is not null, d.log_from > 0)
            from goosebit.device d
            join goosebit.action a on a.device_id = d.id
            where d.controller_id = '$device'"), $is,
            'to both rows');
        is($s->value("select d.name || ' ' || a.deadline from goosebit.device d
            join goosebit.action a on a.device_id = d.id
            where d.controller_id = '$device'"),
            "name $n " . ($starts ? 86400 : $n),
            'which keep what the operator did');
    }
    finish('moved');
    $operator->quit;
};


# A batch locks its devices one after the other as they stand in it, whatever it
# does with them, and whoever is not let in not at all.
subtest 'a batch takes its locks in its own order' => sub {
    rollout('turns');
    my ($first, $waits, $last) = devices('turns', 3);
    my $b = $sessions[0];
    my $other = $s->psql;
    my %id;
    for ($first, $waits, $last) {
        $b->query(start($_));
        $id{$_} = open_action($_);
    }
    $s->sql("update goosebit.device set blocked = true"
        . " where controller_id = '$last'");

    for my $of ([[$first], [$last, 11], [$waits, $id{$waits}, 'proceeding',
                 'none']], [[$first, $id{$first}], [$waits]]) {
        $other->query('begin');
        $other->query("select from goosebit.device
            where controller_id = '$waits' for update");
        $b->send(batch(@$of));
        ok($b->blocked($s), 'the batch waits');
        ok(locked($first), 'the one before is locked');
        ok(!locked($last), 'the one who is not let in is not');
        $other->query('commit');
        ok($b->result, 'and goes on');

        $other->query('begin');
        $other->query("select from goosebit.device
            where controller_id = '$waits' for update");
        $b->send(batch(reverse @$of));
        ok($b->blocked($s), 'the other way round it waits, too');
        ok(!locked($first), 'with none locked');
        $other->query('commit');
        ok($b->result, 'and goes on');
    }
    $s->sql("update goosebit.device set blocked = false"
        . " where controller_id = '$last'");
    is_deeply([split /\n/, $b->query(batch(map { [$_, $id{$_}, 'closed',
        'success'] } $first, $waits, $last))], [(200) x 3],
        'all end at once');
    $other->quit;
};


# Starts have their tenant's lock before any device's.
subtest 'so do starts' => sub {
    rollout('line');
    my ($holder, $first, $waits, $refused, $last) = devices('line', 5);
    my ($b, $c) = @sessions;
    my $other = $s->psql;
    $s->sql("update goosebit.device set blocked = true"
        . " where controller_id = '$refused'");

    $c->query('begin');
    is($c->query(start($holder)), 'deploymentBase', 'one who has the lock');
    $b->send(starts(1000, $first, $refused));
    ok($b->blocked($s), 'they wait for it');
    ok(!locked($first), 'with none locked');
    $c->query('commit');
    is_deeply([split /\n/, $b->result], ['deploymentBase', 401],
        'who may starts');

    $other->query('begin');
    $other->query("select from goosebit.device
        where controller_id = '$waits' for update");
    $b->send(starts(1000, $first, $refused, $waits, $last));
    ok($b->blocked($s), 'they wait for a device');
    ok(locked($first), 'the one before is locked');
    ok(!locked($_), 'not the one after, nor who is not let in')
        for $refused, $last;
    $c->send(start($holder));
    ok($c->blocked($s), 'nobody else starts');
    $other->query('commit');
    is_deeply([split /\n/, $b->result], ['deploymentBase', 401,
        ('deploymentBase') x 2], 'all others go on');
    $c->result;
    $s->sql("update goosebit.device set blocked = false"
        . " where controller_id = '$refused'");
    finish('line');
    $other->quit;
};


# What others have done by the time that its turn comes counts.
subtest 'starts judge devices as they are when it is their turn' => sub {
    rollout('late');
    my ($waits, $fails, $blocked, $pinned, $last) = devices('late', 5);
    my ($b, $c) = @sessions;
    my $operator = $s->psql;
    $b->query(start($fails));
    my $id = open_action($fails);

    $operator->query('begin');
    $operator->query("select from goosebit.device
        where controller_id = '$waits' for update");
    $b->send(starts(1000, $waits, $fails, $blocked, $pinned, $last));
    ok($b->blocked($s), 'they wait');
    is($c->query(feedback($fails, $id, 'closed', 'failure')), 200,
        'another fails meanwhile');
    $s->sql("update goosebit.device set blocked = true
        where controller_id = '$blocked'");
    $s->sql("update goosebit.device set mode = 'pinned'
        where controller_id = '$pinned'");
    $operator->query('commit');
    is_deeply([split /\n/, $b->result],
        ['deploymentBase', 200, 401, 200, 'deploymentBase'],
        'it is held, who is blocked refused, and who is pinned left alone');
    is($s->value("select string_agg(d.controller_id, ' ' order by d.id)
        from goosebit.action a join goosebit.device d on d.id = a.device_id
        where d.feed = 'late' and a.ended_at is null"), "$waits $last",
        'two are started');
    finish('late');
    $operator->quit;
};


# Who is refused by the time that its turn comes is refused in a batch, too:
# what let it in when the batch began is not asked again by itself.
subtest 'an operator refuses devices of a batch that waits for another' => sub {
    rollout('refused');
    my ($waits, $blocked, $token, $last) = devices('refused', 4);
    my $b = $sessions[0];
    my $operator = $s->psql;
    my %id;
    for ($waits, $blocked, $token, $last) {
        $b->query(start($_));
        $id{$_} = open_action($_);
    }
    $operator->query('begin');
    $operator->query("select from goosebit.device
        where controller_id = '$waits' for update");
    $b->send(batch(map { [$_, $id{$_}, 'proceeding', 'none'] }
        $waits, $blocked, $token, $last) =~ s/'off'/'lax'/gr);
    ok($b->blocked($s), 'the batch waits');
    $s->sql("update goosebit.device set blocked = true"
        . " where controller_id = '$blocked'");
    $s->sql("update goosebit.device set token = sha256('secret')"
        . " where controller_id = '$token'");
    $operator->query('commit');
    is_deeply([split /\n/, $b->result], [200, 401, 401, 200],
        'who is blocked, and who has a token now, are not let in');
    is($s->value("select string_agg(a.statuses || a.state, ' '
            order by d.controller_id <> '$waits', d.controller_id)
        from goosebit.action a join goosebit.device d on d.id = a.device_id
        where d.feed = 'refused'"), '1running 0open 0open 1running',
        'nor heard');
    $s->sql("update goosebit.device set blocked = false"
        . " where controller_id = '$blocked'");
    is_deeply([split /\n/, $b->query(batch(map { [$_, $id{$_}, 'closed',
        'success'] } $waits, $blocked, $token, $last))], [(200) x 4],
        'all end, so that they are in nobody\'s way');
    $operator->quit;
};


subtest 'sixteen finals of sixteen devices, each sent twice' => sub {
    my $r = rollout('many');
    my @devices = devices('many', 16);
    together(map { start($_) } @devices);
    my @final = map { feedback($_, open_action($_), 'closed', 'success') }
        @devices;

    is_deeply([together(@final)], [(200) x 16], 'all 200');
    is_deeply([together(reverse @final)], [(200) x 16], 'again');
    is($s->value("select success from goosebit.rollout_counts(1, array[$r])"), 16,
        'none lost, none counted twice');
};


# The bound is one: of the rollout, then of the tenant over two rollouts.
sub bound_of_one {
    my ($bound, @devices) = @_;
    my ($a, $b) = @sessions;

    $a->query('begin');
    is($a->query(start($devices[0], $bound)), 'deploymentBase', 'takes it');
    $b->send(start($devices[1], $bound));
    ok($b->blocked($s), 'another waits');
    $a->query('commit');
    is($b->result, 'none', 'and finds it taken');
    $a->query(feedback($devices[0], open_action($devices[0]), 'closed',
        'success'));

    my ($rounds, $most, $started) = (0, 0, 0);
    while ($rounds++ < 12) {
        my @links = together(map { start($_, $bound) } @devices);
        my @open = map {@$_} @{ids($s->sql('select d.controller_id from'
            . ' goosebit.action a join goosebit.device d on d.id = a.device_id'
            . ' where a.ended_at is null'))};
        $most = @open if @open > $most;
        $started += grep { $_ eq 'deploymentBase' } @links;
        together(map { feedback($_, open_action($_), 'closed', 'success') }
            @open);
    }
    is($most, 1, 'never two running');
    is($started, 12, 'and never none, while some wait');
}


# Rows as text or arrays, whichever the stack's sql() gives.
sub ids {
    my (@rows) = @_;
    return [map { ref $_ ? $_ : [$_] } @rows];
}


# Sixteen sessions that start eighteen devices in threes, and those in each
# other's way: of the rollout's bound, then of the tenant's.
subtest 'starts of many leave a bound of five exact' => sub {
    my $open = 'select count(*) from goosebit.action where ended_at is null';
    for my $case (['five', 5, 1000], ['free', undef, 5]) {
        my ($name, $most, $bound) = @$case;
        my $before = $s->value($open);
        $bound += $before if !$most;
        for my $round (1 .. 4) {
            my $feed = "$name-$round";
            rollout($feed, $most);
            my @devices = devices($feed, 18);
            my @links = map { split /\n/ } together(map {
                starts($bound, @devices[$_ .. $_ + 2]) } 0 .. 15);
            is(scalar(@links), 48, 'all are answered');
            is($s->value($open) - $before, 5, 'five are started');
            finish($feed);
        }
    }
};


# The tenant's bound is that of the moment in which its lock is had.
subtest 'a bound that is lowered while starts wait' => sub {
    rollout('lowered');
    my @devices = devices('lowered', 5);
    my ($a, $b) = @sessions;
    $a->query('begin');
    is($a->query(start(shift @devices)), 'deploymentBase', 'one has the lock');
    $b->send(starts(1000, @devices));
    ok($b->blocked($s), 'four wait');
    $s->sql('update goosebit.tenant set max_updates = (select count(*) + 2
        from goosebit.action where ended_at is null) where id = 1');
    $a->query('commit');
    is_deeply([split /\n/, $b->result], ['deploymentBase', (200) x 3],
        'there is room for one more');
    $s->sql('update goosebit.tenant set max_updates = null where id = 1');
    finish('lowered');
};


# It would take a lock behind another's that it has.
subtest 'who is let in while starts wait is started the next time' => sub {
    rollout('unblocked');
    my ($first, $waits) = devices('unblocked', 2);
    my ($a, $b) = @sessions;
    my ($operator, $another) = map { $s->psql } 1 .. 2;
    $s->sql("update goosebit.device set blocked = true
        where controller_id = '$first'");
    $operator->query('begin');
    $operator->query("select from goosebit.device
        where controller_id = '$waits' for update");
    $a->send(starts(1000, $first, $waits)
        =~ s/coalesce\(link, status::text\)/concat_ws(' ', status, next, link)/r);
    ok($a->blocked($s), 'they wait');
    $s->sql("update goosebit.device set blocked = false
        where controller_id = '$first'");
    $another->query('begin');
    $another->query("select from goosebit.device
        where controller_id = '$first' for update");
    $operator->query('commit');
    is_deeply([split /\n/, $a->result], ['200 start',
        '200 started deploymentBase'], 'it is not waited for');
    $another->query('commit');
    is($b->query(start($first)), 'deploymentBase', 'but started then');
    finish('unblocked');
    $_->quit for $operator, $another;
};


subtest 'a rollout\'s bound of one, sixteen sessions' => sub {
    rollout('narrow', 1);
    bound_of_one(1000, devices('narrow', 16));
};


subtest 'the tenant\'s bound of one, over two rollouts' => sub {
    rollout('left');
    rollout('right');
    my @left = devices('left', 8);
    my @right = devices('right', 8);
    bound_of_one(1, map { ($left[$_], $right[$_]) } 0 .. 7);
};


subtest 'tick: one at a time' => sub {
    my ($a, $b) = @sessions;

    $s->sql("update goosebit.tick_state set ran_at = '-infinity'");
    $a->query('begin');
    is($a->query('select * from goosebit_ddi.tick()'), 't', 'runs');
    is($b->query('select * from goosebit_ddi.tick()'), 'f',
        'the other returns at once');
    $a->query('commit');
};


subtest 'batches in one order don\'t deadlock' => sub {
    rollout('order');
    my @devices = devices('order', 16);
    together(map { start($_) } @devices);
    my @id = map { open_action($_) } @devices;
    my @order = sort { $devices[$a] cmp $devices[$b] } 0 .. 15;

    for my $round (1 .. 5) {
        my @batches = map {
            join ";\n", 'begin', (map { feedback($devices[$_], $id[$_],
                'proceeding', 'none') } @order), 'commit'
        } 1 .. 8;
        my $bad = grep { /ERROR|no answer/ } together(@batches);
        is($bad, 0, "round $round");
    }
};


# No foreign key would keep an action out whose device is gone.
subtest 'a device is deleted meanwhile' => sub {
    rollout('leaving');
    my ($operator, $module) = map { $s->psql } 1 .. 2;
    my ($one, $two) = devices('leaving', 2);
    for my $case ([$one, start($one), 'none'],
                  [$two, starts(1000, $two), 200]) {
        my ($device, $call, $answer) = @$case;
        $operator->query($_) for 'begin',
            "select count(*) from goosebit_admin.device_delete('default',"
            . " '{$device}')";
        $module->send($call);
        ok($module->blocked($s), 'its start waits');
        $operator->query('commit');
        is($module->result, $answer, 'and finds it unknown');
    }
    is($s->value('select count(*) from goosebit.action a where not exists'
        . ' (select from goosebit.device d where d.id = a.device_id)'), 0,
        'no action is left');
};


done_testing;
