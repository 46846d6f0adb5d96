use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

use File::Basename qw(dirname);

# ci/stack itself: where it may live, what it leaves behind.

my $tmp = tempdir();

sub stack_of {
    my ($verb, $dir, %env) = @_;
    local %ENV = (%ENV, %env);
    return run(['ci/stack', split(/ /, $verb), $dir]);
}


sub env_of {
    my ($dir) = @_;
    my $r = run(['sh', '-c', 'eval "$(ci/stack env "$1")"; env', 'sh', $dir]);
    return { map { /^(\w+)=(.*)$/ ? ($1, $2) : () } split /\n/, $r->{out} };
}


my @dirs = ("$tmp/plain", "$tmp/with space and 'quote", "$tmp/" . 'l' x 120);

for my $dir (@dirs) {
    my $r = stack_of('up', $dir);
    is($r->{exit}, 0, "up: $dir") or diag($r->{err});
    my $env = env_of($dir);

    is($env->{GOOSEBIT_CONFIG}, "$dir/goosebit.yaml", 'configuration');
    ok(kill(0, $env->{NGINX_PID}), 'nginx runs');
    my $http = Goosebit::HTTP->new(port => $env->{GB_STACK_PORT});
    is($http->request('GET', '/status')->{status}, 200, 'it answers');
    is(run(['psql', '-XAtc', 'show fsync'])->{exit}, 2, 'no PG* of ours');
    {
        local %ENV = (%ENV, %$env);
        is(run(['psql', '-XAtc', 'show fsync'])->{out}, "on\n", 'durable');
    }
    isnt(stack_of('up', $dir)->{exit}, 0, 'not twice');
    ok(kill(0, $env->{NGINX_PID}), 'which harms nobody');

    is(stack_of('down', $dir)->{exit}, 0, 'down');
    ok(!-e $dir, 'the directory is gone');
    ok(!-e $env->{PGHOST}, 'the socket is gone');
    ok(ended($env->{NGINX_PID}), 'nginx is gone');
    ok(ended($env->{PG_PID}), 'PostgreSQL is gone');
}

# Before anything is built it says so.
my $r = stack_of('up', "$tmp/none", GB_BUILD => $tmp, GB_ASAN => 0);
is("$r->{exit} $r->{err}", "1 ci/stack: $tmp/gbctl: not built: make\n",
    'not built');
ok(!-e "$tmp/none", 'and begins nothing');

# The cluster in memory, or where there is no room for it, beside the rest.
{
    my $up = "$tmp/memory";
    my $data = sub {
        local %ENV = (%ENV, %{env_of($up)});
        return run(['psql', '-XAtc', $_[0]])->{out} =~ s/\n\z//r;
    };
    is(stack_of('up', $up, GB_MEMORY => 1)->{exit}, 0, 'up in memory');
    my $where = $data->('show data_directory');
    like($where, qr{^(?:/dev/shm/gb\.\w{6}|\Q$up\E/pg)/data$}, 'is there');
    $data->('create table kept ()');
    is(stack_of('down --keep', $up)->{exit}, 0, 'down, kept');
    is(stack_of('up', $up)->{exit}, 0, 'up again');
    is($data->("select 'kept'::regclass"), 'kept', 'with the same data');
    is(stack_of('down', $up)->{exit}, 0, 'down');
    ok(!-e dirname($where), 'the cluster is gone');
    ok(!-e $up, 'and the rest');
}

# From here on it does not matter where the cluster is.
$ENV{GB_MEMORY} = 1;

# A directory that was there keeps what was in it.
my $mine = "$tmp/mine";
mkdir $mine;
mkdir "$mine/logs";
spew("$mine/logs/mine", 'x');
is(stack_of('up', $mine, GB_NO_NGINX => 1)->{exit}, 0, 'up where files are');
is(stack_of('down', $mine)->{exit}, 0, 'down');
is(join(' ', glob("$mine/* $mine/logs/*")), "$mine/logs $mine/logs/mine",
    'what was there is there');

# Killed from outside, and kept.
my $dir = "$tmp/killed";
stack_of('up', $dir);
my $env = env_of($dir);
# What the postmaster leaves has the cluster as long as it lives.
my @left = split ' ', run(['pgrep', '-P', $env->{PG_PID}])->{out};
kill STOP => @left;
kill KILL => $env->{NGINX_PID}, $env->{PG_PID};
my $later = fork // die "fork: $!\n";
if ($later == 0) {
    sleep 0.5;
    kill CONT => @left;
    POSIX::_exit(0);
}
is(stack_of('down --keep', $dir)->{exit}, 0, 'down after a crash');
ok(!-e $env->{PGHOST}, 'its socket is gone');
is(scalar(grep { (readlink "$_" // '') eq "$dir/logs/error.log" }
    glob '/proc/[0-9]*/fd/2'), 0, 'no worker is left');
is(stack_of('up', $dir)->{exit}, 0, 'up again with the same data');
is(stack_of('down', $dir)->{exit}, 0, 'down');
ok(!-e $dir, 'gone');
waitpid $later, 0;

# A reload of an nginx that does not run is an error, and reaches nobody else.
{
    my $up = "$tmp/reload";
    stack_of('up', $up);
    stack_of('nginx stop', $up);
    my $try = run(['setsid', '-w', 'sh', '-c',
        'ci/stack nginx reload "$1"; echo "rc=$?"', 'sh', $up]);
    is($try->{out}, "rc=1\n", 'no reload without nginx');
    like($try->{err}, qr/nginx does not run/, 'and why');
    stack_of('nginx start', $up);
    is(stack_of('nginx reload', $up)->{exit}, 0, 'with it, one');
    stack_of('down', $up);
}

# What can't start says why and leaves nothing.
$r = stack_of('up', "$tmp/bad", GB_NGINX_HTTP => 'nonsense;');
is($r->{exit}, 1, 'a wrong configuration');
like($r->{err}, qr/unknown directive "nonsense"/, 'says why');
ok(!-e "$tmp/bad", 'leaves nothing');
is(stack_of('up', "$tmp/bad2", GB_YAML => 'nonsense: 1')->{exit}, 1,
    'a wrong goosebit.yaml');
$r = stack_of('up', "$tmp/bad3", GB_PG_CONF => 'nonsense = 1');
is($r->{exit}, 1, 'a wrong postgresql.conf');
like($r->{err}, qr/unrecognized configuration parameter "nonsense"/, 'why');
ok(!-e "$tmp/bad3", 'leaves nothing');
is(run(['ci/stack', 'up'])->{exit}, 2, 'usage');
is(run(['ci/stack', 'env', "$tmp/none"])->{exit}, 1, 'no stack there');

done_testing;
