# What many devices say and read at once is one call for PostgreSQL, and for
# each of them as if it were alone.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Fleet;

my $s = stack(workers => 1, fsync => 'off', patient => 1,
    yaml => "poll_time: 00:00:30\n", pg => "log_statement = 'all'\n");
my $front = $s;     # who is asked
my $f = Goosebit::Fleet->new($s);
$s->gbctl('rollout', 'create', '--software', $f->software('2.0.0', 'board:r1'));

my @ids = ('gate', 'a' .. 'p');
my %action;
for my $id (@ids) {
    $f->register($id, sw_version => '1.0.0');
    (undef, $action{$id}) = $f->poll($id);
}


sub asks {
    my $http = $front->http;
    $http->send_request(@_);
    return $http;
}

sub status { ($_[0]->response // { status => 'none' })->{status} }

sub says {
    my ($id, $execution, %opt) = @_;
    my $action = $opt{action} // $action{$id};
    return asks('POST', ddi($id, 'deploymentBase', $action, 'feedback'),
        json => { id => "$action", status => { execution => $execution,
            result => { finished => $opt{finished} // 'none' },
            details => $opt{details} // [] } });
}

sub reads {
    my ($id, $args) = @_;
    return asks('GET', ddi($id, 'deploymentBase', $action{$id})
        . ($args // ''));
}

sub configures {
    my ($id) = @_;
    return asks('PUT', ddi($id, 'configData'), json => { data => {
        hw_model => 'board', hw_revision => 'r1', note => 'merged' } });
}

# New devices for which an update is due.
my $fresh = 0;
sub due {
    my ($n) = @_;
    my @new = map { 'new-' . $fresh++ } 1 .. $n;
    $f->register($_, sw_version => '1.0.0') for @new;
    return @new;
}

sub polls { asks('GET', ddi($_[0])) }

# The action that an answer to a poll links to.
sub offered {
    my ($http) = @_;
    my $link = ($http->response // {})->{json}{_links}{deploymentBase}{href};
    return ($link // '') =~ m{deploymentBase/(\d+)} ? $1 : 'none';
}

# Of these, in a row.
sub open_actions {
    return join ' ', map { $s->value("select coalesce(open_action_id::text,
        'none') from goosebit.device where controller_id = '$_'") } @_;
}

sub db { $front->get('/status')->{json}{db} }

# Lets nobody change this device.
sub refuse {
    my ($id) = @_;
    $s->sql(<<"SQL");
create or replace function public.refuse() returns trigger language plpgsql as
\$\$ begin raise exception 'not %', new.controller_id; end \$\$;
create trigger refuse before update on goosebit.device for each row
    when (new.controller_id = '$id') execute function public.refuse();
SQL
}

# A session that holds this device's row.
sub holds {
    my ($id) = @_;
    my $psql = $s->psql;
    $psql->query("begin; select from goosebit.device
        where controller_id = '$id' for update");
    return $psql;
}

sub waiting {
    my ($what) = @_;
    return wait_for { $s->value("select count(*) from pg_stat_activity
        where wait_event_type = 'Lock' and query like '%$what(%'") };
}

# Has what CODE sends go together: behind a write that waits for its row. Gives
# what CODE gives.
sub together {
    my ($n, $code) = @_;
    my $psql = holds('gate');
    my $first = configures('gate');
    waiting('config_data');
    my @sent = $code->();
    ok((wait_for { db()->{queued} == $n }), "$n wait");
    $psql->query('commit');
    is(status($first), 200, 'the first goes on');
    return @sent;
}

# How often PostgreSQL has been asked for each of these since the last time.
my $seen = 0;
sub calls {
    my $log = substr $s->pg_log, $seen;
    $seen += length $log;
    my %n;
    $n{$1}++ while $log =~ /execute goosebit_(\w+):/g;
    return { map { $_ => $n{$_} // 0 } @_ };
}

sub state {
    my ($id) = @_;
    return $s->value("select concat_ws('|', d.state, a.state, a.statuses,
        a.progress, (select string_agg(array_to_string(x.details, ','), ';'
                     order by x.id)
                     from goosebit.action_status x where x.action_id = a.id))
        from goosebit.device d
        join goosebit.action a on a.id = $action{$id}
        where d.controller_id = '$id'");
}


subtest 'one call, and an answer for each' => sub {
    calls();
    my ($running, $closed, $first, $data, $long, $wrong, $twice, $final)
        = together(8, sub {
            says('a', 'proceeding', details => ['Downloaded 7%', "\x{fc}"]),
            says('b', 'closed', finished => 'success', details => ['done']),
            reads('c'), configures('d'), reads('e', '?actionHistory=3'),
            says('f', 'proceeding', action => $action{a}),
            says('g', 'proceeding', details => [1 .. 3]),
            says('g', 'closed', finished => 'failure') });
    is(status($running), 200, 'who goes on');
    is(status($closed), 200, 'who is done');
    my $read = $first->response;
    is($read->{status}, 200, 'who reads');
    is(status($data), 200, 'who describes itself');
    is(status($long), 200, 'who wants the history, too');
    is(status($wrong), 404, 'whose action it is not');
    is(status($twice), 200, 'who goes on');
    is(status($final), 200, 'and fails at once');

    is_deeply(calls(qw(batch feedback deployment_base config_data)), {
        batch => 1, feedback => 0, deployment_base => 1, config_data => 2 },
        'one call for all but what is another\'s');
    is(state('a'), "running|running|1|7|Downloaded 7%,\xc3\xbc", 'it runs');
    is(state('b'), 'finished|finished|1|100|done', 'it is finished');
    is(state('f'), 'registered|open|0|0', 'nothing has happened');
    is(state('g'), 'error|error|2|0|1,2,3;', 'both in order');
    is($s->value("select count(fetched_at) from goosebit.action
        where id in ($action{c}, $action{e}, $action{f})"), 2,
        'what was read is known');
    is_deeply($read->{json}, reads('c')->response->{json},
        'who reads gets what it gets alone');
};


subtest 'one call starts all that are due' => sub {
    for my $with (0, 1) {
        my @new = due(4);
        $s->sql("update goosebit.device set force_update = true
            where controller_id = '$new[1]'");
        calls();
        my $from = length $s->pg_log;
        my @sent = together(4 + $with, sub { (map { polls($_) } @new),
            $with ? says('c', 'proceeding') : () });
        my $write = $with ? pop @sent : undef;
        my @links = map { offered($_) } @sent;
        is("@links", open_actions(@new), 'each has its own');
        unlike("@links", qr/none/, 'and one it has');
        is(status($write), 200, 'who writes, too') if $with;
        is_deeply(calls(qw(starts start start_held)),
            { starts => 1, start => 0, start_held => 0 }, 'by one call');
        like(substr($s->pg_log, $from),
            qr/execute goosebit_starts:.*\n.*DETAIL: .*\$8 = '$with'\n/,
            $with ? 'whose commit need not wait for the disk, as that of the'
                  . ' write does' : 'whose commit waits for the disk');
    }
};


subtest 'a start that fails takes nobody along' => sub {
    my @new = due(3);
    refuse($new[1]);
    my @sent = together(3, sub { map { polls($_) } @new });
    is_deeply([map { status($_) } @sent], [200, 503, 200], 'but the one');
    $s->sql('drop trigger refuse on goosebit.device');
    like(open_actions(@new), qr/\A\d+ none \d+\z/, 'the others are started');
};


subtest 'few are asked for as they are' => sub {
    my @sent = together(2, sub { says('c', 'proceeding'), reads('d') });
    is(status($_), 200, 'an answer') for @sent;
    is_deeply(calls(qw(batch feedback deployment_base)),
        { batch => 0, feedback => 1, deployment_base => 1 }, 'two calls');
};


subtest 'so are those beside one who is new' => sub {
    my @sent = together(4, sub { (map { says($_, 'proceeding') } qw(c d e)),
        asks('GET', ddi('stranger')) });
    is(status($_), 200, 'an answer') for @sent;
    is_deeply(calls(qw(batch feedback register)),
        { batch => 0, feedback => 3, register => 1 },
        'who would take a lock after the others');
};


subtest 'one that fails takes nobody along' => sub {
    refuse('i');
    my @sent = together(4, sub {
        map { says($_, 'proceeding', details => ['once']) } qw(h i j k) });
    is_deeply([map { status($_) } @sent], [200, 503, 200, 200],
        'but the one');
    $s->sql('drop trigger refuse on goosebit.device');
    is(state($_), 'running|running|1|0|once', "$_ is taken once")
        for qw(h j k);
    is(state('i'), 'registered|open|0|0', 'i not at all');
    like($s->error_log, qr/goosebit_feedback failed: not i/, 'the log says why');
};


subtest 'one that leaves' => sub {
    my $psql = holds('m');
    my (@sent, $leaves);
    together(4, sub {
        @sent = map { says($_, 'proceeding') } qw(l m n);
        $leaves = reads('o');
        return;
    });
    ok(waiting('batch'), 'while all wait');
    $leaves->close;
    ok((wait_for { $front->access_log =~ m{/o/deploy\S+ HTTP/1.1" 499} }),
        'its end is seen');
    $psql->query('commit');
    is(status($_), 200, 'another is answered') for @sent;
    is($s->value("select count(fetched_at) from goosebit.action
        where id = $action{o}"), 1, 'what it read is known');
};


subtest 'a connection that ends' => sub {
    my $psql = holds('m');
    my @sent = together(4, sub { map { says($_, 'closed') } qw(l m n o) });
    ok(waiting('batch'), 'while all wait');
    $s->value("select pg_terminate_backend(pid) from pg_stat_activity
        where wait_event_type = 'Lock' and query like '%batch(%'");
    is(status($_), 503, 'who is to ask again') for @sent;
    $psql->query('commit');
    is(state('l'), 'running|running|1|0|', 'nothing has happened');
    ok((wait_for { $s->get(ddi('l'))->{status} == 200 }), 'and goes on');
};


# What is prepared is known by name, what is not by its text.
my @new = due(4);
for my $case (
    ['through a pooler', 'prepare=off', '', qr/execute <unnamed>: .*batch\(/,
        qr/execute <unnamed>: .*starts\(/],
    ['a database of before', '', 'drop function goosebit_ddi.batch;
        drop function goosebit_ddi.starts',
        qr/execute goosebit_feedback:(?s:.*goosebit_feedback:){2}/,
        qr/execute goosebit_start:(?s:.*goosebit_start:)/],
) {
    my ($name, $database, $sql, @re) = @$case;
    subtest $name => sub {
        $s->sql($sql) if $sql;
        my @due = splice @new, 0, 2;
        $s->nginx('stop');
        my $n = stack(with => $s, workers => 1, database => $database,
            patient => 1);
        $front = $n;
        db();
        calls();
        my @sent = together(3, sub { map { says($_, 'resumed') } qw(l m n) });
        is(status($_), 200, 'an answer') for @sent;
        @sent = together(2, sub { map { polls($_) } @due });
        is(join(' ', map { offered($_) } @sent), open_actions(@due), 'a start');
        like($s->pg_log, $_, 'asked for as they can be') for @re;
        $n->stop;
    };
}

done_testing;
