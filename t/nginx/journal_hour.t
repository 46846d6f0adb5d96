#!/usr/bin/perl
# The hour of a rollout is seen at each nginx as what an operator does is:
# goosebit_sync and a second later at most, whatever keeps tick() from running;
# and where there was no database at that hour, once there is.
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Pair;
use Goosebit::Test;

my $p = Goosebit::Pair->new;
my $v2 = $p->software('2.0.0');
my $offer = '200 open [deploymentBase]';
my $none = '200 no_rollout []';


# hour(AFTER, FEED): a rollout that begins so many seconds from now; gives when
sub hour {
    my ($after, $feed) = @_;
    return $p->value("insert into goosebit.rollout (tenant_id, software_id,"
        . " feed, start_at) values (1, $v2, '$feed', clock_timestamp() +"
        . " interval '$after s') returning extract(epoch from start_at)");
}


# seen(ID, SECONDS): when each has offered it, or 1e99
sub seen {
    my ($id, $seconds) = @_;
    my @seen;
    wait_for {
        for my $n (grep { !$seen[$_] } 0, 1) {
            $seen[$n] = time if $p->poll($n, $id)->{text} eq $offer;
        }
        $seen[0] && $seen[1];
    } $seconds;
    return map { $_ // 1e99 } @seen[0, 1];
}


# ---- tick() has to wait, as it would for a lock of an operator's; where the
# machine had other things to do, there is another hour

{
    my $other = $p->first->psql;
    my @seen;
    $other->query('select pg_advisory_lock(1196770122, 0)');

    for my $try (1 .. 5) {
        my $id = $p->device("held-$try", feed => "held-$try");
        $p->warm($id);
        my $at = hour(3, "held-$try");
        my @before = map { $p->poll($_, $id) } 0, 1, 0;
        next if time >= $at;
        is_deeply([map { $_->{text} } @before[0, 1]], [$none, $none],
            'before the hour');
        is($before[2]{cache}, 'HIT', 'which costs no SQL');
        @seen = map { $_ - $at } seen($id, 30);
        ok(!(grep { $_ < 0 } @seen), 'not before it') or diag("@seen");
        last if !grep { $_ > 2 } @seen;
    }
    ok(@seen && !(grep { $_ > 2 } @seen), 'within two seconds after it')
        or diag("@seen");
    $other->query('select pg_advisory_unlock(1196770122, 0)');
}


# ---- no database when the hour comes

{
    $p->device('away', feed => 'away');
    $p->warm('away');
    my $at = hour(6, 'away');
    $p->first->pg('stop');
    my $wait = $at + 1 - time;
    sleep $wait if $wait > 0;
    is($p->poll($_, 'away')->{cache}, 'STALE', "nobody knows at $_") for 0, 1;
    $p->first->pg('start');
    my $back = time;
    my @seen = map { $_ - $back } seen('away', 30);
    ok(!(grep { $_ > 10 } @seen), 'seen within ten seconds of its return')
        or diag("@seen");
}

done_testing;
