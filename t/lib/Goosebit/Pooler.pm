package Goosebit::Pooler;

# Debian's pgbouncer before a stack's PostgreSQL, as operators put it there.

use strict;
use warnings;

use File::Temp ();
use IO::Socket::INET;

use Goosebit::Test ();


# new(STACK, MODE, SIZE): pools sessions or transactions, with SIZE servers
sub new {
    my ($class, $s, $mode, $size) = @_;
    my $dir = File::Temp->newdir('gbb.XXXXXX', TMPDIR => 1);
    my $self = bless { dir => $dir, owner => $$ }, $class;

    $self->{host} = '127.' . join '.', map { 1 + int rand 250 } 1 .. 3;
    chmod 0755, "$dir";
    Goosebit::Test::spew("$dir/users", qq{"goosebit_ddi" ""\n"postgres" ""\n});
    Goosebit::Test::spew("$dir/ini", "[databases]\ngoosebit = host="
        . $s->socket . "\n"
        . "[pgbouncer]\nlisten_addr = $self->{host}\nlisten_port = 6432\n"
        . "unix_socket_dir =\nauth_type = trust\nauth_file = $dir/users\n"
        . "pool_mode = $mode\ndefault_pool_size = $size\n"
        . "query_wait_timeout = 2\nserver_login_retry = 1\n");

    $self->{pid} = fork // die "fork: $!\n";
    if (!$self->{pid}) {
        open STDERR, '>', "$dir/log";
        open STDOUT, '>&', \*STDERR;
        # which refuses to run as root
        my @user = $> == 0 ? ('setpriv', '--reuid=postgres',
            '--regid=postgres', '--init-groups') : ();
        { no warnings; exec @user, 'pgbouncer', "$dir/ini"; }
        require POSIX;
        POSIX::_exit(127);
    }

    Goosebit::Test::wait_for(sub {
        IO::Socket::INET->new(PeerAddr => "$self->{host}:6432") })
        or die "pgbouncer: not there\n", $self->log;
    return $self;
}


sub host { $_[0]{host} }


sub log { Goosebit::Test::slurp("$_[0]{dir}/log") }


sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$;
    local $?;
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
}


1;
