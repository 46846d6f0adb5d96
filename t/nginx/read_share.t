# Polls that come one after the other go on in one transaction, which costs
# less than one each; none is answered otherwise for that.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use JSON::PP;
use Goosebit::Test;
use Goosebit::Fleet;

my $s = stack(workers => 1, pg => "log_statement = all\nlog_line_prefix = "
    . "'%v '\n");
my $f = Goosebit::Fleet->new($s);
my $software = $f->software('2.0.0', 'board:r1');
$f->register("d$_", sw_version => '1.0.0') for 1 .. 20;
$f->register('other', sw_version => '1.0.0', hw_model => 'other');

my $seen = 0;

# The transaction of each poll since the last time, by PostgreSQL's log.
sub transactions {
    my $log = substr $s->pg_log, $seen;
    $seen += length $log;
    return $log =~ m{^(\d+/\d+) LOG:  execute goosebit_poll\b}mg;
}

sub polls { return scalar(() = $s->pg_log =~ /execute goosebit_poll\b/g) }

sub distinct { my %of = map { $_ => 1 } @_; return scalar keys %of }

# Polls of all devices by so many clients, as fast as they are answered, while
# CODE runs; what the load has to say of them.
sub under_load {
    my ($clients, $code) = @_;
    my $before = polls();
    pipe my $read, my $write or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDOUT, '>&', $write or die "stdout: $!\n";
        exec 'build/tools/gbpoll', '127.0.0.1', $s->port, $clients, 3, 0,
            ddi('d'), 20;
    }
    close $write;
    wait_for { polls() > $before + 50 };
    $code->();
    my $said = do { local $/; <$read> };
    waitpid $pid, 0;
    return decode_json($said);
}


subtest 'a poll by itself' => sub {
    sleep 1;
    transactions();
    $f->poll('d1');
    sleep 1;
    $f->poll('d2');
    sleep 1;
    # a tick comes in between, and may be slow
    is($s->value("SELECT count(*) FROM pg_stat_activity
        WHERE usename = 'goosebit_ddi' AND state LIKE 'idle in transaction%'
          AND state_change < clock_timestamp() - interval '0.5 s'"), 0,
        'leaves nothing open');
    is(distinct(transactions()), 2, 'each has its transaction');
};


subtest 'many' => sub {
    # On a busy machine a poll may come too late after the one before it, and
    # most of them do for a while; without sharing none is in time, ever.
    my @of;
    for my $round (1 .. 6) {
        my $r = under_load(1, sub {});
        is($r->{failed}, 0, 'are answered');
        @of = transactions();
        last if @of > 100 && distinct(@of) < @of / 2;
    }
    cmp_ok(scalar @of, '>', 100, 'as many as there are');
    cmp_ok(distinct(@of), '<', @of / 2, 'and share transactions');
    ok(wait_for { $s->value("SELECT count(*) FROM pg_stat_activity
        WHERE usename = 'goosebit_ddi' AND state <> 'idle'") == 0 },
        'which end when no more come');
};


subtest 'what is committed meanwhile' => sub {
    my @offered;
    my $r = under_load(4, sub {
        for my $id (map { "d$_" } 1 .. 8) {
            my $set = $s->gbctl('device', 'assign', $id, '2.0.0');
            push @offered, $id
                if $set->{exit} == 0
                    && (($f->poll($id))[0] // '') eq 'deploymentBase';
        }
    });
    is_deeply(\@offered, [map { "d$_" } 1 .. 8], 'the next poll knows');
    is($r->{failed}, 0, 'all are answered');
};


subtest 'one that fails' => sub {
    # a pattern that is none, of the other model only
    $s->sql('ALTER TABLE goosebit.software_hardware
        DROP CONSTRAINT software_hardware_pattern');
    $s->sql("INSERT INTO goosebit.software_hardware (tenant_id, software_id,
        model, revision, version_key) SELECT tenant_id, id, 'other', '#RE:(',
        version_key FROM goosebit.software");
    $s->gbctl('device', 'set', 'other', '--mode', 'latest');
    my @status;
    my $r = under_load(4, sub {
        push @status, $s->get(ddi('other'))->{status} for 1 .. 5;
    });
    is_deeply(\@status, [(503) x 5], 'fails');
    is($r->{failed}, 0, 'alone');
    $s->allow_log(qr/goosebit_poll failed/);
};


done_testing;
