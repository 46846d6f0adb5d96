# After eight polls in a row that were due, the next ones begin with start,
# which decides and answers like a poll; the first that was not due ends it.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Fleet;

my $s = stack(workers => 1, pg => "log_statement = all\n",
    yaml => "device_auth:\n  enable: true\n  mode: lax\n");
my $f = Goosebit::Fleet->new($s);
$f->register("d$_", sw_version => '1.0.0') for 1 .. 20;
$f->register("other$_", hw_model => 'other') for 1 .. 3;
my $software = $f->software('2.0.0', 'board:r1');
is($s->gbctl('rollout', 'create', '--software', $software)->{exit}, 0,
    'a rollout');

my %last = (poll => 0, start => 0);

# What was executed since the last time, by PostgreSQL's log.
sub called {
    my ($poll, $start, $name) = @_;
    my %now;
    $now{$_}++ for $s->pg_log
        =~ /execute goosebit_(poll|start)\b/g;
    is_deeply({ map { $_ => ($now{$_} // 0) - $last{$_} } keys %last },
        { poll => $poll, start => $start },
        "$name: $poll by poll, $start by start");
    %last = (%last, %now);
}

sub offered {
    my @offered = grep { ($f->poll($_))[0] eq 'deploymentBase' } @_;
    is_deeply(\@offered, \@_, 'each is offered its action');
}

called(23, 0, 'registered');


subtest 'after eight that were due' => sub {
    offered(map { "d$_" } 1 .. 8);
    called(8, 8, 'these');
    offered(map { "d$_" } 9 .. 12);
    called(0, 4, 'the next');
};


subtest 'whoever was not due gets its answer, and ends it' => sub {
    is_deeply([$f->poll('other1')], [], 'nothing for it');
    called(0, 1, 'the first');
    is_deeply([$f->poll('other2')], [], 'nothing for it');
    called(1, 0, 'the next');
};


subtest 'refused and unknown devices' => sub {
    is($s->gbctl({ stdin => "secret\n" }, 'device', 'token', 'other3',
        '--set', '-')->{exit}, 0, 'a token');
    my $actions = 'SELECT count(*) FROM goosebit.action';

    offered(map { "d$_" } 13 .. 20);
    is($s->get(ddi('other3'))->{status}, 401, 'refused');
    is($s->value($actions), 20, 'nothing has started');
    called(8, 9, 'these');

    offered(grep { !$f->register($_, sw_version => '1.0.0') }
        map { "e$_" } 1 .. 8);
    is_deeply([$f->poll('new')], ['configData'], 'unknown');
    is($s->value("SELECT count(*) FROM goosebit.device
        WHERE controller_id = 'new'"), 1, 'registered');
    called(15, 10, "these, the first by start");
};


subtest 'a device that has its action' => sub {
    offered(grep { !$f->register($_, sw_version => '1.0.0') }
        map { "g$_" } 1 .. 8);
    my @first = $f->poll('g1');
    is_deeply([$f->poll('g1')], \@first, 'keeps it');
    called(17, 9, 'these');
    is($s->value('SELECT count(*) FROM goosebit.action
        WHERE ended_at IS NULL'), 36, 'one each');
};


done_testing;
