# What those do to each other who register at once, and who claim a first token,
# with real sessions of the module's role.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $s = stack(nginx => 0, fsync => 'off');
my @sessions = map { $s->psql(user => 'goosebit_ddi') } 1 .. 16;


# A call of goosebit_ddi with the five that every call starts with.
sub call {
    my ($columns, $function, $device, @rest) = @_;
    return "select $columns from goosebit_ddi.$function(" . join(', ',
        "'default'", "'$device'", 'null', 'null', "'off'", @rest) . ')';
}


# All at once; their answers.
sub together {
    my (@statements) = @_;
    $sessions[$_]->send($statements[$_]) for 0 .. $#statements;
    return map { $sessions[$_]->result(30) // 'no answer' } 0 .. $#statements;
}


subtest 'sixteen sessions register one new device' => sub {
    my $register = call('status', 'register', 'new-one', 60, 1000);
    my ($first, @rest) = @sessions;

    $first->query('begin');
    is($first->query($register), 200, 'the first');
    $_->send($register) for @rest;
    is(scalar(grep { $_->blocked($s) } @rest), 15, 'the others wait for it');
    $first->query('commit');
    is_deeply([map { $_->result } @rest], [(200) x 15], 'and are answered');
    is($s->value("select count(*) from goosebit.device"
        . " where controller_id = 'new-one'"), 1, 'one device');

    is_deeply([together(map { call('status', 'config_data', 'new-one',
        "'merge'", "'{hw_model,hw_revision}'", "'{novel,r$_}'") } 1 .. 16)],
        [(200) x 16], 'its new hardware, sixteen times');
    is($s->value("select state from goosebit.device"
        . " where controller_id = 'new-one'"), 'registered', 'is registered');

    my @all = map { call('status', 'register', "crowd-$_", 60, 1000) } 1 .. 16;
    is_deeply([together(@all)], [(200) x 16], 'sixteen new devices');
    is_deeply([together(map { call('status', 'config_data', "crowd-$_",
        "'merge'", "'{hw_model}'", "'{fresh}'") } 1 .. 16)], [(200) x 16],
        'of one new hardware');
    is($s->value("select count(*) from goosebit.device"
        . " where hw_model = 'fresh'"), 16, 'all have it');
};


subtest 'setup: one first token' => sub {
    my ($first, @rest) = @sessions;
    my @claims = map { "select status from goosebit_ddi.register('default',"
        . " 'claimed', 'target', sha256('$_'), 'setup', 60, 1000)" } 1 .. 16;

    $s->sql('insert into goosebit.device (tenant_id, controller_id)'
        . " values (1, 'claimed')");
    $first->query('begin');
    is($first->query($claims[0]), 200, 'the first');
    $rest[$_]->send($claims[$_ + 1]) for 0 .. $#rest;
    is(scalar(grep { $_->blocked($s) } @rest), 15, 'the others wait for it');
    $first->query('commit');
    is_deeply([map { $_->result } @rest], [(401) x 15], 'and are refused');
    is($s->value("select token = sha256('1') from goosebit.device"
        . " where controller_id = 'claimed'"), 't', 'its token stays');
};


done_testing;
