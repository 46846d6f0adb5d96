# goosebit_ddi.changes() after a crash: what was committed without waiting for
# the disk is gone, and its transaction numbers are given out once more. A
# reader that has looked before must not take those for what it knows.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

# Nothing comes to the disk that nobody waits for.
my $s = stack(nginx => 0, pg => <<'CONF');
wal_level = minimal
max_wal_senders = 0
autovacuum = off
wal_writer_delay = 10s
wal_writer_flush_after = 1GB
CONF

# The first row's kind is the snapshot, and it has that.
sub look {
    my ($prev) = @_;
    my $since = defined $prev ? "'$prev'" : 'null';
    my @rows = $s->sql("select kind, snapshot, encode(devices, 'hex')
        from goosebit_ddi.changes($since, '{}', '{}', 1000)",
        user => 'goosebit_ddi');
    my ($snapshot) = map { $_->[1] } grep { $_->[0] eq 'snapshot' } @rows;
    return ($snapshot, join ', ', map { $_->[2] // $_->[0] }
        grep { $_->[0] ne 'snapshot' } @rows);
}

sub numbers {
    my ($n) = @_;
    my $psql = $s->psql;
    $psql->query('set synchronous_commit to off');
    my @xid = map { $psql->query('select pg_current_xact_id()') } 1 .. $n;
    $psql->quit;
    return @xid;
}

my ($prev) = look();
is((look($prev))[1], '', 'nothing is new');

my @lost = numbers(20);
($prev) = look($prev);
$s->pg('kill');
$s->pg('start');

$s->sql("select goosebit.changed('device', 1, null, 7)");
my $xid = $s->value(q{select xid from goosebit.change where device_id = 7});
ok($xid <= $lost[-1], "number $xid was given out before the crash, too");
ok((numbers(30))[-1] > $lost[-1], 'and so are all by now');
is((look($prev))[1], 'all', 'whoever looked before trusts nothing any more');

($prev) = look();
$s->pg('stop');
$s->pg('start');
is((look($prev))[1], '', 'a server that was stopped has lost nothing');

done_testing;
