package Goosebit::Swupdate;

# Debian's swupdate as a device, for tests: ci/lib/swupdate-device.

use strict;
use warnings;

use Goosebit::Test;


# new(STACK, ID, key => DIR of make-key, version => V, token => T,
#     url => another than the stack's, suricatta => more of its settings,
#     late => MILLISECONDS by which its installer is late to begin)
sub new {
    my ($class, $s, $id, %opt) = @_;
    my $self = bless {
        dir => tempdir(), stack => $s, id => $id, version => '1.0.0', %opt,
    }, $class;
    mkdir "$self->{dir}/slot";
    $self->_preload if $self->{late};
    return $self;
}


sub _preload {
    my ($self) = @_;
    system('cc', '-shared', '-fPIC', '-O1', '-o', "$self->{dir}/late.so",
        't/lib/fixtures/late.c', '-ldl') == 0 or die "late.c: not built\n";
}


sub dir { $_[0]{dir} }
sub slot { "$_[0]{dir}/slot" }
sub log { -e "$_[0]{dir}/swupdate.log" ? slurp("$_[0]{dir}/swupdate.log") : '' }


# What to print where a test fails: what it did last, and what it asked for and
# was answered. Without what each start says, and with its lines cut, or they
# would hide all that led to it.
sub story {
    my ($self) = @_;
    my @did = grep { /\S/ && !/lua_report_exception|registered_handlers/ }
        split /\n/, $self->log;
    my @asked = grep { /\Q$self->{id}\E/ } split /\n/,
        $self->{stack}->access_log;
    return join "\n", map { substr $_, 0, 200 } 'swupdate.log of the device:',
        _last(100, @did), 'access.log of the server:',
        _last(30, @asked), 'in its slot: ' . join ' ',
        map { "$_ (" . (-s $_) . ' bytes)' } glob $self->slot . '/*';
}


sub _last {
    my ($n, @lines) = @_;
    return @lines > $n ? ('...', @lines[-$n .. -1]) : @lines;
}


# Starts it, when no other test's device runs; CONFIRM 2 or 3 reports success
# or failure of the last install.
sub start {
    my ($self, $confirm) = @_;
    my $dir = $self->{dir};

    $self->stop;
    spew("$dir/device.conf", join "\n",
        'URL=' . ($self->{url} // $self->{stack}->url),
        "ID=$self->{id}", "CERT=$self->{key}/cert.pem", 'MODEL=test-board',
        'REVISION=rev1', "VERSION=$self->{version}",
        ($self->{token} ? "TOKEN=$self->{token}" : ()),
        ($self->{suricatta} ? "SURICATTA='$self->{suricatta}'" : ()), '');

    unlink "$dir/swupdate.pid";
    $self->{pid} = fork // die "fork: $!\n";
    if ($self->{pid} == 0) {
        open STDOUT, '>', '/dev/null';
        @ENV{qw(LD_PRELOAD LATE_MS)} = ("$dir/late.so", $self->{late})
            if $self->{late};
        exec 'ci/lib/swupdate-device', $dir, 'start', $confirm // 0;
        die "ci/lib/swupdate-device: $!\n";
    }
    wait_for { -s "$dir/swupdate.pid" } 600
        or die "swupdate did not get its turn\n";
}


# Waits until it ends by itself, as for a reboot; false after SECONDS.
sub rebooted {
    my ($self, $seconds) = @_;
    my $pid = $self->{pid};
    wait_for { waitpid($pid, 1) != 0 } $seconds // 120 or return 0;
    delete $self->{pid};
    return -e "$self->{dir}/rebooted";
}


sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} // return;
    local $?;
    if (-s "$self->{dir}/swupdate.pid") { system "$self->{dir}/stop" }
    else { kill TERM => $pid }
    waitpid $pid, 0;
}


sub DESTROY { $_[0]->stop }


1;
