package Goosebit::Psql;

# A psql that stays: a session of its own, for transactions and races.

use strict;
use warnings;

use IO::Select;
use IPC::Open3;
use Time::HiRes qw(time);

my $sessions = 0;


# new({PGHOST => ...}, user => 'postgres')
sub new {
    my ($class, $env, %opt) = @_;
    my $self = bless { n => 0, buffer => '' }, $class;

    local %ENV = (%ENV, %$env);
    $ENV{PGUSER} = $opt{user} if defined $opt{user};
    $ENV{PGDATABASE} = $opt{database} if defined $opt{database};
    $ENV{PGAPPNAME} = $self->{name} = $opt{name} // "psql-$$-" . ++$sessions;

    $self->{pid} = open3($self->{in}, $self->{out}, undef, 'psql', '-XAtq',
        '-P', 'null=\N', '-v', 'VERBOSITY=verbose', '-v', 'SHOW_CONTEXT=never');
    return $self;
}


# Starts a statement and does not wait for its end.
sub send {
    my ($self, $sql) = @_;
    $self->{n}++;
    my $text = "$sql\n;\n\\echo <<$self->{n}>>\n";
    # one that was stopped meanwhile has written a part of it
    while (length $text) {
        my $n = syswrite $self->{in}, $text or die "psql: $!\n";
        substr $text, 0, $n, '';
    }
    return $self;
}


# The text that the statement sent last has printed, errors included
# ("ERROR:  GB001: ..."); undef where it does not end within SECONDS.
sub result {
    my ($self, $seconds) = @_;
    my $until = time + ($seconds // 30);
    my $select = IO::Select->new($self->{out});

    for (;;) {
        if ($self->{buffer} =~ s/\A(.*?)\n?<<$self->{n}>>\n//s) {
            return $1;
        }
        my $left = $until - time;
        return if $left <= 0 || !$select->can_read($left);
        sysread $self->{out}, $self->{buffer}, 65536, length $self->{buffer}
            or die "psql ended: $self->{buffer}\n";
    }
}


# Waits until the statement sent last is seen to wait for a lock, by the STACK.
sub blocked {
    my ($self, $stack) = @_;
    return Goosebit::Test::wait_for(sub {
        $stack->value("SELECT count(*) FROM pg_stat_activity
            WHERE application_name = '$self->{name}'
              AND wait_event_type = 'Lock'") == 1;
    });
}


sub query {
    my ($self, $sql) = @_;
    return $self->send($sql)->result // die "no answer to: $sql\n";
}


sub quit {
    my ($self) = @_;
    my $pid = delete $self->{pid} // return;
    local $?;
    close $self->{in};
    close $self->{out};
    kill TERM => $pid;
    waitpid $pid, 0;
}


sub DESTROY { $_[0]->quit }


1;
