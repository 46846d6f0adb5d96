package Goosebit::Proxy;

# A TCP proxy in front of a stack, with the faults of a bad line: it cuts
# connections in the middle of an answer, is slow, holds a request back.
#
#   my $p = Goosebit::Proxy->new($s->port, cut => 1_000_000, times => 2);
#   $p->url, $p->stop, $p->seen(qr/.../), $p->release

use strict;
use warnings;

use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF);
use Time::HiRes qw(sleep time);


# new(PORT of the server, OPTIONS)
#   cut    bytes of answers after which a connection is reset
#   times  how often that happens (1)
#   rate   bytes a second of a connection's answers
#   hold   requests whose first line matches wait until release()
sub new {
    my ($class, $port, %opt) = @_;
    my $dir = File::Temp->newdir('gbp.XXXXXX', TMPDIR => 1);
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        Proto => 'tcp', Listen => 64) or die "listen: $!\n";
    my $self = bless {
        server => $port, dir => $dir, times => 1, %opt,
        port => $listen->sockport, owner => $$,
    }, $class;

    $self->_touch('hold') if $opt{hold};
    $self->{pid} = fork // die "fork: $!\n";
    if ($self->{pid} == 0) {
        setpgrp 0, 0;
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        $SIG{CHLD} = $SIG{PIPE} = 'IGNORE';
        eval { $self->_accept($listen) };
        print STDERR $@ if $@;
        POSIX::_exit(1);
    }
    setpgrp $self->{pid}, $self->{pid};
    return $self;
}


sub port { $_[0]{port} }
sub url { "http://127.0.0.1:$_[0]{port}" }
sub release { unlink "$_[0]{dir}/hold" }


# Lines of what it did that match: "GET /x", "held GET /x", "passed BYTES"
# for each half MB of a connection, "cut BYTES", "no server".
sub seen {
    my ($self, $re) = @_;
    open my $fh, '<', "$self->{dir}/log" or return;
    return grep { $_ =~ $re } <$fh>;
}


sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} // return;
    local $?;
    kill KILL => -$pid;
    waitpid $pid, 0;
}


sub DESTROY { $_[0]->stop if $_[0]{owner} == $$ }


sub _touch {
    my ($self, $name) = @_;
    open my $fh, '>', "$self->{dir}/$name" or die "$name: $!\n";
    close $fh;
}


sub _say {
    my ($self, $line) = @_;
    open my $fh, '>>', "$self->{dir}/log" or die "log: $!\n";
    syswrite $fh, "$line\n";
    close $fh;
}


sub _accept {
    my ($self, $listen) = @_;

    for (;;) {
        my $client = $listen->accept or next;
        my $pid = fork // next;
        if ($pid == 0) {
            close $listen;
            eval { $self->_relay($client) };
            POSIX::_exit(0);
        }
        close $client;
    }
}


sub _relay {
    my ($self, $client) = @_;
    my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $self->{server}, Proto => 'tcp',
        # little under way, so that the server waits for a slow line, too
        Sockopts => [[SO_RCVBUF, 65536]]) or return $self->_say('no server');
    my $select = IO::Select->new($client, $server);
    my $start = time;
    my $bytes = 0;

    for (;;) {
        for my $from ($select->can_read) {
            my $n = sysread $from, my $data, 16384;
            return if !$n;

            if ($from == $client) {
                $self->_request($data);
                _send($server, $data);
                next;
            }

            return if $self->_cut($client, $bytes + $n);
            _send($client, $data);
            $self->_say("passed $bytes")
                if int($bytes / 500_000) < int(($bytes + $n) / 500_000);
            $bytes += $n;

            my $late = $self->{rate}
                ? $start + $bytes / $self->{rate} - time : 0;
            sleep $late if $late > 0;
        }
    }
}


sub _request {
    my ($self, $data) = @_;
    my ($line) = $data =~ m{\A([A-Z]+ \S+) HTTP/} or return;

    $self->_say($line);
    return if !$self->{hold} || $line !~ $self->{hold};
    return if !-e "$self->{dir}/hold";
    $self->_say("held $line");
    sleep 0.02 while -e "$self->{dir}/hold";
}


# Resets the connection if its answers have come so far, and it is its turn.
sub _cut {
    my ($self, $client, $bytes) = @_;
    return 0 if !$self->{cut} || $bytes < $self->{cut};
    return 0 if $self->seen(qr/^cut /) >= $self->{times};
    $self->_say("cut $bytes");
    setsockopt $client, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    return 1;
}


sub _send {
    my ($to, $data) = @_;
    while (length $data) {
        my $n = syswrite $to, $data;
        die "gone\n" if !$n;
        substr $data, 0, $n, '';
    }
}


1;
