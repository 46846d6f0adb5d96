#!/usr/bin/perl
# Through a connection pooler: every device gets its own answer, also where the
# pooler hands servers on between transactions, and nobody has told us so.
use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;
use Goosebit::Pooler;

my $s = stack(workers => 2);
my $conf = $s->dir . '/nginx.conf';
my $nginx = slurp($conf);
my $config = { data => { hw_model => 'm', sw_version => '1' } };
my @ids = ((map { "has$_" } 0 .. 39), map { "new$_" } 0 .. 39);

for my $id (@ids) {
    $s->get(ddi($id));
    $s->put(ddi($id, 'configData'), json => $config) if $id =~ /^has/;
}


# Polls of both kinds of device, many at a time and at no even pace: who has
# sent its configData is not asked for it, the others are.
sub fleet {
    my ($what) = @_;
    my (@open, %n);

    for my $i (1 .. 800) {
        my $id = $ids[rand @ids];
        my $http = $s->http;
        $http->send_request('GET', ddi($id));
        push @open, [$id, $http];
        sleep rand 0.003;
        next if @open < 8 && $i < 800;

        for (splice @open, 0, $i < 800 ? 1 : @open) {
            my ($id, $http) = @$_;
            my $r = $http->response;
            my $asked = $r->{json}{_links}{configData} ? 'new' : 'has';
            $n{$r->{status} != 200 ? $r->{status}
                : $id =~ /^$asked/ ? 'right' : "another's"}++;
        }
    }
    is_deeply(\%n, { right => 800 }, "$what: its own answer to each");
}


sub through {
    my ($pooler, $option) = @_;
    my $host = $pooler->host;

    spew($conf, $nginx =~ s/(goosebit_database) [^;]*;/$1 "host=$host
        port=6432 dbname=goosebit user=goosebit_ddi" $option;/r);
    ok($s->reload, 'reload');
    ok(wait_for(sub { $s->get(ddi('has0'))->{status} == 200 }), 'works');
}


for my $case (['session', 12, ''], ['transaction', 3, ''],
    ['transaction', 3, 'prepare=off'])
{
    my ($mode, $size, $option) = @$case;
    my $pooler = Goosebit::Pooler->new($s, $mode, $size);
    my $what = "$mode $option";

    through($pooler, $option);
    my $before = length $s->error_log;

    fleet($what);
    is($s->put(ddi('has0', 'configData'), json => $config)->{status}, 200,
        "$what: a write");
    unlike(substr($s->error_log, $before), qr/PostgreSQL connection/,
        "$what: no connection is lost");

    # back, before the pooler goes
    spew($conf, $nginx);
    ok($s->reload, "$what: back");
}


# ---- gbctl: what it holds must not stay behind with a server of the pooler's

my $pooler = Goosebit::Pooler->new($s, 'transaction', 2);
my $db = 'postgres://postgres@' . $pooler->host . ':6432/goosebit';

$s->sql(q{update goosebit.migration set sha256 = repeat('f', 64)
    where name = 'functions'});
is($s->gbctl('--db', $db, 'db', 'migrate', '-o', 'name')->{out}, "all\n",
    'gbctl db migrate');
is($s->value(q{select count(*) from pg_locks where locktype = 'advisory'
    and pid in (select pid from pg_stat_activity
        where application_name = 'gbctl')}), 0, 'leaves no lock behind');

for my $verb (['device', 'list'], ['device', 'export'], ['db', 'check'],
    ['rollout', 'list'])
{
    my $r = $s->gbctl('--db', $db, @$verb);
    is($r->{exit}, 0, "gbctl @$verb") or diag $r->{err};
}

# ---- what a pooler says before it hangs up is told

{
    through($pooler, 'prepare=off');
    my $before = length $s->error_log;
    $s->pg('stop');
    ok(wait_for(sub {
        $s->get(ddi('has0'));
        substr($s->error_log, $before) =~ /connection \d: FATAL:  \w+/;
    }), 'the database is gone: the log has the pooler\'s reason');
    $s->pg('start');
    ok(wait_for(sub { $s->get(ddi('has0'))->{status} == 200 }, 20),
        'it is back');
    spew($conf, $nginx);
    ok($s->reload, 'back');
}

undef $pooler;
done_testing;
