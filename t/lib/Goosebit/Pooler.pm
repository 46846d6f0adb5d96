package Goosebit::Pooler;

# Debian's pgbouncer before a stack's PostgreSQL, as operators put it there.

use strict;
use warnings;

use File::Temp ();
use IO::Socket::INET;
use Time::HiRes qw(sleep time);


# new(STACK, MODE, SIZE): pools sessions or transactions, with SIZE servers
sub new {
    my ($class, $s, $mode, $size) = @_;
    my $dir = File::Temp->newdir('gbb.XXXXXX', TMPDIR => 1);
    my $self = bless { dir => $dir, owner => $$ }, $class;

    $self->{host} = '127.' . join '.', map { 1 + int rand 250 } 1 .. 3;
    chmod 0755, "$dir";
    _spew("$dir/users", qq{"goosebit_ddi" ""\n"postgres" ""\n});
    _spew("$dir/ini", "[databases]\ngoosebit = host=" . $s->socket . "\n"
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

    my $until = time + 10;
    until (IO::Socket::INET->new(PeerAddr => "$self->{host}:6432")) {
        die "pgbouncer: not there\n", $self->log if time > $until;
        sleep 0.02;
    }
    return $self;
}


sub _spew {
    my ($file, $text) = @_;
    open my $fh, '>', $file or die "$file: $!\n";
    print $fh $text;
    close $fh or die "$file: $!\n";
}


sub host { $_[0]{host} }


sub log {
    my ($self) = @_;
    open my $fh, '<', "$self->{dir}/log" or return '';
    local $/;
    return <$fh> // '';
}


sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$;
    local $?;
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
}


1;
