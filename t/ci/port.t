#!/usr/bin/perl
# A port that a test was given is given to no other, though its server comes
# later, or goes for a while.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

use IO::Socket::INET;

sub found { srand 1; return Goosebit::Test::free_port() }

sub listens {
    return IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp',
        LocalPort => $_[0], Listen => 1, ReuseAddr => 1);
}

my $port = found();
isnt(found(), $port, 'taken, though nobody listens');
my $server = listens($port);
ok($server, 'which its server does') or diag $!;
ok(!listens($port), 'and no other');
close $server;
ok(listens($port), 'and may again');

done_testing;
