# Devices that are being updated ask again as soon as they are answered: those
# that shared a transaction gather for the next, unless their worker is alone.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;
use Goosebit::Fleet;

use IO::Select;

my $pid = 'location /pid { return 200 $pid; }';
my $n = 6;      # devices


# So many connections of one worker.
sub connections {
    my ($s) = @_;
    my %of;
    for (1 .. 200) {
        my $http = $s->http;
        my $of = $of{$http->request('GET', '/pid')->{body}} //= [];
        push @$of, $http;
        return @$of if @$of == $n;
    }
    die "the workers did not take $n connections\n";
}


# Each says "proceeding" again and again, as soon as it is answered; how many
# shared a transaction, in the mean.
sub together {
    my ($s, %action) = @_;
    my %client;
    my @http = connections($s);
    my $say = sub {
        my ($id) = @_;
        $client{$id}->send_request('POST', ddi($id, 'deploymentBase',
            $action{$id}, 'feedback'), json => { id => "$action{$id}",
            status => { execution => 'proceeding',
                result => { finished => 'none' } } });
    };
    my $select = IO::Select->new;
    my ($said, $failed) = (0, 0);
    my $before = $s->value('SELECT pg_current_xact_id()');

    for my $id (sort keys %action) {
        $client{$id} = shift @http;
        $select->add([$client{$id}{sock}, $id]);
        $say->($id);
    }
    while ($said < 300) {
        for (map { $_->[1] } $select->can_read(10)) {
            $failed++ if $client{$_}->response('POST')->{status} != 200;
            $said++;
            $say->($_);
        }
    }
    $client{$_}->response('POST') for keys %action;
    is($failed, 0, 'all are heard');
    return ($said + $n) / ($s->value('SELECT pg_current_xact_id()') - $before);
}


for my $workers (2, 1) {
    my $s = stack(fsync => 'off', workers => $workers, server => $pid);
    my $f = Goosebit::Fleet->new($s);
    $s->gbctl('rollout', 'create', '--software',
        $f->software('2.0.0', 'board:r1'));
    my %action;
    for (1 .. $n) {
        $f->register("d$_", sw_version => '1.0.0');
        $action{"d$_"} = $f->fetch("d$_");
    }

    # Nobody is waited for long, so a slow machine keeps them apart; or it
    # brings all at once by itself.
    my $mean;
    for (1 .. 20) {
        $mean = together($s, %action);
        last if $workers > 1 ? $mean > 4 : $mean < 4;
    }
    cmp_ok($mean, $workers > 1 ? '>' : '<', 4, $workers > 1
        ? "nearly all $n share their transactions"
        : 'alone: half of them do, while the others are answered');
}

done_testing;
