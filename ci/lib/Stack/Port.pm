package Stack::Port;

# A port for a server that can't listen on port 0, or comes back to its own.

use strict;
use warnings;

use Exporter 'import';
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_REUSEADDR);

our @EXPORT = qw(free_port);

my @mine;


# Outside the range that the kernel gives to clients: one of these could have
# it by the time that the server starts, or while it is stopped. As long as this
# process lives, nobody else who looks for a port here is given this one: it
# stays bound, in a way that lets a server (which says SO_REUSEADDR) listen.
sub free_port {
    my ($addr) = @_;

    for (1 .. 200) {
        my $port = 15000 + int rand 17000;
        my $sock = IO::Socket::INET->new(LocalAddr => $addr, Proto => 'tcp',
            LocalPort => $port) or next;
        setsockopt $sock, SOL_SOCKET, SO_REUSEADDR, 1;
        push @mine, $sock;
        return $port;
    }
    die "no free port\n";
}


1;
