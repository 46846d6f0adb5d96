package Bench::Goosebit;

# A gooseBit 0.2.9 of PyPI beside the stack, asked as ours is: one process with
# the settings that it comes with, and a database of its own on the stack's
# PostgreSQL.
#
#   $ENV{GB_PG_CONF} = Bench::Goosebit->listen;     before up()
#   my $g = Bench::Goosebit->new // ...             a note has said why
#   $g->register(100, 16, 'cycle-', 'cycle');
#   my $r = $g->ask(sub { gbload('cycle', 100, 16, 'cycle-') });

use strict;
use warnings;

use Bench;
use Goosebit::Upstream;

# it takes no unix socket
my $address = sprintf '127.78.%d.%d', $$ >> 8 & 255, $$ & 255;


# What PostgreSQL's configuration needs for it.
sub listen { "listen_addresses = '$address'\n" }


# undef, with a note, where there is no Python for it.
sub new {
    my ($class) = @_;
    out('psql', '-XAtqc', 'create database upstream');
    my $server = Goosebit::Upstream->new('0.2.9',
        uri => "postgres://postgres:secret\@$address:5432/upstream");
    if (!$server) {
        print STDERR "no gooseBit: no Python of 3.11 with its venv\n";
        return;
    }
    return bless { server => $server }, $class;
}


# Runs what asks GOOSEBIT_URL, and gives what it gives.
sub ask {
    my ($self, $run) = @_;
    local $env{GOOSEBIT_URL} = $self->{server}->url;
    local $env{OTHER_PID} = $self->{server}->pid;
    return $run->();
}


# register(DEVICES, CLIENTS, PREFIX, MODEL): one by itself before all, as two
# who bring a new model at once make it twice there, and nobody registers then.
sub register {
    my ($self, $n, $clients, @args) = @_;
    for ([1, 1], [$n, $clients]) {
        my @load = ('register', @$_, @args);
        my (undef, $rc) = $self->ask(sub { gbload(@load) });
        die "gooseBit: registering failed\n" if $rc != 0;
    }
}


# Software of a file, and a rollout of it for those who have no feed.
sub rollout {
    my ($self, $file) = @_;
    my $id = $self->{server}->software($file);
    $self->{server}->rollout($id, 'default', $file =~ s{.*/}{}r);
}


# How many devices it says have come to a version and finished there.
sub finished {
    my ($self, $version) = @_;
    return scalar grep { $_->{sw_version} eq $version
        && $_->{last_state} eq 'Finished'
    } @{$self->{server}->api('GET', 'devices')->{devices}};
}


sub stop { $_[0]{server}->stop }


1;
