package Goosebit::AuthServer;

# An authentication service as external_url and goosebit_auth_request ask one:
# a small HTTP server that does what the token says, and keeps what it was
# asked. A token that begins with yes is answered 200, no 401, and a number
# that status; slow-N waits N seconds for its 200, hold for the end of hold(),
# drop closes without a word, trickle never gets to the end of its header,
# garbage is not HTTP.

use strict;
use warnings;

use Fcntl qw(LOCK_EX LOCK_SH);
use File::Temp ();
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

use Goosebit::Test ();


# new(port => N): started; stops when it goes out of scope
sub new {
    my ($class, %opt) = @_;
    my $dir = File::Temp->newdir('gba.XXXXXX', TMPDIR => 1);
    my $sock = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        LocalPort => $opt{port} // Goosebit::Test::free_port(),
        Proto => 'tcp', Listen => 512, ReuseAddr => 1) or die "listen: $!\n";
    my $self = bless { dir => $dir, port => $sock->sockport, owner => $$ },
        $class;
    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        setpgrp;
        $SIG{CHLD} = 'IGNORE';
        $SIG{TERM} = sub { POSIX::_exit(0) };
        while (1) {
            my $c = $sock->accept or next;
            my $kid = fork;
            if (defined $kid && !$kid) {
                close $sock;
                eval { $self->_serve($c) };
                POSIX::_exit(0);
            }
            close $c;
        }
    }
    setpgrp $pid, $pid;             # whoever is first
    close $sock;
    $self->{pid} = $pid;
    return $self;
}


sub port { $_[0]{port} }
sub url { "http://127.0.0.1:$_[0]{port}" . ($_[1] // '/check') }


sub _serve {
    my ($self, $c) = @_;
    my $in = '';

    $SIG{ALRM} = sub { POSIX::_exit(0) };
    alarm 60;
    while ($in !~ /\r\n\r\n/) {
        sysread $c, $in, 65536, length $in or return;
    }
    my ($head, $body) = split /\r\n\r\n/, $in, 2;
    my ($length) = $head =~ /^Content-Length:\s*(\d+)/mi;
    while (length $body < ($length // 0)) {
        sysread $c, $body, 65536, length $body or return;
    }
    my ($line, @fields) = split /\r\n/, $head;
    my %header = map { /^([^:]+):\s*(.*)$/ ? (lc $1, $2) : () } @fields;
    my $json = eval { JSON::PP->new->utf8->decode($body) };
    my ($token) = ($header{authorization} // '') =~ /^Bearer (.*)$/;
    $token //= $header{'x-token'};
    ($token) = map { $json->{$_} } grep { defined $json->{$_} }
        qw(token secret controller) if !defined $token && $json;
    $token //= '';

    my $record = JSON::PP->new->canonical->encode({ line => $line,
        header => \%header, body => $body, json => $json });
    open my $log, '>>', "$self->{dir}/log" or die "log: $!\n";
    syswrite $log, "$record\n";
    close $log;

    $self->_answer($c, $token);
}


sub _answer {
    my ($self, $c, $token) = @_;
    my $status = $token =~ /^yes/ ? 200 : $token =~ /^(\d\d\d)/ ? $1 : 401;

    return if $token =~ /^drop/;
    if ($token =~ /^slow-([\d.]+)/) {
        sleep $1;
        $status = 200;
    }
    if ($token =~ /^hold/) {
        open my $hold, '>>', "$self->{dir}/hold" or die "hold: $!\n";
        flock $hold, LOCK_SH;
        $status = 200;
    }
    if ($token =~ /^trickle/) {
        for (split(//, 'HTTP/1.1 200 OK'), ('.') x 100) {
            syswrite $c, $_ or return;
            sleep 0.5;
        }
        return;
    }
    if ($token =~ /^garbage/) {
        syswrite $c, "220 smtp.example.com ESMTP\r\n" x 40;
        return;
    }
    syswrite $c, "HTTP/1.1 $status Whatever\r\nContent-Length: 2\r\n"
        . "Connection: close\r\n\r\n{}";
}


# Until what this returns is closed, hold has no answer.
sub hold {
    my ($self) = @_;
    open my $hold, '>>', "$self->{dir}/hold" or die "hold: $!\n";
    flock $hold, LOCK_EX;
    return $hold;
}


# What it was asked since the last look.
sub asked {
    my ($self) = @_;
    my $file = "$self->{dir}/log";

    rename $file, "$file.old" or return;
    open my $fh, '<', "$file.old" or die "$file: $!\n";
    return map { JSON::PP->new->decode($_) } <$fh>;
}


sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;

    # Those that would still answer as well: they hold this test's output.
    kill KILL => -$pid;
    waitpid $pid, 0;
}


sub DESTROY {
    my ($self) = @_;
    local ($?, $!);
    $self->stop if $$ == $self->{owner};
}


1;
