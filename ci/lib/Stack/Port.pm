package Stack::Port;

# A port for a server that can't listen on port 0, or comes back to its own.

use strict;
use warnings;

use Exporter 'import';
use IO::Socket::INET;

our @EXPORT = qw(free_port);


# Outside the range that the kernel gives to clients: one of these could have
# it by the time that the server starts, or while it is stopped.
sub free_port {
    my ($addr) = @_;

    for (1 .. 200) {
        my $port = 15000 + int rand 17000;
        my $sock = IO::Socket::INET->new(LocalAddr => $addr, Proto => 'tcp',
            LocalPort => $port, Listen => 1);
        return $port if $sock;
    }
    die "no free port\n";
}


1;
