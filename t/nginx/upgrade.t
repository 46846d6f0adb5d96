# A new binary (USR2), as an upgrade of Debian's package starts it, goes on with
# all settings, those of the environment too.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $s = stack(fsync => 'off', workers => 1, http => 'goosebit_cache zone=z:1m;',
    env => {
        GOOSEBIT_DEVICE_AUTH__ENABLE => 'true',
        GOOSEBIT_DEVICE_AUTH__MODE => 'strict',
        goosebit_poll_time => '00:07:00',
    });

is($s->gbctl('device', 'add', 'd', '--token', 'T')->{exit}, 0, 'a token');
is($s->gbctl('device', 'add', 'e')->{exit}, 0, 'and a device without');

sub serves {
    my ($who) = @_;
    my $r = $s->get(ddi('d'), headers => [Authorization => 'TargetToken T']);
    is($r->{status}, 200, "$who: lets in whom it should");
    is($r->{json}{config}{polling}{sleep}, '00:07:00', 'tells the interval');
    is($s->get(ddi('e'))->{status}, 401, 'and nobody else');
}

$s->put(ddi('d', 'configData'), json => { data => {} },
    headers => [Authorization => 'TargetToken T']);
serves('the first');

for my $who ('the second', 'the third') {
    my $old = $s->pid;
    kill USR2 => $old;
    ok(wait_for(sub { ($s->pid // $old) != $old && $s->workers }),
        'a new binary is there') or last;
    kill QUIT => $old;
    ok(wait_for(sub { !-e "/proc/$old/exe" }), 'the old one goes');
    serves($who);
}

done_testing;
